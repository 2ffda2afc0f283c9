/* SPDX-License-Identifier: MIT
 *
 * Access tokens: JWTs that a node makes for its own clients and nobody else reads (RFC
 * 7519, RFC 8725); and opaque random tokens, of which only a hash is stored.
 * Thread-safe; results live in the caller's arena or buffer.
 */
#ifndef RESTANTE_TOKEN_H
#define RESTANTE_TOKEN_H

#include "restante/arena.h"
#include "restante/caller.h"
#include "restante/crypto.h"
#include "restante/sign.h"

#define TOKEN_MAX	  1024
#define OPAQUE_TOKEN_SIZE 44 /* with its NUL */

/* On the wire: sub, dev, gen, iat and exp in seconds as RFC 7519 section 4.1 wants them,
 * and iatms, so that a token made just after a change of password differs from one made
 * just before it; iss is the domain. expires_at_ms is rounded up to a whole second. */

/* The claims come from this node and must be in their ranges. */
char *token_issue(const uint8_t secret[SECRET_SIZE], const char *domain,
		  const struct caller *claims, struct arena *arena);

/* ERR_TOKEN_EXPIRED: all is well but the time; ERR_UNAUTHORIZED: all else. Accepts HS256
 * only (RFC 8725 section 3.1) and clocks that were up to five minutes ahead. */
enum err token_verify(const uint8_t secret[SECRET_SIZE], const char *domain, struct bytes token,
		      int64_t now_ms, struct caller *claims_out) MUST_CHECK;

/* Refresh, link and invite tokens: base64url of 32 random bytes. */
void opaque_token_create(char token_out[OPAQUE_TOKEN_SIZE]);
/* Of the text as it came; SHA-256 is enough, for nobody can guess the token. */
void opaque_token_hash(struct bytes token, uint8_t hash_out[SHA256_SIZE]);

#endif
