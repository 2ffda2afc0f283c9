/* SPDX-License-Identifier: MIT
 *
 * Store operations of the outboxes: each with an arena of its own, posted in order, and posted
 * again when the lane is full or the store fails. Federation thread only.
 */
#ifndef FEDERATION_STORED_OP_H
#define FEDERATION_STORED_OP_H

#include "restante/federation.h"
#include "restante/ops_processes.h"

struct outbox;
struct outboxes;
struct orders;

struct stored_op {
	union { /* first: a store_op begins with its message */
		struct store_op op;
		struct op_destinations_load load;
		struct op_destinations_lease lease;
		struct op_destination_put put;
		struct op_destination_remove remove;
		struct op_outbox_read read;
		struct op_outbox_settle settle;
		struct op_outbox_reset reset;
		struct op_outbox_expire expire;
		struct op_peer_orders_read orders_read;
	};
	struct stored_ops *ops;
	struct stored_op *next;
	struct arena *arena;
	bool fresh_arena; /* made for it, and empty before each try */
	int64_t not_before_ms;
	/* Called when the store has done it, with ERR_OK or an expected outcome; ends in
	 * stored_op_free(). Exactly one of the contexts is set. */
	void (*done)(struct stored_op *op);
	struct outbox *outbox;
	struct outboxes *outboxes;
	struct orders *orders;
};

struct stored_op_list {
	struct stored_op *first, *last;
};

struct stored_ops {
	struct store *store;
	struct inbox *inbox; /* where they come back */
	struct stored_op_list unposted;
	size_t in_store; /* posted and not back */
};

/* A NULL arena: a new one, which nothing may be put into. Either is freed with the operation.
 */
struct stored_op *stored_op_create(struct stored_ops *ops, enum store_kind kind,
				   struct arena *arena);
void stored_op_post(struct stored_op *op);
void stored_op_free(struct stored_op *op);

/* Tries again what could not be posted. Call on every turn. */
void stored_ops_turn(struct stored_ops *ops);
bool stored_ops_wait(const struct stored_ops *ops); /* does anything wait for a turn? */
/* Frees what has not been posted. What is in the store must have come back. */
void stored_ops_clear(struct stored_ops *ops);

#endif
