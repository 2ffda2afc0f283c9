/* SPDX-License-Identifier: MIT
 *
 * A queue of bytes: written at its end, read from its front.
 */
#ifndef BENCH_BUFFER_H
#define BENCH_BUFFER_H

#include "restante/bytes.h"
#include "restante/err.h"

struct buffer {
	uint8_t *data;
	size_t start; /* of what has not been read */
	size_t end;
	size_t cap;
};

static inline struct bytes buffer_bytes(const struct buffer *buffer)
{
	return bytes_of(buffer->data + buffer->start, buffer->end - buffer->start);
}

/* Room for len bytes at the end: written there, they count after buffer_grow(). */
uint8_t *buffer_room(struct buffer *buffer, size_t len);
void buffer_grow(struct buffer *buffer, size_t len);
void buffer_drop(struct buffer *buffer, size_t len); /* from the front */
void buffer_add(struct buffer *buffer, struct bytes bytes);
void buffer_printf(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);
void buffer_free(struct buffer *buffer);

#endif
