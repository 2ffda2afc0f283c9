/* SPDX-License-Identifier: MIT
 *
 * Token buckets and their bounded table.
 */
#include "restante/ratelimit.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#define THREADS 4
#define BURST	1000

static int64_t take(struct ratelimit *limit, const char *key, int64_t now_ms)
{
	return ratelimit_take(limit, bytes_of_text(key), now_ms);
}

static void grants_the_burst_then_refills(void **state)
{
	struct ratelimit *limit = ratelimit_create((struct rate){3, 100}, 10);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(0, take(limit, "a", 1000));
	assert_int_equal(100, take(limit, "a", 1000));
	assert_int_equal(40, take(limit, "a", 1060));
	assert_int_equal(0, take(limit, "a", 1100));
	assert_int_equal(100, take(limit, "a", 1100));
	/* Not more than the burst, however long it was quiet. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(0, take(limit, "a", 1000000));
	assert_int_equal(100, take(limit, "a", 1000000));
	ratelimit_destroy(&limit);
	assert_null(limit);
}

static void keeps_keys_apart(void **state)
{
	struct ratelimit *limit = ratelimit_create((struct rate){1, 1000}, 100);
	char key[16];

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof key, "key-%d", i);
		assert_int_equal(0, take(limit, key, 0));
	}
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof key, "key-%d", i);
		assert_int_equal(1000, take(limit, key, 0));
	}
	assert_int_equal(0, ratelimit_take(limit, bytes_of("", 0), 1000));
	ratelimit_destroy(&limit);
}

static void drops_the_longest_unused(void **state)
{
	struct ratelimit *limit = ratelimit_create((struct rate){1, 1000}, 3);

	(void)state;
	assert_int_equal(0, take(limit, "a", 0));
	assert_int_equal(0, take(limit, "b", 1));
	assert_int_equal(0, take(limit, "c", 2));
	assert_int_equal(997, take(limit, "a", 3)); /* now b is the longest unused */
	assert_int_equal(0, take(limit, "d", 4));
	assert_int_equal(995, take(limit, "a", 5));
	assert_int_equal(996, take(limit, "c", 6));
	assert_int_equal(0, take(limit, "b", 7)); /* was forgotten; d goes for it */
	ratelimit_destroy(&limit);
}

static void drops_full_buckets_first(void **state)
{
	struct ratelimit *limit = ratelimit_create((struct rate){10, 100}, 2);

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(0, take(limit, "empty", 0));
	assert_int_equal(0, take(limit, "nearly full", 50)); /* used last, full at 150 */
	assert_int_equal(0, take(limit, "new", 200));
	/* The older one was kept: two of ten came back since. */
	assert_int_equal(0, take(limit, "empty", 200));
	assert_int_equal(0, take(limit, "empty", 200));
	assert_int_equal(100, take(limit, "empty", 200));
	ratelimit_destroy(&limit);
}

static void time_does_not_go_back(void **state)
{
	struct ratelimit *limit = ratelimit_create((struct rate){1, 100}, 10);

	(void)state;
	assert_int_equal(0, take(limit, "a", 10000));
	assert_int_equal(100, take(limit, "a", 5000));
	assert_int_equal(0, take(limit, "b", 0));
	assert_int_equal(100, take(limit, "b", 0));
	assert_int_equal(0, take(limit, "a", 10100));
	ratelimit_destroy(&limit);
}

static void survives_many_keys(void **state)
{
	struct ratelimit *limit = ratelimit_create((struct rate){2, 10}, 64);
	char key[16];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		snprintf(key, sizeof key, "%d", i * 7919 % 1000);
		assert_true(take(limit, key, i) >= 0);
	}
	ratelimit_destroy(&limit);
}

static struct ratelimit *shared;
static atomic_int granted;

static void *take_many(void *arg)
{
	(void)arg;
	for (int i = 0; i < BURST; i++)
		if (take(shared, i % 2 == 0 ? "a" : "b", 1000) == 0)
			atomic_fetch_add(&granted, 1);
	return NULL;
}

static void grants_threads_no_more_than_one(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	shared = ratelimit_create((struct rate){BURST, 100}, 10);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(0, pthread_create(&threads[i], NULL, take_many, NULL));
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(2 * BURST, granted);
	ratelimit_destroy(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_the_burst_then_refills),
		cmocka_unit_test(keeps_keys_apart),
		cmocka_unit_test(drops_the_longest_unused),
		cmocka_unit_test(drops_full_buckets_first),
		cmocka_unit_test(time_does_not_go_back),
		cmocka_unit_test(survives_many_keys),
		cmocka_unit_test(grants_threads_no_more_than_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
