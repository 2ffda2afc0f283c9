/* SPDX-License-Identifier: MIT
 *
 * Hashes, MACs, random numbers and passwords.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/crypto.h"
#include "restante/password.h"

static const struct password_cost cheap = {.passes = 1, .memory_bytes = 8192};

static int setup(void **state)
{
	(void)state;
	crypto_init();
	crypto_init();
	return 0;
}

static void assert_hex(const uint8_t hash[SHA256_SIZE], const char *expected)
{
	char text[2 * SHA256_SIZE + 1];

	hex_encode(bytes_of(hash, SHA256_SIZE), text);
	assert_string_equal(text, expected);
}

static void sha256_knows_the_vectors_of_nist(void **state)
{
	uint8_t hash[SHA256_SIZE];

	(void)state;
	crypto_sha256(bytes_of(NULL, 0), hash);
	assert_hex(hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	crypto_sha256(bytes_of_text("abc"), hash);
	assert_hex(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* RFC 4231 section 4.2; its 20-byte key is the same as one padded with zeros. */
static void mac_knows_the_vector_of_its_rfc(void **state)
{
	uint8_t key[MAC_KEY_SIZE] = {0}, mac[SHA256_SIZE];

	(void)state;
	memset(key, 0x0b, 20);
	crypto_mac(key, bytes_of_text("Hi There"), mac);
	assert_hex(mac, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
}

static void random_numbers_stay_below_their_limit(void **state)
{
	unsigned seen = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint32_t n = crypto_random_u32_below(5);

		assert_true(n < 5);
		seen |= 1u << n;
	}
	assert_int_equal(seen, 0x1f);
	assert_int_equal(crypto_random_u32_below(1), 0);
	assert_int_equal(crypto_random_u32_below(0), 0);
}

static void equal_compares_and_wipe_clears(void **state)
{
	uint8_t a[4] = {1, 2, 3, 4}, b[4] = {1, 2, 3, 5};
	static const uint8_t zero[4];

	(void)state;
	assert_true(crypto_equal(a, b, 3));
	assert_false(crypto_equal(a, b, 4));
	crypto_wipe(a, sizeof a);
	assert_memory_equal(a, zero, sizeof a);
}

static void only_the_password_itself_verifies(void **state)
{
	char hash[PASSWORD_HASH_SIZE];
	struct bytes password = bytes_of("correct\0horse", 13);

	(void)state;
	assert_int_equal(password_hash(password, cheap, hash), ERR_OK);
	assert_int_equal(strncmp(hash, "$argon2id$v=19$m=8,t=1,p=1$", 27), 0);
	assert_true(password_verify(hash, password));
	assert_false(password_verify(hash, bytes_of("correct\0Horse", 13)));
	assert_false(password_verify(hash, bytes_of("correct\0hors", 12)));
	assert_false(password_verify("not a hash", password));
	assert_false(password_verify("", password));
}

static void the_same_password_never_hashes_the_same(void **state)
{
	char one[PASSWORD_HASH_SIZE], two[PASSWORD_HASH_SIZE];

	(void)state;
	assert_int_equal(password_hash(bytes_of_text("password"), cheap, one), ERR_OK);
	assert_int_equal(password_hash(bytes_of_text("password"), cheap, two), ERR_OK);
	assert_string_not_equal(one, two);
}

static void passwords_have_8_to_1024_bytes(void **state)
{
	char hash[PASSWORD_HASH_SIZE] = "untouched", *text = test_malloc(PASSWORD_MAX + 1);

	(void)state;
	memset(text, 'x', PASSWORD_MAX + 1);
	assert_int_equal(password_hash(bytes_of(text, 7), cheap, hash), ERR_VALIDATION);
	assert_int_equal(password_hash(bytes_of(text, 1025), cheap, hash), ERR_VALIDATION);
	assert_string_equal(hash, "untouched");
	assert_int_equal(password_hash(bytes_of(text, 8), cheap, hash), ERR_OK);
	assert_int_equal(password_hash(bytes_of(text, 1024), cheap, hash), ERR_OK);
	assert_true(password_verify(hash, bytes_of(text, 1024)));
	assert_false(password_verify(hash, bytes_of(text, 1025)));
	test_free(text);
}

static void a_cost_that_argon2_refuses_is_an_error(void **state)
{
	struct password_cost none = {0};
	char hash[PASSWORD_HASH_SIZE];

	(void)state;
	assert_int_equal(password_hash(bytes_of_text("password"), none, hash), ERR_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_knows_the_vectors_of_nist),
		cmocka_unit_test(mac_knows_the_vector_of_its_rfc),
		cmocka_unit_test(random_numbers_stay_below_their_limit),
		cmocka_unit_test(equal_compares_and_wipe_clears),
		cmocka_unit_test(only_the_password_itself_verifies),
		cmocka_unit_test(the_same_password_never_hashes_the_same),
		cmocka_unit_test(passwords_have_8_to_1024_bytes),
		cmocka_unit_test(a_cost_that_argon2_refuses_is_an_error),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
