/* SPDX-License-Identifier: MIT
 *
 * Device keys and signatures, against what real clients signed: libsignal for `signal`,
 * Web Crypto for the rest (tests/vectors/make_xeddsa.mjs).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/crypto.h"
#include "restante/verify.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_VECTORS 128

struct vector {
	enum key_scheme scheme;
	struct bytes identity, message, signature;
};

static struct arena *arena;
static struct vector vectors[MAX_VECTORS];
static size_t n_vectors;

static struct bytes from_hex(const char *text)
{
	size_t len = strlen(text) / 2;
	uint8_t *bytes = arena_alloc(arena, len + 1);

	assert_int_equal(hex_decode(bytes_of_text(text), len, bytes), ERR_OK);
	return bytes_of(bytes, len);
}

static void read_line(const char *line)
{
	static char scheme[16], identity[300], message[3200], signature[200];
	struct vector *v = &vectors[n_vectors];

	if (line[0] == '#')
		return;
	assert_true(n_vectors++ < MAX_VECTORS);
	assert_int_equal(
		sscanf(line, "%15s %299s %3199s %199s", scheme, identity, message, signature),
		4);
	assert_int_equal(scheme_parse(bytes_of_text(scheme), &v->scheme), ERR_OK);
	v->identity = from_hex(identity);
	v->message = from_hex(message);
	v->signature = from_hex(signature);
}

static int setup(void **state)
{
	size_t len;
	char *file = (char *)support_read_file(TEST_DATA "/vectors/signatures.txt", &len);

	(void)state;
	crypto_init();
	arena = arena_create();
	for (char *line = strtok(file, "\n"); line != NULL; line = strtok(NULL, "\n"))
		read_line(line);
	free(file);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_destroy(&arena);
	return 0;
}

static const struct vector *first(enum key_scheme scheme)
{
	for (size_t i = 0; i < n_vectors; i++)
		if (vectors[i].scheme == scheme)
			return &vectors[i];
	fail();
	return NULL;
}

static uint8_t *copy(struct bytes bytes)
{
	return (uint8_t *)arena_bytes(arena, bytes).data;
}

/* The bytes with one bit changed. */
static struct bytes flip(struct bytes bytes, size_t bit)
{
	uint8_t *changed = copy(bytes);

	changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	return bytes_of(changed, bytes.len);
}

static enum err verify(const struct vector *v)
{
	return scheme_verify(v->scheme, v->identity, v->message, v->signature);
}

static void every_signature_of_a_real_client_verifies(void **state)
{
	size_t signs[2] = {0}, seen[SCHEME_P384 + 1] = {0};

	(void)state;
	for (size_t i = 0; i < n_vectors; i++) {
		const struct vector *v = &vectors[i];

		assert_int_equal(verify(v), ERR_OK);
		assert_int_equal(scheme_check_identity(v->scheme, v->identity), ERR_OK);
		seen[v->scheme]++;
		if (v->scheme == SCHEME_SIGNAL)
			signs[v->signature.data[63] >> 7]++;
		if (v->scheme == SCHEME_SIGNAL && v->message.len > 33)
			assert_int_equal(scheme_check_pq(v->scheme, v->message), ERR_OK);
		else
			assert_int_equal(scheme_check_prekey(v->scheme, v->message), ERR_OK);
	}
	assert_true(signs[0] >= 8 && signs[1] >= 8);
	assert_true(seen[SCHEME_SIGNAL] >= 64 && seen[SCHEME_ED25519] >= 8);
	assert_true(seen[SCHEME_P256] >= 8 && seen[SCHEME_P384] >= 8);
}

static void any_changed_bit_breaks_it(void **state)
{
	(void)state;
	for (enum key_scheme s = SCHEME_SIGNAL; s <= SCHEME_P384; s++) {
		const struct vector *v = first(s);
		struct vector bad = *v;

		for (size_t bit = 0; bit < v->signature.len * 8; bit++) {
			bad.signature = flip(v->signature, bit);
			assert_int_equal(verify(&bad), ERR_BAD_SIGNATURE);
		}
		bad.signature = v->signature;
		for (size_t bit = 0; bit < v->identity.len * 8; bit++) {
			bad.identity = flip(v->identity, bit);
			assert_int_not_equal(verify(&bad), ERR_OK);
		}
		bad.identity = v->identity;
		for (size_t bit = 0; bit < v->message.len * 8; bit += 7) {
			bad.message = flip(v->message, bit);
			assert_int_equal(verify(&bad), ERR_BAD_SIGNATURE);
		}
	}
}

static void the_key_of_another_does_not_verify(void **state)
{
	(void)state;
	for (size_t i = 1; i < n_vectors; i++) {
		struct vector mixed = vectors[i];

		mixed.identity = vectors[i - 1].identity;
		assert_int_not_equal(verify(&mixed), ERR_OK);
	}
}

static void signatures_and_keys_of_other_schemes_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_vectors; i++) {
		for (enum key_scheme s = SCHEME_SIGNAL; s <= SCHEME_P384; s++) {
			struct vector mixed = vectors[i];

			if (s == mixed.scheme)
				continue;
			mixed.scheme = s;
			assert_int_equal(verify(&mixed), ERR_VALIDATION);
			assert_int_equal(scheme_check_identity(s, mixed.identity),
					 ERR_VALIDATION);
		}
	}
}

static void lengths_that_are_off_by_one_are_refused(void **state)
{
	(void)state;
	for (enum key_scheme s = SCHEME_SIGNAL; s <= SCHEME_P384; s++) {
		struct vector v = *first(s);
		uint8_t *longer = arena_alloc(arena, v.identity.len + 1);

		memcpy(longer, v.identity.data, v.identity.len);
		v.signature.len--;
		assert_int_equal(verify(&v), ERR_VALIDATION);
		v.signature.len = 0;
		assert_int_equal(verify(&v), ERR_VALIDATION);
		for (size_t len = 0; len < v.identity.len; len++)
			assert_int_equal(scheme_check_identity(s, bytes_of(longer, len)),
					 ERR_VALIDATION);
		assert_int_equal(scheme_check_identity(s, bytes_of(longer, v.identity.len + 1)),
				 ERR_VALIDATION);
		assert_int_equal(scheme_check_prekey(s, bytes_of(longer, v.identity.len + 1)),
				 ERR_VALIDATION);
	}
}

/* With bit 255 set a key would have a second encoding, and a second identity. */
static void a_signal_key_has_one_encoding(void **state)
{
	struct vector v = *first(SCHEME_SIGNAL);

	(void)state;
	v.identity = flip(v.identity, 8 + 255);
	assert_int_equal(verify(&v), ERR_VALIDATION);
	assert_int_equal(scheme_check_identity(SCHEME_SIGNAL, v.identity), ERR_VALIDATION);
	assert_int_equal(scheme_check_prekey(SCHEME_SIGNAL, v.identity), ERR_VALIDATION);
}

/* u of small order (all of them, with what stands for the same number), and u = -1, which
 * has no Edwards form. Little-endian. */
static const char *const odd_points[] = {
	"050000000000000000000000000000000000000000000000000000000000000000",
	"050100000000000000000000000000000000000000000000000000000000000000",
	"05e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"055f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"05ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"05edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"05eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"05f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};
#define N_ODD_POINTS (sizeof odd_points / sizeof odd_points[0])

static void odd_points_are_no_prekey(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ODD_POINTS; i++) {
		struct bytes key = from_hex(odd_points[i]);

		assert_int_equal(scheme_check_prekey(SCHEME_SIGNAL, key), ERR_VALIDATION);
		assert_int_equal(
			scheme_check_prekey(SCHEME_ED25519, bytes_of(key.data + 1, 32)),
			ERR_VALIDATION);
	}
}

static void odd_points_are_no_identity(void **state)
{
	struct vector v = *first(SCHEME_SIGNAL);

	(void)state;
	for (size_t i = 0; i < N_ODD_POINTS; i++) {
		v.identity = from_hex(odd_points[i]);
		assert_int_equal(scheme_check_identity(SCHEME_SIGNAL, v.identity),
				 ERR_VALIDATION);
		assert_int_not_equal(verify(&v), ERR_OK);
	}
	v.identity = from_hex(odd_points[4]); /* -1 */
	assert_int_equal(verify(&v), ERR_VALIDATION);
	/* The base point, u = 9, is fine; u = 2 is on the twist. */
	v.identity =
		from_hex("050900000000000000000000000000000000000000000000000000000000000000");
	assert_int_equal(scheme_check_identity(SCHEME_SIGNAL, v.identity), ERR_OK);
	v.identity =
		from_hex("050200000000000000000000000000000000000000000000000000000000000000");
	assert_int_equal(scheme_check_identity(SCHEME_SIGNAL, v.identity), ERR_VALIDATION);
}

/* Turns an uncompressed SubjectPublicKeyInfo into the same with a compressed point. */
static struct bytes compress(struct bytes spki, size_t size)
{
	uint8_t *out = copy(spki);
	size_t point = spki.len - 2 * size - 1;

	out[1] -= (uint8_t)size;
	out[point - 2] -= (uint8_t)size;
	out[point] = 2 + (spki.data[spki.len - 1] & 1);
	return bytes_of(out, spki.len - size);
}

static void compressed_points_verify_too(void **state)
{
	(void)state;
	for (enum key_scheme s = SCHEME_P256; s <= SCHEME_P384; s++) {
		struct vector v = *first(s);

		v.identity = compress(v.identity, s == SCHEME_P256 ? 32 : 48);
		assert_int_equal(scheme_check_identity(s, v.identity), ERR_OK);
		assert_int_equal(verify(&v), ERR_OK);
		v.identity =
			flip(v.identity, (v.identity.len - (s == SCHEME_P256 ? 33 : 49)) * 8);
		assert_int_equal(verify(&v), ERR_BAD_SIGNATURE); /* the other y */
	}
}

static void points_off_the_curve_and_other_forms_are_refused(void **state)
{
	(void)state;
	for (enum key_scheme s = SCHEME_P256; s <= SCHEME_P384; s++) {
		struct bytes key = first(s)->identity;
		size_t point = key.len - (s == SCHEME_P256 ? 65 : 97);
		uint8_t *changed = copy(key);

		assert_int_equal(scheme_check_identity(s, flip(key, (key.len - 1) * 8)),
				 ERR_VALIDATION);
		assert_int_equal(scheme_check_prekey(s, flip(key, (key.len - 1) * 8)),
				 ERR_VALIDATION);
		changed[point] = 6 + (key.data[key.len - 1] & 1); /* hybrid */
		assert_int_equal(scheme_check_identity(s, bytes_of(changed, key.len)),
				 ERR_VALIDATION);
		memset(changed + point + 1, 0xff, key.len - point - 1); /* beyond the field */
		changed[point] = 4;
		assert_int_equal(scheme_check_identity(s, bytes_of(changed, key.len)),
				 ERR_VALIDATION);
	}
}

static void zero_signatures_are_refused(void **state)
{
	uint8_t zero[SCHEME_SIGNATURE_MAX] = {0};

	(void)state;
	for (enum key_scheme s = SCHEME_SIGNAL; s <= SCHEME_P384; s++) {
		struct vector v = *first(s);

		v.signature = bytes_of(zero, v.signature.len);
		assert_int_equal(verify(&v), ERR_BAD_SIGNATURE);
	}
}

static void pq_keys_are_kyber_for_signal_and_opaque_for_others(void **state)
{
	uint8_t key[SCHEME_PQ_MAX + 1] = {8};

	(void)state;
	assert_int_equal(scheme_check_pq(SCHEME_SIGNAL, bytes_of(key, 1569)), ERR_OK);
	assert_int_equal(scheme_check_pq(SCHEME_SIGNAL, bytes_of(key, 1568)), ERR_VALIDATION);
	assert_int_equal(scheme_check_pq(SCHEME_SIGNAL, bytes_of(key, 1570)), ERR_VALIDATION);
	key[0] = 7;
	assert_int_equal(scheme_check_pq(SCHEME_SIGNAL, bytes_of(key, 1569)), ERR_VALIDATION);
	assert_int_equal(scheme_check_pq(SCHEME_P256, bytes_of(key, 1)), ERR_OK);
	assert_int_equal(scheme_check_pq(SCHEME_ED25519, bytes_of(key, 4096)), ERR_OK);
	assert_int_equal(scheme_check_pq(SCHEME_P384, bytes_of(key, 0)), ERR_VALIDATION);
	assert_int_equal(scheme_check_pq(SCHEME_P384, bytes_of(key, 4097)), ERR_VALIDATION);
}

static void schemes_have_names_and_zero_is_none(void **state)
{
	enum key_scheme scheme = SCHEME_SIGNAL;

	(void)state;
	for (enum key_scheme s = SCHEME_SIGNAL; s <= SCHEME_P384; s++) {
		assert_int_equal(scheme_parse(bytes_of_text(scheme_name(s)), &scheme), ERR_OK);
		assert_int_equal(scheme, s);
	}
	assert_int_equal(scheme_parse(bytes_of_text("P256"), &scheme), ERR_VALIDATION);
	assert_int_equal(scheme_parse(bytes_of_text(""), &scheme), ERR_VALIDATION);
	assert_null(scheme_name(0));
	assert_null(scheme_name(SCHEME_P384 + 1));
	assert_int_equal(scheme_check_identity(0, vectors[0].identity), ERR_VALIDATION);
	assert_int_equal(scheme_check_prekey(0, vectors[0].identity), ERR_VALIDATION);
	assert_int_equal(scheme_check_pq(0, vectors[0].identity), ERR_VALIDATION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_signature_of_a_real_client_verifies),
		cmocka_unit_test(any_changed_bit_breaks_it),
		cmocka_unit_test(the_key_of_another_does_not_verify),
		cmocka_unit_test(signatures_and_keys_of_other_schemes_are_refused),
		cmocka_unit_test(lengths_that_are_off_by_one_are_refused),
		cmocka_unit_test(a_signal_key_has_one_encoding),
		cmocka_unit_test(odd_points_are_no_prekey),
		cmocka_unit_test(odd_points_are_no_identity),
		cmocka_unit_test(compressed_points_verify_too),
		cmocka_unit_test(points_off_the_curve_and_other_forms_are_refused),
		cmocka_unit_test(zero_signatures_are_refused),
		cmocka_unit_test(pq_keys_are_kyber_for_signal_and_opaque_for_others),
		cmocka_unit_test(schemes_have_names_and_zero_is_none),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
