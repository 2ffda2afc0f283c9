/* SPDX-License-Identifier: MIT
 *
 * The table of errors is complete and makes sense.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/err.h"

#include <string.h>

static void every_error_has_a_wire_code_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < ERR_COUNT; i++) {
		assert_true(strlen(err_code(i)) > 0);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(err_code(i), err_code(j));
	}
}

static void only_success_has_a_status_of_success(void **state)
{
	(void)state;
	assert_int_equal(err_class(ERR_OK), CLASS_OK);
	assert_int_equal(err_status(ERR_OK), 200);
	for (int i = ERR_OK + 1; i < ERR_COUNT; i++) {
		assert_int_not_equal(err_class(i), CLASS_OK);
		assert_in_range(err_status(i), 400, 599);
	}
}

static void a_failure_of_the_server_may_pass(void **state)
{
	(void)state;
	for (int i = 0; i < ERR_COUNT; i++) {
		if (err_status(i) >= 500)
			assert_int_equal(err_class(i), CLASS_TEMP);
	}
}

static void an_error_is_found_by_its_code(void **state)
{
	(void)state;
	for (int i = 0; i < ERR_COUNT; i++)
		assert_int_equal(err_with_code(err_code(i)), i);
	assert_int_equal(err_with_code("FEDERATION"), ERR_OK);
	assert_int_equal(err_with_code(""), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_has_a_wire_code_of_its_own),
		cmocka_unit_test(only_success_has_a_status_of_success),
		cmocka_unit_test(a_failure_of_the_server_may_pass),
		cmocka_unit_test(an_error_is_found_by_its_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
