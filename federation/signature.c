/* SPDX-License-Identifier: MIT
 *
 * Signatures of requests and responses between nodes (docs/protocol.md section 4.4). This is
 * no general reader of structured fields: both headers have one form, which is compared
 * character by character, and whatever differs is refused. The base that is verified holds
 * the parameters as they were received. Any thread.
 */
#include "restante/signature.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/text.h"

#define REQUEST_COMPONENTS                                                                     \
	"(\"@method\" \"@authority\" \"@path\" \"content-type\" \"content-digest\" "           \
	"\"restante-destination\")"
#define RESPONSE_COMPONENTS                                                                    \
	"(\"@status\" \"content-type\" \"content-digest\" \"@method\";req \"@authority\";req " \
	"\"@path\";req \"content-digest\";req \"restante-destination\";req)"
#define REQUEST_TAG    "restante-1"
#define RESPONSE_TAG   "restante-1-response"

#define LABEL	       "restante="
#define DIGEST_PREFIX  "sha-256=:"
#define CONTENT_TYPE   "application/json"
#define NONCE_BYTES    16
#define INTEGER_DIGITS 15 /* RFC 8941 section 3.3.1 */

/* Reading: a cursor that every step moves on or that has failed. */

struct cursor {
	struct bytes rest;
	bool failed;
};

static void expect(struct cursor *at, const char *literal)
{
	size_t len = strlen(literal);

	if (at->rest.len < len || memcmp(at->rest.data, literal, len) != 0) {
		at->failed = true;
		return;
	}
	at->rest = bytes_of(at->rest.data + len, at->rest.len - len);
}

/* What stands before the next `end`, which stays. */
static struct bytes take_until(struct cursor *at, char end)
{
	const uint8_t *found =
		at->rest.len == 0 ? NULL : memchr(at->rest.data, end, at->rest.len);
	struct bytes taken = {0};

	if (found == NULL) {
		at->failed = true;
		return taken;
	}
	taken = bytes_of(at->rest.data, (size_t)(found - at->rest.data));
	at->rest = bytes_of(found, at->rest.len - taken.len);
	return taken;
}

static int64_t take_integer(struct cursor *at)
{
	int64_t value = 0;
	size_t n = 0;

	while (n < at->rest.len && at->rest.data[n] >= '0' && at->rest.data[n] <= '9') {
		if (n == INTEGER_DIGITS) {
			at->failed = true;
			return 0;
		}
		value = value * 10 + (at->rest.data[n++] - '0');
	}
	if (n == 0 || (n > 1 && at->rest.data[0] == '0'))
		at->failed = true;
	at->rest = bytes_of(at->rest.data + n, at->rest.len - n);
	return value;
}

static void expect_end(struct cursor *at)
{
	if (at->rest.len != 0)
		at->failed = true;
}

static void take_nonce(struct cursor *at, char nonce_out[S2S_NONCE_SIZE])
{
	struct bytes nonce = take_until(at, '"');
	uint8_t raw[NONCE_BYTES];

	if (nonce.data == NULL || base64url_decode_exact(nonce, sizeof raw, raw) != ERR_OK) {
		at->failed = true;
		return;
	}
	memcpy(nonce_out, nonce.data, S2S_NONCE_SIZE - 1);
	nonce_out[S2S_NONCE_SIZE - 1] = '\0';
}

static void take_keyid(struct cursor *at, struct s2s_params *params)
{
	struct bytes origin = take_until(at, '/');
	struct bytes kid;

	expect(at, "/");
	kid = take_until(at, '"');
	if (at->failed || !domain_is_valid(origin) || !kid_is_valid(kid)) {
		at->failed = true;
		return;
	}
	memcpy(params->origin, origin.data, origin.len);
	memcpy(params->kid, kid.data, kid.len);
}

static bool input_parse(struct bytes input, const char *components, const char *tag,
			struct s2s_params *params)
{
	struct cursor at = {.rest = input};

	expect(&at, LABEL);
	params->inner = at.rest;
	expect(&at, components);
	expect(&at, ";created=");
	params->created_s = take_integer(&at);
	expect(&at, ";expires=");
	params->expires_s = take_integer(&at);
	expect(&at, ";nonce=\"");
	take_nonce(&at, params->nonce);
	expect(&at, "\";keyid=\"");
	take_keyid(&at, params);
	expect(&at, "\";alg=\"ed25519\";tag=\"");
	expect(&at, tag);
	expect(&at, "\"");
	expect_end(&at);
	return !at.failed && params->expires_s == params->created_s + S2S_LIFE_S;
}

/* `PREFIX:base64:` with exactly len bytes in it. */
static bool binary_parse(struct bytes value, const char *prefix, size_t len, uint8_t *out)
{
	struct cursor at = {.rest = value};
	struct bytes text;

	expect(&at, prefix);
	text = take_until(&at, ':');
	expect(&at, ":");
	expect_end(&at);
	return !at.failed && base64_decode_exact(text, len, out) == ERR_OK;
}

static enum err headers_parse(struct bytes content_digest, struct bytes input,
			      struct bytes signature, const char *components, const char *tag,
			      struct s2s_params *params_out)
{
	struct s2s_params params = {0};

	if (content_digest.len == 0 || input.len == 0 || signature.len == 0)
		return ERR_SIG_MISSING;
	if (!binary_parse(content_digest, DIGEST_PREFIX, sizeof params.digest, params.digest) ||
	    !binary_parse(signature, LABEL ":", sizeof params.signature, params.signature) ||
	    !input_parse(input, components, tag, &params))
		return ERR_SIG_FORMAT;
	*params_out = params;
	return ERR_OK;
}

enum err s2s_request_parse(struct bytes content_digest, struct bytes signature_input,
			   struct bytes signature, struct s2s_params *params_out)
{
	return headers_parse(content_digest, signature_input, signature, REQUEST_COMPONENTS,
			     REQUEST_TAG, params_out);
}

enum err s2s_clock_check(const struct s2s_params *params, int64_t now_ms)
{
	const int64_t skew_ms = S2S_SKEW_S * SECONDS_MS;

	if (params->created_s * SECONDS_MS > now_ms + skew_ms ||
	    params->expires_s * SECONDS_MS < now_ms - skew_ms)
		return ERR_SIG_CLOCK;
	return ERR_OK;
}

/* Refused, besides what a request is refused for: ERR_SIG_REPLAY, the answer to another
 * request; ERR_SIG_KEY_UNKNOWN, a key of another domain; ERR_SIG_CLOCK. */
enum err s2s_response_parse(struct bytes content_digest, struct bytes signature_input,
			    struct bytes signature, const char *domain, const char *nonce,
			    int64_t now_ms, struct s2s_params *params_out)
{
	struct s2s_params params;
	enum err err = headers_parse(content_digest, signature_input, signature,
				     RESPONSE_COMPONENTS, RESPONSE_TAG, &params);

	if (err == ERR_OK && strcmp(params.origin, domain) != 0)
		err = ERR_SIG_KEY_UNKNOWN;
	if (err == ERR_OK && strcmp(params.nonce, nonce) != 0)
		err = ERR_SIG_REPLAY;
	if (err == ERR_OK)
		err = s2s_clock_check(&params, now_ms);
	if (err == ERR_OK)
		*params_out = params;
	return err;
}

/* Signature bases: RFC 9421 section 2.5. */

static void base_line(struct text *base, const char *component, const char *value)
{
	text_printf(base, "%s: ", component);
	text_puts(base, value);
	text_puts(base, "\n");
}

static void base_line_bytes(struct text *base, const char *component, struct bytes value)
{
	text_printf(base, "%s: ", component);
	text_add(base, value);
	text_puts(base, "\n");
}

static struct bytes base_end(struct text *base, struct bytes inner)
{
	text_puts(base, "\"@signature-params\": ");
	text_add(base, inner);
	return text_bytes(base);
}

static struct bytes request_base(struct arena *arena, const struct s2s_target *target,
				 struct bytes inner)
{
	struct text base;

	text_init(&base, arena, 512 + inner.len);
	base_line(&base, "\"@method\"", "POST");
	base_line(&base, "\"@authority\"", target->authority);
	base_line(&base, "\"@path\"", target->path);
	base_line(&base, "\"content-type\"", CONTENT_TYPE);
	base_line_bytes(&base, "\"content-digest\"", target->content_digest);
	base_line(&base, "\"restante-destination\"", target->destination);
	return base_end(&base, inner);
}

static struct bytes response_base(struct arena *arena, const struct s2s_target *target,
				  int status, struct bytes content_digest, struct bytes inner)
{
	struct text base;

	text_init(&base, arena, 1024 + inner.len);
	text_printf(&base, "\"@status\": %d\n", status);
	base_line(&base, "\"content-type\"", CONTENT_TYPE);
	base_line_bytes(&base, "\"content-digest\"", content_digest);
	base_line(&base, "\"@method\";req", "POST");
	base_line(&base, "\"@authority\";req", target->authority);
	base_line(&base, "\"@path\";req", target->path);
	base_line_bytes(&base, "\"content-digest\";req", target->content_digest);
	base_line(&base, "\"restante-destination\";req", target->destination);
	return base_end(&base, inner);
}

/* Signing */

struct bytes s2s_digest(struct arena *arena, struct bytes body)
{
	uint8_t hash[SHA256_SIZE];

	crypto_sha256(body, hash);
	return bytes_of_text(arena_printf(
		arena, DIGEST_PREFIX "%s:", base64_encode(arena, bytes_of(hash, sizeof hash))));
}

/* The value of Signature-Input behind its label. */
static struct bytes inner_write(struct arena *arena, const char *components,
				const struct sign_key *key, const char *domain,
				const char *nonce, const char *tag, int64_t now_ms)
{
	int64_t created_s = now_ms / SECONDS_MS;

	return bytes_of_text(arena_printf(
		arena,
		"%s;created=%lld;expires=%lld;nonce=\"%s\";keyid=\"%s/%s\";alg=\"ed25519\";"
		"tag=\"%s\"",
		components, (long long)created_s, (long long)(created_s + S2S_LIFE_S), nonce,
		domain, key->kid, tag));
}

static void headers_write(struct arena *arena, const struct sign_key *key, struct bytes digest,
			  struct bytes inner, struct bytes base,
			  struct s2s_headers *headers_out)
{
	uint8_t signature[ED25519_SIGNATURE_SIZE];

	sign_message(key, base, signature);
	headers_out->content_digest = (const char *)digest.data;
	headers_out->signature_input =
		arena_printf(arena, LABEL "%s", (const char *)inner.data);
	headers_out->signature = arena_printf(
		arena,
		LABEL ":%s:", base64_encode(arena, bytes_of(signature, sizeof signature)));
}

void s2s_request_sign(struct arena *arena, const struct sign_key *key, const char *origin,
		      const char *authority, const char *path, const char *destination,
		      struct bytes body, int64_t now_ms, struct s2s_headers *headers_out,
		      char nonce_out[S2S_NONCE_SIZE])
{
	uint8_t raw[NONCE_BYTES];
	struct bytes inner;
	struct s2s_target target = {.authority = authority,
				    .path = path,
				    .destination = destination,
				    .content_digest = s2s_digest(arena, body)};

	crypto_random(raw, sizeof raw);
	base64url_encode_to(bytes_of(raw, sizeof raw), nonce_out);
	inner = inner_write(arena, REQUEST_COMPONENTS, key, origin, nonce_out, REQUEST_TAG,
			    now_ms);
	headers_write(arena, key, target.content_digest, inner,
		      request_base(arena, &target, inner), headers_out);
}

void s2s_response_sign(struct arena *arena, const struct sign_key *key, const char *domain,
		       const struct s2s_target *target, const char *nonce, int status,
		       struct bytes body, int64_t now_ms, struct s2s_headers *headers_out)
{
	struct bytes digest = s2s_digest(arena, body);
	struct bytes inner = inner_write(arena, RESPONSE_COMPONENTS, key, domain, nonce,
					 RESPONSE_TAG, now_ms);

	headers_write(arena, key, digest, inner,
		      response_base(arena, target, status, digest, inner), headers_out);
}

/* Verifying */

enum err s2s_request_verify(const struct s2s_params *params, const struct s2s_target *target,
			    const uint8_t public_key[32])
{
	struct arena *arena = arena_create();
	struct bytes base = request_base(arena, target, params->inner);
	enum err err = ed25519_verify(public_key, base, params->signature);

	arena_destroy(&arena);
	return err == ERR_OK ? ERR_OK : ERR_SIG_INVALID;
}

enum err s2s_digest_check(struct bytes header, struct bytes body)
{
	uint8_t claimed[SHA256_SIZE], hash[SHA256_SIZE];

	if (!binary_parse(header, DIGEST_PREFIX, sizeof claimed, claimed))
		return ERR_SIG_DIGEST;
	crypto_sha256(body, hash);
	return memcmp(claimed, hash, sizeof hash) == 0 ? ERR_OK : ERR_SIG_DIGEST;
}

enum err s2s_response_verify(const struct s2s_params *params, const struct s2s_target *target,
			     int status, struct bytes content_digest, struct bytes body,
			     const uint8_t public_key[32])
{
	struct arena *arena = arena_create();
	struct bytes base = response_base(arena, target, status, content_digest, params->inner);
	enum err err = ed25519_verify(public_key, base, params->signature);

	arena_destroy(&arena);
	if (err != ERR_OK)
		return ERR_SIG_INVALID;
	return s2s_digest_check(content_digest, body);
}
