/* SPDX-License-Identifier: MIT
 *
 * All outboxes: which there are, whose turn it is, and how many transactions are in flight.
 * Destinations that are ready stand in line and go to its end after each transaction.
 */
#include "outbox.h"

#include "restante/crypto.h"

#include <stdio.h>
#include <stdlib.h>

#define HEARD_EVERY_MS	(30 * SECONDS_MS)
#define EXPIRE_EVERY_MS (1 * MINUTES_MS)
/* An outbox that had nothing to do for so long is dropped. */
#define IDLE_MS		(10 * MINUTES_MS)

struct outboxes *outboxes_create(const struct federation_config *config, struct calls *calls,
				 struct inbox *inbox)
{
	struct outboxes *all = calloc(1, sizeof *all);

	if (all == NULL)
		fatal("out of memory");
	all->policy = config->policy;
	all->calls = calls;
	all->ops.store = config->store;
	all->ops.inbox = inbox;
	all->schedule.backoff_first_ms = config->config->federation_backoff_first;
	all->schedule.backoff_max_ms = config->config->federation_backoff_max;
	all->next_expire_ms = clock_monotonic_ms() + EXPIRE_EVERY_MS;
	return all;
}

static void outbox_free(struct outbox *outbox)
{
	HASH_DEL(outbox->all->by_domain, outbox);
	outbox_drop_ephemeral(outbox);
	window_clear(&outbox->window, 0);
	free(outbox);
}

void outboxes_destroy(struct outboxes **outboxes)
{
	struct outbox *outbox, *next;

	if (*outboxes == NULL)
		return;
	stored_ops_clear(&(*outboxes)->ops);
	HASH_ITER(hh, (*outboxes)->by_domain, outbox, next)
	outbox_free(outbox);
	free(*outboxes);
	*outboxes = NULL;
}

struct stored_op *outbox_op(struct outbox *outbox, enum store_kind kind, struct arena *arena,
			    void (*done)(struct stored_op *op))
{
	struct stored_op *op = stored_op_create(&outbox->all->ops, kind, arena);

	op->outbox = outbox;
	op->done = done;
	return op;
}

/* --- which there are ------------------------------------------------------------------- */

static struct outbox *outbox_find(struct outboxes *all, const char *domain)
{
	struct outbox *outbox;

	HASH_FIND_STR(all->by_domain, domain, outbox);
	return outbox;
}

static struct outbox *outbox_create(struct outboxes *all, const char *domain)
{
	struct outbox *outbox = calloc(1, sizeof *outbox);

	if (outbox == NULL)
		fatal("out of memory");
	outbox->all = all;
	outbox->busy_ms = clock_monotonic_ms();
	snprintf(outbox->row.domain, sizeof outbox->row.domain, "%s", domain);
	window_init(&outbox->window, 0, &all->window_bytes);
	HASH_ADD_STR(all->by_domain, row.domain, outbox);
	return outbox;
}

static struct outbox *outbox_find_or_create(struct outboxes *all, const char *domain)
{
	struct outbox *outbox = outbox_find(all, domain);

	return outbox != NULL ? outbox : outbox_create(all, domain);
}

/* Nothing waits, and nothing is under way. */
static bool outbox_is_idle(const struct outbox *outbox)
{
	return outbox->row.last <= outbox->row.acked && !outbox->queued &&
	       outbox->work == WORK_NONE && outbox->reading == 0 && !outbox->putting &&
	       !outbox->expire_due && !outbox->ephemeral.in_flight;
}

/* What has come for it meanwhile finds it as after a start. */
static void outbox_removed(struct stored_op *op)
{
	struct outbox *outbox = op->outbox;

	outbox->work = WORK_NONE;
	outbox->known = false;
	stored_op_free(op);
	if (outbox_is_idle(outbox) && outbox->row.state == DESTINATION_UP &&
	    !outbox->all->loading)
		outbox_free(outbox);
	else
		outbox_consider(outbox);
}

static void outbox_remove(struct outbox *outbox)
{
	struct stored_op *op =
		outbox_op(outbox, STORE_DESTINATION_REMOVE, NULL, outbox_removed);

	outbox->work = WORK_REMOVE;
	op->remove.domain = outbox->row.domain;
	stored_op_post(op);
}

/* One that has no row, for ephemeral items, is not kept. One that has been idle for long is
 * not either, nor is its row: first what it says of failures goes, then all of it. */
static void outbox_forget(struct outbox *outbox)
{
	int64_t now = clock_monotonic_ms();
	bool is_idle = outbox_is_idle(outbox);

	if (is_idle && outbox->row.last == 0 && !outbox->known) {
		outbox_free(outbox);
		return;
	}
	if (is_idle && (now - outbox->busy_ms < IDLE_MS || outbox->all->loading))
		return;
	outbox->busy_ms = now;
	if (is_idle && outbox->row.state == DESTINATION_UP)
		outbox_remove(outbox);
	else if (is_idle)
		outbox_move(outbox, ON_EMPTIED, 0);
}

static void outbox_check_policy(struct outbox *outbox)
{
	bool blocked = outbox->row.state == DESTINATION_BLOCKED;
	bool allowed = policy_allows(outbox->all->policy, outbox->row.domain);

	if (allowed == blocked)
		outbox_move(outbox, allowed ? ON_ALLOWED : ON_DENIED, 0);
}

/* --- loading --------------------------------------------------------------------------- */

/* A row as the last run of the program left it. Its last transaction may have been sent
 * without the store knowing; if the store does know, it ended where `offered` says. */
static void outbox_resume(struct outbox *outbox, const struct destination *row)
{
	int64_t last = outbox->row.last > row->last ? outbox->row.last : row->last;
	int64_t sent = row->acked + TRANSACTION_ITEMS_MAX;
	int64_t now = clock_now_ms();

	outbox->row = *row;
	outbox->row.last = last;
	outbox->known = true;
	outbox->stored_offered = row->offered;
	outbox->repeat_last = row->offered > row->acked ? row->offered : 0;
	if (sent > row->last)
		sent = row->last;
	if (outbox->row.offered < sent && row->stream[0] != '\0')
		outbox->row.offered = sent;
	window_drop(&outbox->window, row->acked);
	destination_resume(&outbox->row, &outbox->all->schedule, now,
			   crypto_random_u32_below(JITTER_STEPS));
	outbox_check_policy(outbox);
}

static void load_done(struct stored_op *op)
{
	struct outboxes *all = op->outboxes;

	all->loading = false;
	for (size_t i = 0; op->op.err == ERR_OK && i < op->load.count; i++) {
		const struct destination *row = &op->load.destinations[i];
		struct outbox *outbox = outbox_find_or_create(all, row->domain);

		if (!outbox->known && outbox->work == WORK_NONE)
			outbox_resume(outbox, row);
		else if (outbox->row.last < row->last)
			outbox->row.last = row->last;
		outbox_consider(outbox);
	}
	stored_op_free(op);
	if (!all->loaded) {
		all->loaded = true;
		outboxes_tick(all); /* what was submitted meanwhile */
	}
	if (all->load_again)
		outboxes_load(all);
}

static void load(struct outboxes *all, enum store_kind kind, void (*done)(struct stored_op *op))
{
	struct stored_op *op = stored_op_create(&all->ops, kind, NULL);

	op->outboxes = all;
	op->done = done;
	stored_op_post(op);
}

static void leased(struct stored_op *op)
{
	struct outboxes *all = op->outboxes;

	if (op->lease.taken > 0)
		log_info(process, "what=leased destinations=%lld", (long long)op->lease.taken);
	stored_op_free(op);
	load(all, STORE_DESTINATIONS_LOAD, load_done);
}

/* Where several processes send, first those destinations are taken that nobody sends to. */
void outboxes_load(struct outboxes *all)
{
	all->load_again = all->loading; /* it may have looked too early */
	if (all->loading || all->stopping)
		return;
	all->loading = true;
	if (store_is_shared(all->ops.store))
		load(all, STORE_DESTINATIONS_LEASE, leased);
	else
		load(all, STORE_DESTINATIONS_LOAD, load_done);
}

static void all_removed(struct stored_op *op)
{
	struct outboxes *all = op->outboxes;

	stored_op_free(op);
	all->loading = false;
	outboxes_load(all);
}

/* First go the rows that nothing waits for: there is no outbox in memory yet that takes them
 * for granted. */
void outboxes_start(struct outboxes *all)
{
	all->loading = true;
	load(all, STORE_DESTINATION_REMOVE, all_removed);
}

/* --- whose turn it is ------------------------------------------------------------------ */

void outbox_consider(struct outbox *outbox)
{
	struct outboxes *all = outbox->all;
	struct ready_list *list = outbox->proven ? &all->proven : &all->unproven;

	if (outbox->queued || outbox->work != WORK_NONE || all->stopping || !all->loaded)
		return;
	if (outbox->expire_due) {
		(void)outbox_expire(outbox); /* else when what is under way has come back */
		return;
	}
	if (outbox->row.last <= outbox->row.acked ||
	    clock_monotonic_ms() < outbox->not_before_ms ||
	    !destination_is_due(&outbox->row, &outbox->all->schedule, clock_now_ms()))
		return;
	outbox->queued = true;
	outbox->next_ready = NULL;
	if (list->last != NULL)
		list->last->next_ready = outbox;
	else
		list->first = outbox;
	list->last = outbox;
	list->count++;
}

static struct outbox *take_ready(struct ready_list *list)
{
	struct outbox *outbox = list->first;

	list->first = outbox->next_ready;
	if (list->first == NULL)
		list->last = NULL;
	list->count--;
	outbox->queued = false;
	return outbox;
}

/* Each once: one that is put in line again waits for the next turn. */
static void step_ready(struct outboxes *all, struct ready_list *list, enum flight class,
		       size_t most)
{
	for (size_t n = list->count;
	     n > 0 && all->flights[class] < most &&
	     all->flights[FLIGHT_PROVEN] + all->flights[FLIGHT_UNPROVEN] < FLIGHTS_MAX;
	     n--)
		outbox_step(take_ready(list));
}

void outboxes_turn(struct outboxes *all)
{
	stored_ops_turn(&all->ops);
	if (all->stopping)
		return;
	step_ready(all, &all->proven, FLIGHT_PROVEN, FLIGHTS_PROVEN_MAX);
	step_ready(all, &all->unproven, FLIGHT_UNPROVEN, FLIGHTS_UNPROVEN_MAX);
}

void outboxes_tick(struct outboxes *all)
{
	int64_t now = clock_monotonic_ms();
	bool expire = now >= all->next_expire_ms;
	struct outbox *outbox, *next;

	if (expire)
		all->next_expire_ms = now + EXPIRE_EVERY_MS;
	HASH_ITER(hh, all->by_domain, outbox, next)
	{
		outbox_check_flight(outbox, now);
		/* Only where something has waited since the last time. */
		if (expire) {
			outbox->expire_due |= outbox->row.acked < outbox->expire_mark;
			outbox->expire_mark = outbox->row.last;
		}
		outbox_consider(outbox);
		outbox_forget(outbox);
	}
}

/* --- what others say ------------------------------------------------------------------- */

void outboxes_submit(struct outboxes *all, struct window_item *item)
{
	struct outbox *outbox;
	bool is_first;

	if (all->stopping) {
		free(item);
		return;
	}
	outbox = outbox_find_or_create(all, item->domain);
	if (item->position == 0) {
		outbox_send_ephemeral(outbox, item);
		return;
	}
	is_first = outbox->row.last == 0;
	if (outbox->row.last < item->position)
		outbox->row.last = item->position;
	if (is_first && all->loaded)
		outbox_check_policy(outbox);
	if (item->body.len == 0 || outbox->row.state != DESTINATION_UP ||
	    !outbox_has_room(outbox) || !window_append(&outbox->window, item))
		free(item);
	outbox_consider(outbox);
}

void outboxes_heard(struct outboxes *all, const char *domain)
{
	struct outbox *outbox = outbox_find(all, domain);
	int64_t now = clock_monotonic_ms();

	if (outbox == NULL || outbox->row.state == DESTINATION_UP ||
	    (outbox->heard_ms > 0 && now - outbox->heard_ms < HEARD_EVERY_MS))
		return;
	outbox->heard_ms = now;
	outbox_move(outbox, ON_HEARD, 0);
	outbox_consider(outbox);
}

void outboxes_policy_changed(struct outboxes *all, const char *domain)
{
	struct outbox *outbox = outbox_find(all, domain);

	if (outbox == NULL)
		return;
	outbox_check_policy(outbox);
	outbox_consider(outbox);
}

void outboxes_agree(struct outboxes *all, const char *domain)
{
	struct outbox *outbox = outbox_find(all, domain);

	if (outbox != NULL)
		outbox_move(outbox, ON_AGREED, 0);
	outboxes_flush(all, domain);
}

void outboxes_flush(struct outboxes *all, const char *domain)
{
	struct outbox *outbox = outbox_find(all, domain);

	if (outbox != NULL) {
		outbox->row.next_try_ms = clock_now_ms();
		outbox_consider(outbox);
	}
	outboxes_load(all); /* what waits in the store alone */
}

/* --- the end --------------------------------------------------------------------------- */

void outboxes_stop(struct outboxes *all)
{
	all->stopping = true;
}

bool outboxes_are_idle(const struct outboxes *all)
{
	size_t out = all->ephemeral_flights + all->ops.in_store;

	for (size_t class = 0; class < FLIGHT_CLASS_COUNT; class ++)
		out += all->flights[class];
	return out == 0 && all->ops.unposted.first == NULL;
}

bool outboxes_are_quiet(const struct outboxes *all)
{
	return all->ops.in_store == 0;
}
