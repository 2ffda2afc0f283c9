/* SPDX-License-Identifier: MIT
 *
 * Argon2id with libsodium. Lengths are capped here also when verifying, so that a login
 * cannot make the node hash megabytes.
 */
#include "restante/password.h"

#include <assert.h>
#include <sodium.h>

static_assert(crypto_pwhash_STRBYTES == PASSWORD_HASH_SIZE, "hash size");

bool password_is_allowed(struct bytes password)
{
	return password.len >= PASSWORD_MIN && password.len <= PASSWORD_MAX;
}

enum err password_hash(struct bytes password, struct password_cost cost,
		       char hash_out[PASSWORD_HASH_SIZE])
{
	char hash[PASSWORD_HASH_SIZE];

	if (!password_is_allowed(password))
		return ERR_VALIDATION;
	if (crypto_pwhash_str_alg(hash, (const char *)password.data, password.len, cost.passes,
				  cost.memory_bytes, crypto_pwhash_ALG_ARGON2ID13) != 0)
		return ERR_INTERNAL;
	memcpy(hash_out, hash, sizeof hash);
	return ERR_OK;
}

bool password_verify(const char *hash, struct bytes password)
{
	return password_is_allowed(password) &&
	       crypto_pwhash_str_verify(hash, (const char *)password.data, password.len) == 0;
}
