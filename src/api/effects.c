/* SPDX-License-Identifier: MIT
 *
 * Telling what has been committed: each session by way of the net thread that has it, and
 * other domains by way of the federation thread. On the threads of the store.
 *
 * What concerns sessions is copied, gathered for each net thread, and told there. That is a
 * hint, as all telling is: where it would be too much it is left out, and the sessions there
 * read their mailboxes.
 */
#include "node.h"

#include "restante/log.h"
#include "restante/messages.h"

#include <stdlib.h>

/* On its way to one thread. */
#define TOLD_BYTES_MAX	 ((size_t)64 << 20)
/* However little is in it, it has an arena. */
#define TOLD_BYTES_LEAST ((size_t)8 << 10)

/* For one net thread, which gets it with its arena. */
struct told {
	struct message message;
	struct node *node;
	struct arena *arena;
	size_t bytes; /* that it takes, about */
	struct effects effects;
};

struct telling {
	struct shared *shared;
	struct told *told[NODES_MAX];
};

static void told_free(struct told *told)
{
	struct arena *arena = told->arena; /* which it is in */

	atomic_fetch_sub(&told->node->told_bytes, told->bytes);
	arena_destroy(&arena);
}

/* --- on the net thread ---------------------------------------------------------------- */

static void told_returned(struct message *message)
{
	struct told *told = (struct told *)message;

	live_tell(told->node->live, &told->effects);
	told_free(told);
}

void node_catch_up(struct node *node)
{
	if (atomic_exchange(&node->missed, false))
		live_refresh(node->live);
}

/* --- gathering ------------------------------------------------------------------------ */

static struct told *told_to(struct telling *telling, struct node *node)
{
	struct told **told = &telling->told[node->index];
	struct arena *arena;

	if (*told == NULL) {
		arena = arena_create();
		*told = arena_new(arena, struct told);
		(*told)->message.reply_to = node->inbox;
		(*told)->message.returned = told_returned;
		(*told)->node = node;
		(*told)->arena = arena;
		(*told)->bytes = TOLD_BYTES_LEAST;
	}
	return *told;
}

/* What is gathered for the thread that has the device's session. NULL: there is none. */
static struct told *told_for(struct telling *telling, int64_t generation)
{
	struct node *holder = directory_find(telling->shared->directory, generation);

	return holder != NULL ? told_to(telling, holder) : NULL;
}

static void tell_delivery(struct told *told, const struct delivery *delivery)
{
	struct mailbox_item item = delivery->item;

	item.body = arena_bytes(told->arena, item.body);
	told->bytes += sizeof(*delivery) + item.body.len;
	effects_deliver(&told->effects, told->arena, delivery->generation, delivery->previous,
			&item);
}

static void tell_acked(struct told *told, const struct acked *acked)
{
	struct ack_request *request = arena_new(told->arena, struct ack_request);
	size_t size = acked->request->n_seqs * sizeof(*request->seqs);

	*request = *acked->request;
	request->seqs = arena_alloc(told->arena, size);
	if (size > 0)
		memcpy(request->seqs, acked->request->seqs, size);
	told->bytes += sizeof(*acked) + sizeof(*request) + size;
	effects_ack(&told->effects, told->arena, acked->generation, request);
}

static void tell_hint(struct told *told, const struct list_hint *hint)
{
	told->bytes += sizeof(*hint);
	effects_hint(&told->effects, told->arena, hint->generation, hint->address,
		     hint->list_version);
}

static void tell_low(struct told *told, const struct prekeys_low *low)
{
	told->bytes += sizeof(*low);
	effects_low(&told->effects, told->arena, low->generation, low->one_time, low->pq);
}

static void tell_end(struct told *told, const struct session_end *end)
{
	told->bytes += sizeof(*end);
	effects_end(&told->effects, told->arena, end->generation, end->socket_key, end->code);
}

static void tell_sessions(struct telling *telling, const struct effects *effects)
{
	struct told *told;

	for (const struct delivery *d = effects->deliveries; d != NULL; d = d->next)
		if ((told = told_for(telling, d->generation)) != NULL)
			tell_delivery(told, d);
	for (const struct acked *a = effects->acked; a != NULL; a = a->next)
		if ((told = told_for(telling, a->generation)) != NULL)
			tell_acked(told, a);
	for (const struct list_hint *h = effects->list_hints; h != NULL; h = h->next)
		if ((told = told_for(telling, h->generation)) != NULL)
			tell_hint(told, h);
	for (const struct prekeys_low *l = effects->low; l != NULL; l = l->next)
		if ((told = told_for(telling, l->generation)) != NULL)
			tell_low(told, l);
	for (const struct session_end *e = effects->ended; e != NULL; e = e->next)
		if ((told = told_for(telling, e->generation)) != NULL)
			tell_end(told, e);
	for (size_t i = 0; effects->refresh && i < telling->shared->n_nodes; i++)
		told_to(telling, telling->shared->nodes[i])->effects.refresh = true;
}

/* All but what is outbound. */
static void tell_federation(struct federation *federation, const struct effects *effects)
{
	for (const struct named *peer = effects->changed; peer != NULL; peer = peer->next)
		federation_peer_changed(federation, peer->domain);
	for (const struct named *peer = effects->heard; peer != NULL; peer = peer->next)
		federation_heard(federation, peer->domain);
	if (effects->lease || effects->refresh)
		federation_load(federation);
}

/* Which net threads have room for, as a list of messages. */
static struct message *gathered(struct telling *telling)
{
	struct message *list = NULL;

	for (size_t i = 0; i < telling->shared->n_nodes; i++) {
		struct node *node = telling->shared->nodes[i];
		struct told *told = telling->told[i];

		if (told == NULL)
			continue;
		if (atomic_fetch_add(&node->told_bytes, told->bytes) <= TOLD_BYTES_MAX) {
			told->message.next = list;
			list = &told->message;
			continue;
		}
		atomic_store(&node->missed, true);
		told_free(told);
	}
	return list;
}

struct message *node_told(void *context, const struct effects *effects)
{
	struct shared *shared = context;
	struct telling telling = {.shared = shared};

	for (const struct effects *e = effects; e != NULL; e = e->next) {
		tell_sessions(&telling, e);
		if (shared->federation != NULL)
			tell_federation(shared->federation, e);
		if (e->processes > 0)
			limits_divide(shared, e->processes);
	}
	if (shared->federation != NULL)
		federation_submit(shared->federation, effects);
	return gathered(&telling);
}

/* --- from one net thread to another --------------------------------------------------- */

struct displacement {
	struct message message;
	int64_t generation;
	int64_t number;
};

static void displacement_deliver(struct message *message, void *receiver)
{
	struct displacement *displacement = (struct displacement *)message;
	struct node *node = receiver;

	live_displace(node->live, displacement->generation, displacement->number);
	free(displacement);
}

void node_displaces(void *former, int64_t generation, int64_t number)
{
	struct node *node = former;
	struct displacement *displacement = calloc(1, sizeof(*displacement));

	if (displacement == NULL)
		fatal("out of memory");
	displacement->message.deliver = displacement_deliver;
	displacement->generation = generation;
	displacement->number = number;
	if (inbox_post(node->inbox, &displacement->message))
		return;
	atomic_store(&node->missed, true);
	free(displacement);
}
