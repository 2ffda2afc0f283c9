/* SPDX-License-Identifier: MIT
 *
 * The states of a destination: the transition table as a table, and the schedule.
 */
#include "states.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define NOW  INT64_C(1767225600000)
#define EVEN 200 /* dice without jitter */

static const struct schedule schedule = {
	.backoff_first_ms = 5 * SECONDS_MS,
	.backoff_max_ms = 1 * HOURS_MS,
};

static void every_event_leads_where_the_table_says(void **state)
{
	static const struct {
		enum destination_event event;
		const char *to[DESTINATION_STATE_COUNT];
	} rows[] = {
		/* from up, backoff, parked, blocked, key_conflict */
		{ON_DELIVERED, {"up", "up", "up", "blocked", "up"}},
		{ON_FAILED, {"backoff", "backoff", "parked", "blocked", "key_conflict"}},
		{ON_FAILED_LONG, {"backoff", "parked", "parked", "blocked", "key_conflict"}},
		{ON_HEARD, {"up", "backoff", "parked", "blocked", "key_conflict"}},
		{ON_CONFLICT,
		 {"key_conflict", "key_conflict", "key_conflict", "blocked", "key_conflict"}},
		{ON_AGREED, {"up", "backoff", "parked", "blocked", "up"}},
		{ON_DENIED, {"blocked", "blocked", "blocked", "blocked", "blocked"}},
		{ON_ALLOWED, {"up", "backoff", "parked", "up", "key_conflict"}},
		{ON_EMPTIED, {"up", "up", "up", "blocked", "key_conflict"}},
	};

	(void)state;
	assert_int_equal(sizeof rows / sizeof rows[0], DESTINATION_EVENT_COUNT);
	for (size_t i = 0; i < DESTINATION_EVENT_COUNT; i++)
		for (int from = 0; from < DESTINATION_STATE_COUNT; from++)
			assert_string_equal(
				destination_state_name(state_after((enum destination_state)from,
								   rows[i].event)),
				rows[i].to[from]);
}

static bool apply(struct destination *destination, enum destination_event event, int64_t now_ms,
		  int64_t retry_after_ms, uint32_t dice)
{
	const struct destination_move move = {
		.event = event,
		.now_ms = now_ms,
		.retry_after_ms = retry_after_ms,
		.dice = dice,
	};

	return destination_apply(destination, &schedule, &move);
}

static void waits_double_up_to_the_longest(void **state)
{
	struct destination d = {.state = DESTINATION_UP};
	int64_t expected = 5 * SECONDS_MS;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_true(apply(&d, ON_FAILED, NOW, 0, EVEN));
		assert_int_equal(d.next_try_ms - NOW, expected);
		expected = 2 * expected < HOURS_MS ? 2 * expected : HOURS_MS;
	}
	assert_int_equal(d.failures, 20);
	assert_int_equal(d.failing_since_ms, NOW);
	assert_true(apply(&d, ON_DELIVERED, NOW, 0, EVEN));
	assert_int_equal(d.state, DESTINATION_UP);
	assert_int_equal(d.failures, 0);
	assert_int_equal(d.failing_since_ms, 0);
	assert_false(apply(&d, ON_DELIVERED, NOW, 0, EVEN));
}

static void jitter_is_a_fifth(void **state)
{
	struct destination low = {.state = DESTINATION_UP}, high = {.state = DESTINATION_UP};

	(void)state;
	apply(&low, ON_FAILED, NOW, 0, 0);
	apply(&high, ON_FAILED, NOW, 0, JITTER_STEPS - 1);
	assert_int_equal(low.next_try_ms - NOW, 4 * SECONDS_MS);
	assert_int_equal(high.next_try_ms - NOW, 6 * SECONDS_MS);
}

static void retry_after_is_honoured_within_an_hour(void **state)
{
	struct destination d = {.state = DESTINATION_UP};

	(void)state;
	apply(&d, ON_FAILED, NOW, 90 * SECONDS_MS, 0);
	assert_int_equal(d.next_try_ms - NOW, 90 * SECONDS_MS);
	apply(&d, ON_FAILED, NOW, 100 * HOURS_MS, 0);
	assert_int_equal(d.next_try_ms - NOW, 1 * HOURS_MS);
	apply(&d, ON_FAILED, NOW, 1, 0);
	assert_int_equal(d.next_try_ms - NOW, 1 * SECONDS_MS);
}

static void a_week_of_failure_parks(void **state)
{
	struct destination d = {.state = DESTINATION_UP};

	(void)state;
	apply(&d, ON_FAILED, NOW, 0, EVEN);
	apply(&d, ON_FAILED, NOW + 7 * DAYS_MS - 1, 0, EVEN);
	assert_int_equal(d.state, DESTINATION_BACKOFF);
	apply(&d, ON_FAILED, NOW + 7 * DAYS_MS, 0, EVEN);
	assert_int_equal(d.state, DESTINATION_PARKED);
	assert_int_equal(d.next_try_ms, NOW + 7 * DAYS_MS + 6 * HOURS_MS);
	assert_false(destination_is_due(&d, &schedule, d.next_try_ms - 1));
	assert_true(destination_is_due(&d, &schedule, d.next_try_ms));
}

static void being_heard_of_means_trying_now(void **state)
{
	struct destination d = {.state = DESTINATION_PARKED, .next_try_ms = NOW + HOURS_MS};

	(void)state;
	assert_false(apply(&d, ON_HEARD, NOW, 0, EVEN));
	assert_int_equal(d.state, DESTINATION_PARKED);
	assert_true(destination_is_due(&d, &schedule, NOW));
	d.state = DESTINATION_KEY_CONFLICT;
	d.next_try_ms = NOW + HOURS_MS;
	assert_false(apply(&d, ON_HEARD, NOW, 0, EVEN));
	assert_false(destination_is_due(&d, &schedule, NOW));
	d.state = DESTINATION_BLOCKED;
	d.next_try_ms = 0;
	assert_false(destination_is_due(&d, &schedule, NOW));
}

static void a_restart_spreads_what_is_due(void **state)
{
	struct destination d = {.state = DESTINATION_BACKOFF, .next_try_ms = NOW - HOURS_MS};

	(void)state;
	destination_resume(&d, &schedule, NOW, JITTER_STEPS - 1);
	assert_in_range(d.next_try_ms, NOW + 4 * SECONDS_MS, NOW + 5 * SECONDS_MS);
	/* What is not goes on waiting. */
	d.next_try_ms = NOW + HOURS_MS;
	destination_resume(&d, &schedule, NOW, 0);
	assert_int_equal(d.next_try_ms, NOW + HOURS_MS);
	/* A clock that was wrong. */
	d.next_try_ms = NOW + 100 * DAYS_MS;
	destination_resume(&d, &schedule, NOW, 0);
	assert_int_equal(d.next_try_ms, NOW);
}

static void a_clock_that_is_set_back_holds_nothing_up(void **state)
{
	static const enum destination_state waiting[] = {
		DESTINATION_BACKOFF, DESTINATION_PARKED, DESTINATION_KEY_CONFLICT};

	(void)state;
	for (size_t i = 0; i < sizeof waiting / sizeof waiting[0]; i++) {
		struct destination d = {
			.state = waiting[i], .failing_since_ms = NOW, .failures = 100};

		apply(&d, ON_FAILED, NOW, 100 * HOURS_MS, JITTER_STEPS - 1);
		assert_false(destination_is_due(&d, &schedule, NOW));
		assert_true(destination_is_due(&d, &schedule, NOW - 100 * DAYS_MS));
	}
}

static void what_the_operator_wants_tried_is_not_spread(void **state)
{
	struct destination d = {.state = DESTINATION_PARKED};

	(void)state;
	destination_resume(&d, &schedule, NOW, JITTER_STEPS - 1);
	assert_true(destination_is_due(&d, &schedule, NOW));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_event_leads_where_the_table_says),
		cmocka_unit_test(waits_double_up_to_the_longest),
		cmocka_unit_test(jitter_is_a_fifth),
		cmocka_unit_test(retry_after_is_honoured_within_an_hour),
		cmocka_unit_test(a_week_of_failure_parks),
		cmocka_unit_test(being_heard_of_means_trying_now),
		cmocka_unit_test(a_restart_spreads_what_is_due),
		cmocka_unit_test(a_clock_that_is_set_back_holds_nothing_up),
		cmocka_unit_test(what_the_operator_wants_tried_is_not_spread),
	};

	return cmocka_run_group_tests_name("states", tests, NULL, NULL);
}
