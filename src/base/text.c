/* SPDX-License-Identifier: MIT
 *
 * Growing text. When it outgrows its room it moves to twice as much in the same arena;
 * the old room is freed with the arena. Belongs to the thread that owns the arena.
 */
#include "restante/text.h"

#include "restante/log.h"

#include <stdarg.h>
#include <stdio.h>

#define SMALLEST_ROOM 64

/* Makes room for extra more bytes and the NUL. */
static void text_reserve(struct text *text, size_t extra)
{
	size_t need;
	size_t cap;
	char *data;

	if (__builtin_add_overflow(text->len, extra, &need) || need >= PTRDIFF_MAX)
		fatal("text: impossible size");
	need++;
	if (need <= text->cap)
		return;
	cap = 2 * text->cap > need ? 2 * text->cap : need;
	data = arena_alloc(text->arena, cap);
	memcpy(data, text->data, text->len);
	text->data = data;
	text->cap = cap;
}

void text_init(struct text *text, struct arena *arena, size_t expected)
{
	size_t cap = expected < SMALLEST_ROOM ? SMALLEST_ROOM : expected + 1;

	*text = (struct text){.arena = arena, .data = arena_alloc(arena, cap), .cap = cap};
}

void text_add(struct text *text, struct bytes bytes)
{
	if (bytes.len == 0)
		return;
	text_reserve(text, bytes.len);
	memcpy(text->data + text->len, bytes.data, bytes.len);
	text->len += bytes.len;
	text->data[text->len] = '\0';
}

void text_puts(struct text *text, const char *chars)
{
	text_add(text, bytes_of_text(chars));
}

static void add_number(struct text *text, unsigned long long number, bool negative)
{
	char digits[24];
	char *first = digits + sizeof digits;

	do
		*--first = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	if (negative)
		*--first = '-';
	text_add(text, bytes_of(first, (size_t)(digits + sizeof digits - first)));
}

static void add_signed(struct text *text, long long number)
{
	unsigned long long bits = (unsigned long long)number;

	add_number(text, number < 0 ? 0 - bits : bits, number < 0);
}

/* Formats of %s, %d, %u and %lld alone are most, and the C library takes twice as long for
 * them. False: there is another one; what was added until then is part of the text. */
static bool add_plain(struct text *text, const char *format, va_list args)
{
	for (;;) {
		const char *percent = strchrnul(format, '%');

		text_add(text, bytes_of(format, (size_t)(percent - format)));
		if (*percent == '\0')
			return true;
		format = percent + 2;
		if (percent[1] == 's') {
			text_puts(text, va_arg(args, const char *));
		} else if (percent[1] == 'd') {
			add_signed(text, va_arg(args, int));
		} else if (percent[1] == 'u') {
			add_number(text, va_arg(args, unsigned), false);
		} else if (strncmp(percent, "%lld", 4) == 0) {
			add_signed(text, va_arg(args, long long));
			format = percent + 4;
		} else {
			return false;
		}
	}
}

static PRINTF_LIKE(2, 0) void add_any(struct text *text, const char *format, va_list args)
{
	va_list again;
	int len;

	va_copy(again, args);
	len = vsnprintf(text->data + text->len, text->cap - text->len, format, args);
	if (len < 0)
		fatal("text: cannot format %s", format);
	if ((size_t)len >= text->cap - text->len) {
		text_reserve(text, (size_t)len);
		vsnprintf(text->data + text->len, text->cap - text->len, format, again);
	}
	va_end(again);
	text->len += (size_t)len;
}

void text_printf(struct text *text, const char *format, ...)
{
	size_t len = text->len;
	va_list args;
	bool plain;

	va_start(args, format);
	plain = add_plain(text, format, args);
	va_end(args);
	if (plain)
		return;
	text->len = len;
	va_start(args, format);
	add_any(text, format, args);
	va_end(args);
}

static void add_escape(struct text *text, uint8_t c)
{
	switch (c) {
	case '"':
		text_puts(text, "\\\"");
		break;
	case '\\':
		text_puts(text, "\\\\");
		break;
	case '\n':
		text_puts(text, "\\n");
		break;
	case '\r':
		text_puts(text, "\\r");
		break;
	case '\t':
		text_puts(text, "\\t");
		break;
	default:
		text_printf(text, "\\u%04x", c);
	}
}

void text_json_string(struct text *text, struct bytes utf8)
{
	size_t done = 0; /* everything before is in the text */

	text_puts(text, "\"");
	for (size_t i = 0; i < utf8.len; i++) {
		uint8_t c = utf8.data[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		text_add(text, bytes_of(utf8.data + done, i - done));
		add_escape(text, c);
		done = i + 1;
	}
	if (utf8.len > done)
		text_add(text, bytes_of(utf8.data + done, utf8.len - done));
	text_puts(text, "\"");
}
