/* SPDX-License-Identifier: MIT
 *
 * What people are told of another domain's keys.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "peer.h"

static const struct trust pinned = {
	.pinned = true,
	.pinned_ms = 5,
	.n_keys = 1,
	.keys = {{.kid = "k1", .public_key = {1}, .not_before_ms = 1, .not_after_ms = 2}},
	.has_root = true,
	.root_key = {2},
};

static struct peer_keys told_of(const struct trust *trust)
{
	struct arena *arena = arena_create();
	struct peer_keys keys;

	assert_int_equal(federation_peer_keys(trust_encode(arena, trust), &keys), ERR_OK);
	arena_destroy(&arena);
	return keys;
}

static void nothing_stored_is_no_keys(void **state)
{
	struct peer_keys keys;

	(void)state;
	assert_int_equal(federation_peer_keys((struct bytes){0}, &keys), ERR_OK);
	assert_int_equal(keys.state, PEER_KEYS_NONE);
	assert_int_equal(keys.n_keys, 0);
	assert_int_equal(federation_peer_keys(bytes_of_text("x"), &keys), ERR_VALIDATION);
}

static void pinned_keys_are_shown_whether_verified_or_not(void **state)
{
	struct trust trust = pinned;
	struct peer_keys keys = told_of(&trust);

	(void)state;
	assert_int_equal(keys.state, PEER_KEYS_UNVERIFIED);
	assert_int_equal(keys.pinned_ms, 5);
	assert_int_equal(keys.n_keys, 1);
	assert_string_equal(keys.keys[0].kid, "k1");
	assert_int_equal(keys.keys[0].public_key[0], 1);
	assert_int_equal(keys.keys[0].not_after_ms, 2);
	assert_true(keys.has_root);
	assert_int_equal(keys.root_key[0], 2);
	trust.verified = true;
	assert_int_equal(told_of(&trust).state, PEER_KEYS_VERIFIED);
}

static void a_conflict_is_shown_with_the_keys_that_wait(void **state)
{
	struct trust trust = pinned;
	struct peer_keys keys;

	(void)state;
	trust.verified = true;
	trust.conflict = true;
	trust.refuted = true;
	keys = told_of(&trust);
	assert_int_equal(keys.state, PEER_KEYS_CONFLICT);
	assert_true(keys.verified);
	assert_true(keys.refuted);
	assert_int_equal(keys.n_keys, 1);
	assert_int_equal(keys.n_shown, 0); /* as before keys were remembered */
	trust.candidate[31] = 7;
	trust.candidate_since_ms = 9;
	trust.n_shown = 1;
	trust.shown[0] = (struct server_key){.kid = "k2", .public_key = {3}};
	keys = told_of(&trust);
	assert_int_equal(keys.n_shown, 1);
	assert_string_equal(keys.shown[0].kid, "k2");
	assert_int_equal(keys.shown[0].public_key[0], 3);
	assert_int_equal(keys.shown_since_ms, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_stored_is_no_keys),
		cmocka_unit_test(pinned_keys_are_shown_whether_verified_or_not),
		cmocka_unit_test(a_conflict_is_shown_with_the_keys_that_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
