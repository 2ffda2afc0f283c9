/* SPDX-License-Identifier: MIT
 *
 * Buffers of connections. Whoever adds bytes of a client caps their number first.
 */
#include "buffer.h"

#include "restante/log.h"

#include <stdlib.h>

#define SMALLEST_ROOM 1024

uint8_t *buffer_room(struct buffer *buffer, size_t len)
{
	size_t used = buffer_len(buffer);
	size_t cap = buffer->cap;
	uint8_t *data;

	if (len > SIZE_MAX / 2 - used)
		fatal("buffer: impossible size");
	if (buffer->end + len <= cap)
		return buffer->data + buffer->end;
	if (used + len <= cap && used <= cap / 2) {
		if (used > 0)
			memmove(buffer->data, buffer->data + buffer->start, used);
		buffer->start = 0;
		buffer->end = used;
		return buffer->data + used;
	}
	cap = 2 * cap > SMALLEST_ROOM ? 2 * cap : SMALLEST_ROOM;
	if (cap < used + len)
		cap = used + len;
	data = malloc(cap);
	if (data == NULL)
		fatal("out of memory, wanted %zu bytes", cap);
	if (used > 0)
		memcpy(data, buffer->data + buffer->start, used);
	free(buffer->data);
	*buffer = (struct buffer){.data = data, .end = used, .cap = cap};
	return data + used;
}

void buffer_added(struct buffer *buffer, size_t len)
{
	buffer->end += len;
}

void buffer_add(struct buffer *buffer, struct bytes bytes)
{
	if (bytes.len == 0)
		return;
	memcpy(buffer_room(buffer, bytes.len), bytes.data, bytes.len);
	buffer_added(buffer, bytes.len);
}

void buffer_take(struct buffer *buffer, size_t len)
{
	buffer->start += len;
	if (buffer->start == buffer->end)
		buffer_free(buffer);
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}
