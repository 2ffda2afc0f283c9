/* SPDX-License-Identifier: MIT
 *
 * Access tokens: only those that this node made for this domain, and only in their time.
 * Forged ones are put together by hand here, with the right secret where it matters.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/clock.h"
#include "restante/token.h"

#include <jwt.h>
#include <stdlib.h>

#define NOW    INT64_C(1700000000123)
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

static const uint8_t secret[SECRET_SIZE] = "0123456789abcdef0123456789abcde";
static const char CLAIMS[] = "{\"iss\":\"a.example\",\"sub\":\"alice\",\"dev\":1,\"gen\":7,"
			     "\"iat\":1700000000,\"iatms\":1700000000123,\"exp\":1700000901}";
static const struct caller claims = {
	.user = "alice",
	.device_id = 1,
	.generation = 7,
	.issued_at_ms = NOW,
	.expires_at_ms = NOW + 15 * MINUTES_MS,
};
static struct arena *arena;

static int setup(void **state)
{
	(void)state;
	crypto_init();
	arena = arena_create();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_destroy(&arena);
	return 0;
}

static enum err verify(const char *token, int64_t now_ms)
{
	struct caller out;

	return token_verify(secret, "a.example", bytes_of_text(token), now_ms, &out);
}

static char *replace(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);

	assert_non_null(at);
	return arena_printf(arena, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

/* A token with the right MAC over any header and any claims. */
static char *forge(const char *header, const char *payload)
{
	char *head = base64url_encode(arena, bytes_of_text(header));
	char *body = base64url_encode(arena, bytes_of_text(payload));
	char *text = arena_printf(arena, "%s.%s", head, body);
	uint8_t mac[SHA256_SIZE];

	crypto_mac(secret, bytes_of_text(text), mac);
	return arena_printf(arena, "%s.%s", text,
			    base64url_encode(arena, bytes_of(mac, sizeof mac)));
}

static void what_was_issued_comes_back(void **state)
{
	char *token = token_issue(secret, "a.example", &claims, arena);
	struct caller out;

	(void)state;
	assert_int_equal(token_verify(secret, "a.example", bytes_of_text(token), NOW + 1, &out),
			 ERR_OK);
	assert_string_equal(out.user, "alice");
	assert_int_equal(out.device_id, 1);
	assert_int_equal(out.generation, 7);
	assert_int_equal(out.issued_at_ms, NOW);
	assert_int_equal(out.expires_at_ms, 1700000901000); /* the next whole second */
}

static void a_token_made_by_hand_is_the_same(void **state)
{
	(void)state;
	assert_int_equal(verify(forge(HEADER, CLAIMS), NOW), ERR_OK);
}

static void the_largest_claims_fit(void **state)
{
	struct caller big = claims, out;
	char domain[254] = {0};
	char *token;

	(void)state;
	big.device_id = 127;
	big.generation = INT64_MAX;
	memset(big.user, 'u', CALLER_USER_SIZE - 1);
	memset(domain, 'd', sizeof domain - 1);
	token = token_issue(secret, domain, &big, arena);
	assert_true(strlen(token) <= TOKEN_MAX);
	assert_int_equal(token_verify(secret, domain, bytes_of_text(token), NOW, &out), ERR_OK);
	assert_int_equal(out.generation, INT64_MAX);
	assert_string_equal(out.user, big.user);
}

static void a_token_ends_at_its_time(void **state)
{
	char *token = token_issue(secret, "a.example", &claims, arena);

	(void)state;
	assert_int_equal(verify(token, 1700000900999), ERR_OK);
	assert_int_equal(verify(token, 1700000901000), ERR_TOKEN_EXPIRED);
	assert_int_equal(verify(token, INT64_MAX / 2), ERR_TOKEN_EXPIRED);
}

static void a_token_from_the_future_is_refused(void **state)
{
	char *token = token_issue(secret, "a.example", &claims, arena);

	(void)state;
	assert_int_equal(verify(token, NOW - 5 * MINUTES_MS), ERR_OK);
	assert_int_equal(verify(token, NOW - 5 * MINUTES_MS - 1), ERR_UNAUTHORIZED);
}

static void another_secret_or_domain_is_refused(void **state)
{
	uint8_t other[SECRET_SIZE] = {0};
	char *token = token_issue(other, "a.example", &claims, arena);

	(void)state;
	assert_int_equal(verify(token, NOW), ERR_UNAUTHORIZED);
	token = token_issue(secret, "b.example", &claims, arena);
	assert_int_equal(verify(token, NOW), ERR_UNAUTHORIZED);
	/* Also when it has expired: that alone would say that the secret was right. */
	assert_int_equal(verify(token, NOW + HOURS_MS), ERR_UNAUTHORIZED);
}

static void other_algorithms_are_refused(void **state)
{
	static const char *const headers[] = {
		"{\"alg\":\"none\"}",
		"{\"alg\":\"NONE\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS384\",\"typ\":\"JWT\"}",
		"{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"ES256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}",
		"{\"alg\":256,\"typ\":\"JWT\"}",
		"{\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\"}",
		"{\"alg\":\"HS256\",\"typ\":\"jwt+other\"}",
		"{\"alg\":\"HS256\",\"typ\":1}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"crit\":[\"x\"],\"x\":1}",
		"[]",
		"",
	};
	char *body = base64url_encode(arena, bytes_of_text(CLAIMS));

	(void)state;
	for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
		char *head = base64url_encode(arena, bytes_of_text(headers[i]));

		assert_int_equal(verify(forge(headers[i], CLAIMS), NOW), ERR_UNAUTHORIZED);
		assert_int_equal(verify(arena_printf(arena, "%s.%s.", head, body), NOW),
				 ERR_UNAUTHORIZED);
	}
}

/* The library would take these: the MAC is right for what the header asks for. */
static void longer_hashes_with_the_right_secret_are_refused(void **state)
{
	static const jwt_alg_t algorithms[] = {JWT_ALG_HS384, JWT_ALG_HS512};

	(void)state;
	for (int i = 0; i < 2; i++) {
		jwt_t *jwt = NULL;
		char *token;

		assert_int_equal(jwt_new(&jwt), 0);
		assert_int_equal(jwt_add_grants_json(jwt, CLAIMS), 0);
		assert_int_equal(jwt_set_alg(jwt, algorithms[i], secret, sizeof secret), 0);
		token = jwt_encode_str(jwt);
		assert_int_equal(verify(token, NOW), ERR_UNAUTHORIZED);
		free(token);
		jwt_free(jwt);
	}
}

static void missing_or_odd_claims_are_refused(void **state)
{
	static const char *const changes[][2] = {
		{"\"iss\":\"a.example\",", ""},
		{"\"a.example\"", "1"},
		{"\"sub\":\"alice\",", ""},
		{"\"alice\"", "\"\""},
		{"\"alice\"", "[\"alice\"]"},
		{"\"dev\":1,", ""},
		{"\"dev\":1", "\"dev\":\"1\""},
		{"\"dev\":1", "\"dev\":1.0"},
		{"\"dev\":1", "\"dev\":0"},
		{"\"dev\":1", "\"dev\":128"},
		{"\"dev\":1", "\"dev\":257"},
		{"\"dev\":1", "\"dev\":-255"},
		{"\"dev\":1", "\"dev\":true"},
		{"\"gen\":7,", ""},
		{"\"gen\":7", "\"gen\":-7"},
		{"\"gen\":7", "\"gen\":\"7\""},
		{"\"gen\":7", "\"gen\":null"},
		{"\"gen\":7", "\"gen\":7e0"},
		{"\"iat\":1700000000,", ""},
		{"\"iat\":1700000000", "\"iat\":1700000001"},
		{"\"iatms\":1700000000123,", ""},
		{"1700000000123", "\"1700000000123\""},
		{",\"exp\":1700000901", ""},
		{"1700000901", "1699999999"},
		{"1700000901", "9223372036854775807"},
		{"1700000901", "99999999999999999999"},
	};
	char *long_user = arena_printf(arena, "\"%065d\"", 0);

	(void)state;
	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
		assert_int_equal(
			verify(forge(HEADER, replace(CLAIMS, changes[i][0], changes[i][1])),
			       NOW),
			ERR_UNAUTHORIZED);
	assert_int_equal(verify(forge(HEADER, replace(CLAIMS, "\"alice\"", long_user)), NOW),
			 ERR_UNAUTHORIZED);
	assert_int_equal(verify(forge(HEADER, "[]"), NOW), ERR_UNAUTHORIZED);
	assert_int_equal(verify(forge(HEADER, ""), NOW), ERR_UNAUTHORIZED);
}

static void a_changed_or_cut_token_is_refused(void **state)
{
	char *token = token_issue(secret, "a.example", &claims, arena);
	size_t len = strlen(token);
	struct caller out = {.user = "untouched"};

	(void)state;
	for (size_t i = 0; i < len; i++) {
		char saved = token[i];

		assert_int_equal(
			token_verify(secret, "a.example", bytes_of(token, i), NOW, &out),
			ERR_UNAUTHORIZED);
		for (const char *c = "AB-_./=\n"; *c != '\0'; c++) {
			token[i] = *c;
			if (*c != saved)
				assert_int_equal(verify(token, NOW), ERR_UNAUTHORIZED);
		}
		token[i] = saved;
	}
	assert_string_equal(out.user, "untouched");
	assert_int_equal(verify(token, NOW), ERR_OK);
}

static void a_token_with_something_behind_it_is_refused(void **state)
{
	char *token = token_issue(secret, "a.example", &claims, arena);
	char long_token[TOKEN_MAX + 2];

	(void)state;
	assert_int_equal(verify(arena_printf(arena, "%s=", token), NOW), ERR_UNAUTHORIZED);
	assert_int_equal(verify(arena_printf(arena, "%s.x", token), NOW), ERR_UNAUTHORIZED);
	assert_int_equal(verify(arena_printf(arena, " %s", token), NOW), ERR_UNAUTHORIZED);
	assert_int_equal(token_verify(secret, "a.example", bytes_of(token, strlen(token) + 1),
				      NOW, &(struct caller){0}),
			 ERR_UNAUTHORIZED);
	memset(long_token, 'A', sizeof long_token);
	long_token[TOKEN_MAX + 1] = '\0';
	assert_int_equal(verify(long_token, NOW), ERR_UNAUTHORIZED);
}

static void opaque_tokens_differ_and_hash_as_text(void **state)
{
	char one[OPAQUE_TOKEN_SIZE], two[OPAQUE_TOKEN_SIZE];
	uint8_t bytes[32], hash[SHA256_SIZE], expected[SHA256_SIZE];

	(void)state;
	opaque_token_create(one);
	opaque_token_create(two);
	assert_string_not_equal(one, two);
	assert_int_equal(base64url_decode_exact(bytes_of_text(one), 32, bytes), ERR_OK);
	opaque_token_hash(bytes_of_text(one), hash);
	crypto_sha256(bytes_of(one, 43), expected);
	assert_memory_equal(hash, expected, sizeof hash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_issued_comes_back),
		cmocka_unit_test(a_token_made_by_hand_is_the_same),
		cmocka_unit_test(the_largest_claims_fit),
		cmocka_unit_test(a_token_ends_at_its_time),
		cmocka_unit_test(a_token_from_the_future_is_refused),
		cmocka_unit_test(another_secret_or_domain_is_refused),
		cmocka_unit_test(other_algorithms_are_refused),
		cmocka_unit_test(longer_hashes_with_the_right_secret_are_refused),
		cmocka_unit_test(missing_or_odd_claims_are_refused),
		cmocka_unit_test(a_changed_or_cut_token_is_refused),
		cmocka_unit_test(a_token_with_something_behind_it_is_refused),
		cmocka_unit_test(opaque_tokens_differ_and_hash_as_text),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
