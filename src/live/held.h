/* SPDX-License-Identifier: MIT
 *
 * Items of a session that were told before the one that comes first, by another thread. They
 * wait for it, in the order of their numbers.
 */
#ifndef LIVE_HELD_H
#define LIVE_HELD_H

#include "restante/effects.h"

struct held {
	struct held *next;
	int64_t previous;
	struct mailbox_item item; /* its body behind it */
};

struct held_items {
	struct held *first;
	size_t bytes;
};

/* Copies it. */
void held_put(struct held_items *held, const struct delivery *delivery);
/* Takes off the first whose turn it is when all up to this number have been sent, to be freed;
 * and drops those that have been sent. NULL: there is none. */
struct held *held_take(struct held_items *held, int64_t sent);
void held_clear(struct held_items *held);

#endif
