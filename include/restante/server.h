/* SPDX-License-Identifier: MIT
 *
 * The HTTP and WebSocket server: libwebsockets on a libuv loop, one net thread, which
 * is the thread that calls server_run(). HTTP/1.1 over TLS or, behind a proxy, plain.
 * Several threads have one each; the first one accepts connections for all.
 *
 * What is malformed, oversized, ambiguous or slow is refused here and never reaches a
 * handler: any Transfer-Encoding, a Content-Length that is not plain digits or comes
 * twice, a missing or doubled Host, request targets that are not plain ASCII paths,
 * heads over 16 KiB, bodies over the route's limit, heads or bodies that take too long.
 */
#ifndef RESTANTE_SERVER_H
#define RESTANTE_SERVER_H

#include "restante/inbox.h"
#include "restante/request.h"

struct server;
struct socket;

/* What the node does with sockets. All calls come on the net thread. */
struct socket_handlers {
	/* A client asks for an upgrade; the request is not to be answered, only looked at.
	 * *context_out becomes the socket's context; frames may be sent already. The
	 * request lives for this call only. An error refuses the upgrade, and closed() is
	 * not called; ERR_RATE_LIMITED with request->retry_after_ms. */
	enum err (*open)(struct socket *socket, struct request *request, void **context_out);
	/* One whole text frame; the bytes live for this call. Not after socket_close(). */
	void (*frame)(struct socket *socket, void *context, struct bytes text);
	/* The pipe is free and nothing is queued any more. */
	void (*drained)(struct socket *socket, void *context);
	/* The last call: the socket is gone afterwards. */
	void (*closed)(struct socket *socket, void *context);
};

struct server_config {
	/* NULL: it listens, and is the first. Else it takes a share of the connections of the
	 * first, whose host, port and limits are those of all together. */
	struct server *first;
	const char *host; /* address to listen on; "" for all */
	int port;
	const char *certificate; /* PEM files; NULL for plain HTTP behind a proxy */
	const char *key;
	const char *const *cors_origins; /* NULL-ended; "*" allows any */
	bool trust_forwarded_for; /* behind a proxy: the last X-Forwarded-For is the source */
	size_t max_connections;
	/* Connections of one source address, in the form of request->source; 0: as many as
	 * there may be. Not applied with trust_forwarded_for. */
	size_t max_per_source;
	/* Bytes of request bodies, by their Content-Length, and of incoming WebSocket
	 * messages, as they come, that are held at once; 0: any number. What would exceed
	 * it is refused with ERR_BUSY, or the socket closed with 1013. */
	size_t buffer_budget;
	size_t socket_first_frame_max; /* of one incoming message until socket_trust() */
	size_t socket_frame_max;       /* bytes of one incoming WebSocket message */
	/* For a whole request; a head has that or 10 s, a reply has it for each piece that
	 * the client takes, and an idle connection is kept for twice that. */
	int64_t request_timeout_ms;
	int64_t socket_idle_ms; /* ping after this, close after twice this */
	const struct route *routes;
	const char *socket_path;
	struct socket_handlers sockets;
	/* Fills request->caller, or says why not. */
	enum err (*authorize)(struct request *request);
	/* For ROUTE_SIGNED, before the body is read: only what the head says is filled in,
	 * and the request is not to be answered, only looked at. An error answers with the
	 * uniform error object (ERR_RATE_LIMITED: set request->retry_after_ms) and closes
	 * the connection. NULL: none. */
	enum err (*precheck)(struct request *request);
	/* About once a second; now_ms is clock_now_ms(). */
	void (*tick)(void *context, int64_t now_ms);
	/* After server_reload(), on the net thread; NULL: none. */
	void (*reloaded)(void *context);
	void *context;
};

/* Opens the listening socket; the configuration must outlive the server. All are created before
 * one of them runs, and the first is destroyed last. */
enum err server_create(const struct server_config *config,
		       struct server **server_out) MUST_CHECK;
/* Dispatches what is left in the inbox. To be called when server_run() has returned and
 * no other thread posts to the inbox or returns to it any more. */
void server_destroy(struct server **server);

/* The inbox of the net thread: where store operations and others come back to.
 * Dispatched with the server's context as the receiver. */
struct inbox *server_inbox(struct server *server);

/* Runs until server_stop(). With 0 as seconds the loop ends at once when nothing is open;
 * else open requests get that long to finish and sockets are closed with 1012. */
void server_run(struct server *server, int drain_seconds);
void server_stop(struct server *server); /* from any thread and from signal handlers */
/* Of the first: all read the certificate anew. From signal handlers too. */
void server_reload(struct server *server);
int server_port(const struct server *server); /* the port really bound, for port 0 */

/* Counts bytes of a WebSocket message against buffer_budget after its frame() has returned,
 * for as long as they are worked on. Never refused: what is too much is refused to others. */
void server_hold(struct server *server, size_t len);
void server_release(struct server *server, size_t len);

/* --- sockets ----------------------------------------------------------------------- */

/* Queues one text frame (copied). The queue is bounded by the callers' flow control;
 * a socket that holds more than 8 MiB is closed. */
void socket_send(struct socket *socket, struct bytes text);
size_t socket_queued(const struct socket *socket); /* bytes not yet given to the kernel */
/* Sends what is queued, then closes with this code (docs/protocol.md, "Close codes").
 * closed() follows, later. Calls on a socket that is closing do nothing. */
void socket_close(struct socket *socket, uint16_t code, const char *reason);
/* Stops or goes on reading from the client: for when the store is busy. */
void socket_pause(struct socket *socket, bool pause);
/* The client is known from here on: lifts socket_first_frame_max. */
void socket_trust(struct socket *socket);

#endif
