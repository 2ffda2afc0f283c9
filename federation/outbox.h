/* SPDX-License-Identifier: MIT
 *
 * Outboxes: what waits for each destination, and sending it (docs/protocol.md sections 4.5
 * and 4.6). Federation thread only.
 */
#ifndef FEDERATION_OUTBOX_H
#define FEDERATION_OUTBOX_H

#include "call.h"
#include "states.h"
#include "stored_op.h"
#include "window.h"

#include "restante/log.h"

#define uthash_fatal(message) fatal("%s", message)
#include <uthash.h>

#define TRANSACTION_TIMEOUT_MS 30000
#define TRANSACTION_ANSWER_MAX (4 * 1024 * 1024)
#define TRANSACTION_PATH       "/federation/v1/transactions"
#define TRANSACTION_BYTES_MAX  (4 * 1024 * 1024)
#define TRANSACTION_FRAME      128 /* of the body, besides items */

/* Transactions in flight. Destinations that have not answered lately share a part of the
 * room, so that many dead ones do not keep the others waiting; and the others leave some.
 * One that takes long gives its place to the next, and is slow from then on. */
enum flight { FLIGHT_PROVEN, FLIGHT_UNPROVEN, FLIGHT_SLOW, FLIGHT_CLASS_COUNT };

#define FLIGHTS_MAX	      384 /* without the slow ones */
#define FLIGHTS_PROVEN_MAX    160
#define FLIGHTS_UNPROVEN_MAX  256
#define FLIGHTS_SLOW_MAX      512
#define SLOW_AFTER_MS	      (2 * SECONDS_MS)
#define SLOW_BYTES_MAX	      ((size_t)128 * 1024 * 1024)
#define EPHEMERAL_FLIGHTS_MAX 128
#define EPHEMERAL_TIMEOUT_MS  8000
#define PAUSE_MS	      (1 * SECONDS_MS)
#define WINDOWS_BYTES_MAX     ((size_t)128 * 1024 * 1024)
#define EPHEMERAL_BYTES_MAX   ((size_t)16 * 1024 * 1024)

/* What an outbox is doing that moves its stream: one thing at a time. */
enum outbox_work { WORK_NONE, WORK_SEND, WORK_SETTLE, WORK_RESET, WORK_EXPIRE, WORK_REMOVE };

/* The transaction in flight. */
struct batch {
	struct arena *arena;
	int64_t first, last; /* positions */
	size_t count;	     /* 0: nothing has been sent */
	size_t bytes;	     /* of its body */
	bool oversized;	     /* the next item alone is more than the peer takes */
	int64_t started_ms;  /* monotonic */
};

struct ephemeral {
	struct window_item *first, *last;
	size_t count;
	bool in_flight;
	struct arena *arena;
	size_t sent;
	int64_t started_ms;
};

struct outbox {
	UT_hash_handle hh;
	struct outboxes *all;
	/* As in the store, but newer. `last` is the last position that is known of. */
	struct destination row;
	bool known;		/* the row has been read */
	int64_t stored_offered; /* what the store has for `offered` */
	struct window window;
	enum outbox_work work;
	struct batch batch;
	size_t reading;		 /* bytes that an OUTBOX_READ under way may bring; 0: none */
	int64_t not_before_ms;	 /* monotonic; a short pause of this node's own */
	bool putting, put_again; /* a DESTINATION_PUT is; and is out of date already */
	bool queued;		 /* among those that are ready */
	struct outbox *next_ready;
	bool proven;	    /* its last transaction was answered */
	enum flight flight; /* of the transaction that is out */
	/* A transaction up to here may have been taken: to be repeated byte for byte, it
	 * must end there again. 0: none. */
	int64_t repeat_last;
	size_t batch_items; /* 0: as many as the peer takes */
	int resets;	    /* streams given up since something was taken */
	int64_t heard_ms;
	int64_t busy_ms; /* monotonic: when there was something to do last */
	bool expire_due;
	int64_t expire_mark; /* the last position a minute ago */
	struct ephemeral ephemeral;
};

struct ready_list {
	struct outbox *first, *last;
	size_t count;
};

struct outboxes {
	struct policy *policy;
	struct calls *calls;
	struct stored_ops ops;
	struct schedule schedule;
	struct outbox *by_domain; /* uthash */
	struct ready_list proven, unproven;
	size_t flights[FLIGHT_CLASS_COUNT], ephemeral_flights;
	size_t window_bytes, reading_bytes, slow_bytes, ephemeral_bytes;
	bool loading, load_again, loaded, stopping;
	int64_t next_expire_ms; /* monotonic */
};

/* --- outboxes.c ------------------------------------------------------------------------ */

struct outboxes *outboxes_create(const struct federation_config *config, struct calls *calls,
				 struct inbox *inbox);
/* Everything has come back: outboxes_are_quiet(). */
void outboxes_destroy(struct outboxes **outboxes);
void outboxes_start(struct outboxes *all);
/* Reads the destinations with something waiting, at start and when some were missed. */
void outboxes_load(struct outboxes *all);
/* Takes the item. */
void outboxes_submit(struct outboxes *all, struct window_item *item);
void outboxes_heard(struct outboxes *all, const char *domain);
/* What the operator has said: other words about policy; its keys are no reason to hold what
 * waits any longer; try now. */
void outboxes_policy_changed(struct outboxes *all, const char *domain);
void outboxes_agree(struct outboxes *all, const char *domain);
void outboxes_flush(struct outboxes *all, const char *domain);
void outboxes_turn(struct outboxes *all);
void outboxes_tick(struct outboxes *all); /* about once a second */
/* No new transactions. */
void outboxes_stop(struct outboxes *all);
bool outboxes_are_idle(const struct outboxes *all);  /* nothing is being sent or settled */
bool outboxes_are_quiet(const struct outboxes *all); /* nothing is in the store either */

/* Puts the outbox among those that are ready if it has something to do. Call after every
 * change. */
void outbox_consider(struct outbox *outbox);
struct stored_op *outbox_op(struct outbox *outbox, enum store_kind kind, struct arena *arena,
			    void (*done)(struct stored_op *op));

/* --- outbox.c -------------------------------------------------------------------------- */

/* The one function that moves a destination. */
void outbox_move(struct outbox *outbox, enum destination_event event, int64_t retry_after_ms);
/* Stores its state, and how far it may have been sent. */
void outbox_put(struct outbox *outbox);
/* Does what is next: expire, open a stream, read, send. */
void outbox_step(struct outbox *outbox);
/* True: expiring has begun. */
bool outbox_expire(struct outbox *outbox);
void outbox_read(struct outbox *outbox);
/* May its window grow? There is a bound over all, half of it for what is not proven. */
bool outbox_has_room(const struct outbox *outbox);
/* Results' seqs are positions; the arena holds them and is taken. */
void outbox_settle(struct outbox *outbox, int64_t up_to, const struct item_result *results,
		   size_t n_results, struct arena *arena);
/* The stream cannot go on: a new one before the next transaction. */
void outbox_break_stream(struct outbox *outbox, const char *why);
/* Takes over what the store says of the stream. */
void outbox_absorb(struct outbox *outbox, const struct destination *row);

/* --- delivery.c, ephemeral.c ----------------------------------------------------------- */

void outbox_send(struct outbox *outbox);
/* Has its transaction become a slow one? */
void outbox_check_flight(struct outbox *outbox, int64_t now_ms);
void outbox_send_ephemeral(struct outbox *outbox, struct window_item *item);
void outbox_drop_ephemeral(struct outbox *outbox);

#endif
