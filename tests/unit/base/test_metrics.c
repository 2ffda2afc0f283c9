/* SPDX-License-Identifier: MIT
 *
 * Metrics count and print as Prometheus text.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/metrics.h"

#include <string.h>

static void counters_add_and_gauges_are_set(void **state)
{
	(void)state;
	metric_inc(http_requests_total);
	metric_add(METRIC_http_requests_total, 4);
	metric_set(METRIC_sockets_open, 7);
	metric_add(METRIC_sockets_open, -2);
	assert_int_equal(metric_get(METRIC_http_requests_total), 5);
	assert_int_equal(metric_get(METRIC_sockets_open), 5);
}

static void every_metric_is_printed_with_help_and_type(void **state)
{
	struct arena *arena = arena_create();
	struct text text;
	size_t lines = 0;

	(void)state;
	metric_set(METRIC_connections_open, INT64_MIN);
	text_init(&text, arena, 0);
	metrics_print(&text);
	assert_non_null(strstr(text.data,
			       "# HELP restante_connections_open TCP connections open\n"
			       "# TYPE restante_connections_open gauge\n"
			       "restante_connections_open -9223372036854775808\n"));
	assert_non_null(strstr(text.data, "# TYPE restante_http_requests_total counter\n"));
	for (const char *c = text.data; *c != '\0'; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 3 * METRIC_COUNT);
	assert_int_equal(text.data[text.len - 1], '\n');
	arena_destroy(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_add_and_gauges_are_set),
		cmocka_unit_test(every_metric_is_printed_with_help_and_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
