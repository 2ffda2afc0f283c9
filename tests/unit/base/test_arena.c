/* SPDX-License-Identifier: MIT
 *
 * Arenas hand out memory that is zeroed, aligned and nobody else's.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/arena.h"

#include <stdalign.h>

static int setup(void **state)
{
	*state = arena_create();
	return 0;
}

static int teardown(void **state)
{
	struct arena *arena = *state;

	arena_destroy(&arena);
	assert_null(arena);
	arena_destroy(&arena);
	return 0;
}

static bool is_all(const uint8_t *p, uint8_t value, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != value)
			return false;
	}
	return true;
}

static void memory_is_zeroed_and_aligned(void **state)
{
	for (size_t size = 0; size < 300; size++) {
		uint8_t *p = arena_alloc(*state, size);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
		assert_true(is_all(p, 0, size));
		memset(p, 0xff, size);
	}
}

/* Sizes around the end of a chunk, below and above what gets a chunk of its own. */
static void pieces_do_not_overlap(void **state)
{
	static const size_t sizes[] = {1, 100, 4000, 8191, 8192, 9000, 20000, 40000, 70000};
	enum { ROUNDS = 40, N = sizeof sizes / sizeof sizes[0] };
	uint8_t *pieces[ROUNDS][N];

	for (size_t round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < N; i++) {
			pieces[round][i] = arena_alloc(*state, sizes[i]);
			memset(pieces[round][i], (int)(round * N + i), sizes[i]);
		}
	}
	for (size_t round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < N; i++)
			assert_true(
				is_all(pieces[round][i], (uint8_t)(round * N + i), sizes[i]));
	}
}

static void copies_end_in_a_nul(void **state)
{
	char source[] = "a\0b";
	struct bytes copy = arena_bytes(*state, bytes_of(source, 3));
	char *text = arena_text(*state, bytes_of_text("domain"));

	source[0] = 'x';
	assert_int_equal(copy.len, 3);
	assert_memory_equal(copy.data, "a\0b", 4);
	assert_string_equal(text, "domain");
	assert_string_equal(arena_text(*state, (struct bytes){0}), "");
}

static void formatted_text_has_any_length(void **state)
{
	assert_string_equal(arena_printf(*state, "%s@%d", "a", 7), "a@7");
	assert_int_equal(strlen(arena_printf(*state, "%*d", 50000, 1)), 50000);
}

static void arrays_are_zeroed(void **state)
{
	uint64_t *numbers = arena_array(*state, uint64_t, 1000);

	assert_true(is_all((uint8_t *)numbers, 0, 1000 * sizeof *numbers));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(memory_is_zeroed_and_aligned, setup, teardown),
		cmocka_unit_test_setup_teardown(pieces_do_not_overlap, setup, teardown),
		cmocka_unit_test_setup_teardown(copies_end_in_a_nul, setup, teardown),
		cmocka_unit_test_setup_teardown(formatted_text_has_any_length, setup, teardown),
		cmocka_unit_test_setup_teardown(arrays_are_zeroed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
