/* SPDX-License-Identifier: MIT
 *
 * WebSocket frames of a client, in pieces of any size. The first byte says how large.
 */
#include "frame.h"

#include <assert.h>

#define MESSAGE_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Feeds one piece; false when the connection would be closed. */
static bool feed(struct frame_reader *reader, struct bytes piece)
{
	while (piece.len > 0) {
		struct frame frame;
		size_t used = frame_read(reader, piece, &frame);

		assert(used <= piece.len);
		assert(used > 0 || frame.kind != FRAME_NONE);
		if (frame.kind == FRAME_TEXT)
			assert(frame.payload.len <= MESSAGE_MAX &&
			       frame_text_is_valid(frame.payload));
		if (frame.kind == FRAME_ERROR || frame.kind == FRAME_CLOSE)
			return false;
		piece = bytes_of(piece.data + used, piece.len - used);
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_reader reader = {.message_max = MESSAGE_MAX};
	size_t step = size > 0 ? (size_t)data[0] + 1 : 1;

	for (size_t at = 1; at < size; at += step) {
		size_t len = size - at < step ? size - at : step;

		if (!feed(&reader, bytes_of(data + at, len)))
			break;
	}
	frame_reader_free(&reader);
	return 0;
}
