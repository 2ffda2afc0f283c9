/* SPDX-License-Identifier: MIT
 *
 * The rate limits of limits.def, which are those of all net threads together.
 */
#include "node.h"

#include "restante/clock.h"
#include "restante/metrics.h"

#define BUCKETS_MAX 65536

enum scope { EACH, SHARED };

struct limit_row {
	struct rate rate;
	enum scope scope;
};

static const struct limit_row rows[] = {
#define LIMIT(name, burst, every_ms, scope, doc) [LIMIT_##name] = {{burst, every_ms}, scope},
#include "limits.def"
#undef LIMIT
};

static uint32_t between(uint64_t value, uint64_t least)
{
	if (value < least)
		return (uint32_t)least;
	return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

/* What is shared is granted by each process in part, so that all of them together keep to it,
 * however clients are spread over them. */
static struct rate rate_of(const struct shared *shared, const struct limit_row *row,
			   int processes)
{
	uint64_t scale = (uint64_t)shared->config->limits_rate_scale;
	uint64_t parts = row->scope == SHARED ? (uint64_t)processes : 1;

	return (struct rate){between(row->rate.burst * scale / parts, 1),
			     between(row->rate.every_ms * parts / scale, 1)};
}

void limits_divide(struct shared *shared, int processes)
{
	for (size_t i = 0; i < LIMIT_COUNT; i++) {
		struct rate rate = rate_of(shared, &rows[i], processes);

		if (shared->limits[i] == NULL)
			shared->limits[i] = ratelimit_create(rate, BUCKETS_MAX);
		else
			ratelimit_set_rate(shared->limits[i], rate);
	}
}

int64_t limit_take(struct node *node, enum limit limit, struct bytes key)
{
	int64_t wait_ms =
		ratelimit_take(node->shared->limits[limit], key, clock_monotonic_ms());

	if (wait_ms > 0)
		metric_inc(rate_limited_total);
	return wait_ms;
}
