/* SPDX-License-Identifier: MIT
 *
 * Devices that send, over WebSockets or HTTP: each to all recipients in turn, with a window of
 * messages that have no answer yet, or all together at a fixed rate. Every answer must be
 * there, in order, and say that the message was taken.
 */
#include "content.h"
#include "histogram.h"
#include "mailbox.h"
#include "run.h"
#include "scan.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"

#include <stdio.h>
#include <stdlib.h>

#define WAIT_NS UINT64_C(100000000)

struct pending {
	char id[UUID_TEXT_SIZE];
	uint64_t sent_ns;
};

struct sender {
	uint64_t *numbers; /* of the next message, for each recipient */
	size_t recipient;  /* the next one: its first device */
	size_t sent;
	size_t answered;
	struct pending *pending; /* a ring of run->window */
	bool waits;		 /* until nothing is pending, for the node was busy */
};

struct sending {
	const struct run *run;
	struct devices devices;
	struct sender *senders;
	size_t sent;
	size_t answered;
	size_t busy; /* refused; others are sent in their place */
	size_t receipts;
	struct histogram answers;
	uint64_t first_ns;
	uint64_t last_ns;
};

static void take_answer(struct sending *sending, struct sender *sender, struct bytes result)
{
	struct pending *pending = &sender->pending[sender->answered % sending->run->window];
	struct bytes id = scan_string(scan_get(result, "id"));
	struct bytes status = scan_get(result, "status");

	if (sender->answered == sender->sent || !bytes_equal(id, bytes_of_text(pending->id)))
		fatal("an answer to another message than the next one: %.*s", (int)result.len,
		      (const char *)result.data);
	sender->answered++;
	if (run_may_be_refused(sending->run, result)) {
		sender->waits = true;
		sending->busy++;
		sending->sent--;
		return;
	}
	if (!bytes_equal(status, bytes_of_text("\"stored\"")) &&
	    !bytes_equal(status, bytes_of_text("\"queued\"")))
		fatal("refused: %.*s", (int)result.len, (const char *)result.data);
	histogram_add(&sending->answers, now_ns() - pending->sent_ns);
	sending->answered++;
	sending->last_ns = now_ns();
}

static void take_results(struct sending *sending, struct device *device, struct bytes results)
{
	struct scan scan = scan_into(results);
	struct bytes result;

	while (scan_element(&scan, &result)) {
		if (scan_get(result, "seq").len > 0)
			fatal("not delivered: %.*s", (int)result.len,
			      (const char *)result.data);
		take_answer(sending, &sending->senders[device->index], result);
	}
}

static void take_receipts(struct sending *sending, struct device *device, struct bytes receipts)
{
	struct scan scan = scan_into(receipts);
	struct bytes receipt;
	int64_t seq = 0;

	while (scan_element(&scan, &receipt)) {
		seq = scan_number(scan_get(receipt, "seq"));
		sending->receipts++;
	}
	buffer_printf(&device->text, "{\"type\":\"ack\",\"up_to\":%lld}", (long long)seq);
	device_send(&sending->devices, device);
}

static void sender_received(struct devices *devices, struct device *device, struct bytes frame)
{
	struct sending *sending = devices->owner;
	struct bytes type;

	if (sending->run->http) {
		take_answer(sending, &sending->senders[device->index], frame);
		return;
	}
	type = scan_string(scan_get(frame, "type"));
	if (bytes_equal(type, bytes_of_text("send_result")))
		take_results(sending, device, scan_get(frame, "results"));
	else if (bytes_equal(type, bytes_of_text("receipt")))
		take_receipts(sending, device, scan_get(frame, "receipts"));
	else if (bytes_equal(type, bytes_of_text("error")) ||
		 bytes_equal(type, bytes_of_text("envelope")))
		fatal("%.*s", (int)frame.len, (const char *)frame.data);
}

/* One for each device of the recipient; all hold the same but for whose they are. */
static void envelopes_write(struct buffer *out, const struct accounts *to,
			    struct content *content, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++) {
		content->recipient = (uint32_t)i;
		buffer_printf(out,
			      "%s{\"device_id\":%u,\"registration_id\":%u,\"type\":1,"
			      "\"content\":\"",
			      i > first ? "," : "", to->list[i].device_id,
			      to->list[i].registration_id);
		content_write_text(content, out);
		buffer_printf(out, "\"}");
	}
}

static void message_write(struct sending *sending, struct device *device, uint64_t sent_ns)
{
	const struct run *run = sending->run;
	struct sender *sender = &sending->senders[device->index];
	struct pending *pending = &sender->pending[sender->sent % run->window];
	const struct account *to = &run->to.list[sender->recipient];
	size_t next = accounts_next(&run->to, sender->recipient);
	struct content content = {
		.flow = run->flow,
		.sender = (uint32_t)device->index,
		.size = (uint32_t)run->size,
		.number = sender->numbers[sender->recipient]++,
		.sent_ns = sent_ns,
	};
	uint8_t id[UUID_SIZE];

	uuid7_create(clock_now_ms(), id);
	uuid7_format(id, pending->id);
	pending->sent_ns = sent_ns;
	buffer_printf(&device->text,
		      "{\"to\":\"%s@%s\",\"id\":\"%s\",\"timestamp\":%lld,\"envelopes\":[",
		      to->user, to->domain, pending->id, (long long)clock_now_ms());
	envelopes_write(&device->text, &run->to, &content, sender->recipient, next);
	buffer_printf(&device->text, "]}");
	sender->recipient = next % run->to.count;
	sender->sent++;
	sending->sent++;
}

static void frame_send(struct sending *sending, struct device *device, size_t count,
		       uint64_t sent_ns)
{
	buffer_printf(&device->text, "{\"type\":\"send\",\"messages\":[");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buffer_printf(&device->text, ",");
		message_write(sending, device, sent_ns);
	}
	buffer_printf(&device->text, "]}");
	device_send(&sending->devices, device);
}

static void messages_send(struct sending *sending, struct device *device, size_t count,
			  uint64_t sent_ns)
{
	if (!sending->run->http) {
		frame_send(sending, device, count, sent_ns);
		return;
	}
	message_write(sending, device, sent_ns);
	device_call(&sending->devices, device, "POST", "messages/send");
}

static size_t window_left(const struct sending *sending, size_t index)
{
	struct sender *sender = &sending->senders[index];

	if (sender->waits && sender->answered < sender->sent)
		return 0;
	sender->waits = false;
	return sending->run->window - (sender->sent - sender->answered);
}

/* As much as the windows take: whole arrays, but for the last one. */
static void send_freely(struct sending *sending)
{
	const struct run *run = sending->run;

	for (size_t i = 0; i < sending->devices.count; i++) {
		for (;;) {
			size_t left = run->messages - sending->sent;
			size_t count = left < run->array ? left : run->array;

			if (count == 0 || window_left(sending, i) < count)
				break;
			messages_send(sending, &sending->devices.list[i], count, now_ns());
		}
	}
}

/* All messages whose time has come, the devices in turn. A message counts from when it was
 * to be sent, also where the window holds it back. Answers when the next one is due. */
static uint64_t send_by_clock(struct sending *sending)
{
	const struct run *run = sending->run;

	while (sending->sent < run->messages) {
		uint64_t due =
			sending->first_ns + (uint64_t)((double)sending->sent * 1e9 / run->rate);
		uint64_t now = now_ns();
		size_t index = sending->sent % sending->devices.count;

		if (due > now)
			return due - now;
		if (window_left(sending, index) == 0)
			return WAIT_NS;
		messages_send(sending, &sending->devices.list[index], 1, due);
	}
	return WAIT_NS;
}

static void sending_init(struct sending *sending, const struct run *run)
{
	size_t count = run->accounts.count;
	size_t recipient = 0;

	sending->run = run;
	sending->senders = calloc(count, sizeof *sending->senders);
	for (size_t i = 0; i < count; i++) {
		struct sender *sender = &sending->senders[i];

		sender->recipient = recipient;
		recipient = accounts_next(&run->to, recipient) % run->to.count;
		sender->numbers = calloc(run->to.count, sizeof *sender->numbers);
		sender->pending = calloc(run->window, sizeof *sender->pending);
		if (sender->numbers == NULL || sender->pending == NULL)
			fatal("out of memory");
	}
	sending->devices.protocol = run->http ? &http_calls : &websocket;
	sending->devices.owner = sending;
	sending->devices.received = sender_received;
	devices_open(&sending->devices, &run->tls, &run->accounts);
}

static void sending_free(struct sending *sending)
{
	for (size_t i = 0; i < sending->devices.count; i++) {
		free(sending->senders[i].numbers);
		free(sending->senders[i].pending);
	}
	free(sending->senders);
	devices_close(&sending->devices);
}

static void sending_print(const struct sending *sending)
{
	struct buffer out = {0};

	buffer_printf(&out,
		      "{\"messages\":%zu,\"busy\":%zu,\"receipts\":%zu,\"first_ns\":%llu,"
		      "\"last_ns\":%llu,"
		      "\"answers\":",
		      sending->answered, sending->busy, sending->receipts,
		      (unsigned long long)sending->first_ns,
		      (unsigned long long)sending->last_ns);
	histogram_write(&out, &sending->answers);
	printf("%.*s}\n", (int)buffer_bytes(&out).len, (const char *)buffer_bytes(&out).data);
	buffer_free(&out);
}

void run_send(const struct run *run)
{
	struct sending sending = {0};

	sending_init(&sending, run);
	sending.first_ns = now_ns();
	while (sending.answered < run->messages || sending.receipts < run->receipts) {
		uint64_t wait = WAIT_NS;

		if (run->rate > 0)
			wait = send_by_clock(&sending);
		else
			send_freely(&sending);
		devices_turn(&sending.devices, wait < WAIT_NS ? wait : WAIT_NS);
		run_check_time(run, "answers", sending.answered, run->messages);
	}
	if (run->receipts > 0)
		mailboxes_wait(run, &sending.devices);
	sending_print(&sending);
	sending_free(&sending);
}
