/* SPDX-License-Identifier: MIT
 *
 * WebSockets (RFC 6455): the handshake, pings, closing, and the queue of what is to be
 * sent. Frames themselves are the business of frame.c.
 */
#include "net.h"

#include "restante/text.h"

#include <stdlib.h>

#define QUEUE_MAX (8 * 1024 * 1024)
#define KEY_LEN	  24 /* 16 bytes in base64 */
#define KEY_GUID  "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

struct socket {
	struct connection *connection;
	void *context;
	struct frame_reader reader;
	size_t reserved;  /* of the budget, for what the reader holds */
	bool closing;	  /* a close frame is in the queue: nothing follows it */
	bool client_done; /* nothing more is expected from the client */
	bool paused;
	bool sent; /* since the handler was last told that nothing is queued */
	bool pinged;
	int64_t heard_ms;
	int64_t close_deadline_ms;
};

/* --- the handshake ----------------------------------------------------------------- */

/* The proof that we speak WebSocket (section 4.2.2), in base64. */
static const char *accept_key(struct arena *arena, struct bytes key)
{
	struct text proof;
	unsigned char hash[20];
	char *base64 = arena_alloc(arena, 32);

	text_init(&proof, arena, KEY_LEN + sizeof KEY_GUID);
	text_add(&proof, key);
	text_puts(&proof, KEY_GUID);
	lws_SHA1((const unsigned char *)proof.data, proof.len, hash);
	lws_b64_encode_string((const char *)hash, sizeof hash, base64, 32);
	return base64;
}

static bool is_key(struct bytes key)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	if (key.len != KEY_LEN || memcmp(key.data + KEY_LEN - 2, "==", 2) != 0)
		return false;
	for (size_t i = 0; i < KEY_LEN - 2; i++) {
		if (key.data[i] == '\0' || strchr(digits, key.data[i]) == NULL)
			return false;
	}
	return true;
}

/* False: it is answered. */
static bool is_upgrade(struct exchange *x)
{
	static const struct header upgrade = {"upgrade", "websocket"};
	static const struct header version = {"sec-websocket-version", "13"};
	const struct head *head = &x->head;

	x->close |= head->length > 0;
	if (!head_equals(head->method, "GET")) {
		x->methods = 1U << METHOD_GET;
		metric_inc(http_refused_total);
		request_fail(&x->request, ERR_METHOD_NOT_ALLOWED, NULL, NULL);
		return false;
	}
	if (!head->http_1_1 || !head->connection_upgrade ||
	    !head_has_token(head->upgrade, "websocket") || head->length > 0) {
		reply_fail_with(x, 426, ERR_VALIDATION, "upgrade",
				"This path is for WebSockets.", &upgrade);
		return false;
	}
	if (!head_equals(head->websocket_version, "13")) {
		reply_fail_with(x, 426, ERR_VALIDATION, "sec-websocket-version",
				"Only version 13 of WebSocket is known.", &version);
		return false;
	}
	if (!is_key(head->websocket_key)) {
		metric_inc(http_refused_total);
		request_fail(&x->request, ERR_VALIDATION, "sec-websocket-key", NULL);
		return false;
	}
	return true;
}

static struct socket *create(struct connection *c)
{
	struct socket *s = calloc(1, sizeof *s);

	if (s == NULL)
		fatal("out of memory");
	s->connection = c;
	s->reader.message_max = c->server->config->socket_first_frame_max;
	s->heard_ms = clock_monotonic_ms();
	return s;
}

/* The exchange ends here. */
static void upgraded(struct connection *c, struct socket *s)
{
	exchange_destroy(c->exchange);
	c->exchange = NULL;
	c->socket = s;
	c->state = CONNECTION_SOCKET;
	c->deadline_ms = NEVER;
	metric_inc(http_requests_total);
	metric_inc(sockets_open);
	connection_want_write(c);
}

void websocket_open(struct connection *connection, struct exchange *exchange)
{
	struct buffer *out = &connection->output;
	struct arena *arena = exchange->request.arena;
	struct socket *s;
	enum err err;

	if (connection->server->draining) {
		request_fail(&exchange->request, ERR_BUSY, NULL, NULL);
		return;
	}
	if (!is_upgrade(exchange))
		return;
	s = create(connection);
	/* First, because the handler may already send. */
	buffer_add(out, bytes_of_text(arena_printf(
				arena,
				"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n"
				"connection: Upgrade\r\nsec-websocket-accept: %s\r\n\r\n",
				accept_key(arena, exchange->head.websocket_key))));
	connection->socket = s;
	err = connection->server->config->sockets.open(s, &exchange->request, &s->context);
	connection->socket = NULL;
	if (err == ERR_OK) {
		upgraded(connection, s);
		return;
	}
	free(s);
	buffer_take(out, buffer_len(out));
	metric_inc(http_refused_total);
	request_fail(&exchange->request, err, NULL, NULL);
}

/* --- closing ----------------------------------------------------------------------- */

static void close_with(struct socket *s, uint16_t code, const char *reason)
{
	if (s->closing)
		return;
	s->closing = true;
	s->paused = false;
	s->close_deadline_ms = NEVER;
	frame_write_close(&s->connection->output, code, reason);
	connection_want_write(s->connection);
	connection_update_reading(s->connection);
}

void websocket_closed(struct connection *connection)
{
	struct socket *s = connection->socket;

	connection->socket = NULL;
	metric_add(METRIC_sockets_open, -1);
	connection->server->config->sockets.closed(s, s->context);
	server_release(connection->server, s->reserved);
	frame_reader_free(&s->reader);
	free(s);
}

/* --- what comes in ----------------------------------------------------------------- */

static void frame_came(struct socket *s, const struct frame *frame)
{
	struct connection *c = s->connection;

	switch (frame->kind) {
	case FRAME_TEXT:
		if (!s->closing)
			c->server->config->sockets.frame(s, s->context, frame->payload);
		break;
	case FRAME_PING:
		if (s->closing)
			break;
		frame_write(&c->output, OPCODE_PONG, frame->payload);
		connection_want_write(c);
		break;
	case FRAME_CLOSE:
	case FRAME_ERROR:
		close_with(s, frame->code, NULL);
		s->client_done = true;
		connection_want_write(c);
		break;
	case FRAME_PONG:
	case FRAME_NONE:
		break;
	}
}

/* What the client has sent of a message counts against the budget; false: it has not so
 * much left, and the message is gone. */
static bool account_for(struct socket *s)
{
	struct server *server = s->connection->server;
	size_t len = frame_held(&s->reader);

	if (len <= s->reserved) {
		server_release(server, s->reserved - len);
		s->reserved = len;
		return true;
	}
	if (server_reserve(server, len - s->reserved)) {
		s->reserved = len;
		return true;
	}
	server_release(server, s->reserved);
	s->reserved = 0;
	frame_reader_free(&s->reader);
	close_with(s, CLOSE_TRY_LATER, "busy");
	s->client_done = true;
	connection_want_write(s->connection);
	return false;
}

size_t websocket_read(struct connection *connection, struct bytes in)
{
	struct socket *s = connection->socket;
	size_t used = 0;

	s->heard_ms = clock_monotonic_ms();
	s->pinged = false;
	while (used < in.len && !s->paused && !s->client_done && !connection->dead) {
		struct frame frame;

		used += frame_read(&s->reader, bytes_of(in.data + used, in.len - used), &frame);
		if (account_for(s))
			frame_came(s, &frame);
		frame_forget(&s->reader);
		(void)account_for(s);
		if (connection_unsent(connection) > QUEUE_MAX)
			connection_kill(connection);
	}
	return s->client_done || connection->dead ? in.len : used;
}

bool websocket_is_paused(const struct connection *connection)
{
	return connection->socket->paused;
}

/* --- what goes out ----------------------------------------------------------------- */

void websocket_sent(struct connection *connection)
{
	struct socket *s = connection->socket;

	if (s->closing && s->client_done) {
		websocket_closed(connection);
		connection_finish(connection);
		return;
	}
	if (s->closing) {
		s->close_deadline_ms = clock_monotonic_ms() + CLOSE_GRACE_MS;
		return;
	}
	if (s->sent) {
		s->sent = false;
		connection->server->config->sockets.drained(s, s->context);
	}
}

void websocket_sweep(struct connection *connection, int64_t now_ms)
{
	struct socket *s = connection->socket;
	int64_t idle_ms = connection->server->config->socket_idle_ms;

	if (s->closing) {
		if (now_ms >= s->close_deadline_ms)
			connection_kill(connection);
		return;
	}
	if (s->paused) {
		s->heard_ms = now_ms;
		return;
	}
	if (now_ms - s->heard_ms >= 2 * idle_ms) {
		close_with(s, CLOSE_GOING_AWAY, "idle");
	} else if (now_ms - s->heard_ms >= idle_ms && !s->pinged) {
		s->pinged = true;
		frame_write(&connection->output, OPCODE_PING, bytes_of(NULL, 0));
		connection_want_write(connection);
	}
}

/* --- what handlers call ------------------------------------------------------------ */

void socket_send(struct socket *socket, struct bytes text)
{
	struct connection *c = socket->connection;

	if (socket->closing || c->dead)
		return;
	if (connection_unsent(c) + text.len > QUEUE_MAX) {
		connection_kill(c);
		return;
	}
	frame_write(&c->output, OPCODE_TEXT, text);
	socket->sent = true;
	connection_want_write(c);
}

size_t socket_queued(const struct socket *socket)
{
	return connection_unsent(socket->connection);
}

void socket_close(struct socket *socket, uint16_t code, const char *reason)
{
	close_with(socket, code, reason);
}

void socket_pause(struct socket *socket, bool pause)
{
	if (socket->closing || socket->paused == pause)
		return;
	socket->paused = pause;
	connection_update_reading(socket->connection);
	/* What had come before is read from the loop, not inside this call. */
	if (!pause)
		connection_want_write(socket->connection);
}

void socket_trust(struct socket *socket)
{
	socket->reader.message_max = socket->connection->server->config->socket_frame_max;
}
