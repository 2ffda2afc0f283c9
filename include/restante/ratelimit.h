/* SPDX-License-Identifier: MIT
 *
 * Token buckets: `burst` permits, one more every `every_ms`. A table is bounded: when it
 * is full, full buckets (which say nothing) are dropped first, then the longest unused.
 * Any thread.
 */
#ifndef RESTANTE_RATELIMIT_H
#define RESTANTE_RATELIMIT_H

#include "restante/bytes.h"

struct ratelimit;

struct rate {
	uint32_t burst;
	uint32_t every_ms;
};

struct ratelimit *ratelimit_create(struct rate rate, size_t max_buckets);
/* From now on; whoever has used more than that already waits the longer. */
void ratelimit_set_rate(struct ratelimit *limit, struct rate rate);
void ratelimit_destroy(struct ratelimit **limit);

/* Takes one permit of the bucket of this key. 0: granted; else after how many
 * milliseconds one will be there. */
int64_t ratelimit_take(struct ratelimit *limit, struct bytes key, int64_t now_ms);

#endif
