/* SPDX-License-Identifier: MIT
 *
 * Windows of outboxes: order, bounds, batches.
 */
#include "window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct fixture {
	struct window window;
	size_t total;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	window_init(&f->window, 10, &f->total);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	window_clear(&f->window, 0);
	assert_int_equal(f->total, 0);
	free(f);
	return 0;
}

static bool add(struct fixture *f, int64_t position, size_t len)
{
	uint8_t *body = calloc(1, len + 1);
	struct window_item *item = window_item_create("b.test", position, bytes_of(body, len));
	bool taken = window_append(&f->window, item);

	if (!taken)
		free(item);
	free(body);
	return taken;
}

static void an_item_is_copied(void **state)
{
	char body[] = "body", domain[] = "b.test";
	struct window_item *item = window_item_create(domain, 1, bytes_of_text(body));

	(void)state;
	memset(body, 'x', 4);
	memset(domain, 'x', 6);
	assert_true(bytes_equal(item->body, bytes_of_text("body")));
	assert_string_equal(item->domain, "b.test");
	free(item);
}

static void only_the_next_position_is_taken(void **state)
{
	struct fixture *f = *state;

	assert_false(add(f, 10, 1));
	assert_false(add(f, 12, 1));
	assert_true(add(f, 11, 1));
	assert_false(add(f, 11, 1));
	assert_true(add(f, 12, 1));
	assert_int_equal(f->window.tail, 12);
	assert_int_equal(f->window.count, 2);
}

static void settled_items_are_dropped(void **state)
{
	struct fixture *f = *state;

	for (int64_t i = 11; i <= 14; i++)
		assert_true(add(f, i, 100));
	window_drop(&f->window, 12);
	assert_int_equal(f->window.first->position, 13);
	assert_int_equal(f->window.count, 2);
	/* Beyond the end: what was settled elsewhere is not expected any more. */
	window_drop(&f->window, 20);
	assert_null(f->window.first);
	assert_int_equal(f->total, 0);
	assert_true(add(f, 21, 1));
}

static void items_are_bounded(void **state)
{
	struct fixture *f = *state;
	int64_t position = 11;

	while (add(f, position, 1))
		position++;
	assert_int_equal(f->window.count, WINDOW_ITEMS_MAX);
	assert_int_equal(f->window.tail, position - 1);
}

static void bytes_are_bounded_but_one_item_always_fits(void **state)
{
	struct fixture *f = *state;

	assert_true(add(f, 11, WINDOW_BYTES_MAX + 1));
	assert_false(add(f, 12, 1));
	window_drop(&f->window, 11);
	assert_true(add(f, 12, WINDOW_BYTES_MAX / 2));
	assert_false(add(f, 13, WINDOW_BYTES_MAX / 2));
	assert_true(f->total == f->window.bytes);
}

static size_t batch(const struct fixture *f, size_t items, size_t bytes, int64_t until)
{
	const struct window_limits limits = {.items = items, .bytes = bytes, .until = until};

	return window_batch(&f->window, &limits);
}

static void batches_end_at_the_first_limit(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(batch(f, 100, 1000, 0), 0);
	for (int64_t i = 11; i <= 15; i++)
		assert_true(add(f, i, 9));
	assert_int_equal(batch(f, 100, 1000, 0), 5);
	assert_int_equal(batch(f, 3, 1000, 0), 3);
	assert_int_equal(batch(f, 100, 40, 0), 4);
	assert_int_equal(batch(f, 100, 39, 0), 3);
	assert_int_equal(batch(f, 100, 9, 0), 0);
	assert_int_equal(batch(f, 100, 1000, 12), 2);
}

#define WINDOW_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_item_is_copied),
		WINDOW_TEST(only_the_next_position_is_taken),
		WINDOW_TEST(settled_items_are_dropped),
		WINDOW_TEST(items_are_bounded),
		WINDOW_TEST(bytes_are_bounded_but_one_item_always_fits),
		WINDOW_TEST(batches_end_at_the_first_limit),
	};

	return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
