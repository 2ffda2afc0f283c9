/* SPDX-License-Identifier: MIT
 *
 * One run of discovery for one domain (docs/protocol.md section 4.2), from the stored pin to
 * a peer. Federation thread only; discovery.c keeps what comes out of it.
 */
#ifndef FEDERATION_LOOKUP_H
#define FEDERATION_LOOKUP_H

#include "loop.h"

struct lookup;

/* What all lookups share. */
struct lookup_context {
	struct loop *loop;
	const struct federation_config *config;
	struct inbox *inbox;
	size_t in_store; /* operations that have not come back */
};

struct lookup_result {
	enum err err;
	struct peer *peer;  /* one allocation, the receiver's to free(); NULL with an error */
	bool is_new;	    /* from a document that was fetched now; else the last good one */
	int64_t life_ms;    /* how long the peer may be kept */
	const char *reason; /* for the log; NULL when all went well */
};

/* done() is called exactly once, from the loop or the inbox, never from lookup_start(); the
 * lookup is gone then. `before`: the peer as it was known so far, or NULL. */
struct lookup *lookup_start(struct lookup_context *context, const char *domain,
			    const struct peer *before,
			    void (*done)(void *owner, const struct lookup_result *result),
			    void *owner);
/* Without done(). None of its operations may be in the store. */
void lookup_abandon(struct lookup **lookup);

#endif
