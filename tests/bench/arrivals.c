/* SPDX-License-Identifier: MIT
 *
 * What has arrived (arrivals.h).
 */
#include "arrivals.h"

#include "content.h"

#include "restante/crypto.h"
#include "restante/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define WAIT_NS	  UINT64_C(100000000)
#define LINGER_NS UINT64_C(300000000)

void arrivals_init(struct arrivals *arrivals, const struct run *run)
{
	*arrivals = (struct arrivals){.run = run};
	arrivals->numbers =
		calloc(run->accounts.count * run->senders, sizeof *arrivals->numbers);
	if (arrivals->numbers == NULL)
		fatal("out of memory");
}

void arrivals_free(struct arrivals *arrivals)
{
	free(arrivals->numbers);
}

void arrivals_take(struct arrivals *arrivals, const struct device *device, struct bytes text)
{
	static uint8_t bytes[CONTENT_MAX];
	const struct run *run = arrivals->run;
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
	number = &arrivals->numbers[device->index * run->senders + content.sender];
	if (run->busy ? content.number < *number : content.number != *number)
		fatal("%s: message %" PRIu64 " of sender %u instead of %" PRIu64,
		      device->account->user, content.number, content.sender, *number);
	*number = content.number + 1;
	arrivals->last_ns = now_ns();
	if (arrivals->received++ == 0)
		arrivals->first_ns = arrivals->last_ns;
	histogram_add(&arrivals->latency, arrivals->last_ns - content.sent_ns);
}

static void arrivals_print(const struct arrivals *arrivals)
{
	struct buffer out = {0};

	buffer_printf(&out, "{\"messages\":%zu,\"first_ns\":%llu,\"last_ns\":%llu,\"latency\":",
		      arrivals->received, (unsigned long long)arrivals->first_ns,
		      (unsigned long long)arrivals->last_ns);
	histogram_write(&out, &arrivals->latency);
	printf("%.*s}\n", (int)buffer_bytes(&out).len, (const char *)buffer_bytes(&out).data);
	buffer_free(&out);
}

void arrivals_wait(struct arrivals *arrivals, struct devices *devices)
{
	const struct run *run = arrivals->run;

	while (arrivals->received < run->messages || now_ns() < arrivals->last_ns + LINGER_NS) {
		devices_turn(devices, WAIT_NS);
		run_check_time(run, "messages", arrivals->received, run->messages);
	}
	if (arrivals->received > run->messages)
		fatal("%zu messages instead of %zu", arrivals->received, run->messages);
	arrivals_print(arrivals);
}
