/* SPDX-License-Identifier: MIT
 *
 * Base64, base64url and hex (RFC 4648), strictly. Decoding checks the whole text first,
 * so that a refused text leaves nothing behind. Table lookups are not in constant time;
 * of secrets, only files at start and tokens that are hashed pass through here.
 */
#include "restante/crypto.h"

static const char standard[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* What each character stands for, with a flag for each alphabet that has it. */
#define STANDARD 0x40
#define URL	 0x80
#define BOTH	 (STANDARD | URL)
#define VALUE	 0x3f
/* clang-format off */
static const uint8_t meaning[256] = {
	['A'] = BOTH | 0,  ['B'] = BOTH | 1,  ['C'] = BOTH | 2,  ['D'] = BOTH | 3,
	['E'] = BOTH | 4,  ['F'] = BOTH | 5,  ['G'] = BOTH | 6,  ['H'] = BOTH | 7,
	['I'] = BOTH | 8,  ['J'] = BOTH | 9,  ['K'] = BOTH | 10, ['L'] = BOTH | 11,
	['M'] = BOTH | 12, ['N'] = BOTH | 13, ['O'] = BOTH | 14, ['P'] = BOTH | 15,
	['Q'] = BOTH | 16, ['R'] = BOTH | 17, ['S'] = BOTH | 18, ['T'] = BOTH | 19,
	['U'] = BOTH | 20, ['V'] = BOTH | 21, ['W'] = BOTH | 22, ['X'] = BOTH | 23,
	['Y'] = BOTH | 24, ['Z'] = BOTH | 25, ['a'] = BOTH | 26, ['b'] = BOTH | 27,
	['c'] = BOTH | 28, ['d'] = BOTH | 29, ['e'] = BOTH | 30, ['f'] = BOTH | 31,
	['g'] = BOTH | 32, ['h'] = BOTH | 33, ['i'] = BOTH | 34, ['j'] = BOTH | 35,
	['k'] = BOTH | 36, ['l'] = BOTH | 37, ['m'] = BOTH | 38, ['n'] = BOTH | 39,
	['o'] = BOTH | 40, ['p'] = BOTH | 41, ['q'] = BOTH | 42, ['r'] = BOTH | 43,
	['s'] = BOTH | 44, ['t'] = BOTH | 45, ['u'] = BOTH | 46, ['v'] = BOTH | 47,
	['w'] = BOTH | 48, ['x'] = BOTH | 49, ['y'] = BOTH | 50, ['z'] = BOTH | 51,
	['0'] = BOTH | 52, ['1'] = BOTH | 53, ['2'] = BOTH | 54, ['3'] = BOTH | 55,
	['4'] = BOTH | 56, ['5'] = BOTH | 57, ['6'] = BOTH | 58, ['7'] = BOTH | 59,
	['8'] = BOTH | 60, ['9'] = BOTH | 61,
	['+'] = STANDARD | 62, ['/'] = STANDARD | 63, ['-'] = URL | 62, ['_'] = URL | 63,
};
/* clang-format on */

static char *encode(struct bytes bytes, const char *alphabet, char *out)
{
	const uint8_t *in = bytes.data;
	size_t n = bytes.len;

	for (; n >= 3; n -= 3, in += 3, out += 4) {
		uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

		out[0] = alphabet[v >> 18];
		out[1] = alphabet[v >> 12 & VALUE];
		out[2] = alphabet[v >> 6 & VALUE];
		out[3] = alphabet[v & VALUE];
	}
	if (n > 0) {
		uint32_t v = (uint32_t)in[0] << 16 | (n == 2 ? (uint32_t)in[1] << 8 : 0);

		*out++ = alphabet[v >> 18];
		*out++ = alphabet[v >> 12 & VALUE];
		if (n == 2)
			*out++ = alphabet[v >> 6 & VALUE];
	}
	*out = '\0';
	return out;
}

/* Text without padding: all characters known, a possible length, no stray bits. */
static bool is_valid(struct bytes text, uint8_t alphabet)
{
	uint8_t known = alphabet;
	size_t rest = text.len % 4;
	uint8_t last;

	for (size_t i = 0; i < text.len; i++)
		known &= meaning[text.data[i]];
	if (known == 0 || rest == 1)
		return false;
	if (rest == 0)
		return true;
	last = meaning[text.data[text.len - 1]];
	return (last & (rest == 2 ? 0x0f : 0x03)) == 0;
}

static size_t decoded_len(struct bytes text)
{
	return text.len / 4 * 3 + (text.len % 4 > 0 ? text.len % 4 - 1 : 0);
}

/* Text that is_valid(). */
static void decode(struct bytes text, uint8_t *out)
{
	const uint8_t *in = text.data;
	size_t n = text.len;

	for (; n >= 4; n -= 4, in += 4, out += 3) {
		uint32_t v = (uint32_t)(meaning[in[0]] & VALUE) << 18 |
			     (uint32_t)(meaning[in[1]] & VALUE) << 12 |
			     (uint32_t)(meaning[in[2]] & VALUE) << 6 | (meaning[in[3]] & VALUE);

		out[0] = (uint8_t)(v >> 16);
		out[1] = (uint8_t)(v >> 8);
		out[2] = (uint8_t)v;
	}
	if (n >= 2)
		out[0] = (uint8_t)(meaning[in[0]] << 2 | (meaning[in[1]] & VALUE) >> 4);
	if (n == 3)
		out[1] = (uint8_t)(meaning[in[1]] << 4 | (meaning[in[2]] & VALUE) >> 2);
}

static enum err decode_new(struct arena *arena, struct bytes text, uint8_t alphabet,
			   struct bytes *bytes_out)
{
	uint8_t *bytes;

	if (!is_valid(text, alphabet))
		return ERR_VALIDATION;
	/* One more, so that also no bytes have an address, and end in a NUL. */
	bytes = arena_alloc(arena, decoded_len(text) + 1);
	decode(text, bytes);
	*bytes_out = bytes_of(bytes, decoded_len(text));
	return ERR_OK;
}

static enum err decode_exact(struct bytes text, uint8_t alphabet, size_t len,
			     uint8_t *bytes_out)
{
	if (decoded_len(text) != len || !is_valid(text, alphabet))
		return ERR_VALIDATION;
	decode(text, bytes_out);
	return ERR_OK;
}

/* Takes off just the padding that fills the last group of four; else false. */
static bool strip_padding(struct bytes *text)
{
	if (text->len % 4 != 0)
		return false;
	for (int i = 0; i < 2 && text->len > 0 && text->data[text->len - 1] == '='; i++)
		text->len--;
	return true;
}

void base64_encode_to(struct bytes bytes, char *text_out)
{
	char *end = encode(bytes, standard, text_out);

	for (; (end - text_out) % 4 != 0; end++)
		*end = '=';
	*end = '\0';
}

char *base64_encode(struct arena *arena, struct bytes bytes)
{
	char *text = arena_alloc(arena, base64_len(bytes.len) + 1);

	base64_encode_to(bytes, text);
	return text;
}

enum err base64_decode(struct arena *arena, struct bytes text, struct bytes *bytes_out)
{
	if (!strip_padding(&text))
		return ERR_VALIDATION;
	return decode_new(arena, text, STANDARD, bytes_out);
}

enum err base64_decode_exact(struct bytes text, size_t len, uint8_t *bytes_out)
{
	if (!strip_padding(&text))
		return ERR_VALIDATION;
	return decode_exact(text, STANDARD, len, bytes_out);
}

bool base64_is_valid(struct bytes text, size_t *decoded_len_out)
{
	if (!strip_padding(&text) || !is_valid(text, STANDARD))
		return false;
	*decoded_len_out = decoded_len(text);
	return true;
}

void base64url_encode_to(struct bytes bytes, char *text_out)
{
	encode(bytes, url, text_out);
}

char *base64url_encode(struct arena *arena, struct bytes bytes)
{
	char *text = arena_alloc(arena, base64url_len(bytes.len) + 1);

	encode(bytes, url, text);
	return text;
}

enum err base64url_decode(struct arena *arena, struct bytes text, struct bytes *bytes_out)
{
	return decode_new(arena, text, URL, bytes_out);
}

enum err base64url_decode_exact(struct bytes text, size_t len, uint8_t *bytes_out)
{
	return decode_exact(text, URL, len, bytes_out);
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

void hex_encode(struct bytes bytes, char *text_out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < bytes.len; i++) {
		*text_out++ = digits[bytes.data[i] >> 4];
		*text_out++ = digits[bytes.data[i] & 15];
	}
	*text_out = '\0';
}

enum err hex_decode(struct bytes text, size_t len, uint8_t *bytes_out)
{
	if (text.len % 2 != 0 || text.len / 2 != len)
		return ERR_VALIDATION;
	for (size_t i = 0; i < text.len; i++)
		if (hex_value(text.data[i]) < 0)
			return ERR_VALIDATION;
	for (size_t i = 0; i < len; i++)
		bytes_out[i] = (uint8_t)(hex_value(text.data[2 * i]) * 16 +
					 hex_value(text.data[2 * i + 1]));
	return ERR_OK;
}
