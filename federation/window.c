/* SPDX-License-Identifier: MIT
 *
 * Windows: a list of items. Bounds are kept here; what does not fit is read from the store
 * later. Federation thread only, except window_item_create().
 */
#include "window.h"

#include "restante/log.h"

#include <stdlib.h>

#define COMMA 1

struct window_item *window_item_create(const char *domain, int64_t position, struct bytes body)
{
	size_t domain_size = strlen(domain) + 1;
	struct window_item *item = malloc(sizeof *item + body.len + domain_size);
	uint8_t *data;

	if (item == NULL)
		fatal("out of memory, wanted %zu bytes", body.len);
	data = (uint8_t *)(item + 1);
	if (body.len > 0)
		memcpy(data, body.data, body.len);
	memcpy(data + body.len, domain, domain_size);
	item->next = NULL;
	item->position = position;
	item->body = bytes_of(data, body.len);
	item->domain = (const char *)data + body.len;
	return item;
}

void window_init(struct window *window, int64_t tail, size_t *total_bytes)
{
	*window = (struct window){.tail = tail, .total_bytes = total_bytes};
}

static void count_bytes(struct window *window, const struct window_item *item, int sign)
{
	size_t size = sizeof *item + item->body.len;

	window->bytes += sign > 0 ? size : -size;
	*window->total_bytes += sign > 0 ? size : -size;
}

static void drop_first(struct window *window)
{
	struct window_item *item = window->first;

	window->first = item->next;
	if (window->first == NULL)
		window->last = NULL;
	window->count--;
	count_bytes(window, item, -1);
	free(item);
}

void window_clear(struct window *window, int64_t tail)
{
	while (window->first != NULL)
		drop_first(window);
	window->tail = tail;
}

bool window_append(struct window *window, struct window_item *item)
{
	if (item->position != window->tail + 1)
		return false;
	/* An item always fits into an empty window: else it would never be sent. */
	if (window->count > 0 && (window->count >= WINDOW_ITEMS_MAX ||
				  window->bytes + item->body.len > WINDOW_BYTES_MAX))
		return false;
	item->next = NULL;
	if (window->last != NULL)
		window->last->next = item;
	else
		window->first = item;
	window->last = item;
	window->tail = item->position;
	window->count++;
	count_bytes(window, item, 1);
	return true;
}

void window_drop(struct window *window, int64_t up_to)
{
	while (window->first != NULL && window->first->position <= up_to)
		drop_first(window);
	if (window->tail < up_to)
		window->tail = up_to;
}

size_t window_batch(const struct window *window, const struct window_limits *limits)
{
	size_t count = 0;
	size_t bytes = 0;

	for (const struct window_item *i = window->first; i != NULL; i = i->next) {
		bytes += i->body.len + COMMA;
		if (count >= limits->items || bytes > limits->bytes)
			break;
		if (limits->until > 0 && i->position > limits->until)
			break;
		count++;
	}
	return count;
}
