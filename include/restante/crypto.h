/* SPDX-License-Identifier: MIT
 *
 * Small cryptographic tools and the text forms of bytes: random, hashes, base64, hex,
 * UUIDs. crypto_init() comes first, once, before there are threads; after that
 * everything here may be called from any thread. Nothing keeps what it is given.
 *
 * Decoders are strict: each value has exactly one text, and every other text is
 * ERR_VALIDATION, so that a text can be compared, stored or passed on instead of the
 * bytes that it stands for.
 */
#ifndef RESTANTE_CRYPTO_H
#define RESTANTE_CRYPTO_H

#include "restante/arena.h"

#define SHA256_SIZE    32
#define MAC_KEY_SIZE   32
#define UUID_SIZE      16
#define UUID_TEXT_SIZE 37 /* with its NUL */

void crypto_init(void);

/* Of a thread that has made MACs and ends before the process does. */
void crypto_thread_end(void);

void crypto_random(void *buffer, size_t len);
uint32_t crypto_random_u32_below(uint32_t n); /* uniform; 0 for n < 2 */

void crypto_sha256(struct bytes bytes, uint8_t hash_out[SHA256_SIZE]);
/* HMAC-SHA-256 (RFC 2104, FIPS 180-4). */
void crypto_mac(const uint8_t key[MAC_KEY_SIZE], struct bytes bytes,
		uint8_t mac_out[SHA256_SIZE]);

bool crypto_equal(const void *a, const void *b, size_t len); /* in constant time */
void crypto_wipe(void *buffer, size_t len);		     /* never optimized away */

/* Base64 with the standard alphabet and padding (RFC 4648 section 4). Refused: other
 * characters, line ends, missing or surplus padding, unused bits that are not zero
 * (section 3.5). The empty text stands for no bytes. */
static inline size_t base64_len(size_t n)
{
	return (n + 2) / 3 * 4; /* without the NUL */
}
/* text_out holds base64_len() + 1, for the NUL. */
void base64_encode_to(struct bytes bytes, char *text_out);
char *base64_encode(struct arena *arena, struct bytes bytes);
enum err base64_decode(struct arena *arena, struct bytes text,
		       struct bytes *bytes_out) MUST_CHECK;
/* Into the caller's buffer; also refuses a text of any other than len bytes. */
enum err base64_decode_exact(struct bytes text, size_t len, uint8_t *bytes_out) MUST_CHECK;
/* Whether base64_decode() would accept the text, and how many bytes it stands for. For
 * content that passes through as text: about 3 GB/s. */
bool base64_is_valid(struct bytes text, size_t *decoded_len_out) MUST_CHECK;

/* The same with the alphabet for URLs and without padding (RFC 4648 section 5). */
static inline size_t base64url_len(size_t n)
{
	return (n * 4 + 2) / 3;
}
void base64url_encode_to(struct bytes bytes, char *text_out);
char *base64url_encode(struct arena *arena, struct bytes bytes);
enum err base64url_decode(struct arena *arena, struct bytes text,
			  struct bytes *bytes_out) MUST_CHECK;
enum err base64url_decode_exact(struct bytes text, size_t len, uint8_t *bytes_out) MUST_CHECK;

/* Hexadecimal, lower-case only. text_out holds 2 * length + 1, for the NUL. */
void hex_encode(struct bytes bytes, char *text_out);
enum err hex_decode(struct bytes text, size_t len, uint8_t *bytes_out) MUST_CHECK;

/* UUIDs of version 7 and the variant of RFC 9562 (sections 4, 5.7), lower-case with
 * hyphens. Two made in the same millisecond have no order among themselves. */
void uuid7_create(int64_t now_ms, uint8_t uuid_out[UUID_SIZE]);
enum err uuid7_parse(struct bytes text, uint8_t uuid_out[UUID_SIZE]) MUST_CHECK;
void uuid7_format(const uint8_t uuid[UUID_SIZE], char text_out[UUID_TEXT_SIZE]);
int64_t uuid7_time_ms(const uint8_t uuid[UUID_SIZE]); /* what its maker's clock said */

#endif
