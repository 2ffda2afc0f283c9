/* SPDX-License-Identifier: MIT
 *
 * Message signatures between nodes: the profile of RFC 9421 and RFC 9530 that
 * docs/protocol.md section 4.4 fixes. Pure functions, any thread.
 */
#ifndef RESTANTE_SIGNATURE_H
#define RESTANTE_SIGNATURE_H

#include "restante/address.h"
#include "restante/arena.h"
#include "restante/sign.h"

#define S2S_NONCE_SIZE	 23 /* 16 bytes base64url, with the NUL */
#define S2S_LIFE_S	 60
#define S2S_SKEW_S	 300
#define S2S_NONCE_KEPT_S 660

/* The parts of a request that its signature covers, as both sides know them. */
struct s2s_target {
	const char *authority; /* of the receiver's document, never from Host */
	const char *path;
	const char *destination;     /* domain of the receiver */
	struct bytes content_digest; /* header value */
};

/* What a Signature-Input says, once it has been found to be in form. */
struct s2s_params {
	char origin[DOMAIN_SIZE]; /* of keyid */
	char kid[33];
	int64_t created_s;
	int64_t expires_s;
	char nonce[S2S_NONCE_SIZE];
	uint8_t digest[32]; /* of the body, as the header says */
	uint8_t signature[64];
	struct bytes inner; /* `("@method" …);created=…`: the value behind `restante=`;
			     * points into the header */
};

/* Header values, in the arena. */
struct s2s_headers {
	const char *content_digest;
	const char *signature_input;
	const char *signature;
};

struct bytes s2s_digest(struct arena *arena, struct bytes body); /* `sha-256=:…:` */

void s2s_request_sign(struct arena *arena, const struct sign_key *key, const char *origin,
		      const char *authority, const char *path, const char *destination,
		      struct bytes body, int64_t now_ms, struct s2s_headers *headers_out,
		      char nonce_out[S2S_NONCE_SIZE]);
/* ERR_SIG_MISSING (any of the three empty) or ERR_SIG_FORMAT. */
enum err s2s_request_parse(struct bytes content_digest, struct bytes signature_input,
			   struct bytes signature, struct s2s_params *params_out) MUST_CHECK;
/* ERR_SIG_CLOCK. */
enum err s2s_clock_check(const struct s2s_params *params, int64_t now_ms) MUST_CHECK;
/* ERR_SIG_INVALID. */
enum err s2s_request_verify(const struct s2s_params *params, const struct s2s_target *target,
			    const uint8_t public_key[32]) MUST_CHECK;
/* ERR_SIG_DIGEST. */
enum err s2s_digest_check(struct bytes header, struct bytes body) MUST_CHECK;

/* A response to the request that `target` and `nonce` describe. */
void s2s_response_sign(struct arena *arena, const struct sign_key *key, const char *domain,
		       const struct s2s_target *target, const char *nonce, int status,
		       struct bytes body, int64_t now_ms, struct s2s_headers *headers_out);
/* Form, nonce, tag, key id's domain and times; finds the key id for the verifier. */
enum err s2s_response_parse(struct bytes content_digest, struct bytes signature_input,
			    struct bytes signature, const char *domain, const char *nonce,
			    int64_t now_ms, struct s2s_params *params_out) MUST_CHECK;
enum err s2s_response_verify(const struct s2s_params *params, const struct s2s_target *target,
			     int status, struct bytes content_digest, struct bytes body,
			     const uint8_t public_key[32]) MUST_CHECK;

/* Nonces seen in the last S2S_NONCE_KEPT_S: two rotating generations, bounded per origin, for
 * new origins together, and in all. Any thread. */
struct nonces;
struct nonces *nonces_create(size_t max, size_t max_per_origin);
void nonces_destroy(struct nonces **nonces);
/* ERR_SIG_REPLAY when seen before; ERR_RATE_LIMITED when there is no room for this origin. */
enum err nonces_add(struct nonces *nonces, const char *origin, bool is_new, const char *nonce,
		    int64_t now_ms) MUST_CHECK;

#endif
