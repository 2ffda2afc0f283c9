/* SPDX-License-Identifier: MIT
 *
 * Base64, hex and UUIDs: every value has one text, and no other text is accepted.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/crypto.h"

static const uint8_t untouched = 0xa5;

static int setup(void **state)
{
	crypto_init();
	*state = arena_create();
	return 0;
}

static int teardown(void **state)
{
	struct arena *arena = *state;

	arena_destroy(&arena);
	return 0;
}

/* RFC 4648 section 10. */
static void base64_knows_the_vectors_of_its_rfc(void **state)
{
	static const char *const texts[] = {"",		"Zg==",	    "Zm8=",    "Zm9v",
					    "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
	struct bytes plain;
	size_t len;

	for (size_t n = 0; n <= 6; n++) {
		struct bytes bytes = bytes_of("foobar", n), text = bytes_of_text(texts[n]);

		assert_string_equal(base64_encode(*state, bytes), texts[n]);
		assert_int_equal(base64_len(n), text.len);
		assert_int_equal(base64_decode(*state, text, &plain), ERR_OK);
		assert_true(bytes_equal(plain, bytes));
		assert_true(base64_is_valid(text, &len));
		assert_int_equal(len, n);
	}
}

static void base64_refuses_every_other_text(void **state)
{
	static const char *const texts[] = {
		"Zg",		"Zg=",	"Zg===", "Zm8",	 "Zm9v=", "Zm9v====",	"=",
		"==",		"====", "Zh==",	 "Zm9=", "Zm-_",  "Zm9v\n",	" Zm9v",
		"Zm9vZg==Zm9v", "Zg=a", "Z===",	 "Z",	 "Zm9vY", "Zm\xc3\xb6", "Zm9v\r\nZm9v",
	};
	struct bytes plain = {0};
	size_t len = 7;

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct bytes text = bytes_of_text(texts[i]);

		assert_int_equal(base64_decode(*state, text, &plain), ERR_VALIDATION);
		assert_false(base64_is_valid(text, &len));
	}
	assert_int_equal(base64_decode(*state, bytes_of("Zm\0v", 4), &plain), ERR_VALIDATION);
	assert_null(plain.data);
	assert_int_equal(len, 7);
}

static void base64url_knows_its_own_alphabet_only(void **state)
{
	static const uint8_t bytes[] = {0xfb, 0xff, 0xfe, 0xff};
	static const char *const refused[] = {"+//+_w", "-__-_w==", "-__-_", "-__-_x",
					      "A",	"-__-A",    "-__-\n"};
	struct bytes plain = {0};

	assert_string_equal(base64url_encode(*state, bytes_of(bytes, 4)), "-__-_w");
	assert_int_equal(base64url_len(4), 6);
	assert_int_equal(base64url_decode(*state, bytes_of_text("-__-_w"), &plain), ERR_OK);
	assert_true(bytes_equal(plain, bytes_of(bytes, 4)));
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		assert_int_equal(base64url_decode(*state, bytes_of_text(refused[i]), &plain),
				 ERR_VALIDATION);
}

static void base64_survives_the_round_trip_at_every_length(void **state)
{
	uint8_t bytes[100];
	struct bytes plain;

	crypto_random(bytes, sizeof bytes);
	for (size_t n = 0; n <= sizeof bytes; n++) {
		struct bytes in = bytes_of(bytes, n);

		assert_int_equal(
			base64_decode(*state, bytes_of_text(base64_encode(*state, in)), &plain),
			ERR_OK);
		assert_true(bytes_equal(plain, in));
		assert_int_equal(base64url_decode(*state,
						  bytes_of_text(base64url_encode(*state, in)),
						  &plain),
				 ERR_OK);
		assert_true(bytes_equal(plain, in));
	}
}

/* Changing any one character gives another value or an error: no value has two texts. */
static void base64_has_one_text_for_each_value(void **state)
{
	char text[] = "Zm9vYg==";
	struct bytes plain;

	for (size_t i = 0; i < sizeof text - 1; i++) {
		char saved = text[i];

		for (int c = 0; c < 256; c++) {
			text[i] = (char)c;
			if (text[i] != saved &&
			    base64_decode(*state, bytes_of_text(text), &plain) == ERR_OK)
				assert_false(bytes_equal(plain, bytes_of("foob", 4)));
		}
		text[i] = saved;
	}
}

static void exact_decoding_refuses_other_lengths(void **state)
{
	uint8_t out[4] = {untouched, untouched, untouched, untouched};

	(void)state;
	assert_int_equal(base64_decode_exact(bytes_of_text("Zm8="), 3, out), ERR_VALIDATION);
	assert_int_equal(base64_decode_exact(bytes_of_text("Zm9vYg=="), 3, out),
			 ERR_VALIDATION);
	assert_int_equal(base64_decode_exact(bytes_of_text("Zm9*"), 3, out), ERR_VALIDATION);
	assert_int_equal(base64url_decode_exact(bytes_of_text("Zm8"), 3, out), ERR_VALIDATION);
	assert_int_equal(out[0], untouched);
	assert_int_equal(base64_decode_exact(bytes_of_text("Zm9v"), 3, out), ERR_OK);
	assert_memory_equal(out, "foo", 3);
	assert_int_equal(base64url_decode_exact(bytes_of_text("Zm8"), 2, out), ERR_OK);
	assert_int_equal(out[3], untouched);
}

static void hex_is_lower_case(void **state)
{
	uint8_t out[2] = {untouched, untouched};
	char text[5];

	(void)state;
	hex_encode(bytes_of("\x0a\xff", 2), text);
	assert_string_equal(text, "0aff");
	assert_int_equal(hex_decode(bytes_of_text("0aFF"), 2, out), ERR_VALIDATION);
	assert_int_equal(hex_decode(bytes_of_text("0aff0"), 2, out), ERR_VALIDATION);
	assert_int_equal(hex_decode(bytes_of_text("0a"), 2, out), ERR_VALIDATION);
	assert_int_equal(hex_decode(bytes_of_text("0afg"), 2, out), ERR_VALIDATION);
	assert_int_equal(out[0], untouched);
	assert_int_equal(hex_decode(bytes_of_text("0aff"), 2, out), ERR_OK);
	assert_memory_equal(out, "\x0a\xff", 2);
}

/* RFC 9562 appendix A.6. */
static void uuid7_knows_the_vector_of_its_rfc(void **state)
{
	const char *text = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
	uint8_t uuid[UUID_SIZE];
	char again[UUID_TEXT_SIZE];

	(void)state;
	assert_int_equal(uuid7_parse(bytes_of_text(text), uuid), ERR_OK);
	assert_int_equal(uuid7_time_ms(uuid), 0x017f22e279b0);
	uuid7_format(uuid, again);
	assert_string_equal(again, text);
}

static void uuid7_refuses_every_other_text(void **state)
{
	static const char *const texts[] = {
		"",
		"017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
		"017f22e2-79b0-4cc3-98c4-dc0c0c07398f", /* version 4 */
		"017f22e2-79b0-7cc3-18c4-dc0c0c07398f", /* other variants */
		"017f22e2-79b0-7cc3-d8c4-dc0c0c07398f",
		"017f22e279b07cc398c4dc0c0c07398f",
		"017f22e2-79b0-7cc3-98c4-dc0c0c07398",
		"017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
		"017f22e27-9b0-7cc3-98c4-dc0c0c07398f",
		"017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
		"{17f22e2-79b0-7cc3-98c4-dc0c0c07398}",
	};
	uint8_t uuid[UUID_SIZE] = {untouched};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		assert_int_equal(uuid7_parse(bytes_of_text(texts[i]), uuid), ERR_VALIDATION);
	assert_int_equal(uuid[0], untouched);
}

static void uuid7_made_here_is_accepted_and_sorts_by_time(void **state)
{
	uint8_t first[UUID_SIZE], later[UUID_SIZE], again[UUID_SIZE];
	char text[UUID_TEXT_SIZE];

	(void)state;
	uuid7_create(1700000000000, first);
	uuid7_create(1700000000001, later);
	assert_true(memcmp(first, later, UUID_SIZE) < 0);
	assert_int_equal(uuid7_time_ms(first), 1700000000000);
	uuid7_format(first, text);
	assert_int_equal(uuid7_parse(bytes_of_text(text), again), ERR_OK);
	assert_memory_equal(first, again, UUID_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_knows_the_vectors_of_its_rfc),
		cmocka_unit_test(base64_refuses_every_other_text),
		cmocka_unit_test(base64url_knows_its_own_alphabet_only),
		cmocka_unit_test(base64_survives_the_round_trip_at_every_length),
		cmocka_unit_test(base64_has_one_text_for_each_value),
		cmocka_unit_test(exact_decoding_refuses_other_lengths),
		cmocka_unit_test(hex_is_lower_case),
		cmocka_unit_test(uuid7_knows_the_vector_of_its_rfc),
		cmocka_unit_test(uuid7_refuses_every_other_text),
		cmocka_unit_test(uuid7_made_here_is_accepted_and_sorts_by_time),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
