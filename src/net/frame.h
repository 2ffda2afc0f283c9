/* SPDX-License-Identifier: MIT
 *
 * WebSocket frames (RFC 6455 section 5) of a server, without extensions: bytes of the
 * client in, whole messages and control frames out. Pure: knows no socket.
 */
#ifndef RESTANTE_NET_FRAME_H
#define RESTANTE_NET_FRAME_H

#include "buffer.h"

enum {
	CLOSE_NORMAL = 1000,
	CLOSE_GOING_AWAY = 1001,
	CLOSE_PROTOCOL_ERROR = 1002,
	CLOSE_UNSUPPORTED = 1003,
	CLOSE_NO_CODE = 1005, /* never on the wire: a close frame without a code */
	CLOSE_INVALID_TEXT = 1007,
	CLOSE_TOO_BIG = 1009,
	CLOSE_RESTART = 1012,
	CLOSE_TRY_LATER = 1013,
};

enum opcode {
	OPCODE_CONTINUATION = 0,
	OPCODE_TEXT = 1,
	OPCODE_BINARY = 2,
	OPCODE_CLOSE = 8,
	OPCODE_PING = 9,
	OPCODE_PONG = 10,
};

#define FRAME_CONTROL_MAX 125

enum frame_kind {
	FRAME_NONE, /* all bytes are used, more are needed */
	FRAME_TEXT, /* a whole message, all fragments together */
	FRAME_PING,
	FRAME_PONG,
	FRAME_CLOSE,
	FRAME_ERROR, /* close with this code; the reader is of no use any more */
};

struct frame {
	enum frame_kind kind;
	uint16_t code;	      /* of FRAME_CLOSE and FRAME_ERROR */
	struct bytes payload; /* lives until the next frame_read() */
};

/* Begins zeroed but for message_max. */
struct frame_reader {
	size_t message_max;
	struct buffer message;
	bool message_open;  /* a first fragment is there, the last one is not */
	bool message_given; /* the last result showed the message: forget it now */
	uint8_t head[14];
	size_t head_len;
	size_t left; /* payload bytes still to come of the frame whose head is complete */
	size_t masked;
	uint8_t control[FRAME_CONTROL_MAX];
	size_t control_len;
};

/* Reads up to the end of one frame. Returns how many bytes were used. */
size_t frame_read(struct frame_reader *reader, struct bytes in, struct frame *frame_out);
/* The payload of the last result is not needed any more; frame_read() does it too. */
void frame_forget(struct frame_reader *reader);
/* Bytes that it holds of a message. */
size_t frame_held(const struct frame_reader *reader);
void frame_reader_free(struct frame_reader *reader);

/* Appends one unmasked frame. */
void frame_write(struct buffer *out, enum opcode opcode, struct bytes payload);
void frame_write_close(struct buffer *out, uint16_t code, const char *reason);

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool frame_text_is_valid(struct bytes text);

#endif
