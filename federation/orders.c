/* SPDX-License-Identifier: MIT
 *
 * Carrying out the operator's orders in memory, once a second. The store has had its part when
 * they were given. Federation thread.
 */
#include "orders.h"

#include <stdlib.h>

struct orders {
	struct policy *policy;
	struct discovery *discovery;
	struct outboxes *outboxes;
	int64_t newest; /* of those that are done */
	bool reading;
};

struct orders *orders_create(struct policy *policy, struct discovery *discovery,
			     struct outboxes *outboxes)
{
	struct orders *orders = calloc(1, sizeof *orders);

	if (orders == NULL)
		fatal("out of memory");
	orders->policy = policy;
	orders->discovery = discovery;
	orders->outboxes = outboxes;
	return orders;
}

void orders_destroy(struct orders **orders)
{
	free(*orders);
	*orders = NULL;
}

enum err orders_load(struct orders *orders, struct store *store)
{
	struct arena *arena = arena_create();
	struct op_peer_orders_read read = {
		.op = {.kind = STORE_PEER_ORDERS_READ, .arena = arena},
		.now = true,
	};
	enum err err = store_run(store, &read.op);

	for (size_t i = 0; err == ERR_OK && i < read.n_policies; i++)
		policy_say(orders->policy, read.policies[i].domain, read.policies[i].allowed);
	orders->newest = read.newest;
	arena_destroy(&arena);
	return err;
}

static const char *order_name(enum peer_order_kind kind)
{
	static const char *const names[] = {
		[PEER_ORDER_BLOCK] = "block",
		[PEER_ORDER_ALLOW] = "allow",
		[PEER_ORDER_REPIN] = "repin",
		[PEER_ORDER_FLUSH] = "flush",
	};

	return names[kind];
}

static void carry_out(struct orders *orders, const struct peer_order *order)
{
	log_info(peer_order, "domain=%s order=%s", order->domain, order_name(order->kind));
	switch (order->kind) {
	case PEER_ORDER_BLOCK:
	case PEER_ORDER_ALLOW:
		policy_say(orders->policy, order->domain, order->kind == PEER_ORDER_ALLOW);
		outboxes_policy_changed(orders->outboxes, order->domain);
		break;
	case PEER_ORDER_REPIN:
		discovery_forget(orders->discovery, order->domain);
		outboxes_agree(orders->outboxes, order->domain);
		break;
	case PEER_ORDER_FLUSH:
		discovery_retry(orders->discovery, order->domain);
		outboxes_flush(orders->outboxes, order->domain);
		break;
	}
}

static void read_done(struct stored_op *op)
{
	struct orders *orders = op->orders;
	const struct op_peer_orders_read *read = &op->orders_read;

	orders->reading = false;
	orders->newest = read->newest;
	for (size_t i = 0; i < read->n_orders; i++)
		carry_out(orders, &read->orders[i]);
	stored_op_free(op);
}

void orders_tick(struct orders *orders)
{
	struct stored_op *op;

	if (orders->reading || orders->outboxes->stopping)
		return;
	orders->reading = true;
	op = stored_op_create(&orders->outboxes->ops, STORE_PEER_ORDERS_READ, NULL);
	op->orders = orders;
	op->done = read_done;
	op->orders_read.after = orders->newest;
	stored_op_post(op);
}
