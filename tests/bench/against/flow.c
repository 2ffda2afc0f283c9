/* SPDX-License-Identifier: MIT
 *
 * Sends and receives over XMPP (xmpp.h). A server does not answer a message, but it works off
 * a stream in order: a sender asks the recipients' server for a ping (XEP-0199) after each half
 * window, whose answer says that the messages before it were taken.
 */
#include "arrivals.h"
#include "content.h"
#include "stanza.h"
#include "xmpp.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"

#include <stdio.h>
#include <stdlib.h>

#define WAIT_NS UINT64_C(100000000)

struct sender {
	uint64_t *numbers; /* of the next message, for each recipient */
	size_t recipient;  /* the next one */
	size_t sent;
	size_t asked; /* of those before the last ping */
	size_t taken; /* of those before its answer */
};

struct sending {
	const struct run *run;
	struct devices devices;
	struct sender *senders;
	size_t sent;
	size_t taken;
	bool servers_met;
	uint64_t first_ns;
};

static void sender_received(struct devices *devices, struct device *device, struct bytes stanza)
{
	struct sending *sending = devices->owner;
	struct sender *sender = &sending->senders[device->index];
	struct bytes type = stanza_attribute(stanza, "type");
	struct bytes id = stanza_attribute(stanza, "id");
	size_t taken;

	if (!stanza_is(stanza, "iq"))
		return;
	if (!bytes_equal(type, bytes_of_text("result")))
		fatal("%s: %.*s", device->account->user, (int)stanza.len,
		      (const char *)stanza.data);
	if (!sending->servers_met) {
		sending->servers_met = true;
		return;
	}
	taken = strtoul((const char *)id.data, NULL, 10);
	if (taken <= sender->taken || taken > sender->asked)
		fatal("%s: an answer that was not asked for", device->account->user);
	sending->taken += taken - sender->taken;
	sender->taken = taken;
}

static void message_write(struct sending *sending, struct device *device, uint64_t sent_ns)
{
	const struct run *run = sending->run;
	struct sender *sender = &sending->senders[device->index];
	const struct account *to = &run->to.list[sender->recipient];
	struct content content = {
		.flow = run->flow,
		.sender = (uint32_t)device->index,
		.recipient = (uint32_t)sender->recipient,
		.size = (uint32_t)run->size,
		.number = sender->numbers[sender->recipient]++,
		.sent_ns = sent_ns,
	};
	uint8_t id[UUID_SIZE];
	char id_text[UUID_TEXT_SIZE];

	uuid7_create(clock_now_ms(), id);
	uuid7_format(id, id_text);
	buffer_printf(&device->out, "<message to='%s@%s' type='chat' id='%s'><body>", to->user,
		      to->domain, id_text);
	content_write_text(&content, &device->out);
	buffer_printf(&device->out, "</body></message>");
	sender->recipient = (sender->recipient + 1) % run->to.count;
	sender->sent++;
	sending->sent++;
}

static void ping_write(struct sending *sending, struct device *device)
{
	struct sender *sender = &sending->senders[device->index];

	buffer_printf(&device->out,
		      "<iq type='get' id='%zu' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>",
		      sender->sent, sending->run->to.list[0].domain);
	sender->asked = sender->sent;
}

/* Prosody 0.12 mixes up the order of what is sent while it connects to another server. */
static void let_servers_meet(struct sending *sending)
{
	ping_write(sending, &sending->devices.list[0]);
	device_flush(&sending->devices, &sending->devices.list[0]);
	while (!sending->servers_met) {
		devices_turn(&sending->devices, WAIT_NS);
		run_check_time(sending->run, "servers", 0, 1);
	}
}

/* One stanza at a time, as somebody writes. */
static void send_one(struct sending *sending, struct device *device, uint64_t sent_ns)
{
	const struct sender *sender = &sending->senders[device->index];

	message_write(sending, device, sent_ns);
	device_flush(&sending->devices, device);
	if (sender->sent - sender->asked >= sending->run->window / 2) {
		ping_write(sending, device);
		device_flush(&sending->devices, device);
	}
}

static bool has_window(const struct sending *sending, const struct device *device)
{
	const struct sender *sender = &sending->senders[device->index];

	return sender->sent - sender->taken < sending->run->window;
}

static void send_freely(struct sending *sending)
{
	for (size_t i = 0; i < sending->devices.count; i++) {
		struct device *device = &sending->devices.list[i];

		while (sending->sent < sending->run->messages && has_window(sending, device))
			send_one(sending, device, now_ns());
	}
}

/* All messages whose time has come, the devices in turn. Answers when the next one is due. */
static uint64_t send_by_clock(struct sending *sending)
{
	const struct run *run = sending->run;

	while (sending->sent < run->messages) {
		uint64_t due =
			sending->first_ns + (uint64_t)((double)sending->sent * 1e9 / run->rate);
		uint64_t now = now_ns();
		struct device *device =
			&sending->devices.list[sending->sent % sending->devices.count];

		if (due > now)
			return due - now;
		if (!has_window(sending, device))
			return WAIT_NS;
		send_one(sending, device, due);
	}
	return WAIT_NS;
}

/* Whether the last messages were taken too. */
static void ask_for_the_rest(struct sending *sending)
{
	for (size_t i = 0; i < sending->devices.count; i++) {
		if (sending->senders[i].asked == sending->senders[i].sent)
			continue;
		ping_write(sending, &sending->devices.list[i]);
		device_flush(&sending->devices, &sending->devices.list[i]);
	}
}

static void sending_init(struct sending *sending, const struct run *run)
{
	*sending = (struct sending){
		.run = run,
		.devices = {.protocol = &xmpp_stream, .received = sender_received},
		.senders = calloc(run->accounts.count, sizeof *sending->senders),
	};
	for (size_t i = 0; i < run->accounts.count; i++) {
		sending->senders[i].recipient = i % run->to.count;
		sending->senders[i].numbers = calloc(run->to.count, sizeof(uint64_t));
		if (sending->senders[i].numbers == NULL)
			fatal("out of memory");
	}
	sending->devices.owner = sending;
	devices_open(&sending->devices, &run->tls, &run->accounts);
}

static void sending_free(struct sending *sending)
{
	for (size_t i = 0; i < sending->devices.count; i++)
		free(sending->senders[i].numbers);
	free(sending->senders);
	devices_close(&sending->devices);
}

void xmpp_send(const struct run *run)
{
	struct sending sending;

	sending_init(&sending, run);
	let_servers_meet(&sending);
	sending.first_ns = now_ns();
	while (sending.taken < run->messages) {
		uint64_t wait = WAIT_NS;

		if (sending.sent == run->messages)
			ask_for_the_rest(&sending);
		else if (run->rate > 0)
			wait = send_by_clock(&sending);
		else
			send_freely(&sending);
		devices_turn(&sending.devices, wait < WAIT_NS ? wait : WAIT_NS);
		run_check_time(run, "messages taken", sending.taken, run->messages);
	}
	printf("{\"messages\":%zu,\"busy\":0,\"receipts\":0,\"first_ns\":%llu,"
	       "\"last_ns\":%llu,\"answers\":[]}\n",
	       sending.taken, (unsigned long long)sending.first_ns,
	       (unsigned long long)now_ns());
	sending_free(&sending);
}

static void receiver_received(struct devices *devices, struct device *device,
			      struct bytes stanza)
{
	if (stanza_is(stanza, "message"))
		arrivals_take(devices->owner, device, stanza_text(stanza, "body"));
}

void xmpp_receive(const struct run *run)
{
	struct arrivals arrivals;
	struct devices devices = {
		.protocol = &xmpp_stream,
		.owner = &arrivals,
		.received = receiver_received,
	};

	arrivals_init(&arrivals, run);
	devices_open(&devices, &run->tls, &run->accounts);
	run_say_connected();
	arrivals_wait(&arrivals, &devices);
	arrivals_free(&arrivals);
	devices_close(&devices);
}
