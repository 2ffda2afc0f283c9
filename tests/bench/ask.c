/* SPDX-License-Identifier: MIT
 *
 * Devices that ask: each has up to a window of questions without an answer. What they ask is
 * nothing (an echo of another server measures what its library takes), or keys, each of which
 * must come once.
 */
#include "content.h"
#include "histogram.h"
#include "run.h"
#include "scan.h"

#include "restante/log.h"

#include <stdio.h>
#include <stdlib.h>

#define WAIT_NS UINT64_C(100000000)

struct asker {
	size_t asked;
	size_t answered;
	uint64_t asked_ns; /* the last question */
	size_t recipient;  /* whose keys it asked for */
};

struct asking {
	const struct run *run;
	size_t window;
	void (*ask)(struct asking *asking, struct device *device);
	void (*check)(struct asking *asking, const struct asker *asker, struct bytes answer);
	struct devices devices;
	struct asker *askers;
	size_t asked;
	size_t answered;
	struct histogram answers;
	bool *claimed; /* by id, for each recipient */
};

static void answered(struct devices *devices, struct device *device, struct bytes answer)
{
	struct asking *asking = devices->owner;
	struct asker *asker = &asking->askers[device->index];

	asking->check(asking, asker, answer);
	histogram_add(&asking->answers, now_ns() - asker->asked_ns);
	asker->answered++;
	asking->answered++;
}

static void ask_all(struct asking *asking)
{
	for (size_t i = 0; i < asking->devices.count; i++) {
		struct asker *asker = &asking->askers[i];

		while (asking->asked < asking->run->messages &&
		       asker->asked - asker->answered < asking->window) {
			asker->asked_ns = now_ns();
			asker->asked++;
			asking->asked++;
			asking->ask(asking, &asking->devices.list[i]);
		}
	}
}

static void asking_print(const struct asking *asking, uint64_t ns)
{
	struct buffer out = {0};

	buffer_printf(&out, "{\"messages\":%zu,\"ns\":%llu,\"answers\":", asking->answered,
		      (unsigned long long)ns);
	histogram_write(&out, &asking->answers);
	printf("%.*s}\n", (int)buffer_bytes(&out).len, (const char *)buffer_bytes(&out).data);
	buffer_free(&out);
}

static void run_ask(struct asking *asking)
{
	const struct run *run = asking->run;
	uint64_t began;

	asking->askers = calloc(run->accounts.count, sizeof *asking->askers);
	if (asking->askers == NULL)
		fatal("out of memory");
	asking->devices.owner = asking;
	asking->devices.received = answered;
	devices_open(&asking->devices, &run->tls, &run->accounts);
	run_say_connected();
	began = now_ns();
	while (asking->answered < run->messages) {
		ask_all(asking);
		devices_turn(&asking->devices, WAIT_NS);
		run_check_time(run, "answers", asking->answered, run->messages);
	}
	asking_print(asking, now_ns() - began);
	free(asking->askers);
	devices_close(&asking->devices);
}

static void echo_ask(struct asking *asking, struct device *device)
{
	if (asking->run->http) {
		device_call(&asking->devices, device, "GET", "");
		return;
	}
	buffer_printf(&device->text, "{}");
	device_send(&asking->devices, device);
}

static void echo_check(struct asking *asking, const struct asker *asker, struct bytes answer)
{
	(void)asking;
	(void)asker;
	if (!bytes_equal(answer, bytes_of_text("{}")))
		fatal("no echo: %.*s", (int)answer.len, (const char *)answer.data);
}

void run_echo(const struct run *run)
{
	struct asking asking = {
		.run = run,
		.window = run->http ? 1 : run->window,
		.ask = echo_ask,
		.check = echo_check,
		.devices.protocol = run->http ? &http_calls : &websocket,
	};

	run_ask(&asking);
}

static void claim_ask(struct asking *asking, struct device *device)
{
	struct asker *asker = &asking->askers[device->index];
	const struct accounts *to = &asking->run->to;

	asker->recipient = asking->asked % to->count;
	buffer_printf(&device->text, "{\"claim_id\":\"%u-%zu\",\"address\":\"%s@%s\"}",
		      asking->run->flow, asking->asked, to->list[asker->recipient].user,
		      to->list[asker->recipient].domain);
	device_call(&asking->devices, device, "POST", "keys/claim");
}

static void claim_check(struct asking *asking, const struct asker *asker, struct bytes answer)
{
	struct scan devices = scan_into(scan_get(answer, "devices"));
	struct bytes device;
	struct bytes key;
	size_t id;

	if (!scan_element(&devices, &device))
		fatal("no device: %.*s", (int)answer.len, (const char *)answer.data);
	key = scan_get(device, "one_time_prekey");
	if (bytes_equal(key, bytes_of_text("null")))
		fatal("no one-time key is left");
	id = (size_t)scan_number(scan_get(key, "id"));
	if (id == 0 || id > asking->run->count)
		fatal("a one-time key that was not uploaded: %zu", id);
	id += asker->recipient * (asking->run->count + 1);
	if (asking->claimed[id])
		fatal("a one-time key was handed out twice");
	asking->claimed[id] = true;
}

void run_claim(const struct run *run)
{
	struct asking asking = {
		.run = run,
		.window = 1,
		.ask = claim_ask,
		.check = claim_check,
		.devices.protocol = &http_calls,
		.claimed = calloc(run->to.count * (run->count + 1), sizeof(bool)),
	};

	if (asking.claimed == NULL)
		fatal("out of memory");
	run_ask(&asking);
	free(asking.claimed);
}
