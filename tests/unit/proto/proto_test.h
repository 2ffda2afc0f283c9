/* SPDX-License-Identifier: MIT
 *
 * What the tests of proto share: an arena for each test, and short ways to say text.
 */
#ifndef RESTANTE_PROTO_TEST_H
#define RESTANTE_PROTO_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/arena.h"
#include "restante/crypto.h"
#include "restante/problem.h"

/* A test with a fresh arena as its state. */
#define TEST(name)   cmocka_unit_test_setup_teardown(name, proto_test_setup, proto_test_teardown)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define ID	     "019b76da-a800-7000-8000-0123456789ab"
#define ALICE	     "alice@a.example"
#define BOB	     "bob@b.example"
#define CONTENT	     "aGVsbG8=" /* 5 bytes */

static inline int proto_test_setup(void **state)
{
	crypto_init();
	*state = arena_create();
	return 0;
}

static inline int proto_test_teardown(void **state)
{
	struct arena *arena = *state;

	arena_destroy(&arena);
	return 0;
}

static inline struct bytes text(const char *chars)
{
	return bytes_of_text(chars);
}

/* NULL: no text at all. */
static inline void check_string(const char *got, const char *want)
{
	if (want == NULL)
		assert_null(got);
	else
		assert_non_null(got);
	if (want != NULL)
		assert_string_equal(got, want);
}

#define check_json(got, want) assert_string_equal((const char *)(got).data, want)

#endif
