/* SPDX-License-Identifier: MIT
 *
 * A queue of bytes (buffer.h).
 */
#include "buffer.h"

#include "restante/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint8_t *buffer_room(struct buffer *buffer, size_t len)
{
	if (buffer->start > 0 && buffer->cap - buffer->end < len) {
		memmove(buffer->data, buffer->data + buffer->start,
			buffer->end - buffer->start);
		buffer->end -= buffer->start;
		buffer->start = 0;
	}
	if (buffer->cap - buffer->end < len) {
		buffer->cap = 2 * (buffer->end + len);
		buffer->data = realloc(buffer->data, buffer->cap);
		if (buffer->data == NULL)
			fatal("out of memory");
	}
	return buffer->data + buffer->end;
}

void buffer_grow(struct buffer *buffer, size_t len)
{
	buffer->end += len;
}

void buffer_drop(struct buffer *buffer, size_t len)
{
	buffer->start += len;
	if (buffer->start == buffer->end)
		buffer->start = buffer->end = 0;
}

void buffer_add(struct buffer *buffer, struct bytes bytes)
{
	if (bytes.len == 0)
		return;
	memcpy(buffer_room(buffer, bytes.len), bytes.data, bytes.len);
	buffer_grow(buffer, bytes.len);
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list args;
	va_list again;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	if (len < 0)
		fatal("cannot format");
	vsnprintf((char *)buffer_room(buffer, (size_t)len + 1), (size_t)len + 1, format, again);
	buffer_grow(buffer, (size_t)len);
	va_end(again);
	va_end(args);
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}
