/* SPDX-License-Identifier: MIT
 *
 * Metrics: one relaxed atomic each. Any thread.
 */
#include "restante/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>

struct metric_row {
	const char *name;
	const char *type;
	const char *help;
};

static const struct metric_row rows[METRIC_COUNT] = {
#define METRIC(name, type, help) [METRIC_##name] = {#name, #type, help},
#include "restante/metrics.def"
#undef METRIC
};

static _Atomic int64_t values[METRIC_COUNT];

void metric_add(enum metric metric, int64_t n)
{
	atomic_fetch_add_explicit(&values[metric], n, memory_order_relaxed);
}

void metric_set(enum metric metric, int64_t value)
{
	atomic_store_explicit(&values[metric], value, memory_order_relaxed);
}

int64_t metric_get(enum metric metric)
{
	return atomic_load_explicit(&values[metric], memory_order_relaxed);
}

void metrics_print(struct text *out)
{
	for (int i = 0; i < METRIC_COUNT; i++) {
		const struct metric_row *row = &rows[i];

		text_printf(out, "# HELP restante_%s %s\n", row->name, row->help);
		text_printf(out, "# TYPE restante_%s %s\n", row->name, row->type);
		text_printf(out, "restante_%s %" PRId64 "\n", row->name, metric_get(i));
	}
}
