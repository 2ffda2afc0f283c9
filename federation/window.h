/* SPDX-License-Identifier: MIT
 *
 * The part of an outbox that is in memory: items with consecutive positions, of which the
 * first is the next to be settled.
 */
#ifndef FEDERATION_WINDOW_H
#define FEDERATION_WINDOW_H

#include "restante/bytes.h"

#define WINDOW_ITEMS_MAX 2000
#define WINDOW_BYTES_MAX (8 * 1024 * 1024)

/* One item on its way into a window, in one piece of memory of its own. */
struct window_item {
	struct window_item *next;
	int64_t position;   /* 0: ephemeral */
	const char *domain; /* behind the body */
	struct bytes body;
};

struct window {
	struct window_item *first, *last;
	size_t count;
	size_t bytes;
	int64_t tail;	     /* position of the last item; where there is none, the next
			      * one is tail + 1 */
	size_t *total_bytes; /* of all windows */
};

/* Copies both. */
struct window_item *window_item_create(const char *domain, int64_t position, struct bytes body);

/* Empty, to go on behind `tail`. */
void window_init(struct window *window, int64_t tail, size_t *total_bytes);
/* Frees all items. */
void window_clear(struct window *window, int64_t tail);
/* Takes the item if it is the next one and there is room for it. */
bool window_append(struct window *window, struct window_item *item);
/* Frees the items up to a position, which have been settled. */
void window_drop(struct window *window, int64_t up_to);

struct window_limits {
	size_t items;
	size_t bytes;  /* of bodies, with a comma each */
	int64_t until; /* last position; 0: any */
};
/* How many items from the front make up a batch. 0: already the first one is too large. */
size_t window_batch(const struct window *window, const struct window_limits *limits);

#endif
