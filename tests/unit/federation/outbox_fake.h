/* SPDX-License-Identifier: MIT
 *
 * A store and a network for outboxes, in the hand of the test: operations are done when
 * they are posted and come back through the inbox; calls wait until the test answers.
 */
#ifndef OUTBOX_FAKE_H
#define OUTBOX_FAKE_H

#include "outbox.h"

#include "restante/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define ITEMS_MAX   3000
#define DOMAINS_MAX 1100
#define CALLS_MAX   1100
#define SETTLED_MAX 64

/* What the store has for one domain. */
struct fake_outbox {
	struct destination row;
	char bodies[ITEMS_MAX][32]; /* by position; "" where there is none */
};

struct fake_call {
	struct call_request request;
	struct bytes body;
	bool prepared;
};

struct fake {
	struct config config;
	struct federation_config federation;
	struct inbox *inbox;
	struct outboxes *all;
	struct fake_outbox *outboxes[DOMAINS_MAX];
	size_t n_outboxes;
	struct fake_call calls[CALLS_MAX];
	size_t n_calls, n_calls_ever;
	struct peer peer;
	/* Results that were settled. */
	struct {
		int64_t position;
		enum result_code code;
	} settled[SETTLED_MAX];
	size_t n_settled;
	bool full, broken, denied, expire_reset, shared;
	struct arena *failed_in; /* the arena of the last operation that failed */
	size_t reads, resets, puts, leases, loads, expires, removed;
};

static struct fake *fake;

static inline struct fake_outbox *fake_outbox(const char *domain)
{
	for (size_t i = 0; i < fake->n_outboxes; i++)
		if (strcmp(fake->outboxes[i]->row.domain, domain) == 0)
			return fake->outboxes[i];
	assert_true(fake->n_outboxes < DOMAINS_MAX);
	fake->outboxes[fake->n_outboxes] = calloc(1, sizeof *fake->outboxes[0]);
	snprintf(fake->outboxes[fake->n_outboxes]->row.domain, DOMAIN_SIZE, "%s", domain);
	return fake->outboxes[fake->n_outboxes++];
}

/* --- the store ------------------------------------------------------------------------- */

static inline void fake_read(struct op_outbox_read *op)
{
	struct fake_outbox *outbox = fake_outbox(op->domain);

	fake->reads++;
	op->items = arena_array(op->op.arena, struct outbox_item, ITEMS_MAX);
	for (int64_t p = op->after + 1; p <= outbox->row.last && op->count < op->limit; p++)
		op->items[op->count++] = (struct outbox_item){
			.position = p,
			.body = arena_bytes(op->op.arena, bytes_of_text(outbox->bodies[p])),
		};
}

static inline void fake_settle(struct op_outbox_settle *op)
{
	struct fake_outbox *outbox = fake_outbox(op->domain);

	assert_true(op->up_to > outbox->row.acked && op->up_to <= outbox->row.last);
	outbox->row.acked = op->up_to;
	for (size_t i = 0; i < op->n_results; i++) {
		assert_true(fake->n_settled < SETTLED_MAX);
		fake->settled[fake->n_settled].position = op->results[i].seq;
		fake->settled[fake->n_settled++].code = op->results[i].code;
	}
}

static inline void fake_reset(struct op_outbox_reset *op)
{
	struct fake_outbox *outbox = fake_outbox(op->domain);

	fake->resets++;
	assert_int_equal(strlen(op->stream), STREAM_SIZE - 1);
	memcpy(outbox->row.stream, op->stream, sizeof outbox->row.stream);
	outbox->row.base = outbox->row.offered = outbox->row.acked;
	op->destination = outbox->row;
}

static inline void fake_load(struct op_destinations_load *op)
{
	fake->loads++;
	op->destinations = arena_array(op->op.arena, struct destination, DOMAINS_MAX);
	for (size_t i = 0; i < fake->n_outboxes; i++) {
		const struct destination *row = &fake->outboxes[i]->row;

		if (row->state != DESTINATION_UP || row->acked < row->last)
			op->destinations[op->count++] = *row;
	}
}

/* Nothing expires but, if the test wants it, what was offered. */
static inline void fake_expire(struct op_outbox_expire *op)
{
	struct fake_outbox *outbox = fake_outbox(op->domain);

	fake->expires++;
	if (fake->expire_reset) {
		op->expired = outbox->row.offered - outbox->row.acked;
		outbox->row.acked = outbox->row.offered;
		op->reset_needed = true;
	}
	op->destination = outbox->row;
}

static inline void fake_put(const struct op_destination_put *op)
{
	struct destination *row = &fake_outbox(op->destination.domain)->row;

	fake->puts++;
	row->state = op->destination.state;
	row->next_try_ms = op->destination.next_try_ms;
	row->failures = op->destination.failures;
	row->failing_since_ms = op->destination.failing_since_ms;
	if (row->offered < op->destination.offered)
		row->offered = op->destination.offered;
}

static inline void fake_remove(struct op_destination_remove *op)
{
	for (size_t i = 0; i < fake->n_outboxes; i++) {
		struct destination *row = &fake->outboxes[i]->row;

		if ((op->domain != NULL && strcmp(op->domain, row->domain) != 0) ||
		    row->state != DESTINATION_UP || row->acked < row->last)
			continue;
		op->removed++;
		/* As if another one that was removed had come as far. */
		row->acked = row->base = row->offered = row->last += 1000 * (row->last > 0);
		row->stream[0] = '\0';
	}
	fake->removed += (size_t)op->removed;
}

bool store_is_shared(const struct store *store)
{
	assert_ptr_equal(store, fake);
	return fake->shared;
}

bool store_post(struct store *store, struct store_op *op)
{
	assert_ptr_equal(store, fake);
	if (fake->full)
		return false;
	if (fake->broken) {
		fake->failed_in = op->arena;
		op->err = ERR_STORE;
		inbox_return(&op->message);
		return true;
	}
	switch (op->kind) {
	case STORE_OUTBOX_READ:
		fake_read((struct op_outbox_read *)op);
		break;
	case STORE_OUTBOX_SETTLE:
		fake_settle((struct op_outbox_settle *)op);
		break;
	case STORE_OUTBOX_RESET:
		fake_reset((struct op_outbox_reset *)op);
		break;
	case STORE_DESTINATIONS_LOAD:
		fake_load((struct op_destinations_load *)op);
		break;
	case STORE_DESTINATIONS_LEASE:
		fake->leases++;
		break;
	case STORE_DESTINATION_PUT:
		fake_put((struct op_destination_put *)op);
		break;
	case STORE_DESTINATION_REMOVE:
		fake_remove((struct op_destination_remove *)op);
		break;
	case STORE_OUTBOX_EXPIRE:
		fake_expire((struct op_outbox_expire *)op);
		break;
	default:
		fail();
	}
	op->err = ERR_OK;
	inbox_return(&op->message);
	return true;
}

/* --- the network ----------------------------------------------------------------------- */

enum err call_start(struct calls *calls, const struct call_request *request)
{
	(void)calls;
	if (fake->denied)
		return ERR_FEDERATION_DENIED;
	assert_true(fake->n_calls < CALLS_MAX);
	fake->calls[fake->n_calls++] = (struct fake_call){.request = *request};
	fake->n_calls_ever++;
	return ERR_OK;
}

/* --- what tests use -------------------------------------------------------------------- */

/* Runs until nothing happens any more. */
static inline void pump(void)
{
	do
		outboxes_turn(fake->all);
	while (inbox_dispatch(fake->inbox, NULL) > 0 ||
	       (fake->all->proven.count > 0 && fake->all->flights[FLIGHT_PROVEN] == 0));
	outboxes_turn(fake->all);
}

/* The body of a call, as text. */
static inline const char *prepare(struct fake_call *call)
{
	if (!call->prepared)
		call->body = call->request.prepare(call->request.context, &fake->peer);
	call->prepared = true;
	return call->body.len > 0 ? (const char *)call->body.data : "";
}

/* That of the oldest call; "" if there is no call. */
static inline const char *sent(void)
{
	return fake->n_calls > 0 ? prepare(&fake->calls[0]) : "";
}

static inline void answer_at(size_t i, const struct call_answer *answer)
{
	struct call_request request = fake->calls[i].request;

	assert_true(i < fake->n_calls);
	fake->n_calls--;
	memmove(&fake->calls[i], &fake->calls[i + 1],
		(fake->n_calls - i) * sizeof fake->calls[0]);
	request.done(request.context, answer);
	pump();
}

static inline void answer_call(const struct call_answer *answer)
{
	answer_at(0, answer);
}

static inline void answer(enum err err, int status, const char *body)
{
	const struct call_answer a = {
		.err = err,
		.status = status,
		.body = bytes_of_text(body),
	};

	(void)sent();
	answer_call(&a);
}

/* As store and net thread do it: the item is in the store, then it is submitted. */
static inline void put(const char *domain, const char *body, bool submit)
{
	struct fake_outbox *outbox = fake_outbox(domain);
	int64_t position = ++outbox->row.last;

	assert_true(position < ITEMS_MAX);
	snprintf(outbox->bodies[position], sizeof outbox->bodies[0], "%s", body);
	if (submit)
		outboxes_submit(fake->all,
				window_item_create(domain, position, bytes_of_text(body)));
}

static inline void fake_start(void)
{
	fake->all = outboxes_create(&fake->federation, NULL, fake->inbox);
	outboxes_start(fake->all);
	pump();
}

static inline int fake_setup(void **state)
{
	(void)state;
	crypto_init();
	log_set_level(LOG_ERROR);
	fake = calloc(1, sizeof *fake);
	fake->config.node_domain = "a.test";
	fake->config.federation_mode = "open";
	fake->config.federation_backoff_first = 1 * HOURS_MS;
	fake->config.federation_backoff_max = 1 * HOURS_MS;
	fake->inbox = inbox_create(1000, NULL, NULL);
	fake->federation = (struct federation_config){
		.config = &fake->config,
		.policy = policy_create(&fake->config),
		.store = (struct store *)(void *)fake,
	};
	fake->peer.document.transaction_items = 1000;
	fake->peer.document.transaction_bytes = 1000 * 1000;
	fake_start();
	return 0;
}

static inline int fake_teardown(void **state)
{
	(void)state;
	outboxes_stop(fake->all);
	while (fake->n_calls > 0)
		answer_call(&(struct call_answer){.err = ERR_BUSY});
	pump();
	assert_true(outboxes_are_quiet(fake->all));
	outboxes_destroy(&fake->all);
	inbox_destroy(&fake->inbox);
	for (size_t i = 0; i < fake->n_outboxes; i++)
		free(fake->outboxes[i]);
	policy_destroy(&fake->federation.policy);
	free(fake);
	return 0;
}

#endif
