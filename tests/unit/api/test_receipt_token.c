/* SPDX-License-Identifier: MIT
 *
 * Receipt tokens: only this node's own, for just this message, sender and recipient.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "node.h"

#include "restante/crypto.h"

#define ALICE "alice@a.example"
#define BOB   "bob@b.example"

static struct node node;
static struct arena *arena;
static uint8_t id[16];
static char *token;

static int setup(void **state)
{
	(void)state;
	crypto_init();
	crypto_random(node.keys.receipt_secret, sizeof(node.keys.receipt_secret));
	uuid7_create(1, id);
	arena = arena_create();
	token = receipt_token_make(&node, arena, 77, id, ALICE, BOB);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_destroy(&arena);
	return 0;
}

static bool accepted(const char *text, const uint8_t *message, const char *from, const char *to)
{
	int64_t generation = 0;

	return receipt_token_check(&node, text, message, from, to, &generation) &&
	       generation == 77;
}

static void own_token_names_the_sending_device(void **state)
{
	(void)state;
	assert_true(accepted(token, id, ALICE, BOB));
}

static void token_counts_for_nothing_else(void **state)
{
	uint8_t other[16];

	(void)state;
	uuid7_create(2, other);
	assert_false(accepted(token, other, ALICE, BOB));
	assert_false(accepted(token, id, "eve@a.example", BOB));
	assert_false(accepted(token, id, ALICE, "eve@b.example"));
	assert_false(accepted(token, id, BOB, ALICE));
}

static void changed_token_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < strlen(token); i++) {
		char saved = token[i];

		token[i] = saved == 'A' ? 'B' : 'A';
		assert_false(accepted(token, id, ALICE, BOB));
		token[i] = saved;
	}
	assert_false(accepted("", id, ALICE, BOB));
	assert_false(accepted("not base64!", id, ALICE, BOB));
}

static void token_of_another_secret_is_refused(void **state)
{
	(void)state;
	node.keys.receipt_secret[0] ^= 1;
	assert_false(accepted(token, id, ALICE, BOB));
	node.keys.receipt_secret[0] ^= 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_token_names_the_sending_device),
		cmocka_unit_test(token_counts_for_nothing_else),
		cmocka_unit_test(changed_token_is_refused),
		cmocka_unit_test(token_of_another_secret_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
