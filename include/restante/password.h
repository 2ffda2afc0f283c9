/* SPDX-License-Identifier: MIT
 *
 * Passwords, as Argon2id hashes in the usual text form `$argon2id$v=19$m=...` (RFC 9106).
 * Hashing and verifying take long and much memory on purpose: they belong on a worker
 * pool, never on a loop. Thread-safe; results live in the caller's buffer.
 */
#ifndef RESTANTE_PASSWORD_H
#define RESTANTE_PASSWORD_H

#include "restante/bytes.h"
#include "restante/err.h"

#define PASSWORD_MIN	   8 /* bytes */
#define PASSWORD_MAX	   1024
#define PASSWORD_HASH_SIZE 128 /* with its NUL */

struct password_cost {
	uint64_t passes;     /* at least 1 */
	size_t memory_bytes; /* at least 8192 */
};

bool password_is_allowed(struct bytes password); /* its length only */

/* ERR_VALIDATION: not allowed as a password. ERR_INTERNAL: not enough memory, or a cost
 * that Argon2id refuses. */
enum err password_hash(struct bytes password, struct password_cost cost,
		       char hash_out[PASSWORD_HASH_SIZE]) MUST_CHECK;

/* Compares in constant time. An account that does not exist must cost as much as one
 * that does: verify against some hash in that case too. */
bool password_verify(const char *hash, struct bytes password) MUST_CHECK;

#endif
