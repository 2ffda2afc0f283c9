/* SPDX-License-Identifier: MIT
 *
 * Reading messages, their envelopes, and acknowledgements (docs/protocol.md sections 2.6
 * and 2.7). Content stays the text that it is. Any thread.
 */
#include "read.h"

#include "restante/clock.h"
#include "restante/crypto.h"

#include <stdlib.h>

/* Some 68 years: what a node allows is far less, and milliseconds stay far from the ends
 * of their type. */
#define EXPIRES_IN_MAX_S INT32_MAX
#define TYPE_MAX	 255

void message_id_read(struct json value, uint8_t id_out[MESSAGE_ID_SIZE], char text_out[37])
{
	struct bytes text = json_text(value, UUID_TEXT_SIZE - 1, UUID_TEXT_SIZE - 1);

	if (uuid7_parse(text, id_out) == ERR_OK) {
		memcpy(text_out, text.data, text.len);
		text_out[text.len] = '\0';
	} else {
		json_fail(value, ERR_VALIDATION, "is not a UUID of version 7 in lower case");
		text_out[0] = '\0';
	}
}

static int by_device_id(const void *a, const void *b)
{
	const struct envelope *left = a, *right = b;

	return (int)left->device_id - (int)right->device_id;
}

static void envelope_read(struct json value, size_t content_max, struct device_set *set,
			  struct envelope *envelope)
{
	struct json object = json_as_object(value);

	envelope->device_id = device_id_read(json_get(&object, "device_id"), set);
	envelope->registration_id = registration_id_read(json_get(&object, "registration_id"));
	envelope->type = (uint8_t)json_int(json_get(&object, "type"), 0, TYPE_MAX);
	envelope->content = json_base64_text(json_get(&object, "content"), content_max);
}

void envelopes_read(struct json value, size_t content_max, struct message_request *message_out)
{
	struct json array = json_as_array(value, 1, DEVICES_MAX);
	struct device_set set = {0};
	size_t count = json_count(&array);
	struct envelope *envelopes = arena_array(value.source->arena, struct envelope, count);

	for (size_t i = 0; i < count && !json_failed(&array); i++)
		envelope_read(json_at(&array, i), content_max, &set, &envelopes[i]);
	qsort(envelopes, count, sizeof *envelopes, by_device_id);
	message_out->envelopes = envelopes;
	message_out->n_envelopes = count;
}

void message_read(const struct json *object, size_t content_max,
		  struct message_request *message_out)
{
	struct message_request *m = message_out;

	/* The id first: a refusal of what follows is told under it. */
	message_id_read(json_get(object, "id"), m->id, m->id_text);
	json_address(json_get(object, "to"), &m->to);
	m->timestamp_ms = json_int(json_get(object, "timestamp"), 0, JSON_INT_MAX);
	m->list_version = json_int_or(json_get(object, "list_version"), 0, JSON_INT_MAX, 0);
	m->urgent = json_bool_or(json_get(object, "urgent"), true);
	m->ephemeral = json_bool_or(json_get(object, "ephemeral"), false);
	m->expires_in_ms = SECONDS_MS *
			   json_int_or(json_get(object, "expires_in"), 1, EXPIRES_IN_MAX_S, 0);
	envelopes_read(json_get(object, "envelopes"), content_max, m);
}

enum err message_decode(struct arena *arena, struct bytes json, size_t content_max,
			struct message_request *message_out, struct problem *problem)
{
	struct message_request message = {0};
	struct json_source source;
	struct json root = json_open(&source, arena, json, problem);
	enum err err;

	message_read(&root, content_max, &message);
	err = json_close(&source);
	if (err == ERR_OK)
		*message_out = message;
	return err;
}

static void seqs_read(struct json value, struct ack_request *ack)
{
	struct json array = json_as_array(value, 1, ACK_SEQS_MAX);

	ack->n_seqs = json_count(&array);
	ack->seqs = arena_array(value.source->arena, int64_t, ack->n_seqs);
	for (size_t i = 0; i < ack->n_seqs; i++)
		ack->seqs[i] = json_int(json_at(&array, i), 1, JSON_INT_MAX);
}

void ack_read(const struct json *object, struct ack_request *ack_out)
{
	struct json up_to = json_get(object, "up_to");
	struct json seqs = json_get(object, "seqs");

	*ack_out = (struct ack_request){0};
	if (!json_is_present(seqs))
		ack_out->up_to = json_int(up_to, 1, JSON_INT_MAX);
	else if (json_is_present(up_to))
		json_fail(up_to, ERR_VALIDATION, "excludes seqs");
	else
		seqs_read(seqs, ack_out);
}

enum err ack_decode(struct arena *arena, struct bytes json, struct ack_request *out,
		    struct problem *problem)
{
	struct ack_request ack;
	struct json_source source;
	struct json root = json_open(&source, arena, json, problem);
	enum err err;

	ack_read(&root, &ack);
	err = json_close(&source);
	if (err == ERR_OK)
		*out = ack;
	return err;
}
