/* SPDX-License-Identifier: MIT
 *
 * One outbox and its row in the store: moving it between states, opening streams, reading,
 * settling, expiring. All that changes its stream happens one after the other (work); only
 * reading goes on beside it.
 */
#include "outbox.h"

#include "restante/crypto.h"
#include "restante/metrics.h"

#include <stdlib.h>

#define EXPIRE_LIMIT 1000
#define PROBE_ITEMS  100
#define PROBE_BYTES  (256 * 1024)

static void put_done(struct stored_op *op);

/* --- state ----------------------------------------------------------------------------- */

void outbox_put(struct outbox *outbox)
{
	struct stored_op *op;

	if (outbox->putting) {
		outbox->put_again = true;
		return;
	}
	outbox->putting = true;
	outbox->put_again = false;
	op = outbox_op(outbox, STORE_DESTINATION_PUT, NULL, put_done);
	op->put.destination = outbox->row;
	stored_op_post(op);
}

static void put_done(struct stored_op *op)
{
	struct outbox *outbox = op->outbox;

	outbox->putting = false;
	if (op->op.err == ERR_OK)
		outbox->stored_offered = op->put.destination.offered;
	stored_op_free(op);
	if (outbox->put_again)
		outbox_put(outbox);
	outbox_consider(outbox);
}

static void log_move(const struct outbox *outbox, enum destination_state before,
		     enum destination_event event, int64_t now_ms)
{
	const struct destination *row = &outbox->row;
	int64_t wait = row->next_try_ms > now_ms ? row->next_try_ms - now_ms : 0;
	enum log_level level = row->state == DESTINATION_UP ? LOG_INFO : LOG_WARN;

	log_write(level, EVENT_destination_state,
		  "domain=%s from=%s to=%s event=%s waiting=%lld next_try_s=%lld", row->domain,
		  destination_state_name(before), destination_state_name(row->state),
		  destination_event_name(event), (long long)(row->last - row->acked),
		  (long long)(wait / SECONDS_MS));
}

void outbox_move(struct outbox *outbox, enum destination_event event, int64_t retry_after_ms)
{
	const struct destination_move move = {
		.event = event,
		.now_ms = clock_now_ms(),
		.retry_after_ms = retry_after_ms,
		.dice = crypto_random_u32_below(JITTER_STEPS),
	};
	enum destination_state before = outbox->row.state;
	bool changed = destination_apply(&outbox->row, &outbox->all->schedule, &move);

	if (outbox->row.state != before)
		log_move(outbox, before, event, move.now_ms);
	if (event == ON_FAILED || event == ON_CONFLICT || event == ON_DENIED) {
		/* What is not sent to needs no memory. */
		outbox->proven = false;
		window_clear(&outbox->window, outbox->row.acked);
		outbox_drop_ephemeral(outbox);
	}
	if (changed && outbox->row.last > 0)
		outbox_put(outbox);
}

/* --- streams --------------------------------------------------------------------------- */

void outbox_absorb(struct outbox *outbox, const struct destination *row)
{
	struct destination *own = &outbox->row;

	/* A stream that was given up here is still what the store has. */
	if (!outbox->known)
		memcpy(own->stream, row->stream, sizeof own->stream);
	own->base = row->base;
	own->acked = row->acked;
	if (own->last < row->last)
		own->last = row->last;
	/* What may have been sent may have been, whatever the stream. */
	if (own->offered < row->offered)
		own->offered = row->offered;
	outbox->stored_offered = row->offered;
	outbox->known = true;
	window_drop(&outbox->window, own->acked);
}

void outbox_break_stream(struct outbox *outbox, const char *why)
{
	log_warn(stream_reset, "domain=%s side=sender reason=%s", outbox->row.domain, why);
	metric_inc(stream_resets_total);
	outbox->row.stream[0] = '\0';
	outbox->repeat_last = 0;
}

static void reset_done(struct stored_op *op)
{
	struct outbox *outbox = op->outbox;

	outbox->work = WORK_NONE;
	if (op->op.err == ERR_OK) {
		outbox_absorb(outbox, &op->reset.destination);
		memcpy(outbox->row.stream, op->reset.stream, sizeof outbox->row.stream);
	} else {
		log_error(store_error, "op=outbox_reset domain=%s err=%s", outbox->row.domain,
			  err_code(op->op.err));
		outbox->row.last = outbox->row.acked; /* the store had nothing for it */
		outboxes_load(outbox->all);
	}
	stored_op_free(op);
	outbox_consider(outbox);
}

static void outbox_reset(struct outbox *outbox)
{
	struct stored_op *op = outbox_op(outbox, STORE_OUTBOX_RESET, NULL, reset_done);
	uint8_t random[16];

	outbox->work = WORK_RESET;
	crypto_random(random, sizeof random);
	op->reset.domain = outbox->row.domain;
	base64url_encode_to(bytes_of(random, sizeof random), op->reset.stream);
	stored_op_post(op);
}

/* --- settling -------------------------------------------------------------------------- */

static void settle_done(struct stored_op *op)
{
	struct outbox *outbox = op->outbox;

	outbox->work = WORK_NONE;
	outbox->row.acked = op->settle.up_to;
	window_drop(&outbox->window, op->settle.up_to);
	stored_op_free(op);
	outbox_consider(outbox);
}

void outbox_settle(struct outbox *outbox, int64_t up_to, const struct item_result *results,
		   size_t n_results, struct arena *arena)
{
	struct stored_op *op = outbox_op(outbox, STORE_OUTBOX_SETTLE, arena, settle_done);

	outbox->work = WORK_SETTLE;
	op->settle.domain = outbox->row.domain;
	op->settle.up_to = up_to;
	op->settle.results = results;
	op->settle.n_results = n_results;
	stored_op_post(op);
}

/* --- expiry ---------------------------------------------------------------------------- */

static void expire_done(struct stored_op *op)
{
	struct outbox *outbox = op->outbox;
	bool reset = op->expire.reset_needed;

	outbox->work = WORK_NONE;
	if (op->op.err != ERR_OK) {
		stored_op_free(op);
		outbox_consider(outbox);
		return;
	}
	outbox_absorb(outbox, &op->expire.destination);
	outbox->expire_due = op->expire.expired >= EXPIRE_LIMIT;
	if (op->expire.expired > 0) {
		log_info(expired, "what=outbox domain=%s items=%lld", outbox->row.domain,
			 (long long)op->expire.expired);
		/* Some of the items in memory are void now. */
		window_clear(&outbox->window, outbox->row.acked);
	}
	stored_op_free(op);
	if (reset) {
		outbox_break_stream(outbox, "expired");
		outbox_reset(outbox);
		return;
	}
	outbox_consider(outbox);
}

/* Alone: what is voided must not be read or sent at the same time, and the store must know
 * what has been offered. */
bool outbox_expire(struct outbox *outbox)
{
	struct stored_op *op;

	if (outbox->work != WORK_NONE || outbox->reading > 0 || outbox->putting)
		return false;
	if (outbox->stored_offered < outbox->row.offered) {
		outbox_put(outbox);
		return false;
	}
	outbox->work = WORK_EXPIRE;
	outbox->expire_due = false;
	op = outbox_op(outbox, STORE_OUTBOX_EXPIRE, NULL, expire_done);
	op->expire.domain = outbox->row.domain;
	op->expire.limit = EXPIRE_LIMIT;
	stored_op_post(op);
	return true;
}

/* --- reading --------------------------------------------------------------------------- */

static void read_done(struct stored_op *op)
{
	struct outbox *outbox = op->outbox;
	struct op_outbox_read *read = &op->read;
	int64_t before = outbox->window.tail;

	outbox->all->reading_bytes -= outbox->reading;
	outbox->reading = 0;
	for (size_t i = 0; op->op.err == ERR_OK && i < read->count; i++) {
		struct window_item *item = window_item_create(
			outbox->row.domain, read->items[i].position, read->items[i].body);

		/* Submitted meanwhile, or more than there is room for. */
		if (!window_append(&outbox->window, item))
			free(item);
	}
	if (outbox->window.tail == before && outbox->window.count == 0)
		outbox->not_before_ms = clock_monotonic_ms() + PAUSE_MS;
	stored_op_free(op);
	outbox_consider(outbox);
}

bool outbox_has_room(const struct outbox *outbox)
{
	size_t room = outbox->proven ? WINDOWS_BYTES_MAX : WINDOWS_BYTES_MAX / 2;

	return outbox->all->window_bytes + outbox->all->reading_bytes < room;
}

/* What has to be repeated must be had as it was; else, without proof that anything arrives,
 * a little is enough. */
static void read_limits(const struct outbox *outbox, struct op_outbox_read *read)
{
	const struct window *window = &outbox->window;

	read->limit = WINDOW_ITEMS_MAX - window->count;
	read->max_bytes = WINDOW_BYTES_MAX - window->bytes;
	if (outbox->proven)
		return;
	read->limit = PROBE_ITEMS;
	read->max_bytes = PROBE_BYTES;
	if (outbox->repeat_last > window->tail) {
		read->limit = (size_t)(outbox->repeat_last - window->tail);
		read->max_bytes = TRANSACTION_BYTES_MAX;
	}
}

void outbox_read(struct outbox *outbox)
{
	const struct window *window = &outbox->window;
	struct stored_op *op;

	if (outbox->reading > 0 || outbox->row.last <= window->tail ||
	    window->count >= WINDOW_ITEMS_MAX || window->bytes >= WINDOW_BYTES_MAX ||
	    !outbox_has_room(outbox))
		return;
	op = outbox_op(outbox, STORE_OUTBOX_READ, NULL, read_done);
	op->read.domain = outbox->row.domain;
	op->read.after = window->tail;
	read_limits(outbox, &op->read);
	outbox->reading = op->read.max_bytes;
	outbox->all->reading_bytes += outbox->reading;
	stored_op_post(op);
}

void outbox_step(struct outbox *outbox)
{
	if (outbox->work != WORK_NONE)
		return;
	if (outbox->expire_due) {
		(void)outbox_expire(outbox); /* else when what is under way has come back */
		return;
	}
	if (outbox->row.last <= outbox->row.acked ||
	    !destination_is_due(&outbox->row, &outbox->all->schedule, clock_now_ms()))
		return;
	if (!outbox->known || outbox->row.stream[0] == '\0')
		outbox_reset(outbox);
	else if (outbox->window.count == 0 && outbox->reading == 0 && !outbox_has_room(outbox))
		outbox_consider(outbox); /* to the end of the line: all wait equally long */
	else if (outbox->window.count == 0)
		outbox_read(outbox);
	else
		outbox_send(outbox);
}
