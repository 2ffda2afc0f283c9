/* SPDX-License-Identifier: MIT
 *
 * A growing piece of text in an arena, for building replies and frames.
 */
#ifndef RESTANTE_TEXT_H
#define RESTANTE_TEXT_H

#include "restante/arena.h"

struct text {
	struct arena *arena;
	char *data; /* always ends in a NUL */
	size_t len;
	size_t cap;
};

void text_init(struct text *text, struct arena *arena, size_t expected);
void text_add(struct text *text, struct bytes bytes);
void text_puts(struct text *text, const char *chars);
void text_printf(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);
/* The same as a quoted JSON string, escaped (RFC 8259 section 7). */
void text_json_string(struct text *text, struct bytes utf8);

static inline struct bytes text_bytes(const struct text *text)
{
	return bytes_of(text->data, text->len);
}

#endif
