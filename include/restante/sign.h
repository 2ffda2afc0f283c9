/* SPDX-License-Identifier: MIT
 *
 * Ed25519 keys of a server (RFC 8032): making, keeping and using them, and files with
 * the other secrets of a node.
 *
 * Files are private: created with mode 0600 under a name that was free, complete and on
 * the disk before they get that name, and refused when group or others have any
 * permission. Failures are logged here, except ERR_NOT_FOUND:
 *   ERR_NOT_FOUND   there is no such file
 *   ERR_FORBIDDEN   not a regular file, or others may access it
 *   ERR_VALIDATION  it does not hold what it should
 *   ERR_INTERNAL    the system said no
 *
 * Everything may be called from any thread; a key is never changed after it was made.
 * Whoever holds a struct sign_key wipes it with crypto_wipe() in the end.
 */
#ifndef RESTANTE_SIGN_H
#define RESTANTE_SIGN_H

#include "restante/bytes.h"
#include "restante/err.h"

#define KID_MAX		       32
#define ED25519_SEED_SIZE      32
#define ED25519_PUBLIC_SIZE    32
#define ED25519_SECRET_SIZE    64
#define ED25519_SIGNATURE_SIZE 64
#define SECRET_SIZE	       32

struct sign_key {
	char kid[KID_MAX + 1];
	uint8_t public_key[ED25519_PUBLIC_SIZE];
	uint8_t secret_key[ED25519_SECRET_SIZE]; /* seed, then public key */
};

bool kid_is_valid(struct bytes kid); /* [a-z0-9_-]{1,32} */

/* ERR_VALIDATION: not a kid. */
enum err sign_key_create(struct bytes kid, struct sign_key *key_out) MUST_CHECK;
enum err sign_key_from_seed(struct bytes kid, const uint8_t seed[ED25519_SEED_SIZE],
			    struct sign_key *key_out) MUST_CHECK;

/* Two lines: `restante-key-1 KID`, then base64 of seed and public key (64 bytes). The
 * public key says whether the seed is still the one that was published. */
enum err sign_key_save(const struct sign_key *key, const char *path) MUST_CHECK;
enum err sign_key_load(const char *path, struct sign_key *key_out) MUST_CHECK;

void sign_message(const struct sign_key *key, struct bytes message,
		  uint8_t signature_out[ED25519_SIGNATURE_SIZE]);

/* ERR_OK or ERR_BAD_SIGNATURE. Keys and points of small order and all encodings that
 * are not canonical are refused: stricter than RFC 8032 section 5.1.7 asks for. */
enum err ed25519_verify(const uint8_t public_key[ED25519_PUBLIC_SIZE], struct bytes message,
			const uint8_t signature[ED25519_SIGNATURE_SIZE]) MUST_CHECK;
/* A key that ed25519_verify() can accept: a canonical point of the prime-order group. */
bool ed25519_key_is_valid(const uint8_t public_key[ED25519_PUBLIC_SIZE]);

/* A random secret that outlives restarts, one line of base64 in a private file. Two
 * processes that create it at the same time get the same one. */
enum err secret_file_load(const char *path, uint8_t secret_out[SECRET_SIZE]) MUST_CHECK;
enum err secret_file_load_or_create(const char *path,
				    uint8_t secret_out[SECRET_SIZE]) MUST_CHECK;

#endif
