/* SPDX-License-Identifier: MIT
 *
 * Connections: bytes in and out, deadlines and the end. What the bytes mean is the
 * business of http.c and websocket.c.
 */
#include "net.h"

#include <sys/socket.h>
#include <utlist.h>

/* Bytes written per turn of the loop, so that one fast reader does not hold up all. */
#define BURST_MAX (4 * PIECE_MAX)

static struct server *server_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

static void link_connection(struct server *server, struct connection *c)
{
	DL_APPEND2(server->connections, c, previous, next);
	metric_inc(connections_open);
}

static void unlink_connection(struct server *server, struct connection *c)
{
	DL_DELETE2(server->connections, c, previous, next);
	server_uncount(server, &c->peer);
	metric_add(METRIC_connections_open, -1);
}

/* Whoever was given something first is served first. */
static void link_ready(struct server *server, struct connection *c)
{
	if (c->ready)
		return;
	c->ready = true;
	DL_APPEND2(server->ready, c, previous_ready, next_ready);
}

static void unlink_ready(struct server *server, struct connection *c)
{
	if (!c->ready)
		return;
	c->ready = false;
	DL_DELETE2(server->ready, c, previous_ready, next_ready);
}

static void adopted(struct connection *c, struct lws *wsi)
{
	struct server *server = server_of(wsi);
	struct peer *peer = lws_get_opaque_user_data(wsi);

	c->server = server;
	c->wsi = wsi;
	c->state = CONNECTION_HEAD;
	c->reading = true;
	c->deadline_ms = clock_monotonic_ms() + server->head_timeout_ms;
	c->peer = *peer;
	peer->counted = NULL; /* from now on in the connection's hands */
	lws_set_opaque_user_data(wsi, NULL);
	link_connection(server, c);
}

static void closed(struct connection *c)
{
	struct server *server = c->server;

	unlink_connection(server, c);
	unlink_ready(server, c);
	c->dead = true;
	if (c->socket != NULL)
		websocket_closed(c);
	else
		http_closed(c);
	buffer_free(&c->input);
	buffer_free(&c->output);
	c->server = NULL;
	c->wsi = NULL;
	server_drained(server);
}

size_t connection_unsent(const struct connection *connection)
{
	return buffer_len(&connection->output) + connection->body.len;
}

static void put_off_write_deadline(struct connection *c)
{
	c->write_deadline_ms = clock_monotonic_ms() + c->server->config->request_timeout_ms;
}

void connection_want_write(struct connection *connection)
{
	put_off_write_deadline(connection);
	link_ready(connection->server, connection);
}

static void close_soon(struct connection *connection)
{
	lws_set_timeout(connection->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
	/* libwebsockets looks at its timeouts only when something else has happened. */
	lws_cancel_service(connection->server->lws);
}

void connection_kill(struct connection *connection)
{
	if (connection->dead)
		return;
	connection->dead = true;
	close_soon(connection);
}

void connection_finish(struct connection *connection)
{
	connection->state = CONNECTION_LINGERING;
	connection->deadline_ms = clock_monotonic_ms() + LINGER_MS;
	shutdown(lws_get_socket_fd(connection->wsi), SHUT_WR);
	connection_update_reading(connection);
}

void connection_update_reading(struct connection *connection)
{
	bool wanted = !connection->choked;

	if (connection->state == CONNECTION_SOCKET)
		wanted = wanted && !websocket_is_paused(connection);
	if (connection->state == CONNECTION_WAITING || connection->state == CONNECTION_REPLYING)
		wanted = wanted && buffer_len(&connection->input) < AHEAD_MAX;
	if (wanted == connection->reading || connection->dead)
		return;
	connection->reading = wanted;
	lws_rx_flow_control(connection->wsi, wanted ? 1 : 0);
}

/* Returns how many bytes were used; the others wait for the state to change. */
static size_t process(struct connection *c, struct bytes in)
{
	size_t used = 0;
	size_t n = 1;

	while (n > 0 && used < in.len) {
		struct bytes rest = bytes_of(in.data + used, in.len - used);

		switch (c->state) {
		case CONNECTION_HEAD:
		case CONNECTION_BODY:
			n = http_read(c, rest);
			break;
		case CONNECTION_SOCKET:
			n = websocket_read(c, rest);
			break;
		case CONNECTION_LINGERING:
			n = rest.len;
			break;
		case CONNECTION_WAITING:
		case CONNECTION_REPLYING:
			n = 0;
			break;
		}
		used += n;
	}
	return used;
}

static void process_input(struct connection *c)
{
	if (buffer_len(&c->input) > 0)
		buffer_take(&c->input, process(c, buffer_bytes(&c->input)));
	connection_update_reading(c);
}

static void take(struct connection *c, struct bytes in)
{
	size_t used;

	if (buffer_len(&c->input) > 0) {
		buffer_add(&c->input, in);
		process_input(c);
		return;
	}
	used = process(c, in);
	buffer_add(&c->input, bytes_of(in.data + used, in.len - used));
	connection_update_reading(c);
}

/* What TLS has taken from the kernel ahead of what libwebsockets has read. */
static int take_more(struct connection *c)
{
	size_t taken = 0;

	while (c->reading && !c->dead && taken < PIECE_MAX) {
		int n = tls_read_more(c, c->server->record);

		if (n <= 0)
			return n;
		take(c, bytes_of(c->server->record, (size_t)n));
		taken += (size_t)n;
	}
	/* What is left waits for the turn of the others. */
	if (taken >= PIECE_MAX)
		lws_callback_on_writable(c->wsi);
	return 0;
}

static int received(struct connection *c, struct bytes in)
{
	if (c->dead)
		return 0;
	if (!c->heard) {
		c->heard = true;
		/* That of libwebsockets for the handshake; ours go on. */
		lws_set_timeout(c->wsi, NO_PENDING_TIMEOUT, 0);
		tls_read_ahead(c);
	}
	take(c, in);
	return take_more(c) < 0 ? -1 : 0;
}

static struct bytes next_piece(const struct connection *c)
{
	struct bytes piece = buffer_len(&c->output) > 0 ? buffer_bytes(&c->output) : c->body;

	if (piece.len > PIECE_MAX)
		piece.len = PIECE_MAX;
	return piece;
}

static void piece_written(struct connection *c, size_t len)
{
	if (buffer_len(&c->output) > 0)
		buffer_take(&c->output, len);
	else
		c->body = bytes_of(c->body.data + len, c->body.len - len);
}

/* What the kernel does not take of a piece is kept by libwebsockets, which says
 * when it is gone. Until then nothing is read: with something to write left over,
 * libwebsockets would not read either, but ask the kernel again and again. */
static int write_some(struct connection *c)
{
	size_t written = 0;

	while (connection_unsent(c) > 0 && !c->choked && written < BURST_MAX) {
		struct bytes piece = next_piece(c);

		/* In the raw role the bytes are only read. */
		if (lws_write(c->wsi, (unsigned char *)(uintptr_t)piece.data, piece.len,
			      LWS_WRITE_RAW) < 0)
			return -1;
		piece_written(c, piece.len);
		written += piece.len;
		c->choked = lws_partial_buffered(c->wsi) != 0;
	}
	if (written == 0 || (connection_unsent(c) == 0 && !c->choked))
		return 0;
	put_off_write_deadline(c);
	/* What is left after a burst waits for the turn of the others. */
	if (!c->choked)
		lws_callback_on_writable(c->wsi);
	return 0;
}

/* Once for all that a turn of the loop brought, so that there are few writes; and without
 * asking the kernel first, which costs as much as a write. */
static int serve(struct connection *c)
{
	unlink_ready(c->server, c);
	if (c->dead || write_some(c) < 0)
		return -1;
	if (connection_unsent(c) == 0 && !c->choked) {
		if (c->state == CONNECTION_REPLYING)
			http_sent(c);
		else if (c->state == CONNECTION_SOCKET)
			websocket_sent(c);
	}
	process_input(c);
	return take_more(c) < 0 ? -1 : 0;
}

static int writable(struct connection *c)
{
	c->choked = false;
	return serve(c);
}

/* Whoever is ready again, perhaps because its client sends on and on, comes after what the
 * loop brings for others. */
void connections_serve(struct server *server)
{
	while (server->ready != NULL) {
		struct connection *c = server->ready;

		if (serve(c) < 0)
			connection_kill(c);
		if (c->ready) {
			unlink_ready(server, c);
			lws_callback_on_writable(c->wsi);
		}
	}
}

void connection_sweep(struct connection *connection, int64_t now_ms)
{
	if (connection->dead) { /* the end of a TLS handshake sets the timeout anew */
		close_soon(connection);
		return;
	}
	if ((connection_unsent(connection) > 0 || connection->choked) &&
	    now_ms >= connection->write_deadline_ms) {
		connection_kill(connection);
		return;
	}
	switch (connection->state) {
	case CONNECTION_HEAD:
	case CONNECTION_BODY:
		if (now_ms >= connection->deadline_ms)
			http_timed_out(connection);
		break;
	case CONNECTION_SOCKET:
		websocket_sweep(connection, now_ms);
		break;
	case CONNECTION_LINGERING:
		if (now_ms >= connection->deadline_ms)
			connection_kill(connection);
		break;
	case CONNECTION_WAITING:
	case CONNECTION_REPLYING:
		break;
	}
}

int connection_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		     size_t len)
{
	struct connection *c = user;

	switch (reason) {
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		server_woken(server_of(wsi));
		return 0;
	case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
		tls_share_tickets(server_of(wsi), user);
		return 0;
	case LWS_CALLBACK_RAW_ADOPT:
		adopted(c, wsi);
		return 0;
	case LWS_CALLBACK_RAW_RX:
		return c->server != NULL ? received(c, bytes_of(in, len)) : 0;
	case LWS_CALLBACK_RAW_WRITEABLE:
		return c->server != NULL ? writable(c) : 0;
	case LWS_CALLBACK_RAW_CLOSE:
		if (c != NULL && c->server != NULL)
			closed(c);
		return 0;
	default:
		return 0;
	}
}
