/* SPDX-License-Identifier: MIT
 *
 * Counts by name.
 */
#include "tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void counts_each_name_for_itself(void **state)
{
	struct tally *tally = tally_create(4);
	struct tally_entry *entries[3];

	(void)state;
	entries[0] = tally_add(tally, "a");
	entries[1] = tally_add(tally, "b");
	entries[2] = tally_add(tally, "a");
	assert_int_equal(2, tally_of(tally, "a"));
	assert_int_equal(1, tally_of(tally, "b"));
	assert_int_equal(0, tally_of(tally, ""));
	tally_remove(tally, &entries[0]);
	tally_remove(tally, &entries[1]);
	assert_null(entries[0]);
	assert_int_equal(1, tally_of(tally, "a"));
	assert_int_equal(0, tally_of(tally, "b"));
	tally_remove(tally, &entries[2]);
	assert_int_equal(0, tally_of(tally, "a"));
	tally_destroy(&tally);
	assert_null(tally);
}

/* More names than slots. */
static void takes_more_names_than_announced(void **state)
{
	struct tally *tally = tally_create(1);
	struct tally_entry *entries[200];
	char name[16];

	(void)state;
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "%d", i);
		entries[i] = tally_add(tally, name);
	}
	for (int i = 0; i < 200; i += 2)
		tally_remove(tally, &entries[i]);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "%d", i);
		assert_int_equal(i % 2, tally_of(tally, name));
	}
	tally_destroy(&tally); /* with entries in it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_each_name_for_itself),
		cmocka_unit_test(takes_more_names_than_announced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
