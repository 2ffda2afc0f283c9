/* SPDX-License-Identifier: MIT
 *
 * Held items: a short list. Each net thread has those of its sessions.
 */
#include "held.h"

#include "restante/log.h"

#include <stdlib.h>

void held_put(struct held_items *held, const struct delivery *delivery)
{
	const struct mailbox_item *item = &delivery->item;
	struct held *added = malloc(sizeof(*added) + item->body.len);
	struct held **at = &held->first;

	if (added == NULL)
		fatal("out of memory");
	added->previous = delivery->previous;
	added->item = *item;
	if (item->body.len > 0)
		memcpy(added + 1, item->body.data, item->body.len);
	added->item.body = bytes_of((uint8_t *)(added + 1), item->body.len);
	while (*at != NULL && (*at)->item.seq < item->seq)
		at = &(*at)->next;
	added->next = *at;
	*at = added;
	held->bytes += sizeof(*added) + item->body.len;
}

static struct held *take_first(struct held_items *held)
{
	struct held *first = held->first;

	held->first = first->next;
	held->bytes -= sizeof(*first) + first->item.body.len;
	return first;
}

struct held *held_take(struct held_items *held, int64_t sent)
{
	while (held->first != NULL && held->first->item.seq <= sent)
		free(take_first(held));
	return held->first != NULL && held->first->previous <= sent ? take_first(held) : NULL;
}

void held_clear(struct held_items *held)
{
	while (held->first != NULL)
		free(take_first(held));
}
