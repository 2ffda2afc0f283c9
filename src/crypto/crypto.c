/* SPDX-License-Identifier: MIT
 *
 * Random, hashes and comparing. SHA-256 and HMAC are OpenSSL's, which use the instructions
 * of the CPU (five times as fast as libsodium's on long input); the rest is libsodium.
 */
#include "restante/crypto.h"

#include "restante/log.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <sodium.h>

/* Set once by crypto_init(); looking it up anew would double the cost of a short hash. */
static EVP_MD *sha256;
static EVP_MAC *hmac;

void crypto_init(void)
{
	if (sha256 != NULL)
		return;
	if (sodium_init() < 0)
		fatal("libsodium does not start");
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (sha256 == NULL)
		fatal("OpenSSL has no SHA-256");
	hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (hmac == NULL)
		fatal("OpenSSL has no HMAC");
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

/* Of each thread that makes MACs, for as long as it lives: making one anew costs more than
 * the MAC. */
static _Thread_local EVP_MAC_CTX *context;

static EVP_MAC_CTX *mac_context(void)
{
	const OSSL_PARAM digest[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
		OSSL_PARAM_construct_end()};

	if (context != NULL)
		return context;
	context = EVP_MAC_CTX_new(hmac);
	if (context == NULL || EVP_MAC_CTX_set_params(context, digest) != 1)
		fatal("HMAC fails: crypto_init() missing, or out of memory");
	return context;
}

void crypto_mac(const uint8_t key[MAC_KEY_SIZE], struct bytes bytes,
		uint8_t mac_out[SHA256_SIZE])
{
	EVP_MAC_CTX *mac = mac_context();
	size_t len;

	if (EVP_MAC_init(mac, key, MAC_KEY_SIZE, NULL) != 1 ||
	    EVP_MAC_update(mac, bytes.data, bytes.len) != 1 ||
	    EVP_MAC_final(mac, mac_out, &len, SHA256_SIZE) != 1)
		fatal("HMAC fails");
}

void crypto_thread_end(void)
{
	EVP_MAC_CTX_free(context);
	context = NULL;
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

void crypto_wipe(void *buffer, size_t len)
{
	sodium_memzero(buffer, len);
}
