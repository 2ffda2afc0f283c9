/* SPDX-License-Identifier: MIT
 *
 * HTTP over real sockets: what is served, what is refused and how, and who is told.
 */
#include "harness.h"

#include "restante/metrics.h"

#define BIG	 (3 * 1024 * 1024)
#define BODY_MAX 100000
#define HOST	 "Host: test.example\r\n"

static struct running running;
static atomic_int calls; /* of handlers */
static atomic_int ticks;
static char big[BIG];

/* --- handlers ---------------------------------------------------------------------- */

static void echo(struct request *request)
{
	atomic_fetch_add(&calls, 1);
	assert_ptr_equal(&running, request->context);
	request_reply(request, 200, request->body);
}

static void say_param(struct request *request)
{
	atomic_fetch_add(&calls, 1);
	request_reply_with(request, 200, "text/plain", request->param, NULL, 0);
}

static void say_source(struct request *request)
{
	atomic_fetch_add(&calls, 1);
	request_reply_with(request, 200, "text/plain", bytes_of_text(request->source), NULL, 0);
}

static void say_local(struct request *request)
{
	atomic_fetch_add(&calls, 1);
	request_reply_with(request, 200, "text/plain",
			   bytes_of_text(request->local ? "local" : "remote"), NULL, 0);
}

static void say_caller(struct request *request)
{
	atomic_fetch_add(&calls, 1);
	request_reply_with(request, 200, "text/plain", bytes_of_text(request->caller.user),
			   NULL, 0);
}

static void say_much(struct request *request)
{
	const struct header header = {"x-test", "yes"};

	atomic_fetch_add(&calls, 1);
	request_reply_with(request, 200, "text/plain", bytes_of(big, sizeof big), &header, 1);
}

static void fail_by_query(struct request *request)
{
	struct bytes value;
	bool malformed;

	atomic_fetch_add(&calls, 1);
	if (request_query(request, "limit", &value, &malformed))
		request_limit(request, 1500);
	else if (malformed)
		request_fail(request, ERR_VALIDATION, "limit", "say \"it\" once");
	else
		request_fail_with(request, ERR_DEVICES_MISMATCH, NULL,
				  bytes_of_text("{\"missing_devices\":[2]}"));
}

/* A request that is answered by another thread after a while. */
struct errand {
	struct message message;
	struct request *request;
};

static pthread_t errands[8];
static atomic_int errands_back;

static void errand_back(struct message *message)
{
	struct errand *errand = (struct errand *)(void *)message;

	atomic_fetch_add(&errands_back, 1);
	request_reply(errand->request, 200, bytes_of_text("{\"late\":true}"));
}

static void *errand_main(void *arg)
{
	usleep(150 * 1000);
	inbox_return(arg);
	return NULL;
}

static void answer_later(struct request *request)
{
	struct errand *errand = arena_new(request->arena, struct errand);
	int n = atomic_fetch_add(&calls, 1);

	errand->request = request;
	errand->message.reply_to = server_inbox(running.server);
	errand->message.returned = errand_back;
	assert_int_equal(0, pthread_create(&errands[n], NULL, errand_main, errand));
}

/* Those who return messages end before the server does. */
static void join_errands(void)
{
	for (size_t i = 0; i < sizeof errands / sizeof errands[0]; i++) {
		if (errands[i] != 0)
			pthread_join(errands[i], NULL);
		errands[i] = 0;
	}
}

static enum err authorize(struct request *request)
{
	if (!bytes_equal(request->authorization, bytes_of_text("Bearer good")))
		return ERR_UNAUTHORIZED;
	snprintf(request->caller.user, sizeof request->caller.user, "alice");
	return ERR_OK;
}

/* All that the head says is there, and nothing else. */
static enum err precheck(struct request *request)
{
	assert_int_equal(0, request->body.len);
	assert_true(bytes_equal(request->path, bytes_of_text("/signed")));
	assert_true(bytes_equal(request->content_type, bytes_of_text("application/json")));
	assert_string_equal("127.0.0.1", request->source);
	if (bytes_equal(request->destination, bytes_of_text("other.example")))
		return ERR_SIG_DESTINATION;
	if (bytes_equal(request->destination, bytes_of_text("busy.example"))) {
		request->retry_after_ms = 2500;
		return ERR_RATE_LIMITED;
	}
	return ERR_OK;
}

static void tick(void *context, int64_t now_ms)
{
	assert_ptr_equal(&running, context);
	assert_true(now_ms > 0);
	atomic_fetch_add(&ticks, 1);
}

static const struct route routes[] = {
	{METHOD_GET, "/echo", ROUTE_PUBLIC, 0, echo},
	{METHOD_POST, "/echo", ROUTE_PUBLIC, BODY_MAX, echo},
	{METHOD_DELETE, "/echo", ROUTE_PUBLIC, 100, echo},
	{METHOD_POST, "/nothing", ROUTE_PUBLIC, 0, echo},
	{METHOD_GET, "/things/{}", ROUTE_PUBLIC, 0, say_param},
	{METHOD_GET, "/source", ROUTE_PUBLIC, 0, say_source},
	{METHOD_GET, "/local", ROUTE_PUBLIC, 0, say_local},
	{METHOD_GET, "/big", ROUTE_PUBLIC, 0, say_much},
	{METHOD_GET, "/fail", ROUTE_PUBLIC, 0, fail_by_query},
	{METHOD_GET, "/later", ROUTE_PUBLIC, 0, answer_later},
	{METHOD_POST, "/private", ROUTE_AUTH, BODY_MAX, say_caller},
	{METHOD_POST, "/signed", ROUTE_SIGNED, BODY_MAX, echo},
	{0},
};

static const char *const origins[] = {"https://app.example", NULL};

/* --- helpers ----------------------------------------------------------------------- */

static int start(void **state)
{
	(void)state;
	memset(big, 'b', sizeof big);
	atomic_store(&calls, 0);
	atomic_store(&errands_back, 0);
	running = (struct running){
		.drain_seconds = 2,
		.config =
			{
				.host = "127.0.0.1",
				.cors_origins = origins,
				.trust_forwarded_for = true,
				.max_connections = 8,
				.max_per_source = 2, /* not with the above */
				.buffer_budget = 2 * BODY_MAX + 1000,
				.socket_frame_max = 1000,
				.request_timeout_ms = 400,
				.socket_idle_ms = 400,
				.routes = routes,
				.authorize = authorize,
				.precheck = precheck,
				.tick = tick,
				.context = &running,
			},
	};
	harness_start(&running);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	server_stop(running.server);
	join_errands();
	harness_stop(&running);
	return 0;
}

static void wait_for(atomic_int *value, int expected)
{
	for (int i = 0; i < PATIENCE_MS && atomic_load(value) != expected; i++)
		usleep(1000);
	assert_int_equal(expected, atomic_load(value));
}

static void assert_error_body(const struct reply *reply, const char *code)
{
	char begin[128];

	snprintf(begin, sizeof begin, "{\"success\":false,\"error\":{\"code\":\"%s\",", code);
	assert_memory_equal(begin, reply->body, strlen(begin));
	assert_non_null(strstr(reply->body, "\"details\":{"));
	assert_true(reply_has(reply, "content-type: application/json"));
}

/* The server answers with this, closes, and no handler hears of it: not of this request
 * and not of what hides behind it. */
static void assert_refused(int status, const char *code, const char *data, size_t len)
{
	int fd = client_connect(&running);
	struct reply reply;

	atomic_store(&calls, 0);
	client_send(fd, data, len);
	reply = client_reply(fd);
	assert_int_equal(status, reply.status);
	assert_true(reply_has(&reply, "connection: close"));
	assert_error_body(&reply, code);
	assert_closed(fd);
	assert_int_equal(0, atomic_load(&calls));
	reply_free(&reply);
}

#define REFUSED(status, code, text) assert_refused(status, code, text, sizeof(text) - 1)
#define HIDDEN			    "GET /echo HTTP/1.1\r\n" HOST "\r\n"

/* One request on a connection of its own. */
static struct reply ask(const char *request)
{
	int fd = client_connect(&running);
	struct reply reply;

	client_say(fd, request);
	reply = client_reply(fd);
	close(fd);
	return reply;
}

static void assert_answer(int status, const char *body, const char *request)
{
	struct reply reply = ask(request);

	assert_int_equal(status, reply.status);
	if (body != NULL)
		assert_string_equal(body, reply.body);
	reply_free(&reply);
}

/* --- tests ------------------------------------------------------------------------- */

static void keeps_connections_alive(void **state)
{
	int fd = client_connect(&running);

	(void)state;
	for (int i = 1; i <= 3; i++) {
		struct reply reply;

		client_say(fd, "POST /echo HTTP/1.1\r\n" HOST
			       "Content-Type: application/json; charset=utf-8\r\n"
			       "Content-Length: 7\r\n\r\n{\"a\":1}");
		reply = client_reply(fd);
		assert_int_equal(200, reply.status);
		assert_string_equal("{\"a\":1}", reply.body);
		assert_true(reply_has(&reply, "content-type: application/json"));
		assert_true(reply_has(&reply, "cache-control: no-store"));
		assert_true(reply_has(&reply, "x-content-type-options: nosniff"));
		assert_false(reply_has(&reply, "connection: close"));
		assert_non_null(strstr(reply.head, "\r\ndate: "));
		assert_int_equal(i, atomic_load(&calls));
		reply_free(&reply);
	}
	close(fd);
}

static void answers_pipelined_requests_in_order(void **state)
{
	int fd = client_connect(&running);
	struct reply reply;

	(void)state;
	client_say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n"
		       "GET /things/a HTTP/1.1\r\n" HOST "\r\n"
		       "POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		       "Content-Length: 2\r\n\r\n[]"
		       "GET /things/b HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n" HIDDEN);
	reply = client_reply(fd);
	assert_string_equal("{\"late\":true}", reply.body);
	reply_free(&reply);
	reply = client_reply(fd);
	assert_string_equal("a", reply.body);
	reply_free(&reply);
	reply = client_reply(fd);
	assert_string_equal("[]", reply.body);
	reply_free(&reply);
	reply = client_reply(fd);
	assert_string_equal("b", reply.body);
	assert_true(reply_has(&reply, "connection: close"));
	reply_free(&reply);
	assert_closed(fd);
	assert_int_equal(4, atomic_load(&calls));
}

static void reads_requests_byte_by_byte(void **state)
{
	static const char request[] =
		"POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		"Content-Length: 4\r\n\r\nnull";
	struct reply reply;
	int fd;

	(void)state;
	harness_stop(&running);
	running.config.request_timeout_ms = 10000;
	harness_start(&running);
	fd = client_connect(&running);
	for (size_t i = 0; i < sizeof request - 1; i++) {
		client_send(fd, request + i, 1);
		usleep(500);
	}
	reply = client_reply(fd);
	assert_int_equal(200, reply.status);
	assert_string_equal("null", reply.body);
	assert_int_equal(1, atomic_load(&calls));
	reply_free(&reply);
	close(fd);
}

static void speaks_http_1_0(void **state)
{
	int fd = client_connect(&running);
	struct reply reply;

	(void)state;
	client_say(fd, "GET /echo HTTP/1.0\r\n\r\n");
	reply = client_reply(fd);
	assert_int_equal(200, reply.status);
	reply_free(&reply);
	assert_closed(fd);
}

static void refuses_smuggling(void **state)
{
	(void)state;
	REFUSED(411, "LENGTH_REQUIRED",
		"POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR",
		"POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR",
		"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n"
		"Transfer-Encoding : chunked\r\n\r\n[]" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR",
		"GET /echo HTTP/1.1\r\n" HOST
		"X: y\r\n Transfer-Encoding: chunked\r\n\r\n" HIDDEN);
#define LENGTHS(lines)                                                                         \
	REFUSED(400, "VALIDATION_ERROR",                                                       \
		"POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n" lines      \
		"\r\n[1,2]" HIDDEN)
	LENGTHS("Content-Length: 5\r\nContent-Length: 5\r\n");
	LENGTHS("Content-Length: 5\r\nContent-Length: 0\r\n");
	LENGTHS("Content-Length: 5\r\ncontent-length: 6\r\n");
	LENGTHS("Content-Length: +5\r\n");
	LENGTHS("Content-Length: -1\r\n");
	LENGTHS("Content-Length: 5abc\r\n");
	LENGTHS("Content-Length: 0x5\r\n");
	LENGTHS("Content-Length: 5, 5\r\n");
	LENGTHS("Content-Length: 99999999999999999999\r\n");
	LENGTHS("Content-Length:\r\n");
#undef LENGTHS
	REFUSED(400, "VALIDATION_ERROR", "GET /echo HTTP/1.1\r\n\r\n" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR", "GET /echo HTTP/1.1\r\n" HOST HOST "\r\n" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR",
		"GET /echo HTTP/1.1\r\n" HOST "Host: b\r\n\r\n" HIDDEN);
}

static void refuses_malformed_heads(void **state)
{
	(void)state;
	REFUSED(400, "VALIDATION_ERROR",
		"GET http://test.example/echo HTTP/1.1\r\n" HOST "\r\n");
	REFUSED(400, "VALIDATION_ERROR", "GET /echo HTTP/1.1\nHost: a\n\n" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR", "GET /echo HTTP/1.1\r\n" HOST "X: a\n\r\n" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR",
		"GET /echo HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR", "GET /echo HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n");
	REFUSED(400, "VALIDATION_ERROR",
		"GET /echo HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR", "GET /echo HTTP/1.1\r\n" HOST "X : a\r\n\r\n" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR",
		"GET /echo HTTP/1.1\r\n" HOST "no colon\r\n\r\n" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR", "\r\n" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR", "GET /echo HTTP/3.0\r\n" HOST "\r\n" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
	REFUSED(400, "VALIDATION_ERROR", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	REFUSED(400, "VALIDATION_ERROR",
		"POST /signed HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		"Signature: a=:AA==:\r\nSignature: a=:AB==:\r\nContent-Length: 2\r\n\r\n[]");
	REFUSED(400, "VALIDATION_ERROR",
		"GET /echo HTTP/1.1\r\n" HOST "Expect: something\r\n\r\n" HIDDEN);
	REFUSED(400, "VALIDATION_ERROR",
		"GET /things/%4 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n" HIDDEN);
}

static void refuses_what_is_too_large(void **state)
{
	static char head[40000];
	int len = snprintf(head, sizeof head, "GET /echo HTTP/1.1\r\n" HOST "X: ");

	(void)state;
	memset(head + len, 'x', sizeof head - (size_t)len);
	assert_refused(431, "HEADERS_TOO_LARGE", head, sizeof head);
	/* Before a byte of the body is there. */
	REFUSED(413, "TOO_LARGE",
		"POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		"Content-Length: 100001\r\n\r\n");
	REFUSED(413, "TOO_LARGE",
		"GET /echo HTTP/1.1\r\n" HOST "Content-Length: 41\r\n\r\n" HIDDEN);
	memcpy(head, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n", 56);
	assert_refused(413, "TOO_LARGE", head, sizeof head);
}

static void refuses_wrong_bodies(void **state)
{
	(void)state;
	assert_answer(411, NULL, "POST /echo HTTP/1.1\r\n" HOST "\r\n");
	assert_answer(200, "", "POST /nothing HTTP/1.1\r\n" HOST "\r\n");
	assert_answer(200, "", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
	assert_answer(200, "", "DELETE /echo HTTP/1.1\r\n" HOST "\r\n");
	REFUSED(415, "UNSUPPORTED_MEDIA_TYPE",
		"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n[]");
	REFUSED(415, "UNSUPPORTED_MEDIA_TYPE",
		"POST /echo HTTP/1.1\r\n" HOST "Content-Type: text/plain\r\n"
		"Content-Length: 2\r\n\r\n[]");
	REFUSED(415, "UNSUPPORTED_MEDIA_TYPE",
		"POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json5\r\n"
		"Content-Length: 2\r\n\r\n[]");
	REFUSED(415, "UNSUPPORTED_MEDIA_TYPE",
		"POST /signed HTTP/1.1\r\n" HOST
		"Content-Type: application/json; charset=utf-8\r\n"
		"Content-Length: 2\r\n\r\n[]");
	assert_answer(200, "[]",
		      "POST /signed HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		      "Content-Length: 2\r\n\r\n[]");
	assert_answer(200, "[]",
		      "POST /echo HTTP/1.1\r\n" HOST "Content-Type: Application/JSON\r\n"
		      "Content-Length: 2\r\n\r\n[]");
}

static void knows_paths_and_methods(void **state)
{
	int fd = client_connect(&running);
	struct reply reply;

	(void)state;
	client_say(fd, "GET /nowhere HTTP/1.1\r\n" HOST "\r\n");
	reply = client_reply(fd);
	assert_int_equal(404, reply.status);
	assert_error_body(&reply, "NOT_FOUND");
	reply_free(&reply);
	/* Nothing was ambiguous, so the connection goes on. */
	client_say(fd, "PUT /echo HTTP/1.1\r\n" HOST "\r\n");
	reply = client_reply(fd);
	assert_int_equal(405, reply.status);
	assert_true(reply_has(&reply, "allow: GET, POST, DELETE, OPTIONS"));
	assert_error_body(&reply, "METHOD_NOT_ALLOWED");
	reply_free(&reply);
	client_say(fd, "HEAD /echo HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	reply = client_reply(fd);
	assert_int_equal(405, reply.status);
	reply_free(&reply);
	assert_closed(fd);
	assert_answer(404, NULL, "GET /%65cho HTTP/1.1\r\n" HOST "\r\n");
	assert_answer(404, NULL, "GET /x/../echo HTTP/1.1\r\n" HOST "\r\n");
	assert_answer(404, NULL, "GET //echo HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(0, atomic_load(&calls));
	assert_answer(200, "a@b", "GET /things/a%40b HTTP/1.1\r\n" HOST "\r\n");
}

static void writes_errors(void **state)
{
	struct reply reply = ask("GET /fail?limit=1&limit=2 HTTP/1.1\r\n" HOST "\r\n");

	(void)state;
	assert_int_equal(400, reply.status);
	assert_string_equal("{\"success\":false,\"error\":{\"code\":\"VALIDATION_ERROR\","
			    "\"message\":\"say \\\"it\\\" once\","
			    "\"details\":{\"field\":\"limit\"}}}",
			    reply.body);
	reply_free(&reply);
	reply = ask("GET /fail?limit=1 HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(429, reply.status);
	assert_true(reply_has(&reply, "retry-after: 2"));
	assert_error_body(&reply, "RATE_LIMITED");
	reply_free(&reply);
	reply = ask("GET /fail HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(409, reply.status);
	assert_non_null(strstr(reply.body, "\"details\":{\"missing_devices\":[2]}}}"));
	reply_free(&reply);
}

static void asks_for_authorization_before_the_body(void **state)
{
	int fd = client_connect(&running);
	struct reply reply;

	(void)state;
	client_say(fd, "POST /private HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		       "Content-Length: 5000\r\n\r\n");
	reply = client_reply(fd);
	assert_int_equal(401, reply.status);
	assert_true(reply_has(&reply, "www-authenticate: Bearer"));
	assert_error_body(&reply, "UNAUTHORIZED");
	reply_free(&reply);
	assert_closed(fd);
	assert_int_equal(0, atomic_load(&calls));
	assert_answer(200, "alice",
		      "POST /private HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		      "Authorization: Bearer good\r\nContent-Length: 2\r\n\r\n{}");
}

static void assert_signed_refused(int status, const char *code, const char *destination,
				  const char *header)
{
	int fd = client_connect(&running);
	char head[256];
	struct reply reply;

	snprintf(head, sizeof head,
		 "POST /signed HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		 "Restante-Destination: %s\r\nContent-Length: 5000\r\n\r\n",
		 destination);
	client_say(fd, head);
	reply = client_reply(fd);
	assert_int_equal(status, reply.status);
	assert_error_body(&reply, code);
	assert_true(reply_has(&reply, "connection: close"));
	assert_true(header == NULL || reply_has(&reply, header));
	reply_free(&reply);
	assert_closed(fd);
	assert_int_equal(0, atomic_load(&calls));
}

static void looks_at_signed_requests_before_their_body(void **state)
{
	(void)state;
	assert_signed_refused(401, "SIGNATURE_DESTINATION", "other.example", NULL);
	assert_signed_refused(429, "RATE_LIMITED", "busy.example", "retry-after: 3");
	assert_answer(200, "{}",
		      "POST /signed HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		      "Restante-Destination: b.example\r\nContent-Length: 2\r\n\r\n{}");
}

static int begin_body(size_t len)
{
	int fd = client_connect(&running);
	char head[256];

	snprintf(head, sizeof head,
		 "POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		 "Expect: 100-continue\r\nContent-Length: %zu\r\n\r\n",
		 len);
	client_say(fd, head);
	return fd;
}

static void assert_goes_on(int fd)
{
	char line[25];

	client_recv_all(fd, line, sizeof line);
	assert_memory_equal("HTTP/1.1 100 Continue\r\n\r\n", line, sizeof line);
}

static void bounds_the_bytes_of_all_bodies(void **state)
{
	int first = begin_body(BODY_MAX);
	int second = begin_body(BODY_MAX);
	int third;
	struct reply reply;

	(void)state;
	assert_goes_on(first);
	assert_goes_on(second);
	third = begin_body(1001);
	reply = client_reply(third);
	assert_int_equal(503, reply.status);
	assert_error_body(&reply, "BUSY");
	assert_true(reply_has(&reply, "retry-after: 1"));
	assert_true(reply_has(&reply, "connection: close"));
	reply_free(&reply);
	assert_closed(third);
	third = begin_body(1000);
	assert_goes_on(third);
	close(third);

	/* What is answered, and what is given up, is no longer counted. */
	client_send(first, big, BODY_MAX);
	reply = client_reply(first);
	assert_int_equal(200, reply.status);
	reply_free(&reply);
	assert_goes_on(third = begin_body(BODY_MAX));
	close(second);
	usleep(50 * 1000);
	assert_goes_on(second = begin_body(BODY_MAX));
	close(first);
	close(second);
	close(third);
}

static void answers_expectations(void **state)
{
	char go[25];
	int fd = client_connect(&running);
	struct reply reply;

	(void)state;
	client_say(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		       "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	client_recv_all(fd, go, sizeof go);
	assert_memory_equal("HTTP/1.1 100 Continue\r\n\r\n", go, sizeof go);
	client_say(fd, "[]");
	reply = client_reply(fd);
	assert_int_equal(200, reply.status);
	assert_string_equal("[]", reply.body);
	reply_free(&reply);
	close(fd);
}

static void answers_other_origins(void **state)
{
	struct reply reply =
		ask("OPTIONS /echo HTTP/1.1\r\n" HOST "Origin: https://app.example\r\n"
		    "Access-Control-Request-Method: POST\r\n"
		    "Access-Control-Request-Headers: authorization,content-type\r\n\r\n");

	(void)state;
	assert_int_equal(204, reply.status);
	assert_true(reply_has(&reply, "access-control-allow-origin: https://app.example"));
	assert_true(
		reply_has(&reply, "access-control-allow-methods: GET, POST, DELETE, OPTIONS"));
	assert_true(
		reply_has(&reply, "access-control-allow-headers: Authorization, Content-Type"));
	assert_true(reply_has(&reply, "vary: Origin"));
	assert_null(strstr(reply.head, "content-length"));
	reply_free(&reply);
	reply = ask("OPTIONS /echo HTTP/1.1\r\n" HOST "Origin: https://evil.example\r\n"
		    "Access-Control-Request-Method: POST\r\n\r\n");
	assert_int_equal(204, reply.status);
	assert_null(strstr(reply.head, "access-control"));
	reply_free(&reply);
	reply = ask("GET /echo HTTP/1.1\r\n" HOST "Origin: https://app.example\r\n\r\n");
	assert_true(reply_has(&reply, "access-control-allow-origin: https://app.example"));
	reply_free(&reply);
	/* A page must be able to read what went wrong. */
	reply = ask("GET /nowhere HTTP/1.1\r\n" HOST "Origin: https://app.example\r\n\r\n");
	assert_true(reply_has(&reply, "access-control-allow-origin: https://app.example"));
	reply_free(&reply);
	assert_int_equal(1, atomic_load(&calls));
}

static void sends_much_to_a_slow_reader(void **state)
{
	int fd = client_connect(&running);
	char *data = calloc(1, BIG);
	char head[512] = {0};
	size_t at = 0;

	(void)state;
	client_say(fd, "GET /big HTTP/1.1\r\n" HOST "\r\n" HIDDEN);
	usleep(100 * 1000); /* until the kernel takes no more */
	do
		client_recv_all(fd, head + at++, 1);
	while (strstr(head, "\r\n\r\n") == NULL);
	assert_non_null(strstr(head, "\r\ncontent-length: 3145728\r\n"));
	assert_non_null(strstr(head, "\r\nx-test: yes\r\n"));
	for (at = 0; at < BIG; at += BIG / 16) {
		client_recv_all(fd, data + at, BIG / 16);
		usleep(5000);
	}
	assert_memory_equal(big, data, BIG);
	client_recv_all(fd, head, 12);
	assert_memory_equal("HTTP/1.1 200", head, 12);
	free(data);
	close(fd);
}

static void gives_up_on_a_reader_that_stopped(void **state)
{
	int fd = client_connect(&running);
	size_t total = 0;
	ssize_t n = 1;
	static char some[100000];

	(void)state;
	client_say(fd, "GET /big HTTP/1.1\r\n" HOST "\r\n");
	usleep(800 * 1000);
	while (n > 0) {
		n = client_recv(fd, some, sizeof some, PATIENCE_MS);
		total += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(0, n);
	assert_true(total < BIG);
	close(fd);
}

static void times_out(void **state)
{
	int silent = client_connect(&running);
	int slow_head = client_connect(&running);
	int slow_body = client_connect(&running);
	int64_t began = clock_monotonic_ms();
	struct reply reply;

	(void)state;
	client_say(slow_head, "GET /echo HTTP/1.1\r\nHost:");
	client_say(slow_body,
		   "POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
		   "Content-Length: 10\r\n\r\n[");
	assert_closed(silent);
	reply = client_reply(slow_head);
	assert_int_equal(408, reply.status);
	assert_error_body(&reply, "REQUEST_TIMEOUT");
	assert_true(reply_has(&reply, "connection: close"));
	reply_free(&reply);
	assert_closed(slow_head);
	reply = client_reply(slow_body);
	assert_int_equal(408, reply.status);
	reply_free(&reply);
	assert_closed(slow_body);
	assert_in_range(clock_monotonic_ms() - began, 350, 5000);
	assert_int_equal(0, atomic_load(&calls));
}

static void drips_do_not_help(void **state)
{
	int fd = client_connect(&running);
	int64_t began = clock_monotonic_ms();
	char head[12] = "";

	(void)state;
	client_say(fd, "GET /echo HTTP/1.1\r\nX: ");
	for (int i = 0; i < 100 && client_recv(fd, head, 1, 50) != 1; i++)
		client_say(fd, "x");
	assert_in_range(clock_monotonic_ms() - began, 350, 5000);
	client_recv_all(fd, head + 1, sizeof head - 1);
	assert_memory_equal("HTTP/1.1 408", head, sizeof head);
	close(fd);
}

static void survives_clients_that_leave(void **state)
{
	bool served = false;
	char head[12];

	(void)state;
	for (int i = 1; i <= 3; i++) {
		int fd = client_connect(&running);

		client_say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
		wait_for(&calls, i);
		close(fd);
	}
	wait_for(&errands_back, 3);
	for (int i = 0; i < 20; i++) {
		int fd = client_connect(&running);
		struct linger at_once = {1, 0};

		client_say(fd,
			   "POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
			   "Content-Length: 10\r\n\r\n[");
		if (i % 2 == 0)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
		close(fd);
	}
	for (int i = 0; i < 100 && !served; i++) { /* until it has noticed: eight at a time */
		int fd = client_connect(&running);

		client_say(fd, HIDDEN);
		served = client_recv(fd, head, 1, PATIENCE_MS) == 1;
		if (served)
			client_recv_all(fd, head + 1, sizeof head - 1);
		close(fd);
	}
	assert_true(served);
	assert_memory_equal("HTTP/1.1 200", head, sizeof head);
}

static void bounds_connections(void **state)
{
	int fds[8];
	int extra;

	(void)state;
	usleep(50 * 1000);
	for (int i = 0; i < 8; i++) {
		struct reply reply;

		fds[i] = client_connect(&running);
		client_say(fds[i], HIDDEN);
		reply = client_reply(fds[i]);
		assert_int_equal(200, reply.status);
		reply_free(&reply);
	}
	extra = client_connect(&running);
	assert_closed(extra);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	usleep(50 * 1000);
	assert_answer(200, "", HIDDEN);
}

/* From 127.0.0.<last>. */
static int connect_from(unsigned last)
{
	struct sockaddr_in from = {.sin_family = AF_INET,
				   .sin_addr = {htonl(INADDR_LOOPBACK - 1 + last)}};
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_addr = {htonl(INADDR_LOOPBACK)},
				 .sin_port = htons((uint16_t)server_port(running.server))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(0, bind(fd, (struct sockaddr *)&from, sizeof from));
	assert_int_equal(0, connect(fd, (struct sockaddr *)&to, sizeof to));
	return fd;
}

static void assert_served(int fd, const char *body)
{
	struct reply reply;

	client_say(fd, "GET /source HTTP/1.1\r\n" HOST "\r\n");
	reply = client_reply(fd);
	assert_int_equal(200, reply.status);
	assert_string_equal(body, reply.body);
	reply_free(&reply);
}

static void bounds_connections_of_one_source(void **state)
{
	int fds[3];
	int64_t refused;

	(void)state;
	harness_stop(&running);
	running.config.trust_forwarded_for = false;
	harness_start(&running);
	for (int i = 0; i < 2; i++)
		assert_served(fds[i] = connect_from(1), "127.0.0.1");
	refused = metric_get(METRIC_http_refused_total);
	assert_closed(connect_from(1));
	assert_int_equal(refused + 1, metric_get(METRIC_http_refused_total));
	assert_served(fds[2] = connect_from(2), "127.0.0.2");
	close(fds[0]);
	usleep(50 * 1000);
	assert_served(fds[0] = connect_from(1), "127.0.0.1");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void knows_who_is_local(void **state)
{
	(void)state;
	assert_answer(200, "local", "GET /local HTTP/1.1\r\n" HOST "\r\n");
	assert_answer(200, "remote",
		      "GET /local HTTP/1.1\r\n" HOST "X-Forwarded-For: 192.0.2.2\r\n\r\n");
	assert_answer(200, "remote",
		      "GET /local HTTP/1.1\r\n" HOST "X-Forwarded-For: 127.0.0.1\r\n\r\n");
	assert_answer(200, "remote", "GET /local HTTP/1.1\r\n" HOST "X-Forwarded-For:\r\n\r\n");
}

static void believes_the_proxy_before_it(void **state)
{
	(void)state;
	assert_answer(200, "127.0.0.1", "GET /source HTTP/1.1\r\n" HOST "\r\n");
	assert_answer(200, "192.0.2.2",
		      "GET /source HTTP/1.1\r\n" HOST
		      "X-Forwarded-For: 10.0.0.1, 192.0.2.2\r\n\r\n");
	assert_answer(200, "2001:db8::/64",
		      "GET /source HTTP/1.1\r\n" HOST "X-Forwarded-For: 2001:db8::1\r\n\r\n");
	assert_answer(200, "127.0.0.1",
		      "GET /source HTTP/1.1\r\n" HOST "X-Forwarded-For: me\r\n\r\n");
}

static void finishes_requests_when_stopped(void **state)
{
	int idle = client_connect(&running);
	int busy = client_connect(&running);
	struct reply reply;
	int64_t began;

	(void)state;
	client_say(idle, HIDDEN);
	reply = client_reply(idle);
	reply_free(&reply);
	began = clock_monotonic_ms();
	client_say(busy, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	wait_for(&calls, 2);
	server_stop(running.server);
	assert_closed(idle);
	reply = client_reply(busy);
	assert_int_equal(200, reply.status);
	assert_true(reply_has(&reply, "connection: close"));
	reply_free(&reply);
	assert_closed(busy);
	pthread_join(running.thread, NULL);
	assert_in_range(clock_monotonic_ms() - began, 50, 5000);
	join_errands();
	server_destroy(&running.server);
}

static void stops_with_requests_still_out(void **state)
{
	int fd;

	(void)state;
	running.drain_seconds = 0;
	running.config.request_timeout_ms = 100;
	harness_start(&running);
	atomic_store(&calls, 0);
	atomic_store(&errands_back, 0);
	fd = client_connect(&running);
	client_say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	wait_for(&calls, 1);
	server_stop(running.server);
	pthread_join(running.thread, NULL);
	join_errands();
	server_destroy(&running.server);
	assert_int_equal(1, atomic_load(&errands_back));
	close(fd);
}

static void ticks_about_once_a_second(void **state)
{
	(void)state;
	assert_true(atomic_load(&ticks) > 0);
}

static void says_why_it_does_not_start(void **state)
{
	struct server_config config = running.config;
	struct server *server = NULL;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof address;

	(void)state;
	assert_int_equal(0, bind(fd, (struct sockaddr *)&address, sizeof address));
	assert_int_equal(0, listen(fd, 1));
	assert_int_equal(0, getsockname(fd, (struct sockaddr *)&address, &len));
	config.port = ntohs(address.sin_port);
	assert_int_not_equal(ERR_OK, server_create(&config, &server));
	config.port = 0;
	config.certificate = "/does/not/exist.pem";
	config.key = "/does/not/exist.pem";
	assert_int_not_equal(ERR_OK, server_create(&config, &server));
	assert_null(server);
	close(fd);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(keeps_connections_alive),
		SERVED(answers_pipelined_requests_in_order),
		SERVED(reads_requests_byte_by_byte),
		SERVED(speaks_http_1_0),
		SERVED(refuses_smuggling),
		SERVED(refuses_malformed_heads),
		SERVED(refuses_what_is_too_large),
		SERVED(refuses_wrong_bodies),
		SERVED(knows_paths_and_methods),
		SERVED(writes_errors),
		SERVED(asks_for_authorization_before_the_body),
		SERVED(looks_at_signed_requests_before_their_body),
		SERVED(bounds_the_bytes_of_all_bodies),
		SERVED(answers_expectations),
		SERVED(answers_other_origins),
		SERVED(sends_much_to_a_slow_reader),
		SERVED(gives_up_on_a_reader_that_stopped),
		SERVED(times_out),
		SERVED(drips_do_not_help),
		SERVED(survives_clients_that_leave),
		SERVED(bounds_connections),
		SERVED(bounds_connections_of_one_source),
		SERVED(knows_who_is_local),
		SERVED(believes_the_proxy_before_it),
		cmocka_unit_test_setup(finishes_requests_when_stopped, start),
		cmocka_unit_test(stops_with_requests_still_out),
		cmocka_unit_test(ticks_about_once_a_second),
		cmocka_unit_test(says_why_it_does_not_start),
	};

	log_set_level(getenv("TEST_LOG") != NULL ? LOG_DEBUG : LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
