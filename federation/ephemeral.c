/* SPDX-License-Identifier: MIT
 *
 * Items that are worth something only now: sent at once where all is well, one transaction
 * at a time, beside those of the outbox; dropped otherwise. Nothing is learnt from how it
 * went.
 */
#include "outbox.h"

#include "restante/transaction.h"

#include <stdlib.h>

static void ephemeral_start(struct outbox *outbox);

static size_t item_size(const struct window_item *item)
{
	return sizeof *item + item->body.len;
}

static void drop_first(struct outbox *outbox)
{
	struct ephemeral *ephemeral = &outbox->ephemeral;
	struct window_item *item = ephemeral->first;

	ephemeral->first = item->next;
	if (ephemeral->first == NULL)
		ephemeral->last = NULL;
	ephemeral->count--;
	outbox->all->ephemeral_bytes -= item_size(item);
	free(item);
}

void outbox_drop_ephemeral(struct outbox *outbox)
{
	while (outbox->ephemeral.first != NULL)
		drop_first(outbox);
}

static struct bytes ephemeral_make(void *context, const struct peer *peer)
{
	struct outbox *outbox = context;
	struct ephemeral *ephemeral = &outbox->ephemeral;
	struct bytes bodies[TRANSACTION_EPHEMERAL_MAX];
	int64_t left = peer->document.transaction_bytes - TRANSACTION_FRAME;
	struct bytes body = {0};
	size_t count = 0;

	for (const struct window_item *i = ephemeral->first; i != NULL; i = i->next) {
		left -= (int64_t)i->body.len + 1;
		if (left < 0)
			break;
		bodies[count++] = i->body;
	}
	if (count > 0)
		body = transaction_encode(ephemeral->arena, NULL, 0, bodies, count);
	outbox_drop_ephemeral(outbox);
	ephemeral->sent = count;
	return body;
}

static void ephemeral_done(void *context, const struct call_answer *answer)
{
	struct outbox *outbox = context;
	struct ephemeral *ephemeral = &outbox->ephemeral;
	bool taken = answer->err == ERR_OK && answer->status == 200;
	long long ms = clock_monotonic_ms() - ephemeral->started_ms;

	ephemeral->in_flight = false;
	outbox->all->ephemeral_flights--;
	arena_destroy(&ephemeral->arena);
	log_info(delivery, "domain=%s ephemeral=%zu result=%s err=%s status=%d ms=%lld",
		 outbox->row.domain, ephemeral->sent, taken ? "taken" : "dropped",
		 err_code(answer->err), answer->status, ms);
	if (taken && ephemeral->count > 0)
		ephemeral_start(outbox);
	else
		outbox_drop_ephemeral(outbox);
}

static void ephemeral_start(struct outbox *outbox)
{
	struct ephemeral *ephemeral = &outbox->ephemeral;
	struct call_request request = {
		.domain = outbox->row.domain,
		.path = TRANSACTION_PATH,
		.answer_max = TRANSACTION_ANSWER_MAX,
		.timeout_ms = EPHEMERAL_TIMEOUT_MS,
		.context = outbox,
		.prepare = ephemeral_make,
		.done = ephemeral_done,
	};

	if (outbox->all->ephemeral_flights >= EPHEMERAL_FLIGHTS_MAX ||
	    call_start(outbox->all->calls, &request) != ERR_OK) {
		outbox_drop_ephemeral(outbox);
		return;
	}
	outbox->all->ephemeral_flights++;
	ephemeral->in_flight = true;
	ephemeral->sent = 0;
	ephemeral->arena = arena_create();
	ephemeral->started_ms = clock_monotonic_ms();
}

void outbox_send_ephemeral(struct outbox *outbox, struct window_item *item)
{
	struct ephemeral *ephemeral = &outbox->ephemeral;

	if (outbox->row.state != DESTINATION_UP ||
	    ephemeral->count >= TRANSACTION_EPHEMERAL_MAX ||
	    outbox->all->ephemeral_bytes + item_size(item) > EPHEMERAL_BYTES_MAX) {
		free(item);
		return;
	}
	item->next = NULL;
	if (ephemeral->last != NULL)
		ephemeral->last->next = item;
	else
		ephemeral->first = item;
	ephemeral->last = item;
	ephemeral->count++;
	outbox->all->ephemeral_bytes += item_size(item);
	if (!ephemeral->in_flight)
		ephemeral_start(outbox);
}
