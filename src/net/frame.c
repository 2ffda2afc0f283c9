/* SPDX-License-Identifier: MIT
 *
 * Reading and writing WebSocket frames. The reader takes bytes as they come, in pieces
 * of any size; what it holds is bounded by message_max.
 */
#include "frame.h"

#define BIT_FIN	      0x80
#define BITS_RESERVED 0x70
#define BIT_MASK      0x80
#define LEN_16	      126
#define LEN_64	      127
#define WORD	      sizeof(uint64_t)

static size_t head_size(const struct frame_reader *r)
{
	uint8_t len;

	if (r->head_len < 2)
		return 2;
	len = r->head[1] & 0x7f;
	return 2 + (len == LEN_16 ? 2 : len == LEN_64 ? 8 : 0) + 4;
}

static bool head_is_complete(const struct frame_reader *r)
{
	return r->head_len >= 2 && r->head_len == head_size(r);
}

static enum opcode frame_opcode(const struct frame_reader *r)
{
	return (enum opcode)(r->head[0] & 0x0f);
}

static bool is_final(const struct frame_reader *r)
{
	return (r->head[0] & BIT_FIN) != 0;
}

static bool is_control(const struct frame_reader *r)
{
	return (frame_opcode(r) & 8) != 0;
}

static uint64_t payload_len(const struct frame_reader *r)
{
	uint64_t len = r->head[1] & 0x7f;
	size_t digits = len == LEN_16 ? 2 : len == LEN_64 ? 8 : 0;

	if (digits == 0)
		return len;
	len = 0;
	for (size_t i = 0; i < digits; i++)
		len = len << 8 | r->head[2 + i];
	return len;
}

/* The code to close with, 0 if the first two bytes of a frame are fine. */
static uint16_t check_start(const struct frame_reader *r)
{
	if ((r->head[0] & BITS_RESERVED) != 0 || (r->head[1] & BIT_MASK) == 0)
		return CLOSE_PROTOCOL_ERROR;
	switch (frame_opcode(r)) {
	case OPCODE_CONTINUATION:
		return r->message_open ? 0 : CLOSE_PROTOCOL_ERROR;
	case OPCODE_TEXT:
		return r->message_open ? CLOSE_PROTOCOL_ERROR : 0;
	case OPCODE_BINARY:
		return r->message_open ? CLOSE_PROTOCOL_ERROR : CLOSE_UNSUPPORTED;
	case OPCODE_CLOSE:
	case OPCODE_PING:
	case OPCODE_PONG:
		if (!is_final(r) || (r->head[1] & 0x7f) > FRAME_CONTROL_MAX)
			return CLOSE_PROTOCOL_ERROR;
		return 0;
	}
	return CLOSE_PROTOCOL_ERROR;
}

/* The same for the whole head. */
static uint16_t check_len(const struct frame_reader *r)
{
	uint64_t len = payload_len(r);
	uint8_t form = r->head[1] & 0x7f;

	/* The shortest form is the only one. */
	if ((form == LEN_16 && len < LEN_16) || (form == LEN_64 && len <= UINT16_MAX))
		return CLOSE_PROTOCOL_ERROR;
	if (!is_control(r) &&
	    (len > r->message_max || buffer_len(&r->message) + len > r->message_max))
		return CLOSE_TOO_BIG;
	return 0;
}

static bool fail(struct frame *frame, uint16_t code)
{
	frame->kind = FRAME_ERROR;
	frame->code = code;
	return false;
}

/* False: the head is not complete yet, or it is wrong and the frame is an error. */
static bool read_head(struct frame_reader *r, struct bytes *in, struct frame *frame)
{
	uint16_t code;

	while (!head_is_complete(r)) {
		if (in->len == 0)
			return false;
		r->head[r->head_len++] = *in->data++;
		in->len--;
		code = r->head_len == 2 ? check_start(r) : 0;
		if (code != 0)
			return fail(frame, code);
		if (!head_is_complete(r))
			continue;
		code = check_len(r);
		if (code != 0)
			return fail(frame, code);
		r->left = (size_t)payload_len(r);
		r->masked = 0;
		r->control_len = 0;
	}
	return true;
}

/* A word at a time: byte by byte it would take the greater part of the time for a frame. */
static void unmask(struct frame_reader *r, uint8_t *out, const uint8_t *in, size_t len)
{
	uint8_t key[WORD];
	uint64_t keys;
	uint64_t word;
	size_t i = 0;

	for (size_t k = 0; k < WORD; k++)
		key[k] = r->head[r->head_len - 4 + ((r->masked + k) & 3)];
	memcpy(&keys, key, WORD);
	for (; len - i >= WORD; i += WORD) {
		memcpy(&word, in + i, WORD);
		word ^= keys;
		memcpy(out + i, &word, WORD);
	}
	for (; i < len; i++)
		out[i] = in[i] ^ key[i % WORD];
	r->masked += len;
}

static void read_payload(struct frame_reader *r, struct bytes *in)
{
	size_t len = in->len < r->left ? in->len : r->left;

	if (len == 0)
		return;
	if (is_control(r)) {
		unmask(r, r->control + r->control_len, in->data, len);
		r->control_len += len;
	} else {
		unmask(r, buffer_room(&r->message, len), in->data, len);
		buffer_added(&r->message, len);
	}
	r->left -= len;
	in->data += len;
	in->len -= len;
}

/* RFC 6455 section 7.4: what a client may put into a close frame. */
static bool is_close_code(unsigned code)
{
	if (code >= 3000 && code <= 4999)
		return true;
	return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

static void finish_close(const struct frame_reader *r, struct frame *frame)
{
	unsigned code;

	frame->kind = FRAME_CLOSE;
	frame->code = CLOSE_NO_CODE;
	if (r->control_len == 0)
		return;
	code = (unsigned)r->control[0] << 8 | r->control[1];
	if (r->control_len == 1 || !is_close_code(code)) {
		fail(frame, CLOSE_PROTOCOL_ERROR);
		return;
	}
	frame->payload = bytes_of(r->control + 2, r->control_len - 2);
	frame->code = (uint16_t)code;
	if (!frame_text_is_valid(frame->payload))
		fail(frame, CLOSE_INVALID_TEXT);
}

static void finish_data(struct frame_reader *r, struct frame *frame)
{
	r->message_open = !is_final(r);
	if (r->message_open)
		return;
	frame->payload = buffer_bytes(&r->message);
	r->message_given = true;
	if (frame_text_is_valid(frame->payload))
		frame->kind = FRAME_TEXT;
	else
		fail(frame, CLOSE_INVALID_TEXT);
}

static void finish_frame(struct frame_reader *r, struct frame *frame)
{
	frame->payload = bytes_of(r->control, r->control_len);
	switch (frame_opcode(r)) {
	case OPCODE_CLOSE:
		finish_close(r, frame);
		break;
	case OPCODE_PING:
		frame->kind = FRAME_PING;
		break;
	case OPCODE_PONG:
		frame->kind = FRAME_PONG;
		break;
	default:
		finish_data(r, frame);
	}
	r->head_len = 0;
}

void frame_forget(struct frame_reader *reader)
{
	if (!reader->message_given)
		return;
	buffer_take(&reader->message, buffer_len(&reader->message));
	reader->message_given = false;
}

size_t frame_held(const struct frame_reader *reader)
{
	return buffer_len(&reader->message);
}

size_t frame_read(struct frame_reader *reader, struct bytes in, struct frame *frame_out)
{
	size_t len = in.len;

	*frame_out = (struct frame){.kind = FRAME_NONE};
	frame_forget(reader);
	while (frame_out->kind == FRAME_NONE) {
		if (!read_head(reader, &in, frame_out))
			break;
		read_payload(reader, &in);
		if (reader->left > 0)
			break;
		finish_frame(reader, frame_out);
	}
	return len - in.len;
}

void frame_reader_free(struct frame_reader *reader)
{
	buffer_free(&reader->message);
}

void frame_write(struct buffer *out, enum opcode opcode, struct bytes payload)
{
	uint8_t head[10] = {(uint8_t)(BIT_FIN | opcode)};
	size_t len = 2;

	if (payload.len < LEN_16) {
		head[1] = (uint8_t)payload.len;
	} else if (payload.len <= UINT16_MAX) {
		head[1] = LEN_16;
		len = 4;
	} else {
		head[1] = LEN_64;
		len = 10;
	}
	for (size_t i = 2; i < len; i++)
		head[i] = (uint8_t)((uint64_t)payload.len >> (8 * (len - 1 - i)));
	buffer_room(out, len + payload.len);
	buffer_add(out, bytes_of(head, len));
	buffer_add(out, payload);
}

void frame_write_close(struct buffer *out, uint16_t code, const char *reason)
{
	uint8_t payload[FRAME_CONTROL_MAX] = {(uint8_t)(code >> 8), (uint8_t)code};
	size_t len = reason == NULL ? 0 : strlen(reason);

	if (code == CLOSE_NO_CODE) {
		frame_write(out, OPCODE_CLOSE, bytes_of(payload, 0));
		return;
	}
	if (len > sizeof payload - 2)
		len = sizeof payload - 2;
	if (len > 0)
		memcpy(payload + 2, reason, len);
	frame_write(out, OPCODE_CLOSE, bytes_of(payload, 2 + len));
}

/* How many continuation bytes follow this first byte, and within which bounds the first
 * of them must lie (RFC 3629 section 4). -1: no first byte. */
static int sequence(uint8_t c, uint8_t *low_out, uint8_t *high_out)
{
	*low_out = 0x80;
	*high_out = 0xbf;
	if (c >= 0xc2 && c <= 0xdf)
		return 1;
	if (c >= 0xe0 && c <= 0xef) {
		if (c == 0xe0)
			*low_out = 0xa0;
		if (c == 0xed)
			*high_out = 0x9f;
		return 2;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		if (c == 0xf0)
			*low_out = 0x90;
		if (c == 0xf4)
			*high_out = 0x8f;
		return 3;
	}
	return -1;
}

/* The next eight bytes are ASCII, as most are. */
static bool is_ascii(const uint8_t *data)
{
	uint64_t word;

	memcpy(&word, data, WORD);
	return (word & UINT64_C(0x8080808080808080)) == 0;
}

bool frame_text_is_valid(struct bytes text)
{
	size_t i = 0;

	while (i < text.len) {
		uint8_t low;
		uint8_t high;
		int more;

		if (text.len - i >= WORD && is_ascii(text.data + i)) {
			i += WORD;
			continue;
		}
		if (text.data[i] < 0x80) {
			i++;
			continue;
		}
		more = sequence(text.data[i], &low, &high);
		if (more < 0 || (size_t)more >= text.len - i)
			return false;
		if (text.data[i + 1] < low || text.data[i + 1] > high)
			return false;
		for (int k = 2; k <= more; k++) {
			if ((text.data[i + (size_t)k] & 0xc0) != 0x80)
				return false;
		}
		i += (size_t)more + 1;
	}
	return true;
}
