/* SPDX-License-Identifier: MIT
 *
 * WebSocket frames, whole and in pieces.
 */
#include "frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define MESSAGE_MAX 1000

/* A frame as a client sends it, masked. */
static size_t put(uint8_t *out, uint8_t first, const void *payload, size_t len)
{
	static const uint8_t key[4] = {0x12, 0x34, 0x56, 0x78};
	size_t at = 0;

	out[at++] = first;
	if (len < 126) {
		out[at++] = (uint8_t)(0x80 | len);
	} else {
		out[at++] = 0x80 | 126;
		out[at++] = (uint8_t)(len >> 8);
		out[at++] = (uint8_t)len;
	}
	memcpy(out + at, key, 4);
	at += 4;
	for (size_t i = 0; i < len; i++)
		out[at++] = ((const uint8_t *)payload)[i] ^ key[i & 3];
	return at;
}

static struct frame read_one(struct frame_reader *r, const uint8_t *data, size_t len)
{
	struct frame frame;
	size_t used = frame_read(r, bytes_of(data, len), &frame);

	assert_true(used <= len);
	return frame;
}

static struct frame only(uint8_t first, const void *payload, size_t len)
{
	struct frame_reader r = {.message_max = MESSAGE_MAX};
	uint8_t data[2 * MESSAGE_MAX + 20];
	struct frame frame = read_one(&r, data, put(data, first, payload, len));

	frame.payload = bytes_of(NULL, 0); /* goes with the reader */
	frame_reader_free(&r);
	return frame;
}

static void assert_error(uint16_t code, struct frame frame)
{
	assert_int_equal(FRAME_ERROR, frame.kind);
	assert_int_equal(code, frame.code);
}

static void reads_byte_by_byte(void **state)
{
	struct frame_reader r = {.message_max = MESSAGE_MAX};
	char text[300];
	uint8_t data[400];
	size_t len;

	(void)state;
	memset(text, 'x', sizeof text);
	len = put(data, 0x81, text, sizeof text);
	for (size_t i = 0; i < len; i++) {
		struct frame frame;

		assert_int_equal(1, frame_read(&r, bytes_of(data + i, 1), &frame));
		assert_int_equal(i + 1 < len ? FRAME_NONE : FRAME_TEXT, frame.kind);
		if (frame.kind == FRAME_TEXT)
			assert_true(bytes_equal(frame.payload, bytes_of(text, sizeof text)));
	}
	frame_reader_free(&r);
}

static void reads_many_at_once(void **state)
{
	struct frame_reader r = {.message_max = MESSAGE_MAX};
	uint8_t data[400];
	struct frame frame;
	size_t len = put(data, 0x81, "one", 3);
	size_t used;

	(void)state;
	len += put(data + len, 0x81, "", 0);
	len += put(data + len, 0x81, "three", 5);
	used = frame_read(&r, bytes_of(data, len), &frame);
	assert_true(bytes_equal(frame.payload, bytes_of_text("one")));
	used += frame_read(&r, bytes_of(data + used, len - used), &frame);
	assert_int_equal(FRAME_TEXT, frame.kind);
	assert_int_equal(0, frame.payload.len);
	used += frame_read(&r, bytes_of(data + used, len - used), &frame);
	assert_true(bytes_equal(frame.payload, bytes_of_text("three")));
	assert_int_equal(len, used);
	frame_reader_free(&r);
}

static void joins_fragments_around_control_frames(void **state)
{
	struct frame_reader r = {.message_max = MESSAGE_MAX};
	uint8_t data[400];
	struct frame frame;
	size_t used = 0;
	/* A letter is cut in two by the fragments. */
	size_t len = put(data, 0x01, "gr\xc3", 3);

	(void)state;
	len += put(data + len, 0x89, "ping", 4);
	len += put(data + len, 0x00, "", 0);
	len += put(data + len, 0x80, "\xbc\xc3\x9f", 3);
	used += frame_read(&r, bytes_of(data, len), &frame);
	assert_int_equal(FRAME_PING, frame.kind);
	assert_true(bytes_equal(frame.payload, bytes_of_text("ping")));
	used += frame_read(&r, bytes_of(data + used, len - used), &frame);
	assert_int_equal(FRAME_TEXT, frame.kind);
	assert_true(bytes_equal(frame.payload, bytes_of_text("gr\xc3\xbc\xc3\x9f")));
	assert_int_equal(len, used);
	frame_reader_free(&r);
}

static void refuses_wrong_frames(void **state)
{
	static const uint8_t unmasked[] = {0x81, 0x01, 'x'};
	static const uint8_t long_form[] = {0x81, 0xfe, 0, 5, 0, 0, 0, 0};
	static const uint8_t longest_form[] = {0x81, 0xff, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
	static const uint8_t long_ping[] = {0x89, 0xfe, 0, 126, 0, 0, 0, 0};
	struct frame_reader r = {.message_max = MESSAGE_MAX};

	(void)state;
	assert_error(CLOSE_UNSUPPORTED, only(0x82, "x", 1));
	assert_error(CLOSE_PROTOCOL_ERROR, only(0x80, "x", 1)); /* nothing to continue */
	assert_error(CLOSE_PROTOCOL_ERROR, only(0xc1, "x", 1)); /* reserved bit */
	assert_error(CLOSE_PROTOCOL_ERROR, only(0x83, "x", 1)); /* reserved opcode */
	assert_error(CLOSE_PROTOCOL_ERROR, only(0x8b, "x", 1));
	assert_error(CLOSE_PROTOCOL_ERROR, only(0x09, "x", 1)); /* a fragmented ping */
	assert_error(CLOSE_INVALID_TEXT, only(0x81, "\xc3(", 2));
	assert_error(CLOSE_PROTOCOL_ERROR, read_one(&r, unmasked, sizeof unmasked));
	r = (struct frame_reader){.message_max = MESSAGE_MAX};
	assert_error(CLOSE_PROTOCOL_ERROR, read_one(&r, long_form, sizeof long_form));
	r = (struct frame_reader){.message_max = MESSAGE_MAX};
	assert_error(CLOSE_PROTOCOL_ERROR, read_one(&r, longest_form, sizeof longest_form));
	r = (struct frame_reader){.message_max = MESSAGE_MAX};
	assert_error(CLOSE_PROTOCOL_ERROR, read_one(&r, long_ping, sizeof long_ping));
}

static void refuses_a_second_message_in_a_message(void **state)
{
	struct frame_reader r = {.message_max = MESSAGE_MAX};
	uint8_t data[64];
	size_t len = put(data, 0x01, "a", 1);

	(void)state;
	len += put(data + len, 0x81, "b", 1);
	assert_error(CLOSE_PROTOCOL_ERROR, read_one(&r, data, len));
	frame_reader_free(&r);
}

static void bounds_messages(void **state)
{
	static const uint8_t huge[] = {0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
				       0xff, 0xff, 0xff, 0,    0,    0,	   0};
	char text[MESSAGE_MAX + 1] = {0};
	uint8_t data[3 * MESSAGE_MAX];
	struct frame_reader r = {.message_max = MESSAGE_MAX};
	size_t len;

	(void)state;
	memset(text, 'x', sizeof text);
	assert_int_equal(FRAME_TEXT, only(0x81, text, MESSAGE_MAX).kind);
	assert_error(CLOSE_TOO_BIG, only(0x81, text, MESSAGE_MAX + 1));
	assert_error(CLOSE_TOO_BIG, read_one(&r, huge, sizeof huge));
	r = (struct frame_reader){.message_max = MESSAGE_MAX};
	len = put(data, 0x01, text, MESSAGE_MAX - 1);
	len += put(data + len, 0x80, text, 2);
	assert_error(CLOSE_TOO_BIG, read_one(&r, data, len));
	frame_reader_free(&r);
}

static void reads_close_frames(void **state)
{
	struct frame frame = only(0x88, "", 0);

	(void)state;
	assert_int_equal(FRAME_CLOSE, frame.kind);
	assert_int_equal(CLOSE_NO_CODE, frame.code);
	frame = only(0x88,
		     "\x03\xe8"
		     "bye",
		     5);
	assert_int_equal(FRAME_CLOSE, frame.kind);
	assert_int_equal(CLOSE_NORMAL, frame.code);
	assert_int_equal(FRAME_CLOSE, only(0x88, "\x0f\xa0", 2).kind); /* 4000 */
	assert_error(CLOSE_PROTOCOL_ERROR, only(0x88, "\x03", 1));
	assert_error(CLOSE_PROTOCOL_ERROR, only(0x88, "\x03\xed", 2)); /* 1005 */
	assert_error(CLOSE_PROTOCOL_ERROR, only(0x88, "\x03\xe7", 2)); /* 999 */
	assert_error(CLOSE_PROTOCOL_ERROR, only(0x88, "\x07\xd0", 2)); /* 2000 */
	assert_error(CLOSE_PROTOCOL_ERROR, only(0x88, "\x13\x88", 2)); /* 5000 */
	assert_error(CLOSE_INVALID_TEXT, only(0x88, "\x03\xe8\xff", 3));
}

static void unmasks_pieces_of_any_size(void **state)
{
	char text[300];
	uint8_t data[400];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)('a' + i % 23);
	len = put(data, 0x81, text, sizeof text);
	for (size_t size = 1; size < 40; size++) {
		struct frame_reader r = {.message_max = MESSAGE_MAX};
		struct frame frame = {.kind = FRAME_NONE};

		for (size_t at = 0; at < len; at += size)
			frame = read_one(&r, data + at, len - at < size ? len - at : size);
		assert_int_equal(FRAME_TEXT, frame.kind);
		assert_true(bytes_equal(frame.payload, bytes_of(text, sizeof text)));
		frame_reader_free(&r);
	}
}

static void writes_frames(void **state)
{
	static const size_t lengths[] = {0, 1, 125, 126, 65535, 65536};
	static const size_t heads[] = {2, 2, 2, 4, 4, 10};
	uint8_t *payload = calloc(1, 65536);

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct buffer out = {0};

		frame_write(&out, OPCODE_TEXT, bytes_of(payload, lengths[i]));
		assert_int_equal(heads[i] + lengths[i], buffer_len(&out));
		assert_int_equal(0x81, buffer_bytes(&out).data[0]);
		buffer_free(&out);
	}
	free(payload);
}

static void writes_close_frames(void **state)
{
	struct buffer out = {0};
	char reason[200] = {0};

	(void)state;
	frame_write_close(&out, 4409, "displaced");
	assert_true(bytes_equal(buffer_bytes(&out), bytes_of("\x88\x0b\x11\x39"
							     "displaced",
							     13)));
	buffer_take(&out, 13);
	memset(reason, 'x', sizeof reason - 1);
	frame_write_close(&out, CLOSE_NORMAL, reason);
	assert_int_equal(2 + FRAME_CONTROL_MAX, buffer_len(&out));
	buffer_take(&out, 2 + FRAME_CONTROL_MAX);
	frame_write_close(&out, CLOSE_NO_CODE, NULL);
	assert_int_equal(2, buffer_len(&out));
	buffer_free(&out);
}

static void knows_utf_8(void **state)
{
	static const char *const good[] = {
		"",
		"a",
		"\xc2\x80",
		"\xdf\xbf",
		"\xe0\xa0\x80",
		"\xed\x9f\xbf",
		"\xee\x80\x80",
		"\xef\xbf\xbf",
		"\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
		"a\xf0\x9f\x98\x80z",
	};
	static const char *const bad[] = {
		"\x80",
		"\xbf",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc2",
		"\xc2z",
		"\xe0\x9f\xbf",
		"\xed\xa0\x80",
		"\xe2\x82",
		"\xe2\x82z",
		"\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xf0\x90\x80",
		"\xf0\x90\x80z",
		"\xff",
	};

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		assert_true(frame_text_is_valid(bytes_of_text(good[i])));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(frame_text_is_valid(bytes_of_text(bad[i])));
}

static void looks_at_every_byte_of_text(void **state)
{
	char text[25];

	(void)state;
	for (size_t at = 0; at < sizeof text - 1; at++) {
		memset(text, 'a', sizeof text);
		memcpy(text + at, "\xc3\xa9", 2);
		assert_true(frame_text_is_valid(bytes_of(text, sizeof text)));
		text[at + 1] = 'a';
		assert_false(frame_text_is_valid(bytes_of(text, sizeof text)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_byte_by_byte),
		cmocka_unit_test(reads_many_at_once),
		cmocka_unit_test(unmasks_pieces_of_any_size),
		cmocka_unit_test(joins_fragments_around_control_frames),
		cmocka_unit_test(refuses_wrong_frames),
		cmocka_unit_test(refuses_a_second_message_in_a_message),
		cmocka_unit_test(bounds_messages),
		cmocka_unit_test(reads_close_frames),
		cmocka_unit_test(writes_frames),
		cmocka_unit_test(writes_close_frames),
		cmocka_unit_test(knows_utf_8),
		cmocka_unit_test(looks_at_every_byte_of_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
