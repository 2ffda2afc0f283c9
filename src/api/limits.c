/* SPDX-License-Identifier: MIT
 *
 * The rate limits of limits.def, which are those of all net threads together.
 */
#include "node.h"

#include "restante/clock.h"
#include "restante/metrics.h"

int64_t limit_take(struct node *node, enum limit limit, struct bytes key)
{
	int64_t wait_ms =
		ratelimit_take(node->shared->limits[limit], key, clock_monotonic_ms());

	if (wait_ms > 0)
		metric_inc(rate_limited_total);
	return wait_ms;
}
