/* SPDX-License-Identifier: MIT
 *
 * Signed calls to other nodes (docs/protocol.md section 4.4): find the peer, sign, send,
 * verify the answer. Federation thread only.
 */
#ifndef FEDERATION_CALL_H
#define FEDERATION_CALL_H

#include "peer.h"

struct calls;

struct call_answer {
	/* ERR_OK: a validly signed answer, whatever its status. ERR_PEER_UNREACHABLE: nothing
	 * was sent. ERR_PEER_TIMEOUT, ERR_PEER_INVALID: something may have been.
	 * ERR_KEY_CONFLICT, ERR_VALIDATION (prepare() gave no body), ERR_BUSY (the thread
	 * stops). */
	enum err err;
	int status;	   /* also of an unsigned answer; 0: none came */
	struct bytes body; /* of a signed one */
	const char *hint;  /* why, as an unsigned one says: for the log only. Static, or NULL */
	int64_t retry_after_ms; /* 0: not said */
};

struct call_request {
	const char *domain;
	const char *path; /* static */
	size_t answer_max;
	int timeout_ms; /* for all, discovery too */
	void *context;
	/* The peer is known and trusted: the body, which must live until done. Not called again
	 * when the call is repeated. Empty: there is nothing to send. */
	struct bytes (*prepare)(void *context, const struct peer *peer);
	/* Exactly once, from a later turn of the loop. The answer lives for that call. */
	void (*done)(void *context, const struct call_answer *answer);
};

struct calls *calls_create(const struct federation_config *config, struct loop *loop,
			   struct discovery *discovery);
/* Signs what is sent from now on. */
void calls_key_set(struct calls *calls, const struct sign_key *key);
/* After discovery_destroy(). Every call has been done. */
void calls_destroy(struct calls **calls);
/* ERR_FEDERATION_DENIED: by policy; done() is not called. */
enum err call_start(struct calls *calls, const struct call_request *request) MUST_CHECK;
/* Ends what is over its time. */
void calls_tick(struct calls *calls);
/* Ends all with ERR_BUSY. */
void calls_abandon(struct calls *calls);

/* --- remote.c: what other threads ask for ---------------------------------------------- */

struct remote;

struct remote *remote_create(const struct federation_config *config, struct calls *calls,
			     struct discovery *discovery);
void remote_destroy(struct remote **remote); /* after discovery_destroy() */
/* They come back by inbox_return(). */
void remote_call_take(struct remote *remote, struct remote_call *call);
void peer_query_take(struct remote *remote, struct peer_query *query);
/* Returns all queries with ERR_BUSY; calls are ended by calls_abandon(). */
void remote_abandon(struct remote *remote);

#endif
