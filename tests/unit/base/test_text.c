/* SPDX-License-Identifier: MIT
 *
 * Text grows as needed and quotes JSON strings.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/text.h"

#include <limits.h>

static int setup(void **state)
{
	*state = arena_create();
	return 0;
}

static int teardown(void **state)
{
	struct arena *arena = *state;

	arena_destroy(&arena);
	return 0;
}

static void pieces_follow_each_other(void **state)
{
	struct text text;

	text_init(&text, *state, 0);
	assert_string_equal(text.data, "");
	text_puts(&text, "a");
	text_add(&text, bytes_of("bcd", 2));
	text_add(&text, (struct bytes){0});
	text_printf(&text, "%d", 42);
	assert_string_equal(text.data, "abc42");
	assert_int_equal(text_bytes(&text).len, 5);
}

static void text_outgrows_what_was_expected(void **state)
{
	struct text text;

	text_init(&text, *state, 10);
	for (int i = 0; i < 20000; i++) {
		text_printf(&text, "%05d", i);
		assert_int_equal(text.data[text.len], '\0');
	}
	assert_int_equal(text.len, 100000);
	assert_memory_equal(text.data, "0000000001", 10);
	assert_string_equal(text.data + text.len - 10, "1999819999");
}

static void a_format_fills_the_room_to_the_last_byte(void **state)
{
	for (int len = 50; len < 80; len++) {
		struct text text;

		text_init(&text, *state, 0);
		text_printf(&text, "%0*d", len, 0);
		assert_int_equal(text.len, len);
		assert_int_equal(strlen(text.data), len);
	}
}

static void numbers_are_written_as_they_are(void **state)
{
	struct text text;

	text_init(&text, *state, 0);
	text_printf(&text, "%d %d %d,", INT_MIN, 0, INT_MAX);
	text_printf(&text, "%u %u,", 0U, UINT_MAX);
	text_printf(&text, "%lld %lld,", LLONG_MIN, LLONG_MAX);
	text_printf(&text, "%s=%d%% %03d", "part", 7, 7);
	assert_string_equal(text.data, "-2147483648 0 2147483647,0 4294967295,"
				       "-9223372036854775808 9223372036854775807,"
				       "part=7% 007");
	assert_int_equal(strlen(text.data), text.len);
}

static void check_json(void *arena, struct bytes in, const char *want)
{
	struct text text;

	text_init(&text, arena, 0);
	text_json_string(&text, in);
	assert_string_equal(text.data, want);
}

static void json_strings_are_escaped(void **state)
{
	check_json(*state, bytes_of_text(""), "\"\"");
	check_json(*state, (struct bytes){0}, "\"\"");
	check_json(*state, bytes_of_text("plain"), "\"plain\"");
	check_json(*state, bytes_of_text("\"a\\\""), "\"\\\"a\\\\\\\"\"");
	check_json(*state, bytes_of_text("a\n\r\tb"), "\"a\\n\\r\\tb\"");
	check_json(*state, bytes_of("\0\x1f\x7f", 3), "\"\\u0000\\u001f\x7f\"");
	check_json(*state, bytes_of_text("gr\xc3\xbc\xc3\x9f/e"), "\"gr\xc3\xbc\xc3\x9f/e\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pieces_follow_each_other, setup, teardown),
		cmocka_unit_test_setup_teardown(text_outgrows_what_was_expected, setup,
						teardown),
		cmocka_unit_test_setup_teardown(numbers_are_written_as_they_are, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_format_fills_the_room_to_the_last_byte, setup,
						teardown),
		cmocka_unit_test_setup_teardown(json_strings_are_escaped, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
