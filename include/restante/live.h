/* SPDX-License-Identifier: MIT
 *
 * Who is connected: one session per device, by generation. A session sends the mailbox of
 * its device in order of seq and never has more than LIVE_UNACKED_MAX items out. While it
 * is level with the mailbox, new items go straight from the commit to the socket; when it has
 * fallen behind, or has not been told of the one before, it reads them from the store. The
 * mailbox is the truth.
 *
 * Each net thread has its own; a device has one session in all of them (directory.h). Knows no
 * sockets: it sends through functions that it is given.
 */
#ifndef RESTANTE_LIVE_H
#define RESTANTE_LIVE_H

#include "restante/caller.h"
#include "restante/directory.h"
#include "restante/effects.h"
#include "restante/store.h"

#define LIVE_UNACKED_MAX 256

struct live;
struct session;

/* Close codes (docs/protocol.md section 3). */
enum close_code {
	CLOSE_MALFORMED = 4400,
	CLOSE_UNAUTHORIZED = 4401,
	CLOSE_DISPLACED = 4409,
	CLOSE_REMOVED = 4410,
	CLOSE_LIMITED = 4429
};

struct live_config {
	struct store *store;
	struct inbox *inbox; /* of the net thread */
	void (*send)(void *socket, struct bytes text);
	size_t (*queued)(const void *socket);
	void (*close)(void *socket, uint16_t code, const char *reason);
	struct directory *directory;
	void *holder; /* what stands for this thread there */
	/* A session that began here displaces the one of another thread, the former holder:
	 * live_displace() is to be called there. */
	void (*displaces)(void *former, int64_t generation, int64_t number);
};

struct live *live_create(const struct live_config *config);
/* Every session must be closed, and every operation back. */
void live_destroy(struct live **live);

/* The store is about to close: nothing is read any more. */
void live_stop(struct live *live);

/* Begins to send. A session that the device already has is displaced, wherever it is; where
 * that one has a later socket_key, this one is, and its socket is closed. socket_key: from
 * op_socket_open where the store is shared, else 0. */
struct session *session_open(struct live *live, const struct caller *caller, int64_t socket_key,
			     void *socket);
/* The socket is gone or about to close. */
void session_close(struct session **session);
const struct caller *session_caller(const struct session *session);
int64_t session_socket_key(const struct session *session);
/* A new token of the same device. */
void session_renew(struct session *session, const struct caller *caller);
/* The pipe of the socket has become free. */
void session_drained(struct session *session);

/* Tells sessions what has been committed; outbound items are not its business. */
void live_tell(struct live *live, const struct effects *effects);
/* The device has begun a session of this number at another thread. */
void live_displace(struct live *live, int64_t generation, int64_t number);
/* Something may not have been told: sessions look into their mailboxes, or have been displaced.
 */
void live_refresh(struct live *live);
/* About once a second: tokens that ran out, reads that the store had no room for,
 * acknowledgements that were not told. */
void live_tick(struct live *live, int64_t now_ms);

#endif
