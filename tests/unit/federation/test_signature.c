/* SPDX-License-Identifier: MIT
 *
 * Signatures between nodes: the vectors of docs/protocol.md section 5, and that everything
 * that differs from the one form is refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "signature_deviations.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/document.h"
#include "restante/signature.h"
#include "restante/text.h"
#include "support.h"

#include <stdlib.h>

#define NOW_MS	  INT64_C(1767225605000)
#define PATH	  "/federation/v1/transactions"
#define AUTHORITY "b.example"

struct fixture {
	struct arena *arena;
	char *vectors;
	struct sign_key a, b;
};

/* The value of this name, its lines joined by LF. */
static const char *vector(struct fixture *f, const char *name)
{
	size_t n = strlen(name);
	const char *end;
	struct text out;

	text_init(&out, f->arena, 512);
	for (const char *at = f->vectors; *at != '\0'; at = end + 1) {
		end = strchr(at, '\n');
		assert_non_null(end);
		if (strncmp(at, name, n) != 0 || at[n] != ' ')
			continue;
		if (out.len > 0)
			text_puts(&out, "\n");
		text_add(&out, bytes_of(at + n + 1, (size_t)(end - at) - n - 1));
	}
	assert_true(out.len > 0);
	return out.data;
}

static struct bytes vector_bytes(struct fixture *f, const char *name)
{
	return bytes_of_text(vector(f, name));
}

static void load_key(struct fixture *f, const char *seed_name, struct sign_key *key)
{
	uint8_t seed[32];

	assert_int_equal(hex_decode(vector_bytes(f, seed_name), 32, seed), ERR_OK);
	assert_int_equal(sign_key_from_seed(bytes_of_text("k1"), seed, key), ERR_OK);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	size_t len;

	crypto_init();
	f->arena = arena_create();
	f->vectors = (char *)support_read_file(TEST_DATA "/vectors/s2s_profile.txt", &len);
	load_key(f, "a_seed", &f->a);
	load_key(f, "b_seed", &f->b);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->vectors);
	arena_destroy(&f->arena);
	free(f);
	return 0;
}

static struct s2s_target target_of(struct fixture *f)
{
	return (struct s2s_target){.authority = AUTHORITY,
				   .path = PATH,
				   .destination = "b.example",
				   .content_digest = vector_bytes(f, "request_content_digest")};
}

static enum err parse(struct fixture *f, const char *input, struct s2s_params *params)
{
	return s2s_request_parse(vector_bytes(f, "request_content_digest"),
				 bytes_of_text(input), vector_bytes(f, "request_signature"),
				 params);
}

static void published_keys_are_those_of_the_seeds(void **state)
{
	struct fixture *f = *state;
	uint8_t public_key[32];

	assert_int_equal(base64_decode_exact(vector_bytes(f, "a_public"), 32, public_key),
			 ERR_OK);
	assert_memory_equal(public_key, f->a.public_key, 32);
	assert_int_equal(base64_decode_exact(vector_bytes(f, "b_public"), 32, public_key),
			 ERR_OK);
	assert_memory_equal(public_key, f->b.public_key, 32);
}

static void the_request_of_the_protocol_page_verifies(void **state)
{
	struct fixture *f = *state;
	struct s2s_target target = target_of(f);
	struct s2s_params params;

	assert_int_equal(parse(f, vector(f, "request_signature_input"), &params), ERR_OK);
	assert_string_equal(params.origin, "a.example");
	assert_string_equal(params.kid, "k1");
	assert_string_equal(params.nonce, NONCE);
	assert_int_equal(params.created_s, 1767225600);
	assert_int_equal(params.expires_s, 1767225660);
	assert_int_equal(s2s_clock_check(&params, NOW_MS), ERR_OK);
	assert_int_equal(s2s_request_verify(&params, &target, f->a.public_key), ERR_OK);
	assert_int_equal(
		s2s_digest_check(target.content_digest, vector_bytes(f, "request_body")),
		ERR_OK);
	/* The base that is printed is the one that was signed. */
	assert_int_equal(ed25519_verify(f->a.public_key, vector_bytes(f, "request_base"),
					params.signature),
			 ERR_OK);
}

static void the_response_of_the_protocol_page_is_made_and_verifies(void **state)
{
	struct fixture *f = *state;
	struct s2s_target target = target_of(f);
	struct bytes body = vector_bytes(f, "response_body");
	struct s2s_headers headers;
	struct s2s_params params;

	s2s_response_sign(f->arena, &f->b, "b.example", &target, NONCE, 200, body,
			  INT64_C(1767225601999), &headers);
	assert_string_equal(headers.content_digest, vector(f, "response_content_digest"));
	assert_string_equal(headers.signature_input, vector(f, "response_signature_input"));
	assert_string_equal(headers.signature, vector(f, "response_signature"));
	assert_int_equal(s2s_response_parse(bytes_of_text(headers.content_digest),
					    bytes_of_text(headers.signature_input),
					    bytes_of_text(headers.signature), "b.example",
					    NONCE, NOW_MS, &params),
			 ERR_OK);
	assert_int_equal(s2s_response_verify(&params, &target, 200,
					     bytes_of_text(headers.content_digest), body,
					     f->b.public_key),
			 ERR_OK);
	assert_int_equal(ed25519_verify(f->b.public_key, vector_bytes(f, "response_base"),
					params.signature),
			 ERR_OK);
}

static void what_is_signed_verifies_and_nonces_differ(void **state)
{
	struct fixture *f = *state;
	struct s2s_target target = target_of(f);
	struct bytes body = vector_bytes(f, "request_body");
	char nonce[S2S_NONCE_SIZE], other[S2S_NONCE_SIZE];
	struct s2s_headers headers;
	struct s2s_params params;

	s2s_request_sign(f->arena, &f->a, "a.example", AUTHORITY, PATH, "b.example", body,
			 NOW_MS, &headers, other);
	s2s_request_sign(f->arena, &f->a, "a.example", AUTHORITY, PATH, "b.example", body,
			 NOW_MS, &headers, nonce);
	assert_string_not_equal(nonce, other);
	assert_string_equal(headers.content_digest, vector(f, "request_content_digest"));
	assert_int_equal(s2s_request_parse(bytes_of_text(headers.content_digest),
					   bytes_of_text(headers.signature_input),
					   bytes_of_text(headers.signature), &params),
			 ERR_OK);
	assert_string_equal(params.nonce, nonce);
	assert_int_equal(params.created_s, NOW_MS / 1000);
	assert_int_equal(s2s_request_verify(&params, &target, f->a.public_key), ERR_OK);
}

static void every_covered_part_of_a_request_counts(void **state)
{
	struct fixture *f = *state;
	const struct s2s_target good = target_of(f);
	struct s2s_target bad[4] = {good, good, good, good};
	struct s2s_params params;

	assert_int_equal(parse(f, vector(f, "request_signature_input"), &params), ERR_OK);
	bad[0].authority = "b.example:8443";
	bad[1].path = "/federation/v1/keys/claim";
	bad[2].destination = "c.example";
	bad[3].content_digest = vector_bytes(f, "response_content_digest");
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(s2s_request_verify(&params, &bad[i], f->a.public_key),
				 ERR_SIG_INVALID);
	assert_int_equal(s2s_request_verify(&params, &good, f->b.public_key), ERR_SIG_INVALID);
	params.signature[0] ^= 1;
	assert_int_equal(s2s_request_verify(&params, &good, f->a.public_key), ERR_SIG_INVALID);
}

/* Another created, kid or origin in the same form parses, and is not what was signed. */
static void parameters_are_verified_as_they_were_received(void **state)
{
	static const char *const changes[][2] = {
		{"created=1767225600;expires=1767225660",
		 "created=1767225601;expires=1767225661"},
		{"a.example/k1", "a.example/k2"},
		{"a.example/k1", "c.example/k1"},
		{NONCE, "BBECAwQFBgcICQoLDA0ODw"},
	};
	struct fixture *f = *state;
	struct s2s_target target = target_of(f);
	const char *input = vector(f, "request_signature_input");
	struct s2s_params params;

	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
		const char *at = strstr(input, changes[i][0]);
		char *changed = arena_printf(f->arena, "%.*s%s%s", (int)(at - input), input,
					     changes[i][1], at + strlen(changes[i][0]));

		assert_int_equal(parse(f, changed, &params), ERR_OK);
		assert_int_equal(s2s_request_verify(&params, &target, f->a.public_key),
				 ERR_SIG_INVALID);
	}
}

static void whatever_differs_in_the_input_is_refused(void **state)
{
	struct fixture *f = *state;
	const char *input = vector(f, "request_signature_input");

	for (size_t i = 0; i < sizeof deviations / sizeof deviations[0]; i++) {
		const char *at = strstr(input, deviations[i][0]);
		struct s2s_params params = {.kid = "untouched"};
		char *changed;

		assert_non_null(at);
		changed = arena_printf(f->arena, "%.*s%s%s", (int)(at - input), input,
				       deviations[i][1], at + strlen(deviations[i][0]));
		if (parse(f, changed, &params) != ERR_SIG_FORMAT)
			fail_msg("accepted: %s", changed);
		assert_string_equal(params.kid, "untouched");
	}
}

static void an_input_that_is_cut_off_is_refused(void **state)
{
	struct fixture *f = *state;
	struct bytes input = vector_bytes(f, "request_signature_input");
	struct s2s_params params;

	for (size_t len = 1; len < input.len; len++) {
		/* Of exactly this length, so that reading behind it is noticed. */
		uint8_t *cut = malloc(len);

		memcpy(cut, input.data, len);
		assert_int_equal(s2s_request_parse(vector_bytes(f, "request_content_digest"),
						   bytes_of(cut, len),
						   vector_bytes(f, "request_signature"),
						   &params),
				 ERR_SIG_FORMAT);
		free(cut);
	}
}

static void signature_and_digest_have_one_form(void **state)
{
	struct fixture *f = *state;
	struct bytes digest = vector_bytes(f, "request_content_digest");
	struct bytes input = vector_bytes(f, "request_signature_input");
	const char *good = vector(f, "request_signature");
	const char *inside = strchr(good, ':') + 1;
	const char *bad_signatures[] = {
		arena_printf(f->arena, "sig1=:%s", inside),
		arena_printf(f->arena, "restante=%s", inside),
		arena_printf(f->arena, "restante=:%.87s:", inside),
		arena_printf(f->arena, "restante=:%.86s:", inside),
		arena_printf(f->arena, "restante=:%.88s", inside),
		arena_printf(f->arena, "restante=: %.88s:", inside),
		arena_printf(f->arena, "restante=:%.88s:;x=1", inside),
		arena_printf(f->arena, "%s, sig1=:AA==:", good),
		arena_printf(f->arena, "%s,%s", good, good),
		arena_printf(f->arena, "%s ", good),
		"restante=::",
	};
	const char *bad_digests[] = {
		"sha-512=:9/zwP/d1DrtjKHYPY7CUimOeLcNeB5fmgGeN4GICizg=:",
		"SHA-256=:9/zwP/d1DrtjKHYPY7CUimOeLcNeB5fmgGeN4GICizg=:",
		"sha-256=:9/zwP/d1DrtjKHYPY7CUimOeLcNeB5fmgGeN4GICizg:",
		"sha-256=:9/zwP/d1DrtjKHYPY7CUimOeLcNeB5fmgGeN4GICizh=:", /* unused bits */
		"sha-256=:9_zwP/d1DrtjKHYPY7CUimOeLcNeB5fmgGeN4GICizg=:",
		"sha-256=9/zwP/d1DrtjKHYPY7CUimOeLcNeB5fmgGeN4GICizg=",
		"sha-256=:9/zwP/d1DrtjKHYPY7CUimOeLcNeB5fmgGeN4GICizg=:, md5=:AA==:",
		"sha-256=::",
	};
	struct s2s_params params;

	for (size_t i = 0; i < sizeof bad_signatures / sizeof bad_signatures[0]; i++)
		assert_int_equal(s2s_request_parse(digest, input,
						   bytes_of_text(bad_signatures[i]), &params),
				 ERR_SIG_FORMAT);
	for (size_t i = 0; i < sizeof bad_digests / sizeof bad_digests[0]; i++) {
		struct bytes bad = bytes_of_text(bad_digests[i]);

		assert_int_equal(s2s_request_parse(bad, input, bytes_of_text(good), &params),
				 ERR_SIG_FORMAT);
		assert_int_equal(s2s_digest_check(bad, vector_bytes(f, "request_body")),
				 ERR_SIG_DIGEST);
	}
}

static void a_header_that_is_not_there_is_missing(void **state)
{
	struct fixture *f = *state;
	struct bytes headers[3] = {vector_bytes(f, "request_content_digest"),
				   vector_bytes(f, "request_signature_input"),
				   vector_bytes(f, "request_signature")};
	struct s2s_params params;

	for (size_t i = 0; i < 3; i++) {
		struct bytes some[3];

		memcpy(some, headers, sizeof some);
		some[i] = (struct bytes){0};
		assert_int_equal(s2s_request_parse(some[0], some[1], some[2], &params),
				 ERR_SIG_MISSING);
	}
}

static void clocks_may_differ_by_five_minutes(void **state)
{
	const struct s2s_params params = {.created_s = 1000000, .expires_s = 1000060};
	const int64_t created_ms = 1000000 * SECONDS_MS;

	(void)state;
	assert_int_equal(s2s_clock_check(&params, created_ms - 300000), ERR_OK);
	assert_int_equal(s2s_clock_check(&params, created_ms - 300001), ERR_SIG_CLOCK);
	assert_int_equal(s2s_clock_check(&params, created_ms + 360000), ERR_OK);
	assert_int_equal(s2s_clock_check(&params, created_ms + 360001), ERR_SIG_CLOCK);
}

static void another_body_has_another_digest(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(s2s_digest_check(vector_bytes(f, "request_content_digest"),
					  vector_bytes(f, "response_body")),
			 ERR_SIG_DIGEST);
	assert_int_equal(
		s2s_digest_check(s2s_digest(f->arena, (struct bytes){0}), (struct bytes){0}),
		ERR_OK);
}

static enum err response_parse(struct fixture *f, const char *domain, const char *nonce,
			       int64_t now_ms, struct s2s_params *params)
{
	return s2s_response_parse(vector_bytes(f, "response_content_digest"),
				  vector_bytes(f, "response_signature_input"),
				  vector_bytes(f, "response_signature"), domain, nonce, now_ms,
				  params);
}

static void a_response_is_for_this_request_from_this_domain_now(void **state)
{
	struct fixture *f = *state;
	struct s2s_params params;

	assert_int_equal(response_parse(f, "c.example", NONCE, NOW_MS, &params),
			 ERR_SIG_KEY_UNKNOWN);
	assert_int_equal(
		response_parse(f, "b.example", "BBECAwQFBgcICQoLDA0ODw", NOW_MS, &params),
		ERR_SIG_REPLAY);
	assert_int_equal(
		response_parse(f, "b.example", NONCE, NOW_MS + 10 * MINUTES_MS, &params),
		ERR_SIG_CLOCK);
	/* The headers of a request are none of a response. */
	assert_int_equal(s2s_response_parse(vector_bytes(f, "request_content_digest"),
					    vector_bytes(f, "request_signature_input"),
					    vector_bytes(f, "request_signature"), "a.example",
					    NONCE, NOW_MS, &params),
			 ERR_SIG_FORMAT);
}

static void every_covered_part_of_a_response_counts(void **state)
{
	struct fixture *f = *state;
	const struct s2s_target good = target_of(f);
	struct s2s_target bad[4] = {good, good, good, good};
	struct bytes digest = vector_bytes(f, "response_content_digest");
	struct bytes body = vector_bytes(f, "response_body");
	struct s2s_params params;

	assert_int_equal(response_parse(f, "b.example", NONCE, NOW_MS, &params), ERR_OK);
	bad[0].authority = "c.example";
	bad[1].path = "/federation/v1/keys/claim";
	bad[2].destination = "c.example";
	bad[3].content_digest = digest;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(s2s_response_verify(&params, &bad[i], 200, digest, body,
						     f->b.public_key),
				 ERR_SIG_INVALID);
	assert_int_equal(
		s2s_response_verify(&params, &good, 409, digest, body, f->b.public_key),
		ERR_SIG_INVALID);
	assert_int_equal(
		s2s_response_verify(&params, &good, 200, digest, body, f->a.public_key),
		ERR_SIG_INVALID);
	assert_int_equal(s2s_response_verify(&params, &good, 200,
					     vector_bytes(f, "request_content_digest"), body,
					     f->b.public_key),
			 ERR_SIG_INVALID);
	assert_int_equal(s2s_response_verify(&params, &good, 200, digest,
					     bytes_of_text("{\"acked\":2}"), f->b.public_key),
			 ERR_SIG_DIGEST);
}

static void document_and_login_of_the_protocol_page_verify(void **state)
{
	struct fixture *f = *state;
	uint8_t root_key[32], kid_key[32], signature[64], data[256];
	struct bytes hex = vector_bytes(f, "login_bytes");
	struct server_document document;
	const char *reason;
	char kid[33];

	assert_int_equal(
		document_decode(f->arena, vector_bytes(f, "document_wrapper"), &document),
		ERR_OK);
	assert_int_equal(document_verify(&document, "a.example", NOW_MS, &reason), ERR_OK);
	assert_true(bytes_equal(document.raw, vector_bytes(f, "document")));
	assert_int_equal(base64_decode_exact(vector_bytes(f, "root_public"), 32, root_key),
			 ERR_OK);
	assert_true(document_signed_by(&document, root_key));
	assert_true(document_signed_by(&document, f->a.public_key));
	assert_int_equal(txt_decode(vector_bytes(f, "document_txt"), kid, kid_key), ERR_OK);
	assert_memory_equal(kid_key, f->a.public_key, 32);

	assert_int_equal(
		document_decode(f->arena, vector_bytes(f, "later_document_wrapper"), &document),
		ERR_OK);
	assert_int_equal(
		document_verify(&document, "a.example", NOW_MS + 20 * DAYS_MS, &reason),
		ERR_OK);
	assert_true(bytes_equal(document.raw, vector_bytes(f, "later_document")));
	assert_true(bytes_equal(document.root_signed->raw, vector_bytes(f, "root_document")));
	assert_true(document_signed_by(document.root_signed, root_key));
	assert_false(document_signed_by(&document, root_key));

	assert_int_equal(hex_decode(hex, hex.len / 2, data), ERR_OK);
	assert_int_equal(base64_decode_exact(vector_bytes(f, "login_signature"), 64, signature),
			 ERR_OK);
	assert_int_equal(
		ed25519_verify(f->a.public_key, bytes_of(data, hex.len / 2), signature),
		ERR_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(published_keys_are_those_of_the_seeds),
		TEST(the_request_of_the_protocol_page_verifies),
		TEST(the_response_of_the_protocol_page_is_made_and_verifies),
		TEST(what_is_signed_verifies_and_nonces_differ),
		TEST(every_covered_part_of_a_request_counts),
		TEST(parameters_are_verified_as_they_were_received),
		TEST(whatever_differs_in_the_input_is_refused),
		TEST(an_input_that_is_cut_off_is_refused),
		TEST(signature_and_digest_have_one_form),
		TEST(a_header_that_is_not_there_is_missing),
		TEST(clocks_may_differ_by_five_minutes),
		TEST(another_body_has_another_digest),
		TEST(a_response_is_for_this_request_from_this_domain_now),
		TEST(every_covered_part_of_a_response_counts),
		TEST(document_and_login_of_the_protocol_page_verify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
