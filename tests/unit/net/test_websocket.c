/* SPDX-License-Identifier: MIT
 *
 * WebSockets over real sockets: the handshake, echo, limits, idle clients, closing.
 */
#include "harness.h"

#define FRAME_MAX_BYTES 100000
#define FIRST_MAX_BYTES 1000
#define BUDGET		150000
#define HANDSHAKE                                                                              \
	"GET /ws?token=good HTTP/1.1\r\nHost: test.example\r\nUpgrade: websocket\r\n"          \
	"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"                     \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80 };

static struct running running;
static atomic_int opened;
static atomic_int frames;
static atomic_int drained;
static atomic_int closed;
static struct socket *last;	/* net thread only */
static char flood[1024 * 1024]; /* the same */

/* --- handlers ---------------------------------------------------------------------- */

static enum err open_socket(struct socket *socket, struct request *request, void **context_out)
{
	struct bytes token;
	bool malformed;

	assert_ptr_equal(&running, request->context);
	assert_string_equal("127.0.0.1", request->source);
	if (!request_query(request, "token", &token, &malformed))
		return ERR_UNAUTHORIZED;
	if (bytes_equal(token, bytes_of_text("often"))) {
		request->retry_after_ms = 1500;
		return ERR_RATE_LIMITED;
	}
	if (!bytes_equal(token, bytes_of_text("stranger")))
		socket_trust(socket);
	if (bytes_equal(token, bytes_of_text("hello")))
		socket_send(socket, bytes_of_text("hello"));
	*context_out = strndup((const char *)token.data, token.len);
	assert_non_null(*context_out);
	last = socket;
	atomic_fetch_add(&opened, 1);
	return ERR_OK;
}

static bool is(struct bytes text, const char *command)
{
	return bytes_equal(text, bytes_of_text(command));
}

struct nudge {
	struct message message;
};

static void resume(struct message *message)
{
	socket_pause(last, false);
	free(message);
}

static void resume_last(void)
{
	struct nudge *nudge = calloc(1, sizeof *nudge);

	assert_non_null(nudge);
	nudge->message.reply_to = server_inbox(running.server);
	nudge->message.returned = resume;
	inbox_return(&nudge->message);
}

static void frame(struct socket *socket, void *context, struct bytes text)
{
	assert_non_null(context);
	atomic_fetch_add(&frames, 1);
	if (is(text, "close")) {
		socket_send(socket, bytes_of_text("last words"));
		socket_close(socket, 4409, "displaced");
		socket_send(socket, bytes_of_text("too late"));
	} else if (is(text, "flood")) {
		for (int i = 0; i < 4; i++)
			socket_send(socket, bytes_of(flood, sizeof flood));
		assert_true(socket_queued(socket) > 4 * sizeof flood);
	} else if (is(text, "drown")) {
		for (int i = 0; i < 10; i++)
			socket_send(socket, bytes_of(flood, sizeof flood));
	} else if (is(text, "trust")) {
		socket_trust(socket);
		socket_send(socket, text);
	} else if (is(text, "hold")) {
		server_hold(running.server, BUDGET);
		socket_send(socket, text);
	} else if (is(text, "pause")) {
		socket_pause(socket, true);
	} else {
		socket_send(socket, text);
	}
}

static void socket_drained(struct socket *socket, void *context)
{
	assert_int_equal(0, socket_queued(socket));
	assert_non_null(context);
	atomic_fetch_add(&drained, 1);
}

static void socket_closed(struct socket *socket, void *context)
{
	assert_non_null(socket);
	assert_non_null(context);
	free(context);
	atomic_fetch_add(&closed, 1);
}

static const struct route routes[] = {{0}};

static int start(void **state)
{
	(void)state;
	memset(flood, 'f', sizeof flood);
	atomic_store(&opened, 0);
	atomic_store(&frames, 0);
	atomic_store(&drained, 0);
	atomic_store(&closed, 0);
	running = (struct running){
		.drain_seconds = 1,
		.config =
			{
				.host = "127.0.0.1",
				.max_connections = 100,
				.buffer_budget = BUDGET,
				.socket_first_frame_max = FIRST_MAX_BYTES,
				.socket_frame_max = FRAME_MAX_BYTES,
				.request_timeout_ms = 1000,
				.socket_idle_ms = 60000,
				.routes = routes,
				.socket_path = "/ws",
				.sockets = {open_socket, frame, socket_drained, socket_closed},
				.context = &running,
			},
	};
	harness_start(&running);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	harness_stop(&running);
	assert_int_equal(atomic_load(&opened), atomic_load(&closed));
	return 0;
}

/* --- the client -------------------------------------------------------------------- */

static int upgrade_with(const char *handshake)
{
	int fd = client_connect(&running);
	struct reply reply;

	client_say(fd, handshake);
	reply = client_reply(fd);
	assert_int_equal(101, reply.status);
	/* The example of RFC 6455 section 1.3. */
	assert_true(reply_has(&reply, "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	assert_true(reply_has(&reply, "upgrade: websocket"));
	assert_true(reply_has(&reply, "connection: Upgrade"));
	assert_null(strstr(reply.head, "extensions"));
	reply_free(&reply);
	return fd;
}

static int upgrade(void)
{
	return upgrade_with(HANDSHAKE "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
}

static void put_frame(int fd, int first, const void *payload, size_t len)
{
	uint8_t *data = malloc(len + 14);
	size_t at = 0;

	data[at++] = (uint8_t)first;
	if (len < 126) {
		data[at++] = (uint8_t)(0x80 | len);
	} else {
		data[at++] = 0x80 | 127;
		for (int shift = 56; shift >= 0; shift -= 8)
			data[at++] = (uint8_t)((uint64_t)len >> shift);
		if (len <= UINT16_MAX) {
			data[1] = 0x80 | 126;
			data[2] = (uint8_t)(len >> 8);
			data[3] = (uint8_t)len;
			at = 4;
		}
	}
	memset(data + at, 0x55, 4);
	at += 4;
	for (size_t i = 0; i < len; i++)
		data[at++] = ((const uint8_t *)payload)[i] ^ 0x55;
	client_send(fd, data, at);
	free(data);
}

static void put_text(int fd, const char *text)
{
	put_frame(fd, FIN | TEXT, text, strlen(text));
}

/* Reads one frame of the server: its first byte, and its payload to be freed. */
static uint8_t get_frame(int fd, char **payload_out, size_t *len_out)
{
	uint8_t head[10];
	uint64_t len;
	size_t more;

	client_recv_all(fd, head, 2);
	assert_true(head[1] < 0x80); /* servers do not mask */
	len = head[1];
	more = len == 126 ? 2 : len == 127 ? 8 : 0;
	client_recv_all(fd, head + 2, more);
	if (more > 0)
		len = 0;
	for (size_t i = 0; i < more; i++)
		len = len << 8 | head[2 + i];
	*payload_out = calloc(1, (size_t)len + 1);
	client_recv_all(fd, *payload_out, (size_t)len);
	*len_out = (size_t)len;
	return head[0];
}

static void assert_frame(int fd, int first, const char *text)
{
	char *payload;
	size_t len;

	assert_int_equal(first, get_frame(fd, &payload, &len));
	assert_string_equal(text, payload);
	free(payload);
}

static void assert_close_frame(int fd, int code, const char *reason)
{
	char *payload;
	size_t len;

	assert_int_equal(FIN | CLOSE, get_frame(fd, &payload, &len));
	assert_true(len >= 2);
	assert_int_equal(code, (uint8_t)payload[0] << 8 | (uint8_t)payload[1]);
	assert_string_equal(reason, payload + 2);
	free(payload);
}

static void wait_for(atomic_int *value, int expected)
{
	for (int i = 0; i < PATIENCE_MS && atomic_load(value) != expected; i++)
		usleep(1000);
	assert_int_equal(expected, atomic_load(value));
}

static void assert_refused(int status, const char *request)
{
	int fd = client_connect(&running);
	struct reply reply;

	client_say(fd, request);
	reply = client_reply(fd);
	assert_int_equal(status, reply.status);
	assert_memory_equal("{\"success\":false,", reply.body, 17);
	reply_free(&reply);
	close(fd);
	assert_int_equal(0, atomic_load(&opened));
}

/* The server closes with this code because of this frame, and hears no more. */
static void assert_fails(int code, int first, const void *payload, size_t len)
{
	int fd = upgrade();

	put_frame(fd, first, payload, len);
	put_text(fd, "ignored");
	assert_close_frame(fd, code, "");
	assert_closed(fd);
}

/* --- tests ------------------------------------------------------------------------- */

static void echoes(void **state)
{
	static char text[70000];
	int fd = upgrade();

	(void)state;
	put_text(fd, "one");
	assert_frame(fd, FIN | TEXT, "one");
	put_text(fd, "");
	assert_frame(fd, FIN | TEXT, "");
	put_frame(fd, TEXT, "two ", 4);
	put_frame(fd, FIN | PING, "are you there", 13);
	put_frame(fd, FIN | CONTINUATION, "halves", 6);
	assert_frame(fd, FIN | PONG, "are you there");
	assert_frame(fd, FIN | TEXT, "two halves");
	memset(text, 'x', sizeof text - 1);
	put_text(fd, text);
	assert_frame(fd, FIN | TEXT, text);
	put_frame(fd, FIN | CLOSE,
		  "\x03\xe8"
		  "bye",
		  5);
	assert_close_frame(fd, 1000, "");
	assert_closed(fd);
	wait_for(&closed, 1);
	assert_true(atomic_load(&drained) > 0);
	assert_int_equal(4, atomic_load(&frames));
}

static void takes_frames_right_behind_the_handshake(void **state)
{
	int fd = client_connect(&running);
	struct reply reply;

	(void)state;
	client_send(fd, HANDSHAKE "\r\n\x81\x82\0\0\0\0hi",
		    sizeof(HANDSHAKE "\r\n\x81\x82\0\0\0\0hi") - 1);
	reply = client_reply(fd);
	assert_int_equal(101, reply.status);
	reply_free(&reply);
	assert_frame(fd, FIN | TEXT, "hi");
	close(fd);
	wait_for(&closed, 1);
}

static void greets_after_the_handshake(void **state)
{
	int fd = client_connect(&running);
	struct reply reply;

	(void)state;
	client_say(fd, "GET /ws?token=hello HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n"
		       "Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
		       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	reply = client_reply(fd);
	assert_int_equal(101, reply.status);
	reply_free(&reply);
	assert_frame(fd, FIN | TEXT, "hello");
	close(fd);
}

static void refuses_handshakes(void **state)
{
#define WS(line, rest) "GET /ws" line " HTTP/1.1\r\nHost: a\r\n" rest "\r\n"
#define KEY	       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define UP	       "Upgrade: websocket\r\nConnection: Upgrade\r\n"
	(void)state;
	assert_refused(401, WS("", UP KEY "Sec-WebSocket-Version: 13\r\n"));
	assert_refused(426, WS("?token=x", ""));
	assert_refused(426, WS("?token=x",
			       "Upgrade: websocket\r\n" KEY "Sec-WebSocket-Version: 13\r\n"));
	assert_refused(426, WS("?token=x", "Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY
					   "Sec-WebSocket-Version: 13\r\n"));
	assert_refused(426, WS("?token=x", UP KEY "Sec-WebSocket-Version: 8\r\n"));
	assert_refused(426, WS("?token=x", UP KEY));
	assert_refused(400, WS("?token=x", UP "Sec-WebSocket-Version: 13\r\n"));
	assert_refused(400, WS("?token=x", UP "Sec-WebSocket-Key: c2hvcnQ=\r\n"
					      "Sec-WebSocket-Version: 13\r\n"));
	assert_refused(400, WS("?token=x", UP KEY KEY "Sec-WebSocket-Version: 13\r\n"));
	assert_refused(405, "POST /ws HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
}

static void closes_on_wrong_frames(void **state)
{
	static char text[FRAME_MAX_BYTES + 1];

	(void)state;
	memset(text, 'x', sizeof text);
	assert_fails(1003, FIN | BINARY, "x", 1);
	assert_fails(1007, FIN | TEXT, "\xff", 1);
	assert_fails(1007, FIN | TEXT, "\xc3", 1);
	assert_fails(1009, FIN | TEXT, text, sizeof text);
	assert_fails(1002, FIN | CONTINUATION, "x", 1);
	assert_fails(1002, FIN | 0x40 | TEXT, "x", 1);
	assert_fails(1002, FIN | CLOSE, "x", 1);
	assert_fails(1002, PING, "x", 1);
	wait_for(&closed, 8);
	assert_int_equal(0, atomic_load(&frames));
}

static void limits_frames_of_strangers(void **state)
{
	static char text[FIRST_MAX_BYTES + 2];
	static const char handshake[] =
		"GET /ws?token=stranger HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	int stranger = upgrade_with(handshake);
	int known = upgrade_with(handshake);

	(void)state;
	memset(text, 'x', sizeof text - 1);
	put_text(stranger, text);
	assert_close_frame(stranger, 1009, "");
	assert_closed(stranger);
	put_text(known, text + 1);
	assert_frame(known, FIN | TEXT, text + 1);
	put_text(known, "trust");
	put_text(known, text);
	assert_frame(known, FIN | TEXT, "trust");
	assert_frame(known, FIN | TEXT, text);
	close(known);
}

static void bounds_the_bytes_of_all_messages(void **state)
{
	static char text[80001];
	int first = upgrade();
	int second = upgrade();
	int third = upgrade();

	(void)state;
	memset(text, 'x', sizeof text - 1);
	/* Most of it is there, the end is not; the answer says that it has been read. */
	put_frame(first, TEXT, text, sizeof text - 1);
	put_frame(first, FIN | PING, "", 0);
	assert_frame(first, FIN | PONG, "");
	put_frame(second, TEXT, text, sizeof text - 1);
	put_text(second, "ignored");
	assert_close_frame(second, 1013, "busy");
	assert_closed(second);
	put_frame(first, FIN | CONTINUATION, "", 0);
	assert_frame(first, FIN | TEXT, text);
	put_text(third, text);
	assert_frame(third, FIN | TEXT, text);

	/* So do those that are worked on. */
	put_text(first, "hold");
	assert_frame(first, FIN | TEXT, "hold");
	put_text(third, "x");
	assert_close_frame(third, 1013, "busy");
	assert_closed(third);
	close(first);
}

static void refused_clients_hear_when_to_come_back(void **state)
{
	int fd = client_connect(&running);
	struct reply reply;

	(void)state;
	client_say(fd, "GET /ws?token=often HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
		       "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	reply = client_reply(fd);
	assert_int_equal(429, reply.status);
	assert_true(reply_has(&reply, "retry-after: 2"));
	reply_free(&reply);
	close(fd);
}

static void says_what_is_queued_before_it_closes(void **state)
{
	int fd = upgrade();

	(void)state;
	put_text(fd, "close");
	assert_frame(fd, FIN | TEXT, "last words");
	assert_close_frame(fd, 4409, "displaced");
	put_text(fd, "ignored");
	put_frame(fd, FIN | CLOSE, "\x11\x39", 2);
	assert_closed(fd);
	wait_for(&closed, 1);
	assert_int_equal(1, atomic_load(&frames));
}

static void pings_the_idle_and_drops_the_dead(void **state)
{
	int64_t began = clock_monotonic_ms();
	int alive;

	(void)state;
	harness_stop(&running);
	running.config.socket_idle_ms = 1000;
	harness_start(&running);
	alive = upgrade();
	for (int i = 0; i < 3; i++) {
		assert_frame(alive, FIN | PING, "");
		put_frame(alive, FIN | PONG, "", 0);
	}
	assert_in_range(clock_monotonic_ms() - began, 2700, 10000);
	/* From here on it is dead. */
	assert_frame(alive, FIN | PING, "");
	assert_close_frame(alive, 1001, "idle");
	assert_closed(alive);
	wait_for(&closed, 1);
}

static void floods(void **state)
{
	int fd = upgrade();

	(void)state;
	put_text(fd, "flood");
	for (int i = 0; i < 4; i++) {
		char *payload;
		size_t len;

		assert_int_equal(FIN | TEXT, get_frame(fd, &payload, &len));
		assert_int_equal(sizeof flood, len);
		assert_memory_equal(flood, payload, len);
		free(payload);
	}
	put_text(fd, "still here");
	assert_frame(fd, FIN | TEXT, "still here");
	close(fd);
}

static void bounds_its_queue(void **state)
{
	int fd = upgrade();

	(void)state;
	put_text(fd, "drown");
	wait_for(&closed, 1);
	close(fd);
}

static void pauses(void **state)
{
	int fd = upgrade();

	(void)state;
	put_text(fd, "pause");
	put_text(fd, "one");
	put_text(fd, "two");
	assert_quiet(fd, 100);
	assert_int_equal(1, atomic_load(&frames));
	resume_last();
	assert_frame(fd, FIN | TEXT, "one");
	assert_frame(fd, FIN | TEXT, "two");
	close(fd);
}

static void notices_clients_that_leave(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		close(upgrade());
	wait_for(&closed, 10);
}

static void says_goodbye_when_stopped(void **state)
{
	int fd = upgrade();

	(void)state;
	server_stop(running.server);
	assert_close_frame(fd, 1012, "restart");
	put_frame(fd, FIN | CLOSE, "\x03\xf4", 2);
	assert_closed(fd);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(echoes),
		SERVED(takes_frames_right_behind_the_handshake),
		SERVED(greets_after_the_handshake),
		SERVED(refuses_handshakes),
		SERVED(closes_on_wrong_frames),
		SERVED(limits_frames_of_strangers),
		SERVED(bounds_the_bytes_of_all_messages),
		SERVED(refused_clients_hear_when_to_come_back),
		SERVED(says_what_is_queued_before_it_closes),
		SERVED(pings_the_idle_and_drops_the_dead),
		SERVED(floods),
		SERVED(bounds_its_queue),
		SERVED(pauses),
		SERVED(notices_clients_that_leave),
		SERVED(says_goodbye_when_stopped),
	};

	log_set_level(getenv("TEST_LOG") != NULL ? LOG_DEBUG : LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
