/* SPDX-License-Identifier: MIT
 *
 * What the messages hold (content.h).
 */
#include "content.h"

#include "restante/crypto.h"
#include "restante/log.h"

#include <time.h>

_Static_assert(sizeof(struct content) == CONTENT_HEAD, "the head has no gaps");

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* xorshift64*: quick, and does not compress. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

void content_write(const struct content *content, uint8_t *out)
{
	uint64_t state = ((uint64_t)content->sender << 32 | content->recipient) ^
			 content->number << 8 ^ content->sent_ns ^ UINT64_C(1) << 63;

	memcpy(out, content, CONTENT_HEAD);
	for (size_t i = CONTENT_HEAD; i < content->size; i += sizeof state) {
		uint64_t random = next_random(&state);
		size_t left = content->size - i;

		memcpy(out + i, &random, left < sizeof random ? left : sizeof random);
	}
}

void content_write_text(const struct content *content, struct buffer *out)
{
	uint8_t bytes[CONTENT_MAX];
	size_t len = base64_len(content->size);

	content_write(content, bytes);
	base64_encode_to(bytes_of(bytes, content->size), (char *)buffer_room(out, len + 1));
	buffer_grow(out, len);
}

struct content content_read(struct bytes bytes)
{
	static uint8_t expected[CONTENT_MAX];
	struct content content;

	if (bytes.len < CONTENT_HEAD)
		fatal("a message has only %zu bytes", bytes.len);
	memcpy(&content, bytes.data, CONTENT_HEAD);
	if (content.size != bytes.len || bytes.len > CONTENT_MAX)
		fatal("a message has %zu bytes instead of %u", bytes.len, content.size);
	content_write(&content, expected);
	if (memcmp(bytes.data, expected, bytes.len) != 0)
		fatal("a message has other content than was sent");
	return content;
}
