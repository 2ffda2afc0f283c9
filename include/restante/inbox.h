/* SPDX-License-Identifier: MIT
 *
 * Inboxes: the place where threads meet; all that they share besides are tables behind locks
 * (lock.h).
 *
 * A message has one owner. inbox_post() gives it away; whoever took it gives the
 * same message back with inbox_return(), so a reply never allocates and is never
 * refused. Only a first post can be refused, when the inbox is full.
 *
 * Messages are embedded at the start of the struct that carries the request and, when
 * it comes back, the answer.
 */
#ifndef RESTANTE_INBOX_H
#define RESTANTE_INBOX_H

#include "restante/err.h"

#include <stddef.h>

struct inbox;

struct message {
	struct message *next;
	struct inbox *reply_to;
	/* Called by the owner of reply_to, on its thread, from inbox_dispatch(). */
	void (*returned)(struct message *message);
	/* Called by the receiver of a message, on its thread, from inbox_dispatch().
	 * It owns the message from then on. Unused where the receiver takes batches. */
	void (*deliver)(struct message *message, void *receiver);
	bool is_reply; /* set by inbox_post() and inbox_return() alone */
};

/* capacity: how many posted messages may wait; returned ones are not counted.
 * wake(context): called by the posting thread when the inbox was empty; NULL for a
 * receiver that blocks in inbox_wait(). */
struct inbox *inbox_create(size_t capacity, void (*wake)(void *context), void *context);
void inbox_destroy(struct inbox **inbox); /* must be empty */

/* True: the message is given away. False: the inbox is full or closed, it is still yours. */
bool inbox_post(struct inbox *inbox, struct message *message) MUST_CHECK;

/* Gives a message back to its reply_to. Never fails, also after inbox_close(). */
void inbox_return(struct message *message);
/* The same for each message of a list; those for one inbox arrive there together, in their
 * order. */
void inbox_return_all(struct message *list);

/* Runs returned() or deliver() of everything that waits, in order, and of nothing
 * that arrives meanwhile. Returns how many. For loops that are woken. */
size_t inbox_dispatch(struct inbox *inbox, void *receiver);

/* Blocks until something waits, then takes at most max messages as a list, in order.
 * NULL once the inbox is closed and empty. For threads that only serve an inbox. */
struct message *inbox_wait(struct inbox *inbox, size_t max);

/* The same without blocking: NULL where nothing waits. *closed_out: nothing will. */
struct message *inbox_take(struct inbox *inbox, size_t max, bool *closed_out);

/* Refuses further posts and wakes the threads in inbox_wait(). */
void inbox_close(struct inbox *inbox);

#endif
