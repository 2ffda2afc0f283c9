/* SPDX-License-Identifier: MIT
 *
 * A socket is gone: other processes need not tell this one any more of what comes for its
 * device. Net thread.
 */
#include "node.h"

#include "restante/clock.h"
#include "restante/ops_processes.h"

static void released(struct message *message)
{
	struct arena *arena = ((struct store_op *)message)->arena;

	arena_destroy(&arena);
}

/* Where there is no room for it, others go on telling, and nobody here listens. */
void socket_release(struct node *node, int64_t generation, int64_t socket_key)
{
	struct arena *arena;
	struct op_socket_close *op;

	if (socket_key == 0)
		return;
	arena = arena_create();
	op = arena_new(arena, struct op_socket_close);
	op->op.kind = STORE_SOCKET_CLOSE;
	op->op.arena = arena;
	op->op.now_ms = clock_now_ms();
	op->op.message.reply_to = node->inbox;
	op->op.message.returned = released;
	op->generation = generation;
	op->socket_key = socket_key;
	if (!node_post(node, &op->op))
		arena_destroy(&arena);
}
