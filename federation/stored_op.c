/* SPDX-License-Identifier: MIT
 *
 * Posting operations. Those that failed unexpectedly have written nothing and are posted again,
 * with what they hold: for the outboxes there is no giving up on the store.
 */
#include "stored_op.h"

#include "restante/clock.h"
#include "restante/log.h"

#include <stdlib.h>

#define AGAIN_AFTER_MS (1 * SECONDS_MS)

static void append(struct stored_op_list *list, struct stored_op *op)
{
	op->next = NULL;
	if (list->last != NULL)
		list->last->next = op;
	else
		list->first = op;
	list->last = op;
}

static struct stored_op *take_first(struct stored_op_list *list)
{
	struct stored_op *op = list->first;

	list->first = op->next;
	if (list->first == NULL)
		list->last = NULL;
	op->next = NULL;
	return op;
}

/* What the try that failed has left there would add up. */
static void arena_renew(struct stored_op *op)
{
	struct arena *before = op->arena;

	if (!op->fresh_arena)
		return;
	op->arena = op->op.arena = arena_create();
	arena_destroy(&before);
}

static void op_returned(struct message *message)
{
	struct stored_op *op = (struct stored_op *)(void *)message;

	op->ops->in_store--;
	if (op->op.err == ERR_STORE || op->op.err == ERR_BUSY) {
		arena_renew(op);
		op->not_before_ms = clock_monotonic_ms() + AGAIN_AFTER_MS;
		append(&op->ops->unposted, op);
		return;
	}
	op->done(op);
}

struct stored_op *stored_op_create(struct stored_ops *ops, enum store_kind kind,
				   struct arena *arena)
{
	struct stored_op *op = calloc(1, sizeof *op);

	if (op == NULL)
		fatal("out of memory");
	op->ops = ops;
	op->fresh_arena = arena == NULL;
	op->arena = op->fresh_arena ? arena_create() : arena;
	op->op.kind = kind;
	op->op.arena = op->arena;
	op->op.message.reply_to = ops->inbox;
	op->op.message.returned = op_returned;
	return op;
}

void stored_op_free(struct stored_op *op)
{
	arena_destroy(&op->arena);
	free(op);
}

static bool try_post(struct stored_op *op)
{
	if (op->not_before_ms > clock_monotonic_ms())
		return false;
	op->op.now_ms = clock_now_ms();
	op->op.err = ERR_OK;
	/* Counted first: it may be back before store_post() is. */
	op->ops->in_store++;
	if (store_post(op->ops->store, &op->op))
		return true;
	op->ops->in_store--;
	return false;
}

void stored_op_post(struct stored_op *op)
{
	if (op->ops->unposted.first != NULL || !try_post(op))
		append(&op->ops->unposted, op);
}

void stored_ops_turn(struct stored_ops *ops)
{
	struct stored_op_list list = ops->unposted;

	ops->unposted = (struct stored_op_list){0};
	while (list.first != NULL) {
		struct stored_op *op = take_first(&list);

		if (!try_post(op))
			append(&ops->unposted, op);
	}
}

bool stored_ops_wait(const struct stored_ops *ops)
{
	return ops->unposted.first != NULL;
}

void stored_ops_clear(struct stored_ops *ops)
{
	while (ops->unposted.first != NULL)
		stored_op_free(take_first(&ops->unposted));
}
