/* SPDX-License-Identifier: MIT
 *
 * Keys and signatures of devices: libsodium for the Curve25519 family, OpenSSL for the
 * NIST curves. All input is public, so nothing here needs constant time.
 */
#include "restante/verify.h"

#include "restante/log.h"
#include "restante/sign.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define SIGNAL_EC_TYPE	  0x05
#define SIGNAL_EC_SIZE	  33
#define SIGNAL_KYBER_TYPE 0x08
#define SIGNAL_KYBER_SIZE 1569
#define X25519_SIZE	  32

static const char *const names[] = {
	[SCHEME_SIGNAL] = "signal",
	[SCHEME_ED25519] = "ed25519",
	[SCHEME_P256] = "p256",
	[SCHEME_P384] = "p384",
};
#define N_NAMES (sizeof names / sizeof names[0])

const char *scheme_name(enum key_scheme scheme)
{
	return (size_t)scheme < N_NAMES ? names[scheme] : NULL;
}

enum err scheme_parse(struct bytes name, enum key_scheme *scheme_out)
{
	for (size_t i = SCHEME_SIGNAL; i < N_NAMES; i++) {
		if (bytes_equal(name, bytes_of_text(names[i]))) {
			*scheme_out = (enum key_scheme)i;
			return ERR_OK;
		}
	}
	return ERR_VALIDATION;
}

/* Curve25519 */

/* A little-endian number with bit 255 clear and below p = 2^255 - 19 (RFC 7748 section 5
 * would also take others, which then stand for the same number). */
static bool field_is_canonical(const uint8_t u[X25519_SIZE])
{
	if (u[31] != 0x7f)
		return u[31] < 0x7f;
	for (int i = 30; i > 0; i--)
		if (u[i] != 0xff)
			return true;
	return u[0] < 0xed;
}

/* The u of all points of small order, on the curve and on its twist. With these every shared
 * secret is zero (RFC 7748 section 6.1). */
static const uint8_t small_orders[][X25519_SIZE] = {
	{0x00},
	{0x01},
	{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
	 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
	 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8},
	{0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
	 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
	 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
	{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
};

static bool field_is_of_small_order(const uint8_t u[X25519_SIZE])
{
	for (size_t i = 0; i < sizeof small_orders / sizeof small_orders[0]; i++)
		if (memcmp(u, small_orders[i], X25519_SIZE) == 0)
			return true;
	return false;
}

static bool field_is_minus_one(const uint8_t u[X25519_SIZE])
{
	for (int i = 1; i < 31; i++)
		if (u[i] != 0xff)
			return false;
	return u[0] == 0xec && u[31] == 0x7f;
}

/* y = (u - 1) / (u + 1) mod p (RFC 7748 section 4.1), with sign bit 0. u is canonical
 * and not -1, so that only memory can be lacking. */
static void montgomery_to_edwards(const uint8_t u_bytes[X25519_SIZE],
				  uint8_t y_out[ED25519_PUBLIC_SIZE])
{
	BIGNUM *u = BN_lebin2bn(u_bytes, X25519_SIZE, NULL);
	BIGNUM *p = BN_new(), *up = BN_new(), *down = BN_new();
	BN_CTX *ctx = BN_CTX_new();

	if (u == NULL || p == NULL || up == NULL || down == NULL || ctx == NULL ||
	    !BN_set_bit(p, 255) || !BN_sub_word(p, 19) ||
	    !BN_mod_sub(up, u, BN_value_one(), p, ctx) || !BN_add(down, u, BN_value_one()) ||
	    BN_mod_inverse(down, down, p, ctx) == NULL || !BN_mod_mul(up, up, down, p, ctx) ||
	    BN_bn2lebinpad(up, y_out, ED25519_PUBLIC_SIZE) != ED25519_PUBLIC_SIZE)
		fatal("out of memory");
	BN_CTX_free(ctx);
	BN_free(down);
	BN_free(up);
	BN_free(p);
	BN_free(u);
}

static bool signal_key_has_shape(struct bytes key)
{
	return key.len == SIGNAL_EC_SIZE && key.data[0] == SIGNAL_EC_TYPE &&
	       field_is_canonical(key.data + 1);
}

/* A key without an Edwards form, or of small order, verifies nothing. One that is on the
 * twist or outside of the prime-order group was not made by multiplying the base point. */
static bool signal_identity_is_valid(struct bytes key)
{
	uint8_t edwards[ED25519_PUBLIC_SIZE];

	if (!signal_key_has_shape(key) || field_is_minus_one(key.data + 1))
		return false;
	montgomery_to_edwards(key.data + 1, edwards);
	return ed25519_key_is_valid(edwards);
}

/* XEdDSA (section 2.5) as libsignal has it: bit 7 of the last byte of the signature is
 * the sign of the Edwards key. */
static enum err signal_verify(struct bytes identity, struct bytes message,
			      struct bytes signature)
{
	uint8_t edwards[ED25519_PUBLIC_SIZE], plain[ED25519_SIGNATURE_SIZE];

	if (!signal_key_has_shape(identity) || field_is_minus_one(identity.data + 1) ||
	    signature.len != sizeof plain)
		return ERR_VALIDATION;
	montgomery_to_edwards(identity.data + 1, edwards);
	memcpy(plain, signature.data, sizeof plain);
	edwards[31] |= plain[63] & 0x80;
	plain[63] &= 0x7f;
	return ed25519_verify(edwards, message, plain);
}

/* NIST curves */

struct curve {
	const char *group;
	const char *digest;
	size_t size; /* of a coordinate, and of r and of s */
	struct bytes algorithm;
};

/* AlgorithmIdentifier: id-ecPublicKey and the name of the curve (RFC 5480 section 2.1.1). */
static const uint8_t p256_algorithm[] = {0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
					 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
					 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t p384_algorithm[] = {0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
					 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
static const struct curve p256 = {
	"P-256", "SHA256", 32, {p256_algorithm, sizeof p256_algorithm}};
static const struct curve p384 = {
	"P-384", "SHA384", 48, {p384_algorithm, sizeof p384_algorithm}};

/* SubjectPublicKeyInfo of these curves is a few fixed bytes before the point: comparing
 * them is stricter than parsing, and leaves the ASN.1 parser out of reach. */
static bool spki_point(const struct curve *curve, struct bytes spki, struct bytes *point_out)
{
	const uint8_t *data = spki.data, *bits;
	size_t head = 2 + curve->algorithm.len + 3;
	size_t len;
	bool compressed;

	if (spki.len <= head)
		return false;
	len = spki.len - head;
	bits = data + 2 + curve->algorithm.len;
	if (data[0] != 0x30 || data[1] != spki.len - 2 ||
	    memcmp(data + 2, curve->algorithm.data, curve->algorithm.len) != 0 ||
	    bits[0] != 0x03 || bits[1] != len + 1 || bits[2] != 0)
		return false;
	compressed = bits[3] == 0x02 || bits[3] == 0x03;
	if (len != 1 + (compressed ? 1 : 2) * curve->size || (!compressed && bits[3] != 0x04))
		return false;
	*point_out = bytes_of(bits + 3, len);
	return true;
}

/* NULL: not a key of this curve. */
static EVP_PKEY *spki_key(const struct curve *curve, struct bytes spki)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *key = NULL;
	struct bytes point;

	if (ctx == NULL)
		fatal("OpenSSL has no elliptic curves");
	if (spki_point(curve, spki, &point)) {
		OSSL_PARAM params[] = {
			OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)curve->group,
					       0),
			OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point.data,
						point.len),
			OSSL_PARAM_END,
		};

		if (EVP_PKEY_fromdata_init(ctx) != 1 ||
		    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
			key = NULL;
	}
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static bool spki_is_valid(const struct curve *curve, struct bytes spki)
{
	EVP_PKEY *key = spki_key(curve, spki);
	bool ok = key != NULL;

	EVP_PKEY_free(key);
	/* What is left there would look like an error of the next TLS call. */
	ERR_clear_error();
	return ok;
}

/* r and s side by side to the DER that OpenSSL wants; NULL: out of memory. */
static uint8_t *ecdsa_der(struct bytes raw, int *len_out)
{
	int half = (int)raw.len / 2;
	BIGNUM *r = BN_bin2bn(raw.data, half, NULL);
	BIGNUM *s = BN_bin2bn(raw.data + half, half, NULL);
	ECDSA_SIG *signature = ECDSA_SIG_new();
	uint8_t *der = NULL;

	if (r == NULL || s == NULL || signature == NULL || !ECDSA_SIG_set0(signature, r, s))
		fatal("out of memory");
	*len_out = i2d_ECDSA_SIG(signature, &der);
	ECDSA_SIG_free(signature); /* with r and s */
	return *len_out > 0 ? der : NULL;
}

static bool ecdsa_is_valid(const struct curve *curve, EVP_PKEY *key, struct bytes message,
			   struct bytes signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int len = 0;
	uint8_t *der = ecdsa_der(signature, &len);
	bool ok;

	if (ctx == NULL || der == NULL)
		fatal("out of memory");
	ok = EVP_DigestVerifyInit_ex(ctx, NULL, curve->digest, NULL, NULL, key, NULL) == 1 &&
	     EVP_DigestVerify(ctx, der, (size_t)len, message.data, message.len) == 1;
	OPENSSL_free(der);
	EVP_MD_CTX_free(ctx);
	return ok;
}

static enum err ecdsa_verify(const struct curve *curve, struct bytes identity,
			     struct bytes message, struct bytes signature)
{
	EVP_PKEY *key;
	enum err err;

	if (signature.len != 2 * curve->size)
		return ERR_VALIDATION;
	key = spki_key(curve, identity);
	if (key == NULL)
		err = ERR_VALIDATION;
	else
		err = ecdsa_is_valid(curve, key, message, signature) ? ERR_OK
								     : ERR_BAD_SIGNATURE;
	EVP_PKEY_free(key);
	ERR_clear_error();
	return err;
}

/* All schemes */

enum err scheme_check_identity(enum key_scheme scheme, struct bytes key)
{
	bool ok = false;

	switch (scheme) {
	case SCHEME_SIGNAL:
		ok = signal_identity_is_valid(key);
		break;
	case SCHEME_ED25519:
		ok = key.len == ED25519_PUBLIC_SIZE && ed25519_key_is_valid(key.data);
		break;
	case SCHEME_P256:
		ok = spki_is_valid(&p256, key);
		break;
	case SCHEME_P384:
		ok = spki_is_valid(&p384, key);
		break;
	}
	return ok ? ERR_OK : ERR_VALIDATION;
}

enum err scheme_check_prekey(enum key_scheme scheme, struct bytes key)
{
	bool ok = false;

	switch (scheme) {
	case SCHEME_SIGNAL:
		ok = signal_key_has_shape(key) && !field_is_of_small_order(key.data + 1);
		break;
	case SCHEME_ED25519:
		ok = key.len == X25519_SIZE && field_is_canonical(key.data) &&
		     !field_is_of_small_order(key.data);
		break;
	case SCHEME_P256:
	case SCHEME_P384:
		return scheme_check_identity(scheme, key);
	}
	return ok ? ERR_OK : ERR_VALIDATION;
}

enum err scheme_check_pq(enum key_scheme scheme, struct bytes key)
{
	bool ok;

	if (scheme == SCHEME_SIGNAL)
		ok = key.len == SIGNAL_KYBER_SIZE && key.data[0] == SIGNAL_KYBER_TYPE;
	else
		ok = scheme_name(scheme) != NULL && key.len >= 1 && key.len <= SCHEME_PQ_MAX;
	return ok ? ERR_OK : ERR_VALIDATION;
}

enum err scheme_verify(enum key_scheme scheme, struct bytes identity, struct bytes message,
		       struct bytes signature)
{
	switch (scheme) {
	case SCHEME_SIGNAL:
		return signal_verify(identity, message, signature);
	case SCHEME_ED25519:
		if (identity.len != ED25519_PUBLIC_SIZE ||
		    signature.len != ED25519_SIGNATURE_SIZE)
			return ERR_VALIDATION;
		return ed25519_verify(identity.data, message, signature.data);
	case SCHEME_P256:
		return ecdsa_verify(&p256, identity, message, signature);
	case SCHEME_P384:
		return ecdsa_verify(&p384, identity, message, signature);
	}
	return ERR_VALIDATION;
}
