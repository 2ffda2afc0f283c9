/* SPDX-License-Identifier: MIT
 *
 * Access tokens with libjwt. It checks the signature and nothing else, by whatever
 * algorithm the token asks for; so the algorithm and all claims are checked here.
 */
#include "restante/token.h"

#include "restante/clock.h"
#include "restante/log.h"

#include <assert.h>
#include <errno.h>
#include <jwt.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdlib.h>

static_assert(LONG_MAX >= INT64_MAX, "libjwt keeps numbers in a long");
static_assert(OPAQUE_TOKEN_SIZE == (32 * 4 + 2) / 3 + 1, "32 bytes of base64url");

#define CLOCK_SKEW_MS (5 * MINUTES_MS)
/* Far beyond any clock, and far from an overflow. */
#define TIME_MAX_MS   (INT64_MAX / 4)
#define TIME_MAX_S    (TIME_MAX_MS / SECONDS_MS)

static bool claims_are_in_range(const struct caller *c)
{
	return c->user[0] != '\0' && memchr(c->user, '\0', sizeof c->user) != NULL &&
	       c->device_id >= 1 && c->device_id <= 127 && c->generation >= 0 &&
	       c->issued_at_ms >= 0 && c->issued_at_ms < c->expires_at_ms &&
	       c->expires_at_ms <= TIME_MAX_MS;
}

static int add_claims(jwt_t *jwt, const char *domain, const struct caller *c)
{
	int64_t exp = (c->expires_at_ms + SECONDS_MS - 1) / SECONDS_MS;

	return jwt_add_grant(jwt, "iss", domain) | jwt_add_grant(jwt, "sub", c->user) |
	       jwt_add_grant_int(jwt, "dev", c->device_id) |
	       jwt_add_grant_int(jwt, "gen", c->generation) |
	       jwt_add_grant_int(jwt, "iat", c->issued_at_ms / SECONDS_MS) |
	       jwt_add_grant_int(jwt, "iatms", c->issued_at_ms) |
	       jwt_add_grant_int(jwt, "exp", exp);
}

char *token_issue(const uint8_t secret[SECRET_SIZE], const char *domain,
		  const struct caller *claims, struct arena *arena)
{
	jwt_t *jwt = NULL;
	char *encoded, *token;

	assert(claims_are_in_range(claims));
	if (jwt_new(&jwt) != 0 || add_claims(jwt, domain, claims) != 0 ||
	    jwt_set_alg(jwt, JWT_ALG_HS256, secret, SECRET_SIZE) != 0)
		fatal("libjwt does not take the claims");
	encoded = jwt_encode_str(jwt);
	if (encoded == NULL)
		fatal("libjwt does not encode");
	jwt_free(jwt); /* wipes its copy of the secret */
	token = arena_text(arena, bytes_of_text(encoded));
	free(encoded);
	assert(strlen(token) <= TOKEN_MAX);
	return token;
}

/* A whole number, by way of its JSON text: the getter of libjwt cannot tell a string
 * from a zero. */
static bool claim_int(jwt_t *jwt, const char *name, int64_t max, int64_t *value_out)
{
	char *json = jwt_get_grants_json(jwt, name);
	char *end;
	long value;
	bool ok;

	if (json == NULL)
		return false;
	value = strtol(json, &end, 10);
	ok = end != json && *end == '\0' && value >= 0 && value <= max;
	free(json);
	if (ok)
		*value_out = value;
	return ok;
}

static bool claim_user(jwt_t *jwt, char user_out[CALLER_USER_SIZE])
{
	const char *user = jwt_get_grant(jwt, "sub");

	if (user == NULL || user[0] == '\0' || strlen(user) >= CALLER_USER_SIZE)
		return false;
	strcpy(user_out, user);
	return true;
}

static bool header_is_ours(jwt_t *jwt)
{
	const char *typ = jwt_get_header(jwt, "typ");
	char *critical = jwt_get_headers_json(jwt, "crit");
	bool ok = jwt_get_alg(jwt) == JWT_ALG_HS256 && typ != NULL && strcmp(typ, "JWT") == 0 &&
		  critical == NULL;

	free(critical);
	return ok;
}

static bool claims_read(jwt_t *jwt, const char *domain, struct caller *c)
{
	const char *issuer = jwt_get_grant(jwt, "iss");
	int64_t device_id, iat, exp;

	*c = (struct caller){0};
	if (issuer == NULL || strcmp(issuer, domain) != 0 || !claim_user(jwt, c->user))
		return false;
	if (!claim_int(jwt, "dev", 127, &device_id) ||
	    !claim_int(jwt, "gen", INT64_MAX, &c->generation) ||
	    !claim_int(jwt, "iat", TIME_MAX_S, &iat) ||
	    !claim_int(jwt, "iatms", TIME_MAX_MS, &c->issued_at_ms) ||
	    !claim_int(jwt, "exp", TIME_MAX_S, &exp))
		return false;
	c->device_id = (uint8_t)device_id;
	c->expires_at_ms = exp * SECONDS_MS;
	return iat == c->issued_at_ms / SECONDS_MS && claims_are_in_range(c);
}

/* libjwt wants a C string, so a NUL inside would hide what follows. */
static bool token_is_text(struct bytes token)
{
	return token.len > 0 && token.len <= TOKEN_MAX &&
	       memchr(token.data, '\0', token.len) == NULL;
}

enum err token_verify(const uint8_t secret[SECRET_SIZE], const char *domain, struct bytes token,
		      int64_t now_ms, struct caller *claims_out)
{
	char text[TOKEN_MAX + 1];
	struct caller claims;
	jwt_t *jwt = NULL;
	bool ok;

	if (!token_is_text(token))
		return ERR_UNAUTHORIZED;
	memcpy(text, token.data, token.len);
	text[token.len] = '\0';
	if (jwt_decode(&jwt, text, secret, SECRET_SIZE) != 0) {
		/* What is left there would look like an error of the next TLS call. */
		ERR_clear_error();
		return ERR_UNAUTHORIZED;
	}
	ok = header_is_ours(jwt) && claims_read(jwt, domain, &claims);
	jwt_free(jwt);
	if (!ok || claims.issued_at_ms > now_ms + CLOCK_SKEW_MS)
		return ERR_UNAUTHORIZED;
	if (claims.expires_at_ms <= now_ms)
		return ERR_TOKEN_EXPIRED;
	*claims_out = claims;
	return ERR_OK;
}

void opaque_token_create(char token_out[OPAQUE_TOKEN_SIZE])
{
	uint8_t random[32];

	crypto_random(random, sizeof random);
	base64url_encode_to(bytes_of(random, sizeof random), token_out);
	crypto_wipe(random, sizeof random);
}

void opaque_token_hash(struct bytes token, uint8_t hash_out[SHA256_SIZE])
{
	crypto_sha256(token, hash_out);
}
