/* SPDX-License-Identifier: MIT
 *
 * What the files of this module share. A connection is a libwebsockets connection in the
 * raw role: libwebsockets gives us the loop, TLS, flow control and writing, while heads
 * and frames are read here (docs/architecture.md, "net"). Its own reader of HTTP hides
 * repeated headers, accepts folded lines, names with spaces, bare line feeds and bytes
 * that are no text, and shows none of it, so that nothing could be refused.
 *
 *   HEAD -> BODY -> WAITING -> REPLYING -> HEAD     one request after the other
 *   HEAD -> SOCKET                                  the client became a WebSocket
 *   REPLYING, SOCKET -> LINGERING                   all is said, the client may leave
 */
#ifndef RESTANTE_NET_H
#define RESTANTE_NET_H

#include "buffer.h"
#include "frame.h"
#include "head.h"
#include "source.h"
#include "tally.h"

#include "restante/clock.h"
#include "restante/log.h"
#include "restante/metrics.h"
#include "restante/server.h"

#include <libwebsockets.h>
#include <stdatomic.h>
#include <uv.h>

/* Time for a head, if the whole request has not less. */
#define HEAD_TIMEOUT_MS (10 * SECONDS_MS)
/* How long a client may take to hear that it is to leave. */
#define LINGER_MS	(2 * SECONDS_MS)
#define CLOSE_GRACE_MS	(2 * SECONDS_MS)
#define NEVER		INT64_MAX
/* Bytes of one read and one write. */
#define PIECE_MAX	(64 * 1024)
#define TLS_RECORD_MAX	(16 * 1024)
/* Bytes, as OpenSSL has them in one piece. */
#define TICKET_KEYS	80
/* Bytes that are kept of the requests after the one that is being answered. */
#define AHEAD_MAX	(16 * 1024)

enum connection_state {
	CONNECTION_HEAD,
	CONNECTION_BODY,
	CONNECTION_WAITING,
	CONNECTION_REPLYING,
	CONNECTION_SOCKET,
	CONNECTION_LINGERING,
};

/* A request and what net keeps with it. Lives in the request's arena. */
struct exchange {
	struct request request; /* first: a request is cast to its exchange */
	struct server *server;
	struct head head;
	struct buffer body;
	size_t reserved;  /* of the budget, for the body */
	bool close;	  /* the connection ends with the answer */
	unsigned methods; /* for Allow */
};

/* The other end, as the kernel knows it. */
struct peer {
	char source[SOURCE_MAX];
	bool loopback;
	struct tally_entry *counted; /* among those of its source */
};

/* Zeroed by libwebsockets, which owns it; here from connection_adopted() on. */
struct connection {
	struct server *server; /* NULL before that */
	struct lws *wsi;
	struct connection *next;
	struct connection *previous;
	struct connection *next_ready;
	struct connection *previous_ready;
	bool ready; /* among those that are served before the loop waits */
	enum connection_state state;
	bool dead;    /* will be closed by the loop as soon as it comes round */
	bool reading; /* what the loop was told last */
	bool choked;  /* the kernel has not taken all of the last write */
	bool heard;   /* anything at all */
	bool begun;   /* bytes of the next head are there */
	size_t scanned;
	int64_t began_ms;
	int64_t deadline_ms;	   /* of the state */
	int64_t write_deadline_ms; /* while there is output */
	struct buffer input;	   /* received and not used yet */
	struct buffer output;
	struct bytes body; /* of the reply, behind the output; lives in the arena */
	struct exchange *exchange;
	struct socket *socket;
	struct peer peer;
};

struct server {
	const struct server_config *config;
	struct server *first;	/* that listens: this one, or that of another thread */
	struct server *further; /* those that take a share of its connections */
	uv_loop_t loop;
	uv_timer_t sweep;
	uv_prepare_t serve; /* before the loop waits */
	struct lws_context *lws;
	struct lws_vhost *vhost;
	struct inbox *inbox;
	struct listener *listener;
	struct connection *connections;
	atomic_size_t n_connections; /* those on their way to this thread too */
	struct connection *ready;    /* with something to write, or to go on with */
	uint8_t record[TLS_RECORD_MAX];
	struct tally
		*sources;   /* of connections; this and the next two: of the first, for all */
	atomic_size_t held; /* bytes of the budget */
	uint8_t ticket_keys[TICKET_KEYS];
	int64_t head_timeout_ms;
	int64_t next_tick_ms;
	bool draining;
	int drain_seconds;
	int64_t drain_until_ms;
	unsigned refusals_logged; /* since the last tick */
	time_t date_second;
	char date[32];
	atomic_bool stop;
	atomic_bool reload;
	atomic_bool files_are_new; /* those of TLS, and they have been found good */
};

/* --- server.c ---------------------------------------------------------------------- */

/* A connection of this server is gone, or did not come to be one. */
void server_uncount(struct server *server, struct peer *peer);
/* The loop came round because somebody called: looks what for. */
void server_woken(struct server *server);
/* Ends the loop if it is to end and no connection is open any more. */
void server_drained(struct server *server);
/* Takes bytes of the budget, to be given back by server_release(); false: it has not so
 * many left. */
bool server_reserve(struct server *server, size_t len);

/* --- listener.c: the listening socket ---------------------------------------------- */

struct listener;

enum err listener_create(uv_loop_t *loop, const char *host, int port,
			 void (*accepted)(void *context, int fd, const struct sockaddr *peer),
			 void *context, struct listener **listener_out) MUST_CHECK;
/* Stops listening; its memory goes with the next turn of the loop. */
void listener_close(struct listener **listener);
/* Goes on after it had to stop because the process had no file descriptor left. */
void listener_retry(struct listener *listener);
int listener_port(const struct listener *listener);

/* --- tls.c ------------------------------------------------------------------------- */

/* Fills in what concerns TLS. */
void tls_configure(const struct server_config *config, struct lws_context_creation_info *info);
/* Of the first server: if the files are good, this and all others use them from now on. */
void tls_reload(struct server *server);
/* This one alone. */
void tls_use_files(struct server *server);
/* A client may resume its TLS session at any of the threads. */
void tls_share_tickets(struct server *server, void *ssl_context);
/* From now on TLS takes from the kernel whatever is there. Call when libwebsockets has read
 * for the first time, and tls_read_more() whenever it has read. */
void tls_read_ahead(struct connection *connection);
/* Reads bytes that were taken from the kernel already. Returns how many; 0: there are none, the
 * loop says when there are; -1: the connection is broken. */
int tls_read_more(struct connection *connection, uint8_t record[TLS_RECORD_MAX]);

/* --- connection.c ------------------------------------------------------------------ */

/* The callback of libwebsockets for all that happens to connections. */
int connection_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		     size_t len);
/* Before the loop waits: writes, and goes on with what the writing held up. */
void connection_want_write(struct connection *connection);
void connections_serve(struct server *server);
/* Call when all is written: says goodbye and waits a little for the client to leave,
 * because closing with unread bytes would take the last reply away from it. */
void connection_finish(struct connection *connection);
/* Closes without a further word, from the loop. */
void connection_kill(struct connection *connection);
/* Adjusts whether bytes are read to the state. */
void connection_update_reading(struct connection *connection);
void connection_sweep(struct connection *connection, int64_t now_ms);
size_t connection_unsent(const struct connection *connection);

/* --- http.c ------------------------------------------------------------------------ */

/* Uses some of the bytes in states HEAD and BODY; 0: more are needed. */
size_t http_read(struct connection *connection, struct bytes in);
/* The whole reply is written. */
void http_sent(struct connection *connection);
void http_timed_out(struct connection *connection);
void http_closed(struct connection *connection);
/* Ends a request that is no longer wanted by anybody. */
void exchange_destroy(struct exchange *exchange);

/* --- reply.c ----------------------------------------------------------------------- */

void reply_preflight(struct exchange *exchange);
/* An error with a status of its own and one header more. */
void reply_fail_with(struct exchange *exchange, int status, enum err err, const char *field,
		     const char *message, const struct header *header);

/* --- websocket.c ------------------------------------------------------------------- */

/* Answers the request, by an upgrade or by an error. */
void websocket_open(struct connection *connection, struct exchange *exchange);
size_t websocket_read(struct connection *connection, struct bytes in);
bool websocket_is_paused(const struct connection *connection);
void websocket_sent(struct connection *connection);
void websocket_sweep(struct connection *connection, int64_t now_ms);
void websocket_closed(struct connection *connection);

#endif
