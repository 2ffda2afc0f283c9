/* SPDX-License-Identifier: MIT
 *
 * What has arrived at the devices of a run: every message must come once, in the order of its
 * sender, with the content that was sent; without gaps, unless the node may have refused some.
 */
#ifndef BENCH_ARRIVALS_H
#define BENCH_ARRIVALS_H

#include "histogram.h"
#include "run.h"

struct arrivals {
	const struct run *run;
	uint64_t *numbers; /* of the next message, for each device from each sender */
	size_t received;
	struct histogram latency;
	uint64_t first_ns;
	uint64_t last_ns;
};

void arrivals_init(struct arrivals *arrivals, const struct run *run);
void arrivals_free(struct arrivals *arrivals);
/* A content in base64. */
void arrivals_take(struct arrivals *arrivals, const struct device *device, struct bytes text);
/* Turns the devices until all messages are there, and a little longer for what should not
 * come; then prints the result. */
void arrivals_wait(struct arrivals *arrivals, struct devices *devices);

#endif
