/* SPDX-License-Identifier: MIT
 *
 * The federation thread: its loop, its inbox, its start and end, and the functions by which
 * other threads reach it.
 */
#include "restante/federation.h"

#include "loop.h"
#include "orders.h"

#include "restante/crypto.h"
#include "restante/thread.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define INBOX_CAPACITY	    8192
#define SUBMITTED_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define TICK_MS		    1000
#define RETRY_MS	    20	 /* of what an inbox or a lane had no room for */
#define FINISH_MS	    2000 /* for transactions in flight when the node stops */
#define QUIET_MS	    1500 /* for messages that are out */

struct federation {
	struct federation_config config;
	struct inbox *inbox;
	struct loop *loop;
	struct discovery *discovery;
	struct calls *calls;
	struct remote *remote;
	struct outboxes *outboxes;
	struct orders *orders;
	pthread_t thread;
	int64_t next_tick_ms;
	bool abandoned; /* calls and queries are refused */
	atomic_bool stopping;
	atomic_bool missed;	       /* items were committed and not submitted */
	atomic_size_t submitted_bytes; /* in the inbox */
};

/* Items on their way to the thread. Freed there; it does not go back. */
struct submission {
	struct message message;
	struct window_item *first, *last;
	size_t bytes;
};

/* Something about a domain. */
struct heard {
	struct message message;
	char domain[DOMAIN_SIZE];
};

struct key_change {
	struct message message;
	struct sign_key key;
};

/* --- the thread ------------------------------------------------------------------------ */

static void federation_tick(struct federation *federation)
{
	int64_t now = clock_monotonic_ms();

	if (now < federation->next_tick_ms)
		return;
	federation->next_tick_ms = now + TICK_MS;
	discovery_tick(federation->discovery);
	calls_tick(federation->calls);
	outboxes_tick(federation->outboxes);
	orders_tick(federation->orders);
}

static void federation_turn(struct federation *federation)
{
	int64_t wait = federation->next_tick_ms - clock_monotonic_ms();

	if (stored_ops_wait(&federation->outboxes->ops) && wait > RETRY_MS)
		wait = RETRY_MS;
	loop_turn(federation->loop, wait > 0 ? (int)wait : 0);
	inbox_dispatch(federation->inbox, federation);
	if (atomic_exchange(&federation->missed, false))
		outboxes_load(federation->outboxes);
	federation_tick(federation); /* may find outboxes whose time has come: they go now */
	outboxes_turn(federation->outboxes);
}

static bool is_quiet(const struct federation *federation)
{
	return outboxes_are_quiet(federation->outboxes) &&
	       discovery_pending(federation->discovery) == 0;
}

/* First what is being sent comes to its end, then the rest is given up, then everything
 * that is out comes home. */
static void federation_finish(struct federation *federation)
{
	int64_t deadline = clock_monotonic_ms() + FINISH_MS;

	inbox_close(federation->inbox);
	outboxes_stop(federation->outboxes);
	while (!outboxes_are_idle(federation->outboxes) && clock_monotonic_ms() < deadline)
		federation_turn(federation);
	federation->abandoned = true;
	remote_abandon(federation->remote);
	calls_abandon(federation->calls);
	deadline = clock_monotonic_ms() + QUIET_MS;
	while (!is_quiet(federation) && clock_monotonic_ms() < deadline)
		federation_turn(federation);
	inbox_dispatch(federation->inbox, federation);
}

static void *federation_main(void *context)
{
	struct federation *federation = context;

	outboxes_start(federation->outboxes);
	while (!atomic_load(&federation->stopping))
		federation_turn(federation);
	federation_finish(federation);
	return NULL;
}

/* --- start and stop -------------------------------------------------------------------- */

static void federation_free(struct federation *federation)
{
	discovery_destroy(&federation->discovery);
	remote_destroy(&federation->remote);
	orders_destroy(&federation->orders);
	outboxes_destroy(&federation->outboxes);
	calls_destroy(&federation->calls);
	inbox_destroy(&federation->inbox);
	loop_destroy(&federation->loop);
	free(federation);
}

enum err federation_start(const struct federation_config *config,
			  struct federation **federation_out)
{
	struct federation *federation = calloc(1, sizeof *federation);
	enum err err;

	if (federation == NULL)
		fatal("out of memory");
	federation->config = *config;
	config = &federation->config;
	federation->loop = loop_create(config->config);
	federation->inbox = inbox_create(INBOX_CAPACITY, loop_wake, federation->loop);
	federation->discovery = discovery_create(federation->loop, config, federation->inbox);
	federation->calls = calls_create(config, federation->loop, federation->discovery);
	federation->remote = remote_create(config, federation->calls, federation->discovery);
	federation->outboxes = outboxes_create(config, federation->calls, federation->inbox);
	federation->orders =
		orders_create(config->policy, federation->discovery, federation->outboxes);
	err = orders_load(federation->orders, config->store);
	if (err != ERR_OK) {
		federation_free(federation);
		return err;
	}
	*federation_out = federation;
	thread_start(&federation->thread, "federation", federation_main, federation);
	return ERR_OK;
}

void federation_stop(struct federation *federation)
{
	atomic_store(&federation->stopping, true);
	loop_wake(federation->loop);
	pthread_join(federation->thread, NULL);
	inbox_dispatch(federation->inbox, federation);
}

void federation_destroy(struct federation **federation)
{
	struct federation *own = *federation;

	if (own == NULL)
		return;
	*federation = NULL;
	/* Somebody holds a message that will come back: better a leak at the end than memory
	 * that is used after it was freed. */
	if (is_quiet(own))
		federation_free(own);
	else
		log_warn(stopping, "what=federation messages_out=%zu",
			 own->outboxes->ops.in_store + discovery_pending(own->discovery));
}

/* --- from any thread ------------------------------------------------------------------- */

static void submission_deliver(struct message *message, void *receiver)
{
	struct submission *submission = (struct submission *)(void *)message;
	struct federation *federation = receiver;
	struct window_item *item = submission->first;

	atomic_fetch_sub(&federation->submitted_bytes, submission->bytes);
	free(submission);
	while (item != NULL) {
		struct window_item *next = item->next;

		outboxes_submit(federation->outboxes, item);
		item = next;
	}
}

static struct submission *submission_create(void)
{
	struct submission *submission = calloc(1, sizeof *submission);

	if (submission == NULL)
		fatal("out of memory");
	submission->message.deliver = submission_deliver;
	return submission;
}

static void submission_add(struct submission *submission, const struct outbound *outbound)
{
	struct window_item *item =
		window_item_create(outbound->domain, outbound->position, outbound->body);

	if (submission->last != NULL)
		submission->last->next = item;
	else
		submission->first = item;
	submission->last = item;
	submission->bytes += sizeof *item + item->body.len;
}

/* NULL: nothing of it is this process's to send. */
static struct submission *submission_of(const struct effects *effects)
{
	struct submission *submission = NULL;

	for (; effects != NULL; effects = effects->next)
		for (const struct outbound *o = effects->outbound; o != NULL; o = o->next) {
			if (o->holder != 0)
				continue;
			if (submission == NULL)
				submission = submission_create();
			submission_add(submission, o);
		}
	return submission;
}

static void submission_free(struct submission *submission)
{
	struct window_item *next;

	for (struct window_item *item = submission->first; item != NULL; item = next) {
		next = item->next;
		free(item);
	}
	free(submission);
}

void federation_submit(struct federation *federation, const struct effects *effects)
{
	struct submission *submission = submission_of(effects);
	size_t bytes;

	if (submission == NULL)
		return;
	bytes = submission->bytes;
	if (atomic_fetch_add(&federation->submitted_bytes, bytes) <= SUBMITTED_BYTES_MAX &&
	    inbox_post(federation->inbox, &submission->message))
		return;
	atomic_fetch_sub(&federation->submitted_bytes, bytes);
	atomic_store(&federation->missed, true);
	submission_free(submission);
}

void federation_load(struct federation *federation)
{
	atomic_store(&federation->missed, true);
	loop_wake(federation->loop);
}

static void heard_deliver(struct message *message, void *receiver)
{
	struct heard *heard = (struct heard *)(void *)message;
	struct federation *federation = receiver;

	outboxes_heard(federation->outboxes, heard->domain);
	free(heard);
}

static void changed_deliver(struct message *message, void *receiver)
{
	struct heard *heard = (struct heard *)(void *)message;
	struct federation *federation = receiver;

	discovery_outdate(federation->discovery, heard->domain);
	free(heard);
}

static bool post_domain(struct federation *federation, const char *domain,
			void (*deliver)(struct message *message, void *receiver))
{
	struct heard *heard = calloc(1, sizeof *heard);

	if (heard == NULL)
		fatal("out of memory");
	heard->message.deliver = deliver;
	snprintf(heard->domain, sizeof heard->domain, "%s", domain);
	if (inbox_post(federation->inbox, &heard->message))
		return true;
	free(heard);
	return false;
}

void federation_heard(struct federation *federation, const char *domain)
{
	(void)post_domain(federation, domain, heard_deliver);
}

void federation_peer_changed(struct federation *federation, const char *domain)
{
	if (!post_domain(federation, domain, changed_deliver) &&
	    !atomic_load(&federation->stopping))
		log_warn(discovery, "domain=%s reason=%s", domain,
			 log_quote("no room for news of its keys"));
}

static void key_change_free(struct key_change *change)
{
	crypto_wipe(&change->key, sizeof change->key);
	free(change);
}

static void key_deliver(struct message *message, void *receiver)
{
	struct key_change *change = (struct key_change *)(void *)message;
	struct federation *federation = receiver;

	calls_key_set(federation->calls, &change->key);
	key_change_free(change);
}

bool federation_key_set(struct federation *federation, const struct sign_key *key)
{
	struct key_change *change = calloc(1, sizeof *change);

	if (change == NULL)
		fatal("out of memory");
	change->message.deliver = key_deliver;
	change->key = *key;
	if (inbox_post(federation->inbox, &change->message))
		return true;
	key_change_free(change);
	return false;
}

static void query_deliver(struct message *message, void *receiver)
{
	struct peer_query *query = (struct peer_query *)(void *)message;
	struct federation *federation = receiver;

	if (!federation->abandoned) {
		peer_query_take(federation->remote, query);
		return;
	}
	query->err = ERR_BUSY;
	inbox_return(message);
}

bool federation_query(struct federation *federation, struct peer_query *query)
{
	query->message.deliver = query_deliver;
	return inbox_post(federation->inbox, &query->message);
}

static void call_deliver(struct message *message, void *receiver)
{
	struct remote_call *call = (struct remote_call *)(void *)message;
	struct federation *federation = receiver;

	if (!federation->abandoned) {
		remote_call_take(federation->remote, call);
		return;
	}
	call->err = ERR_BUSY;
	inbox_return(message);
}

bool federation_call(struct federation *federation, struct remote_call *call)
{
	call->message.deliver = call_deliver;
	return inbox_post(federation->inbox, &call->message);
}
