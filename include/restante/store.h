/* SPDX-License-Identifier: MIT
 *
 * The store: one database behind one interface. Work comes as operations (ops_*.h), each
 * one atomic step. Operations that write go to the one write lane, which runs whatever
 * arrived while its last commit ran as one transaction and gives all of it back after the
 * commit: an operation that has come back with ERR_OK is durable. Operations that only
 * read go to the read lane.
 *
 * Expected outcomes (no such user, duplicate, list out of date) are results in `err` and
 * in the operation's out members. ERR_STORE is an unexpected failure: nothing was written.
 * Any thread may post; the operation comes back to the inbox in its message.reply_to.
 */
#ifndef RESTANTE_STORE_H
#define RESTANTE_STORE_H

#include "restante/accounts.h"
#include "restante/arena.h"
#include "restante/effects.h"
#include "restante/inbox.h"
#include "restante/text.h"

enum store_lane { LANE_READ, LANE_WRITE };

enum store_kind {
#define STORE_OP(name, lane) STORE_##name,
#include "restante/ops.def"
#undef STORE_OP
	STORE_KIND_COUNT
};

/* The head of every operation. While it is in the store, it and its arena and everything
 * that its in members point to belong to the lane. Results are put into the arena. */
struct store_op {
	struct message message; /* reply_to and returned are the sender's to set */
	void *context;		/* the sender's own */
	enum store_kind kind;
	struct arena *arena;
	int64_t now_ms;
	enum err err;
};

struct store_config {
	const char *url; /* "" or a path: SQLite */
	const char *data_dir;
	const char *domain; /* own domain: recipients here are local */
	int64_t max_devices;
	enum strangers strangers; /* of new accounts */
	int64_t prekeys_max;	  /* waiting, of each kind, for one device */
	int64_t first_contact;	  /* content of an envelope of a stranger's request, decoded */
	int64_t mailbox_items, mailbox_bytes, mailbox_life_ms;
	int64_t outbox_items, outbox_bytes, outbox_life_ms;
	bool no_remote_receipts; /* nodes get no receipts for messages that come from now on */
	bool must_exist;	 /* a database that is not there is not made */
	bool serves;	       /* for a node: what a restored backup calls for is done first */
	bool alone;	       /* refused where a node serves it, and none can begin to */
	size_t inbox_capacity; /* operations that may wait, per lane */
	/* Is told what has been committed; NULL: nobody is. By the write lane, for each batch
	 * before it is given back, a chain in the order of the operations; and by the thread
	 * that hears of other processes, possibly at the same time. Copies what it needs.
	 * Messages that it returns, a list, are given back in front of the batch and in the
	 * same go, so that who has to do with both is woken once. */
	struct message *(*told)(void *told_context, const struct effects *effects);
	void *told_context;
};

struct store;

/* Opens the database and applies the migrations it lacks; starts the lanes. Refuses a
 * database that is newer than the program. The strings of the configuration must outlive
 * the store. */
enum err store_open(const struct store_config *config, struct store **store_out) MUST_CHECK;
/* Finishes everything that was posted, then closes. */
void store_close(struct store **store);

/* May other processes serve the same database? Then sockets and destinations have to be said
 * to be here (ops_processes.h). Any thread. */
bool store_is_shared(const struct store *store);

/* Where it is shared: what other processes commit is told, too, from now on until it is closed.
 * For a store that serves; nothing happens where nobody is told. */
enum err store_start_news(struct store *store) MUST_CHECK;

/* True: the operation is given away and will come back. False: the lane is full. */
bool store_post(struct store *store, struct store_op *op) MUST_CHECK;
/* Posts it, waits until it is done, and returns its outcome: for threads that have nothing else
 * to do. Sets its reply_to. ERR_BUSY: the lane is full. */
enum err store_run(struct store *store, struct store_op *op) MUST_CHECK;

/* For `restante check`: opens without changing anything. Problems, one a line. */
enum err store_check(const struct store_config *config, struct text *problems) MUST_CHECK;

#endif
