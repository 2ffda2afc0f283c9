/* SPDX-License-Identifier: MIT
 *
 * Finding a domain's document: DNS, connecting, fetching, and what the document itself says
 * of where to connect (docs/protocol.md section 4.2). Whether to believe what was found is
 * not decided here. Federation thread only.
 */
#ifndef FEDERATION_FIND_H
#define FEDERATION_FIND_H

#include "loop.h"

struct find;

struct found {
	/* ERR_PEER_UNREACHABLE, ERR_PEER_TIMEOUT or ERR_PEER_INVALID; the rest is valid with
	 * ERR_OK only. */
	enum err err;
	const char *reason; /* for the log */
	bool declined;	    /* the domain says itself that it does not federate */
	bool no_txt_needed; /* a fixed address stands for DNS */
	struct txt_answer txt;
	struct bytes wrapper;
	struct server_document document; /* valid in itself */
	struct targets targets;		 /* for requests */
	int64_t ttl_ms;			 /* of SRV; -1: there is none */
};

/* What is found is put into the arena. done() is called exactly once, from the loop, and
 * never from find_start(). */
struct find *find_start(struct loop *loop, const char *domain, struct arena *arena,
			void (*done)(void *context, const struct found *found), void *context);
/* Without done(). The loop may not be turned again. */
void find_abandon(struct find **find);

#endif
