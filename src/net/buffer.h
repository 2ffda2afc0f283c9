/* SPDX-License-Identifier: MIT
 *
 * Bytes on their way in or out of a connection: added at the end, taken from the
 * front. Unlike text in an arena, the room is given back while the connection lives.
 */
#ifndef RESTANTE_NET_BUFFER_H
#define RESTANTE_NET_BUFFER_H

#include "restante/bytes.h"

struct buffer {
	uint8_t *data;
	size_t start;
	size_t end;
	size_t cap;
};

/* Room for len more bytes at the end, to be followed by buffer_added(). */
uint8_t *buffer_room(struct buffer *buffer, size_t len);
void buffer_added(struct buffer *buffer, size_t len);
void buffer_add(struct buffer *buffer, struct bytes bytes);
/* Takes bytes off the front. An emptied buffer has no room: most connections are idle. */
void buffer_take(struct buffer *buffer, size_t len);
void buffer_free(struct buffer *buffer);

static inline size_t buffer_len(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}

static inline struct bytes buffer_bytes(const struct buffer *buffer)
{
	if (buffer->data == NULL)
		return bytes_of(NULL, 0);
	return bytes_of(buffer->data + buffer->start, buffer_len(buffer));
}

#endif
