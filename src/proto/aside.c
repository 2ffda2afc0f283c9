/* SPDX-License-Identifier: MIT
 *
 * Long base64 is set aside (see aside.h): `U+FFFF offset length`, both in 8 hex digits.
 * Replacing one string by another changes nothing for the rules of JSON. Any thread.
 */
#include "aside.h"

#include "restante/crypto.h"
#include "restante/text.h"

#include <assert.h>
#include <stdlib.h>

#define BODY_MIN   512 /* below, there is nothing to win */
#define STRING_MIN 64

static const char mark[] = "\xef\xbf\xbf"; /* U+FFFF */
#define MARK_LEN 3
#define DIGITS	 8
#define SIGN_LEN (MARK_LEN + 2 * DIGITS)

static bool is_suited(struct bytes text)
{
	return text.len >= BODY_MIN && text.len <= UINT32_MAX &&
	       memchr(text.data, '\\', text.len) == NULL &&
	       memmem(text.data, text.len, mark, MARK_LEN) == NULL;
}

/* Whether the string before i is the name of a member. */
static bool is_name(struct bytes text, size_t i)
{
	while (i < text.len && (text.data[i] == ' ' || text.data[i] == '\t' ||
				text.data[i] == '\n' || text.data[i] == '\r'))
		i++;
	return i < text.len && text.data[i] == ':';
}

/* The next string of the text from i on, without its quotes; false: there is none. With no
 * escapes about, every second quote ends a string. */
static bool next_string(struct bytes text, size_t i, struct bytes *string_out)
{
	const uint8_t *begin = memchr(text.data + i, '"', text.len - i), *end;

	if (begin == NULL)
		return false;
	begin++;
	end = memchr(begin, '"', text.len - (size_t)(begin - text.data));
	if (end == NULL)
		return false;
	*string_out = bytes_of(begin, (size_t)(end - begin));
	return true;
}

bool aside_put(struct arena *arena, struct bytes text, struct bytes *short_out)
{
	struct text out;
	struct bytes string;
	size_t done = 0, len; /* everything before done is in out */

	if (!is_suited(text))
		return false;
	text_init(&out, arena, BODY_MIN);
	for (size_t i = 0; next_string(text, i, &string);) {
		size_t begin = (size_t)(string.data - text.data);

		i = begin + string.len + 1;
		if (string.len < STRING_MIN || !base64_is_valid(string, &len) ||
		    is_name(text, i))
			continue;
		text_add(&out, bytes_of(text.data + done, begin - done));
		text_printf(&out, "%s%08zx%08zx", mark, begin, string.len);
		done = begin + string.len;
	}
	if (done == 0)
		return false;
	text_add(&out, bytes_of(text.data + done, text.len - done));
	*short_out = text_bytes(&out);
	return true;
}

static size_t number(const uint8_t *digits)
{
	char copy[DIGITS + 1] = {0};

	memcpy(copy, digits, DIGITS);
	return strtoul(copy, NULL, 16);
}

struct bytes aside_resolve(struct bytes text, struct bytes string)
{
	size_t begin, len;

	if (string.len != SIGN_LEN || memcmp(string.data, mark, MARK_LEN) != 0)
		return string;
	begin = number(string.data + MARK_LEN);
	len = number(string.data + MARK_LEN + DIGITS);
	assert(begin <= text.len && len <= text.len - begin);
	return bytes_of(text.data + begin, len);
}
