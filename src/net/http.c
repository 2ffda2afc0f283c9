/* SPDX-License-Identifier: MIT
 *
 * The life of a request: its head is read and judged, then its body, then its handler
 * has it until it is answered. What is refused before the handler sees it is refused
 * here, and if it is not certain where the next request would begin, the connection
 * ends with the refusal.
 */
#include "net.h"
#include "router.h"

#define FIRST_BODY_ROOM	       (16 * 1024)
#define REFUSALS_LOGGED_A_TICK 10

static struct exchange *exchange_create(struct connection *c)
{
	struct arena *arena = arena_create();
	struct exchange *x = arena_new(arena, struct exchange);

	x->server = c->server;
	x->request.arena = arena;
	x->request.context = c->server->config->context;
	x->request.connection = c;
	x->request.method = METHOD_COUNT;
	memcpy(x->request.source, c->peer.source, sizeof x->request.source);
	x->request.local = c->peer.loopback;
	c->exchange = x;
	return x;
}

void exchange_destroy(struct exchange *exchange)
{
	struct arena *arena = exchange->request.arena;

	server_release(exchange->server, exchange->reserved);
	buffer_free(&exchange->body);
	arena_destroy(&arena);
}

static void log_refusal(struct exchange *x, enum err err, const char *message)
{
	if (x->server->refusals_logged++ < REFUSALS_LOGGED_A_TICK)
		log_debug(request_refused, "source=%s code=%s reason=%s", x->request.source,
			  err_code(err), log_quote(message));
}

/* The head was fine, so the connection can go on unless a body is on its way. */
static void refuse(struct exchange *x, enum err err, const char *field, const char *message)
{
	metric_inc(http_refused_total);
	log_refusal(x, err, message);
	x->close |= x->head.length > 0 || x->request.connection->state == CONNECTION_BODY;
	request_fail(&x->request, err, field, message);
}

static void refuse_and_close(struct exchange *x, enum err err, const char *message)
{
	x->close = true;
	refuse(x, err, NULL, message);
}

static void dispatch(struct connection *c, struct exchange *x)
{
	c->state = CONNECTION_WAITING;
	c->deadline_ms = NEVER;
	x->request.body = buffer_bytes(&x->body);
	x->request.route->handle(&x->request);
}

/* --- what a head is checked for ---------------------------------------------------- */

static bool is_json(const struct exchange *x)
{
	static const char json[] = "application/json";
	struct bytes type = x->head.content_type;
	size_t len = sizeof json - 1;

	if ((x->request.route->flags & ROUTE_SIGNED) != 0)
		return bytes_equal(type, bytes_of_text(json));
	if (type.len < len || !head_equals(bytes_of(type.data, len), json))
		return false;
	while (len < type.len && type.data[len] == ' ')
		len++;
	return len == type.len || type.data[len] == ';';
}

static bool body_is_usual(enum method method)
{
	return method == METHOD_POST || method == METHOD_PUT || method == METHOD_PATCH;
}

/* False: it is answered. */
static bool body_may_come(struct exchange *x)
{
	const struct route *route = x->request.route;

	if (x->head.length > route->body_max) {
		refuse(x, ERR_TOO_LARGE, NULL, NULL);
		return false;
	}
	if (x->head.content_length.data == NULL && route->body_max > 0 &&
	    body_is_usual(route->method)) {
		refuse(x, ERR_LENGTH_REQUIRED, NULL, NULL);
		return false;
	}
	if (x->head.length > 0 && !is_json(x)) {
		refuse(x, ERR_MEDIA_TYPE, NULL, NULL);
		return false;
	}
	return true;
}

static bool caller_is_known(struct exchange *x)
{
	enum err err;

	if ((x->request.route->flags & ROUTE_AUTH) == 0)
		return true;
	err = x->server->config->authorize(&x->request);
	if (err != ERR_OK)
		refuse(x, err, NULL, NULL);
	return err == ERR_OK;
}

/* The head alone may show that a body is not worth reading. */
static bool head_is_welcome(struct exchange *x)
{
	const struct server_config *config = x->server->config;
	enum err err;

	if ((x->request.route->flags & ROUTE_SIGNED) == 0 || config->precheck == NULL)
		return true;
	err = config->precheck(&x->request);
	if (err != ERR_OK)
		refuse_and_close(x, err, NULL);
	return err == ERR_OK;
}

static bool body_has_room(struct exchange *x)
{
	if (!server_reserve(x->server, x->head.length)) {
		refuse(x, ERR_BUSY, NULL, NULL);
		return false;
	}
	x->reserved = x->head.length;
	return true;
}

static void fill_request(struct exchange *x)
{
	struct request *request = &x->request;
	const struct head *head = &x->head;

	request->method = router_method(head->method);
	request->path = head->path;
	request->query = head->query;
	request->authorization = head->authorization;
	request->content_type = head->content_type;
	request->content_digest = head->content_digest;
	request->signature = head->signature;
	request->signature_input = head->signature_input;
	request->destination = head->destination;
	request->origin = head->origin;
	request->local = request->local && head->forwarded_for.data == NULL;
	if (x->server->config->trust_forwarded_for)
		(void)source_of_text(head->forwarded_for, request->source);
}

/* --- the steps --------------------------------------------------------------------- */

/* The route takes this request: now its body. */
static void route_found(struct connection *c, struct exchange *x)
{
	if (!body_may_come(x) || !caller_is_known(x) || !head_is_welcome(x) ||
	    !body_has_room(x))
		return;
	if (x->head.length == 0) {
		dispatch(c, x);
		return;
	}
	c->state = CONNECTION_BODY;
	c->deadline_ms = c->began_ms + c->server->config->request_timeout_ms;
	if (x->head.expect.data != NULL) {
		buffer_add(&c->output, bytes_of_text("HTTP/1.1 100 Continue\r\n\r\n"));
		connection_want_write(c);
	}
}

static void find_route(struct connection *c, struct exchange *x)
{
	struct match match =
		router_match(c->server->config->routes, x->request.method, x->request.path);

	x->methods = match.methods;
	x->request.route = match.route;
	if (match.methods == 0) {
		refuse(x, ERR_NOT_FOUND, NULL, NULL);
		return;
	}
	if (head_equals(x->head.method, "OPTIONS")) {
		x->close |= x->head.length > 0;
		reply_preflight(x);
		return;
	}
	if (match.route == NULL) {
		refuse(x, ERR_METHOD_NOT_ALLOWED, NULL, NULL);
		return;
	}
	if (!router_decode(x->request.arena, match.param, &x->request.param)) {
		refuse(x, ERR_VALIDATION, "path", NULL);
		return;
	}
	route_found(c, x);
}

static void head_complete(struct connection *c, struct exchange *x, struct bytes data)
{
	const char *reason = NULL;
	enum err err = head_parse(arena_bytes(x->request.arena, data), &x->head, &reason);

	x->close = x->head.close || c->server->draining;
	fill_request(x);
	if (err != ERR_OK)
		refuse_and_close(x, err, reason);
	else if (c->server->config->socket_path != NULL &&
		 bytes_equal(x->request.path, bytes_of_text(c->server->config->socket_path)))
		websocket_open(c, x);
	else
		find_route(c, x);
}

static void head_begun(struct connection *c)
{
	if (c->begun)
		return;
	c->begun = true;
	c->began_ms = clock_monotonic_ms();
	c->deadline_ms = c->began_ms + c->server->head_timeout_ms;
}

static void head_ended(struct connection *c)
{
	c->begun = false;
	c->scanned = 0;
	c->deadline_ms = NEVER;
}

static size_t read_head(struct connection *c, struct bytes in)
{
	size_t len = 0;
	enum head_end end;

	head_begun(c);
	end = head_find_end(in, &c->scanned, &len);
	if (end == HEAD_INCOMPLETE && in.len <= HEAD_MAX_BYTES)
		return 0;
	head_ended(c);
	if (end == HEAD_MALFORMED) {
		refuse_and_close(exchange_create(c), ERR_VALIDATION,
				 "The head is not made of lines of text that end in CRLF.");
		return in.len;
	}
	if (end == HEAD_INCOMPLETE || len > HEAD_MAX_BYTES) {
		refuse_and_close(exchange_create(c), ERR_HEADERS_TOO_LARGE, NULL);
		return in.len;
	}
	head_complete(c, exchange_create(c), bytes_of(in.data, len));
	return len;
}

static size_t read_body(struct connection *c, struct bytes in)
{
	struct exchange *x = c->exchange;
	size_t have = buffer_len(&x->body);
	size_t len = x->head.length - have;

	if (len > in.len)
		len = in.len;
	/* Room grows with what has come, not with what was announced. */
	if (have == 0 && x->head.length <= FIRST_BODY_ROOM)
		buffer_room(&x->body, x->head.length);
	buffer_add(&x->body, bytes_of(in.data, len));
	if (have + len == x->head.length)
		dispatch(c, x);
	return len;
}

size_t http_read(struct connection *connection, struct bytes in)
{
	return connection->state == CONNECTION_BODY ? read_body(connection, in)
						    : read_head(connection, in);
}

void http_sent(struct connection *connection)
{
	struct exchange *x = connection->exchange;
	bool close = x->close || connection->server->draining;

	connection->exchange = NULL;
	exchange_destroy(x);
	if (close) {
		connection_finish(connection);
		return;
	}
	connection->state = CONNECTION_HEAD;
	connection->deadline_ms =
		clock_monotonic_ms() + 2 * connection->server->config->request_timeout_ms;
}

void http_timed_out(struct connection *connection)
{
	struct exchange *x = connection->exchange;

	if (connection->state == CONNECTION_HEAD && !connection->begun) {
		connection_kill(connection);
		return;
	}
	if (x == NULL) {
		head_ended(connection);
		x = exchange_create(connection);
	}
	refuse_and_close(x, ERR_REQUEST_TIMEOUT, NULL);
}

void http_closed(struct connection *connection)
{
	struct exchange *x = connection->exchange;

	connection->exchange = NULL;
	if (x == NULL)
		return;
	/* Its handler has it and will answer; nobody else can free it. */
	if (connection->state == CONNECTION_WAITING)
		x->request.connection = NULL;
	else
		exchange_destroy(x);
}

/* --- what handlers call ------------------------------------------------------------ */

bool request_query(struct request *request, const char *name, struct bytes *value_out,
		   bool *malformed_out)
{
	return router_query(request->arena, request->query, name, value_out, malformed_out);
}
