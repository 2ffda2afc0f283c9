/* SPDX-License-Identifier: MIT
 *
 * The public keys of devices, by key scheme: their shapes and their signatures. A node
 * only ever checks here; the secret parts stay on the devices.
 *
 *   scheme   identity key                    EC prekeys         signatures, 64 or 96 bytes
 *   signal   0x05, Curve25519 u (33 bytes)   as identity        XEdDSA
 *   ed25519  Ed25519 point (32 bytes)        X25519 u (32)      Ed25519 (RFC 8032)
 *   p256     SubjectPublicKeyInfo, DER       as identity        ECDSA, r and s, SHA-256
 *   p384     SubjectPublicKeyInfo, DER       as identity        ECDSA, r and s, SHA-384
 *
 * SubjectPublicKeyInfo is that of RFC 5480 section 2: id-ecPublicKey, the named curve,
 * an uncompressed or compressed point. r and s are big-endian and of full width, as in
 * IEEE P1363 and Web Crypto. PQ prekeys: for signal Kyber-1024 behind the type byte
 * 0x08 (1569 bytes), else 1 to 4096 bytes that only clients understand.
 *
 * Every key has one encoding only. Thread-safe; nothing is kept or allocated for the
 * caller. ERR_VALIDATION: the shape is wrong; ERR_BAD_SIGNATURE: it does not verify.
 */
#ifndef RESTANTE_VERIFY_H
#define RESTANTE_VERIFY_H

#include "restante/bytes.h"
#include "restante/err.h"

#define SCHEME_KEY_MAX	     120 /* identity keys and EC prekeys */
#define SCHEME_PQ_MAX	     4096
#define SCHEME_SIGNATURE_MAX 96

/* The numbers are stored: never change them. Zero is no scheme. */
enum key_scheme { SCHEME_SIGNAL = 1, SCHEME_ED25519, SCHEME_P256, SCHEME_P384 };

const char *scheme_name(enum key_scheme scheme); /* static; NULL: no such scheme */
enum err scheme_parse(struct bytes name, enum key_scheme *scheme_out) MUST_CHECK;

/* An identity key that signatures can verify under. */
enum err scheme_check_identity(enum key_scheme scheme, struct bytes key) MUST_CHECK;
/* The shape of a prekey, and that the point is on the curve (p256, p384) or not of small order
 * (signal, ed25519). */
enum err scheme_check_prekey(enum key_scheme scheme, struct bytes key) MUST_CHECK;
enum err scheme_check_pq(enum key_scheme scheme, struct bytes key) MUST_CHECK;

/* The signature of a device over exactly these bytes. */
enum err scheme_verify(enum key_scheme scheme, struct bytes identity, struct bytes message,
		       struct bytes signature) MUST_CHECK;

#endif
