/* SPDX-License-Identifier: MIT
 *
 * Random, hashes and comparing. SHA-256 is OpenSSL's, which uses the instructions of the
 * CPU (five times as fast as libsodium's on long input); the rest is libsodium.
 */
#include "restante/crypto.h"

#include "restante/log.h"

#include <openssl/evp.h>
#include <sodium.h>

/* Set once by crypto_init(); looking it up anew would double the cost of a short hash. */
static EVP_MD *sha256;

void crypto_init(void)
{
	if (sha256 != NULL)
		return;
	if (sodium_init() < 0)
		fatal("libsodium does not start");
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (sha256 == NULL)
		fatal("OpenSSL has no SHA-256");
}

void crypto_random(void *buffer, size_t len)
{
	randombytes_buf(buffer, len);
}

uint32_t crypto_random_u32_below(uint32_t n)
{
	return randombytes_uniform(n);
}

void crypto_sha256(struct bytes bytes, uint8_t hash_out[SHA256_SIZE])
{
	if (EVP_Digest(bytes.data, bytes.len, hash_out, NULL, sha256, NULL) != 1)
		fatal("SHA-256 fails: crypto_init() missing, or out of memory");
}

void crypto_mac(const uint8_t key[MAC_KEY_SIZE], struct bytes bytes,
		uint8_t mac_out[SHA256_SIZE])
{
	crypto_auth_hmacsha256(mac_out, bytes.data, bytes.len, key);
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

void crypto_wipe(void *buffer, size_t len)
{
	sodium_memzero(buffer, len);
}
