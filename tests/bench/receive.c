/* SPDX-License-Identifier: MIT
 *
 * Devices that receive and acknowledge: every message must come once, in the order of its
 * sender, with the content that was sent; without gaps, unless the node may have refused some.
 */
#include "content.h"
#include "device.h"
#include "histogram.h"
#include "run.h"
#include "scan.h"

#include "restante/crypto.h"
#include "restante/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define WAIT_NS	  UINT64_C(100000000)
#define LINGER_NS UINT64_C(300000000) /* for what should not come, after what should */

struct receiving {
	const struct run *run;
	struct devices devices;
	uint64_t *numbers; /* of the next message, for each device from each sender */
	int64_t *seqs;	   /* of the last item of each device */
	size_t received;
	struct histogram latency;
	uint64_t first_ns;
	uint64_t last_ns;
};

static void take_content(struct receiving *receiving, struct device *device, struct bytes text)
{
	static uint8_t bytes[CONTENT_MAX];
	const struct run *run = receiving->run;
	size_t len;
	struct content content;
	uint64_t *number;

	if (!base64_is_valid(text, &len) || len > sizeof bytes ||
	    base64_decode_exact(text, len, bytes) != ERR_OK)
		fatal("a message's content is not base64, or too long");
	content = content_read(bytes_of(bytes, len));
	if (content.flow != run->flow || content.sender >= run->senders ||
	    content.recipient != device->index)
		fatal("%s: a message for somebody else", device->account->user);
	number = &receiving->numbers[device->index * run->senders + content.sender];
	if (run->busy ? content.number < *number : content.number != *number)
		fatal("%s: message %" PRIu64 " of sender %u instead of %" PRIu64,
		      device->account->user, content.number, content.sender, *number);
	*number = content.number + 1;
	receiving->last_ns = now_ns();
	if (receiving->received++ == 0)
		receiving->first_ns = receiving->last_ns;
	histogram_add(&receiving->latency, receiving->last_ns - content.sent_ns);
}

/* Also what came before, if the node was too busy for an acknowledgement. */
static void acknowledge(struct receiving *receiving, struct device *device)
{
	buffer_printf(&device->text, "{\"type\":\"ack\",\"up_to\":%lld}",
		      (long long)receiving->seqs[device->index]);
	device_send(&receiving->devices, device);
}

static void take_envelopes(struct receiving *receiving, struct device *device,
			   struct bytes envelopes)
{
	struct scan scan = scan_into(envelopes);
	struct bytes envelope;

	while (scan_element(&scan, &envelope)) {
		receiving->seqs[device->index] = scan_number(scan_get(envelope, "seq"));
		take_content(receiving, device, scan_string(scan_get(envelope, "content")));
	}
	acknowledge(receiving, device);
}

static bool node_was_busy(const struct receiving *receiving, struct bytes error)
{
	return receiving->run->busy &&
	       bytes_equal(scan_get(error, "code"), bytes_of_text("\"BUSY\""));
}

static void receiver_received(struct devices *devices, struct device *device,
			      struct bytes frame)
{
	struct bytes type = scan_string(scan_get(frame, "type"));

	if (bytes_equal(type, bytes_of_text("envelope")))
		take_envelopes(devices->owner, device, scan_get(frame, "envelopes"));
	else if (bytes_equal(type, bytes_of_text("error")) &&
		 node_was_busy(devices->owner, frame))
		acknowledge(devices->owner, device);
	else if (bytes_equal(type, bytes_of_text("error")))
		fatal("%.*s", (int)frame.len, (const char *)frame.data);
}

static void receiving_print(const struct receiving *receiving)
{
	struct buffer out = {0};

	buffer_printf(&out, "{\"messages\":%zu,\"first_ns\":%llu,\"last_ns\":%llu,\"latency\":",
		      receiving->received, (unsigned long long)receiving->first_ns,
		      (unsigned long long)receiving->last_ns);
	histogram_write(&out, &receiving->latency);
	printf("%.*s}\n", (int)buffer_bytes(&out).len, (const char *)buffer_bytes(&out).data);
	buffer_free(&out);
}

void run_receive(const struct run *run)
{
	struct receiving receiving = {.run = run};

	receiving.numbers =
		calloc(run->accounts.count * run->senders, sizeof *receiving.numbers);
	receiving.seqs = calloc(run->accounts.count, sizeof *receiving.seqs);
	if (receiving.numbers == NULL || receiving.seqs == NULL)
		fatal("out of memory");
	receiving.devices.owner = &receiving;
	receiving.devices.received = receiver_received;
	devices_open(&receiving.devices, &run->tls, &run->accounts);
	printf("connected\n");
	fflush(stdout);
	while (receiving.received < run->messages || now_ns() < receiving.last_ns + LINGER_NS) {
		devices_turn(&receiving.devices, WAIT_NS);
		run_check_time(run, "messages", receiving.received, run->messages);
	}
	if (receiving.received > run->messages)
		fatal("%zu messages instead of %zu", receiving.received, run->messages);
	receiving_print(&receiving);
	free(receiving.numbers);
	free(receiving.seqs);
	devices_close(&receiving.devices);
}
