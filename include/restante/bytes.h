/* SPDX-License-Identifier: MIT
 *
 * A view of bytes: a pointer and a length, owning nothing. Whoever hands out a
 * view says how long it lives; mostly that is "as long as the arena".
 */
#ifndef RESTANTE_BYTES_H
#define RESTANTE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *data;
	size_t len;
};

static inline struct bytes bytes_of(const void *data, size_t len)
{
	return (struct bytes){.data = data, .len = len};
}

static inline struct bytes bytes_of_text(const char *text)
{
	return bytes_of(text, strlen(text));
}

/* Not constant-time: for public values only. Secrets: crypto_equal(). */
static inline bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#endif
