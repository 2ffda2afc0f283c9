/* SPDX-License-Identifier: MIT
 *
 * One transaction: made from the front of the window once the limits of the peer are known,
 * sent, and its answer acted upon.
 *
 * A transaction that may have been taken is repeated with the same bytes: the same stream
 * and positions make the same body, so only where it ended has to be remembered.
 */
#include "outbox.h"
#include "verdict.h"

#include "restante/metrics.h"
#include "restante/transaction.h"

static size_t at_most(int64_t value, size_t limit)
{
	if (value < 1)
		return 1;
	return (uint64_t)value < limit ? (size_t)value : limit;
}

static struct window_limits batch_limits(struct outbox *outbox, const struct peer *peer)
{
	const struct server_document *document = &peer->document;
	size_t bytes = at_most(document->transaction_bytes, TRANSACTION_BYTES_MAX);
	struct window_limits limits = {
		.items = at_most(document->transaction_items, TRANSACTION_ITEMS_MAX),
		.bytes = bytes > TRANSACTION_FRAME ? bytes - TRANSACTION_FRAME : 0,
	};

	if (outbox->batch_items > 0 && outbox->batch_items < limits.items)
		limits.items = outbox->batch_items;
	if (outbox->repeat_last > outbox->window.tail)
		outbox->repeat_last = 0; /* it cannot be had: a new stream will come of it */
	if (outbox->repeat_last > outbox->row.acked)
		limits.until = outbox->repeat_last;
	return limits;
}

static struct bytes batch_make(void *context, const struct peer *peer)
{
	struct outbox *outbox = context;
	struct batch *batch = &outbox->batch;
	const struct window_item *item = outbox->window.first;
	struct window_limits limits;
	struct bytes *bodies, body;

	if (outbox->row.state == DESTINATION_KEY_CONFLICT)
		outbox_move(outbox, ON_AGREED, 0);
	if (item == NULL)
		return bytes_of(NULL, 0); /* it took long: to be read again */
	limits = batch_limits(outbox, peer);
	batch->count = window_batch(&outbox->window, &limits);
	batch->oversized = batch->count == 0;
	if (batch->count == 0)
		return bytes_of(NULL, 0);
	bodies = arena_array(batch->arena, struct bytes, batch->count);
	batch->first = item->position;
	for (size_t i = 0; i < batch->count; i++, item = item->next) {
		bodies[i] = item->body;
		batch->last = item->position;
	}
	body = transaction_encode(batch->arena, outbox->row.stream,
				  batch->first - outbox->row.base, bodies, batch->count);
	batch->bytes = body.len;
	return body;
}

/* --- acting on the answer -------------------------------------------------------------- */

/* What is neither ok nor a duplicate, with positions. */
static enum err results_take(struct outbox *outbox, struct bytes body, size_t *count_out,
			     struct item_result **results_out)
{
	const struct batch *batch = &outbox->batch;
	int64_t base = outbox->row.base;
	struct fed_results results;
	size_t count = 0;
	enum err err;

	err = results_decode(batch->arena, body, batch->first - base, batch->last - base,
			     &results);
	if (err != ERR_OK)
		return err;
	if (results.acked != batch->last - base)
		return ERR_PEER_INVALID;
	for (size_t i = 0; i < results.count; i++) {
		if (results.results[i].code == RESULT_OK ||
		    results.results[i].code == RESULT_DUPLICATE)
			continue;
		results.results[count] = results.results[i];
		results.results[count].seq += base;
		count++;
	}
	*count_out = count;
	*results_out = results.results;
	return ERR_OK;
}

/* The arena goes with the operation. */
static void settle(struct outbox *outbox, int64_t up_to, const struct item_result *results,
		   size_t count)
{
	struct arena *arena = outbox->batch.arena;

	outbox->batch.arena = NULL;
	outbox->repeat_last = 0;
	outbox->resets = 0;
	outbox->batch_items *= 2;
	if (outbox->batch_items > TRANSACTION_ITEMS_MAX)
		outbox->batch_items = 0;
	outbox_settle(outbox, up_to, results, count, arena);
}

/* The first item ends here. Its number stays empty in this stream, so a new one follows. */
static void settle_first(struct outbox *outbox, enum result_code code)
{
	struct item_result *result = arena_new(outbox->batch.arena, struct item_result);
	int64_t position = outbox->row.acked + 1;

	result->seq = position;
	result->code = code;
	outbox_break_stream(outbox, result_code_name(code));
	settle(outbox, position, result, 1);
}

static void halve(struct outbox *outbox)
{
	outbox->batch_items = outbox->batch.count / 2;
	outbox->repeat_last = 0;
}

/* Once is what a restored backup or a restart makes. Again and again is a broken peer. */
static void reset(struct outbox *outbox)
{
	outbox_break_stream(outbox, "refused");
	outbox_move(outbox, outbox->resets++ == 0 ? ON_DELIVERED : ON_FAILED, 0);
}

/* Nothing is learnt of the destination. When the node stops, the store is told how far the
 * transaction went, so that the next run repeats it as it was. */
static void wait_a_little(struct outbox *outbox)
{
	outbox->not_before_ms = clock_monotonic_ms() + PAUSE_MS;
	if (outbox->batch.count > 0 && outbox->all->stopping)
		outbox_put(outbox);
}

static void act(struct outbox *outbox, enum verdict verdict, const struct call_answer *answer,
		const struct item_result *results, size_t count)
{
	switch (verdict) {
	case VERDICT_TAKEN:
		outbox_move(outbox, ON_DELIVERED, 0);
		settle(outbox, outbox->batch.last, results, count);
		break;
	case VERDICT_RESET:
		reset(outbox);
		break;
	case VERDICT_HALVE:
		outbox_move(outbox, ON_DELIVERED, 0);
		halve(outbox);
		break;
	case VERDICT_BAD:
	case VERDICT_TOO_LARGE:
		if (!outbox->batch.oversized)
			outbox_move(outbox, ON_DELIVERED, 0);
		settle_first(outbox, verdict == VERDICT_BAD ? RESULT_BAD : RESULT_TOO_LARGE);
		break;
	case VERDICT_SMALLER:
		halve(outbox);
		break;
	case VERDICT_CONFLICT:
		outbox_move(outbox, ON_CONFLICT, 0);
		break;
	case VERDICT_DENIED:
		outbox_move(outbox, ON_DENIED, 0);
		break;
	case VERDICT_PAUSE:
		wait_a_little(outbox);
		break;
	default:
		outbox_move(outbox, ON_FAILED, answer->retry_after_ms);
		break;
	}
}

static void log_attempt(const struct outbox *outbox, enum verdict verdict, enum err err,
			const struct call_answer *answer)
{
	const struct batch *batch = &outbox->batch;
	enum log_level level = verdict == VERDICT_TAKEN ? LOG_DEBUG : LOG_INFO;
	long long ms = clock_monotonic_ms() - batch->started_ms;

	log_write(level, EVENT_delivery,
		  "domain=%s items=%zu result=%s err=%s status=%d ms=%lld%s%s",
		  outbox->row.domain, batch->count, verdict_name(verdict), err_code(err),
		  answer->status, ms, answer->hint != NULL ? " hint=" : "",
		  answer->hint != NULL ? answer->hint : "");
	if (verdict == VERDICT_TAKEN)
		metric_inc(transactions_sent_total);
	else if (verdict == VERDICT_LATER || verdict == VERDICT_CONFLICT)
		metric_inc(transactions_failed_total);
}

static enum verdict judge(struct outbox *outbox, const struct call_answer *answer)
{
	struct reply reply = {
		.err = answer->err,
		.status = answer->status,
		.code = "",
		.n_items = outbox->batch.count,
	};

	/* The peer's signed document has said so. */
	if (outbox->batch.oversized)
		return VERDICT_TOO_LARGE;
	if (answer->err == ERR_OK && answer->status >= 400)
		reply.code = error_code_decode(outbox->batch.arena, answer->body);
	return verdict_of(&reply);
}

/* --- flights --------------------------------------------------------------------------- */

static void flight_begin(struct outbox *outbox)
{
	outbox->work = WORK_SEND;
	outbox->flight = outbox->proven ? FLIGHT_PROVEN : FLIGHT_UNPROVEN;
	outbox->all->flights[outbox->flight]++;
}

static void flight_end(struct outbox *outbox)
{
	if (outbox->flight == FLIGHT_SLOW)
		outbox->all->slow_bytes -= outbox->batch.bytes;
	outbox->all->flights[outbox->flight]--;
	outbox->work = WORK_NONE;
}

/* The memory of its window goes to others, too. If there is no body yet, because the peer has
 * not been found, there will be none: the items are read again once it has. */
void outbox_check_flight(struct outbox *outbox, int64_t now_ms)
{
	struct outboxes *all = outbox->all;

	if (outbox->work != WORK_SEND || outbox->flight == FLIGHT_SLOW ||
	    now_ms - outbox->batch.started_ms < SLOW_AFTER_MS ||
	    all->flights[FLIGHT_SLOW] >= FLIGHTS_SLOW_MAX ||
	    all->slow_bytes + outbox->batch.bytes > SLOW_BYTES_MAX)
		return;
	all->flights[outbox->flight]--;
	all->flights[FLIGHT_SLOW]++;
	all->slow_bytes += outbox->batch.bytes;
	outbox->flight = FLIGHT_SLOW;
	window_clear(&outbox->window, outbox->row.acked);
}

static void batch_done(void *context, const struct call_answer *answer)
{
	struct outbox *outbox = context;
	struct batch *batch = &outbox->batch;
	struct item_result *results = NULL;
	enum verdict verdict = judge(outbox, answer);
	enum err err = answer->err;
	size_t count = 0;

	flight_end(outbox);
	if (err != ERR_PEER_UNREACHABLE && outbox->row.offered < batch->last)
		outbox->row.offered = batch->last;
	if (batch->count > 0)
		outbox->repeat_last = batch->last; /* where the verdict is none */
	if (verdict == VERDICT_TAKEN) {
		err = results_take(outbox, answer->body, &count, &results);
		if (err != ERR_OK)
			verdict = VERDICT_LATER;
	}
	log_attempt(outbox, verdict, err, answer);
	if (verdict != VERDICT_PAUSE)
		outbox->proven = answer->err == ERR_OK;
	act(outbox, verdict, answer, results, count);
	arena_destroy(&batch->arena);
	outbox_consider(outbox);
}

void outbox_send(struct outbox *outbox)
{
	struct call_request request = {
		.domain = outbox->row.domain,
		.path = TRANSACTION_PATH,
		.answer_max = TRANSACTION_ANSWER_MAX,
		.timeout_ms = TRANSACTION_TIMEOUT_MS,
		.context = outbox,
		.prepare = batch_make,
		.done = batch_done,
	};
	struct batch *batch = &outbox->batch;

	*batch = (struct batch){.arena = arena_create(), .started_ms = clock_monotonic_ms()};
	if (call_start(outbox->all->calls, &request) != ERR_OK) {
		arena_destroy(&batch->arena);
		outbox_move(outbox, ON_DENIED, 0);
		return;
	}
	flight_begin(outbox);
	/* What comes next is read while this one is on its way. */
	if (outbox->proven && outbox->window.count <= WINDOW_ITEMS_MAX / 2 &&
	    outbox->window.bytes <= WINDOW_BYTES_MAX / 4 * 3)
		outbox_read(outbox);
}
