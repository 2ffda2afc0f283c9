/* SPDX-License-Identifier: MIT
 *
 * One HTTP request, from its route to its answer. A handler gets a request that is
 * complete (head and body) and owns it until it calls one of the request_ functions
 * that answer; each request is answered exactly once, now or after a store operation
 * has come back. The client may be gone by then: answering is still right, and cheap.
 *
 * Net thread only.
 */
#ifndef RESTANTE_REQUEST_H
#define RESTANTE_REQUEST_H

#include "restante/arena.h"
#include "restante/caller.h"
#include "restante/err.h"

struct connection; /* private to net */

enum method { METHOD_GET, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_COUNT };

struct request {
	struct arena *arena;
	void *context; /* what server_start() was given: the node */
	const struct route *route;
	enum method method;
	struct bytes path;  /* as received, without the query */
	struct bytes param; /* the part of the path that a route's {} stands for */
	struct bytes query; /* behind the question mark, still encoded */
	struct bytes body;
	struct bytes authorization; /* header values; empty where absent */
	struct bytes content_type;
	struct bytes content_digest;
	struct bytes signature;
	struct bytes signature_input;
	struct bytes destination; /* restante-destination */
	struct bytes origin;	  /* Origin, for CORS */
	char source[64]; /* address of the client, for rate limits; never for identity */
	bool local;	 /* from this machine, and not through a proxy that says so */
	/* For Retry-After where 429 is the answer; at least a second. */
	int64_t retry_after_ms;
	struct caller caller;	       /* set by server.authorize where the route asks for it */
	struct connection *connection; /* NULL once the client is gone */
	void *job;		       /* the handler's own */
};

enum route_flags {
	ROUTE_PUBLIC = 0,
	ROUTE_AUTH = 1,	  /* server.authorize() must accept it first */
	ROUTE_SIGNED = 2, /* server-to-server: Content-Type must be application/json */
};

/* A table of these ends with a zeroed entry. At most one {} per path, as its last part:
 * "/api/v1/devices/{}". It stands for one non-empty path segment, percent-decoded. */
struct route {
	enum method method;
	const char *path;
	unsigned flags;
	size_t body_max; /* 0: no body allowed */
	void (*handle)(struct request *request);
};

struct header {
	const char *name; /* lower case */
	const char *value;
};

/* Answers with a body of application/json (empty body: none) that lives in the
 * request's arena or is static. The request is gone afterwards. */
void request_reply(struct request *request, int status, struct bytes json);
/* The same with at most 8 further headers, copied. */
void request_reply_with(struct request *request, int status, const char *content_type,
			struct bytes body, const struct header *headers, size_t n_headers);

/* Answers with the uniform error object (docs/protocol.md, "Errors"). field may be NULL;
 * message is shown to people, NULL for the usual one of that error. */
void request_fail(struct request *request, enum err err, const char *field,
		  const char *message);
/* The same with `details` given as a JSON object in text. */
void request_fail_with(struct request *request, enum err err, const char *message,
		       struct bytes details);
/* 429 with Retry-After. */
void request_limit(struct request *request, int64_t retry_after_ms);

/* The value of a query parameter, percent-decoded into the arena; false where absent.
 * A parameter given twice counts as malformed and gives false with *malformed_out. */
bool request_query(struct request *request, const char *name, struct bytes *value_out,
		   bool *malformed_out);

#endif
