/* SPDX-License-Identifier: MIT
 *
 * Counters and gauges as atomics, printed as Prometheus text (exposition format 0.0.4).
 * The closed list is metrics.def: METRIC(name, type, help).
 */
#ifndef RESTANTE_METRICS_H
#define RESTANTE_METRICS_H

#include "restante/text.h"

enum metric {
#define METRIC(name, type, help) METRIC_##name,
#include "restante/metrics.def"
#undef METRIC
	METRIC_COUNT
};

void metric_add(enum metric metric, int64_t n);
void metric_set(enum metric metric, int64_t value);
int64_t metric_get(enum metric metric);
#define metric_inc(name) metric_add(METRIC_##name, 1)

/* Appends every metric as `restante_<name>`, with HELP and TYPE lines. */
void metrics_print(struct text *out);

#endif
