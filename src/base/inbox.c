/* SPDX-License-Identifier: MIT
 *
 * Inboxes: one list of posted and returned messages in the order of their arrival,
 * under one lock. This is the place where threads wait for each other; no lock is held
 * while a callback runs. Any thread may post and return.
 */
#include "restante/inbox.h"

#include "restante/log.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct inbox {
	pthread_mutex_t lock;
	pthread_cond_t arrival;
	struct message *first;
	struct message *last;
	size_t posted; /* of those in the list, how many count against capacity */
	size_t capacity;
	bool closed;
	void (*wake)(void *context);
	void *context;
};

struct inbox *inbox_create(size_t capacity, void (*wake)(void *context), void *context)
{
	struct inbox *in = calloc(1, sizeof *in);

	if (in == NULL || pthread_mutex_init(&in->lock, NULL) != 0 ||
	    pthread_cond_init(&in->arrival, NULL) != 0)
		fatal("cannot make an inbox");
	in->capacity = capacity;
	in->wake = wake;
	in->context = context;
	return in;
}

void inbox_destroy(struct inbox **inbox)
{
	struct inbox *in = *inbox;

	if (in == NULL)
		return;
	assert(in->first == NULL);
	pthread_cond_destroy(&in->arrival);
	pthread_mutex_destroy(&in->lock);
	free(in);
	*inbox = NULL;
}

/* A list of messages. Call with the lock held; releases it. As soon as it is released the
 * receiver may handle them and destroy the inbox, so nothing of it is touched after that. */
static void append_and_unlock(struct inbox *in, struct message *first, struct message *last)
{
	void (*wake)(void *context) = in->first == NULL ? in->wake : NULL;
	void *context = in->context;

	last->next = NULL;
	if (in->first == NULL)
		in->first = first;
	else
		in->last->next = first;
	in->last = last;
	/* Not only when empty: of several waiting threads each takes a message. */
	if (first == last)
		pthread_cond_signal(&in->arrival);
	else
		pthread_cond_broadcast(&in->arrival);
	pthread_mutex_unlock(&in->lock);
	if (wake != NULL)
		wake(context);
}

bool inbox_post(struct inbox *inbox, struct message *message)
{
	pthread_mutex_lock(&inbox->lock);
	if (inbox->closed || inbox->posted >= inbox->capacity) {
		pthread_mutex_unlock(&inbox->lock);
		return false;
	}
	inbox->posted++;
	message->is_reply = false;
	append_and_unlock(inbox, message, message);
	return true;
}

void inbox_return(struct message *message)
{
	struct inbox *in = message->reply_to;

	pthread_mutex_lock(&in->lock);
	message->is_reply = true;
	append_and_unlock(in, message, message);
}

/* Takes those that belong to the inbox of the first off the list, in their order. */
static struct message *take_of_one_inbox(struct message **list, struct message **last_out)
{
	struct message *first = *list;
	struct message *last = first;
	struct message **at = list;

	*list = first->next;
	first->is_reply = true;
	while (*at != NULL) {
		struct message *message = *at;

		if (message->reply_to != first->reply_to) {
			at = &message->next;
			continue;
		}
		*at = message->next;
		message->is_reply = true;
		last->next = message;
		last = message;
	}
	*last_out = last;
	return first;
}

void inbox_return_all(struct message *list)
{
	while (list != NULL) {
		struct message *last;
		struct message *first = take_of_one_inbox(&list, &last);

		pthread_mutex_lock(&first->reply_to->lock);
		append_and_unlock(first->reply_to, first, last);
	}
}

/* Cuts at most max messages off the front. Call with the lock held. */
static struct message *cut(struct inbox *in, size_t max)
{
	struct message *list = in->first;
	struct message *last = NULL;

	for (size_t n = 0; n < max && in->first != NULL; n++) {
		last = in->first;
		if (!last->is_reply)
			in->posted--;
		in->first = last->next;
	}
	if (last != NULL)
		last->next = NULL;
	return last != NULL ? list : NULL;
}

static struct message *cut_all(struct inbox *in)
{
	struct message *list = in->first;

	in->first = NULL;
	in->posted = 0;
	return list;
}

size_t inbox_dispatch(struct inbox *inbox, void *receiver)
{
	struct message *next;
	size_t n = 0;

	pthread_mutex_lock(&inbox->lock);
	next = cut_all(inbox);
	pthread_mutex_unlock(&inbox->lock);
	while (next != NULL) {
		struct message *message = next;

		next = message->next; /* the callback may free the message or post it on */
		message->next = NULL;
		if (message->is_reply)
			message->returned(message);
		else
			message->deliver(message, receiver);
		n++;
	}
	return n;
}

struct message *inbox_wait(struct inbox *inbox, size_t max)
{
	struct message *list;

	assert(max > 0);
	pthread_mutex_lock(&inbox->lock);
	while (inbox->first == NULL && !inbox->closed)
		pthread_cond_wait(&inbox->arrival, &inbox->lock);
	list = cut(inbox, max);
	pthread_mutex_unlock(&inbox->lock);
	return list;
}

struct message *inbox_take(struct inbox *inbox, size_t max, bool *closed_out)
{
	struct message *list;

	pthread_mutex_lock(&inbox->lock);
	list = cut(inbox, max);
	*closed_out = inbox->closed;
	pthread_mutex_unlock(&inbox->lock);
	return list;
}

void inbox_close(struct inbox *inbox)
{
	pthread_mutex_lock(&inbox->lock);
	inbox->closed = true;
	pthread_cond_broadcast(&inbox->arrival);
	pthread_mutex_unlock(&inbox->lock);
}
