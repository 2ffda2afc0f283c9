/* SPDX-License-Identifier: MIT
 *
 * Devices that are connected and say nothing but what the protocol wants: answers to pings.
 */
#include "run.h"

#include <poll.h>
#include <unistd.h>

#define WAIT_NS UINT64_C(100000000)

static void nothing_to_do(struct devices *devices, struct device *device, struct bytes frame)
{
	(void)devices;
	(void)device;
	(void)frame;
}

static bool input_has_ended(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&input, 1, 0) > 0;
}

void run_idle(const struct run *run, const struct protocol *protocol)
{
	struct devices devices = {.protocol = protocol, .received = nothing_to_do};

	devices_open(&devices, &run->tls, &run->accounts);
	run_say_connected();
	while (!input_has_ended())
		devices_turn(&devices, WAIT_NS);
	devices_close(&devices);
}
