/* SPDX-License-Identifier: MIT
 *
 * Collecting what has to be told once an operation is committed. Any thread: whoever owns the
 * effects.
 */
#include "restante/effects.h"

void effects_deliver(struct effects *effects, struct arena *arena, int64_t generation,
		     int64_t previous, const struct mailbox_item *item)
{
	struct delivery *delivery = arena_new(arena, struct delivery);

	delivery->generation = generation;
	delivery->previous = previous;
	delivery->item = *item;
	if (effects->last_delivery != NULL)
		effects->last_delivery->next = delivery;
	else
		effects->deliveries = delivery;
	effects->last_delivery = delivery;
}

void effects_outbound(struct effects *effects, struct arena *arena, const char *domain,
		      int64_t holder, int64_t position, struct bytes body)
{
	struct outbound *outbound = arena_new(arena, struct outbound);

	memcpy(outbound->domain, domain, strlen(domain) + 1);
	outbound->holder = holder;
	outbound->position = position;
	outbound->body = body;
	if (effects->last_outbound != NULL)
		effects->last_outbound->next = outbound;
	else
		effects->outbound = outbound;
	effects->last_outbound = outbound;
}

void effects_end(struct effects *effects, struct arena *arena, int64_t generation,
		 int64_t socket_key, uint16_t code)
{
	struct session_end *end = arena_new(arena, struct session_end);

	end->generation = generation;
	end->socket_key = socket_key;
	end->code = code;
	end->next = effects->ended;
	effects->ended = end;
}

/* One change has many hints: they share the address. */
void effects_hint(struct effects *effects, struct arena *arena, int64_t generation,
		  const char *address, int64_t list_version)
{
	struct list_hint *hint = arena_new(arena, struct list_hint);
	struct list_hint *before = effects->last_list_hint;

	hint->generation = generation;
	hint->address = before != NULL && strcmp(before->address, address) == 0
				? before->address
				: arena_text(arena, bytes_of_text(address));
	hint->list_version = list_version;
	if (before != NULL)
		before->next = hint;
	else
		effects->list_hints = hint;
	effects->last_list_hint = hint;
}

void effects_low(struct effects *effects, struct arena *arena, int64_t generation,
		 int64_t one_time, int64_t pq)
{
	struct prekeys_low *low = arena_new(arena, struct prekeys_low);

	low->generation = generation;
	low->one_time = one_time;
	low->pq = pq;
	if (effects->last_low != NULL)
		effects->last_low->next = low;
	else
		effects->low = low;
	effects->last_low = low;
}

void effects_ack(struct effects *effects, struct arena *arena, int64_t generation,
		 const struct ack_request *request)
{
	struct acked *acked = arena_new(arena, struct acked);

	acked->generation = generation;
	acked->request = request;
	acked->next = effects->acked;
	effects->acked = acked;
}

void effects_name(struct named **list, struct arena *arena, const char *domain)
{
	struct named *named = arena_new(arena, struct named);

	memcpy(named->domain, domain, strlen(domain) + 1);
	named->next = *list;
	*list = named;
}
