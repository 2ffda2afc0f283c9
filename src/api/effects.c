/* SPDX-License-Identifier: MIT
 *
 * Telling what has been committed: sockets by way of live, other domains by way of the
 * federation thread.
 *
 * The session of a device may be at another net thread. What concerns it is copied, gathered
 * with all else for that thread while this one goes through its inbox, and told there. That is
 * a hint, as all telling is: where it would be too much it is left out, and the sessions there
 * read their mailboxes.
 */
#include "node.h"

#include "restante/messages.h"

/* On its way to one thread. */
#define PASSED_BYTES_MAX   ((size_t)64 << 20)
/* However little is in it, it has an arena. */
#define PASSED_BYTES_LEAST ((size_t)8 << 10)

struct acked {
	struct acked *next;
	int64_t generation;
	struct ack_request request;
};

struct displaced {
	struct displaced *next;
	int64_t generation;
	int64_t number;
};

/* For one other thread, which gets it with its arena. */
struct passed {
	struct message message;
	struct arena *arena;
	size_t bytes; /* that it takes, about */
	struct effects effects;
	struct acked *acked;
	struct displaced *displaced;
};

/* --- on the other thread -------------------------------------------------------------- */

static void passed_deliver(struct message *message, void *receiver)
{
	struct passed *passed = (struct passed *)message;
	struct node *node = receiver;
	struct arena *arena = passed->arena;

	live_tell(node->live, &passed->effects);
	for (const struct acked *a = passed->acked; a != NULL; a = a->next)
		live_acked(node->live, a->generation, &a->request);
	for (const struct displaced *d = passed->displaced; d != NULL; d = d->next)
		live_displace(node->live, d->generation, d->number);
	atomic_fetch_sub(&node->passed_bytes, passed->bytes);
	arena_destroy(&arena);
}

void node_catch_up(struct node *node)
{
	if (atomic_exchange(&node->missed, false))
		live_refresh(node->live);
}

/* --- gathering ------------------------------------------------------------------------ */

static struct passed *passed_to(struct node *node, const struct node *to)
{
	struct passed **passed = &node->passed[to->index];
	struct arena *arena;

	if (*passed == NULL) {
		arena = arena_create();
		*passed = arena_new(arena, struct passed);
		(*passed)->arena = arena;
		(*passed)->message.deliver = passed_deliver;
		(*passed)->bytes = PASSED_BYTES_LEAST;
	}
	return *passed;
}

/* What is gathered for the thread that has the device's session. NULL: that is this one, or
 * none. */
static struct passed *passed_for(struct node *node, int64_t generation)
{
	const struct node *holder = directory_find(node->shared->directory, generation);

	return holder != NULL && holder != node ? passed_to(node, holder) : NULL;
}

static void pass_delivery(struct passed *passed, const struct delivery *delivery)
{
	struct mailbox_item item = delivery->item;

	item.body = arena_bytes(passed->arena, item.body);
	passed->bytes += sizeof(*delivery) + item.body.len;
	effects_deliver(&passed->effects, passed->arena, delivery->generation,
			delivery->previous, &item);
}

static void pass(struct node *node, const struct effects *effects)
{
	struct passed *passed;

	for (const struct delivery *d = effects->deliveries; d != NULL; d = d->next)
		if ((passed = passed_for(node, d->generation)) != NULL)
			pass_delivery(passed, d);
	for (const struct list_hint *h = effects->list_hints; h != NULL; h = h->next)
		if ((passed = passed_for(node, h->generation)) != NULL)
			effects_hint(&passed->effects, passed->arena, h->generation, h->address,
				     h->list_version);
	for (const struct prekeys_low *l = effects->low; l != NULL; l = l->next)
		if ((passed = passed_for(node, l->generation)) != NULL)
			effects_low(&passed->effects, passed->arena, l->generation, l->one_time,
				    l->pq);
	for (const struct session_end *e = effects->ended; e != NULL; e = e->next)
		if ((passed = passed_for(node, e->generation)) != NULL)
			effects_end(&passed->effects, passed->arena, e->generation,
				    e->socket_key, e->code);
	for (size_t i = 0; effects->refresh && i < node->shared->n_nodes; i++)
		if (i != node->index)
			atomic_store(&node->shared->nodes[i]->missed, true);
}

static void pass_ack(struct passed *passed, int64_t generation, const struct ack_request *ack)
{
	struct acked *acked = arena_new(passed->arena, struct acked);

	acked->generation = generation;
	acked->request = *ack;
	acked->request.seqs = arena_array(passed->arena, int64_t, ack->n_seqs);
	for (size_t i = 0; i < ack->n_seqs; i++)
		acked->request.seqs[i] = ack->seqs[i];
	acked->next = passed->acked;
	passed->acked = acked;
}

static void passed_post(struct passed *passed, struct node *to)
{
	struct arena *arena = passed->arena;
	size_t bytes = passed->bytes;

	if (atomic_fetch_add(&to->passed_bytes, bytes) <= PASSED_BYTES_MAX &&
	    inbox_post(to->inbox, &passed->message))
		return;
	atomic_fetch_sub(&to->passed_bytes, bytes);
	atomic_store(&to->missed, true);
	arena_destroy(&arena);
}

/* --- telling -------------------------------------------------------------------------- */

static void tell_federation(struct node *node, const struct effects *effects)
{
	struct federation *federation = node->shared->federation;

	federation_submit(federation, &node->submitted, effects->outbound);
	for (const struct named *peer = effects->changed; peer != NULL; peer = peer->next)
		federation_peer_changed(federation, peer->domain);
	for (const struct named *peer = effects->heard; peer != NULL; peer = peer->next)
		federation_heard(federation, peer->domain);
	if (effects->lease || effects->refresh)
		federation_load(federation);
}

void node_tell(struct node *node, const struct effects *effects)
{
	struct shared *shared = node->shared;

	live_tell(node->live, effects);
	if (shared->n_nodes > 1)
		pass(node, effects);
	if (effects->processes > 0)
		limits_divide(shared, effects->processes);
	if (shared->federation != NULL)
		tell_federation(node, effects);
}

void node_told(struct message *message, void *receiver)
{
	const struct effects_told *told = (const struct effects_told *)message;

	node_tell(receiver, told->effects);
	inbox_return(message);
}

void node_acked(struct node *node, int64_t generation, const struct ack_request *ack)
{
	struct passed *passed = passed_for(node, generation);

	if (passed != NULL)
		pass_ack(passed, generation, ack);
	else
		live_acked(node->live, generation, ack);
}

void node_displaces(void *node, void *former, int64_t generation, int64_t number)
{
	struct passed *passed = passed_to(node, former);
	struct displaced *displaced = arena_new(passed->arena, struct displaced);

	displaced->generation = generation;
	displaced->number = number;
	displaced->next = passed->displaced;
	passed->displaced = displaced;
}

void node_dispatched(void *context)
{
	struct node *node = context;
	struct shared *shared = node->shared;

	if (shared->federation != NULL)
		federation_flush(shared->federation, &node->submitted);
	for (size_t i = 0; i < shared->n_nodes; i++) {
		struct passed *passed = node->passed[i];

		node->passed[i] = NULL;
		if (passed != NULL)
			passed_post(passed, shared->nodes[i]);
	}
}
