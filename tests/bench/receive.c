/* SPDX-License-Identifier: MIT
 *
 * Devices that receive and acknowledge.
 */
#include "arrivals.h"
#include "mailbox.h"
#include "scan.h"

#include "restante/log.h"

#include <stdlib.h>

struct receiving {
	struct arrivals arrivals;
	int64_t *seqs; /* of the last item of each device */
};

/* Also what came before, if the node was too busy for an acknowledgement. */
static void acknowledge(struct devices *devices, struct device *device)
{
	const struct receiving *receiving = devices->owner;

	buffer_printf(&device->text, "{\"type\":\"ack\",\"up_to\":%lld}",
		      (long long)receiving->seqs[device->index]);
	device_send(devices, device);
}

static void take_envelopes(struct devices *devices, struct device *device,
			   struct bytes envelopes)
{
	struct receiving *receiving = devices->owner;
	struct scan scan = scan_into(envelopes);
	struct bytes envelope;

	while (scan_element(&scan, &envelope)) {
		receiving->seqs[device->index] = scan_number(scan_get(envelope, "seq"));
		arrivals_take(&receiving->arrivals, device,
			      scan_string(scan_get(envelope, "content")));
	}
	acknowledge(devices, device);
}

static void receiver_received(struct devices *devices, struct device *device,
			      struct bytes frame)
{
	const struct receiving *receiving = devices->owner;
	struct bytes type = scan_string(scan_get(frame, "type"));

	if (bytes_equal(type, bytes_of_text("envelope")))
		take_envelopes(devices, device, scan_get(frame, "envelopes"));
	else if (bytes_equal(type, bytes_of_text("error")) &&
		 run_may_be_refused(receiving->arrivals.run, frame))
		acknowledge(devices, device);
	else if (bytes_equal(type, bytes_of_text("error")))
		fatal("%.*s", (int)frame.len, (const char *)frame.data);
}

void run_receive(const struct run *run)
{
	struct receiving receiving = {
		.seqs = calloc(run->accounts.count, sizeof *receiving.seqs),
	};
	struct devices devices = {
		.protocol = &websocket,
		.owner = &receiving,
		.received = receiver_received,
	};

	if (receiving.seqs == NULL)
		fatal("out of memory");
	arrivals_init(&receiving.arrivals, run);
	devices_open(&devices, &run->tls, &run->accounts);
	run_say_connected();
	arrivals_wait(&receiving.arrivals, &devices);
	mailboxes_wait(run, &devices);
	arrivals_free(&receiving.arrivals);
	free(receiving.seqs);
	devices_close(&devices);
}
