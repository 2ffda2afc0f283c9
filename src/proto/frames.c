/* SPDX-License-Identifier: MIT
 *
 * Reading the frames that clients send over the WebSocket (docs/protocol.md section 3).
 * Any thread.
 */
#include "read.h"

#include "restante/token.h"

static enum frame_type type_read(struct json value)
{
	static const char *const names[] = {
		[FRAME_AUTH] = "auth",
		[FRAME_SEND] = "send",
		[FRAME_ACK] = "ack",
		[FRAME_PING] = "ping",
	};
	struct bytes text = json_text(value, 1, SIZE_MAX);

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (bytes_equal(text, bytes_of_text(names[i])))
			return (enum frame_type)i;
	json_fail(value, ERR_VALIDATION, "is not a known type");
	return FRAME_PING;
}

/* Each message fails by itself; its paths begin at itself. */
static void messages_read(struct json value, size_t content_max, struct frame *frame)
{
	struct arena *arena = value.source->arena;
	struct json array = json_as_array(value, 1, SOCKET_SEND_MAX);
	size_t count = json_count(&array);

	frame->n_messages = count;
	frame->messages = arena_array(arena, struct message_request, count);
	frame->errs = arena_array(arena, enum err, count);
	frame->problems = arena_array(arena, struct problem, count);
	for (size_t i = 0; i < count; i++) {
		struct json_source part;
		struct json message = json_part(json_at(&array, i), &part, &frame->problems[i]);

		message = json_as_object(message);
		message_read(&message, content_max, &frame->messages[i]);
		frame->errs[i] = part.err;
	}
}

enum err frame_decode(struct arena *arena, struct bytes json, size_t content_max,
		      struct frame *frame_out, struct problem *problem)
{
	struct frame frame = {0};
	struct json_source source;
	struct json root = json_open(&source, arena, json, problem);
	enum err err;

	frame.type = type_read(json_get(&root, "type"));
	switch (frame.type) {
	case FRAME_AUTH:
		frame.token = json_text_copy(json_get(&root, "token"), 1, TOKEN_MAX);
		break;
	case FRAME_SEND:
		messages_read(json_get(&root, "messages"), content_max, &frame);
		break;
	case FRAME_ACK:
		ack_read(&root, &frame.ack);
		break;
	case FRAME_PING:
		break;
	}
	err = json_close(&source);
	if (err == ERR_OK)
		*frame_out = frame;
	return err;
}
