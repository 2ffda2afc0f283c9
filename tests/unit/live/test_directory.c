/* SPDX-License-Identifier: MIT
 *
 * The directory: the last session of a device is the one that counts, whoever enters.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/directory.h"

#include <pthread.h>

#define THREADS 4
#define ROUNDS	2000
#define DEVICES 3

static struct directory *directory;
static int holders[THREADS];

static int start(void **state)
{
	(void)state;
	directory = directory_create();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	directory_destroy(&directory);
	assert_null(directory);
	return 0;
}

static int64_t enter(int64_t generation, int *holder, void *former)
{
	void *found = &found;
	int64_t number = directory_enter(directory, generation, 0, holder, &found);

	assert_ptr_equal(found, former);
	return number;
}

static void the_last_to_enter_is_found(void **state)
{
	int64_t first, second;

	(void)state;
	assert_null(directory_find(directory, 7));
	first = enter(7, &holders[0], NULL);
	assert_ptr_equal(directory_find(directory, 7), &holders[0]);
	second = enter(7, &holders[1], &holders[0]);
	assert_true(second > first);
	assert_ptr_equal(directory_find(directory, 7), &holders[1]);
	assert_false(directory_has(directory, 7, first));
	assert_true(directory_has(directory, 7, second));
	assert_null(directory_find(directory, 8));
}

static void who_leaves_late_takes_nobody_along(void **state)
{
	int64_t first, second;

	(void)state;
	first = enter(7, &holders[0], NULL);
	second = enter(7, &holders[0], &holders[0]);
	directory_leave(directory, 7, first);
	assert_ptr_equal(directory_find(directory, 7), &holders[0]);
	directory_leave(directory, 7, second);
	assert_null(directory_find(directory, 7));
	directory_leave(directory, 7, second);
}

static void of_sockets_that_the_store_has_counted_its_last_one_stays(void **state)
{
	void *former;

	(void)state;
	assert_int_equal(directory_enter(directory, 7, 12, &holders[0], &former), 12);
	assert_int_equal(directory_enter(directory, 7, 11, &holders[1], &former), 0);
	assert_null(former);
	assert_ptr_equal(directory_find(directory, 7), &holders[0]);
	directory_leave(directory, 7, 0);
	assert_int_equal(directory_enter(directory, 7, 13, &holders[1], &former), 13);
	assert_ptr_equal(former, &holders[0]);
}

/* Each enters and leaves; whoever is displaced is so by exactly one. */
static void *enter_and_leave(void *holder)
{
	for (int64_t i = 0; i < ROUNDS; i++) {
		void *former;
		int64_t number = directory_enter(directory, i % DEVICES, 0, holder, &former);

		(void)directory_find(directory, (i + 1) % DEVICES);
		directory_leave(directory, i % DEVICES, number);
	}
	return NULL;
}

static void threads_leave_nothing_behind(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(
			0, pthread_create(&threads[i], NULL, enter_and_leave, &holders[i]));
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int64_t generation = 0; generation < DEVICES; generation++)
		assert_null(directory_find(directory, generation));
	assert_int_equal(enter(7, &holders[0], NULL), THREADS * ROUNDS + 1);
}

#define DIRECTORY_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIRECTORY_TEST(the_last_to_enter_is_found),
		DIRECTORY_TEST(who_leaves_late_takes_nobody_along),
		DIRECTORY_TEST(of_sockets_that_the_store_has_counted_its_last_one_stays),
		DIRECTORY_TEST(threads_leave_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
