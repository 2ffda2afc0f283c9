/* SPDX-License-Identifier: MIT
 *
 * Reading transactions of other nodes (docs/protocol.md section 4.5): what is wrong with
 * the whole is an error, what is wrong with one item marks that item. Any thread.
 */
#include "restante/transaction.h"

#include "restante/crypto.h"

#include "read.h"

#define STREAM_BYTES 16

/* Where a transaction comes from and what is allowed there. */
struct intake {
	const char *origin;
	size_t content_max;
	bool ephemeral;
};

/* The one place that decides who may say what: an origin speaks for its own domain. */
static void speaker_read(const struct intake *intake, struct json value, struct address *out)
{
	json_address(value, out);
	if (!json_failed(&value) && strcmp(out->domain, intake->origin) != 0)
		json_fail(value, ERR_VALIDATION, "is not of the origin");
}

static void fed_message_read(const struct intake *intake, const struct json *object,
			     struct fed_item *item)
{
	struct message_request *m = &item->message;
	struct device_set from_device = {0};
	struct json token = json_get(object, "token");
	struct json expires_at = json_get(object, "expires_at");

	speaker_read(intake, json_get(object, "from"), &item->from);
	item->from_device = device_id_read(json_get(object, "from_device"), &from_device);
	message_id_read(json_get(object, "id"), m->id, m->id_text);
	json_address(json_get(object, "to"), &item->to);
	m->to = item->to;
	m->timestamp_ms = json_int(json_get(object, "timestamp"), 0, JSON_INT_MAX);
	m->list_version = json_int_or(json_get(object, "list_version"), 0, JSON_INT_MAX, 0);
	m->urgent = json_bool_or(json_get(object, "urgent"), true);
	m->ephemeral = intake->ephemeral;
	/* What is kept nowhere does not expire, and nobody sends a receipt for it. */
	if (!intake->ephemeral || json_is_present(expires_at))
		item->expires_at_ms = json_int(expires_at, 0, JSON_INT_MAX);
	if (!intake->ephemeral || json_is_present(token))
		item->token = json_text_copy(token, 1, TOKEN_TEXT_MAX);
	envelopes_read(json_get(object, "envelopes"), intake->content_max, m);
}

static void fed_receipt_read(const struct intake *intake, const struct json *object,
			     struct fed_item *item)
{
	struct message_request *m = &item->message;

	speaker_read(intake, json_get(object, "from"), &item->from);
	message_id_read(json_get(object, "id"), m->id, m->id_text);
	json_address(json_get(object, "to"), &item->to);
	item->n_devices = device_ids_read(json_get(object, "devices"), item->devices);
	m->timestamp_ms = json_int(json_get(object, "timestamp"), 0, JSON_INT_MAX);
	item->token = json_text_copy(json_get(object, "token"), 1, TOKEN_TEXT_MAX);
}

static void fed_devices_changed_read(const struct intake *intake, const struct json *object,
				     struct fed_item *item)
{
	speaker_read(intake, json_get(object, "address"), &item->from);
	item->list_version = json_int(json_get(object, "list_version"), 0, JSON_INT_MAX);
}

static enum fed_kind kind_read(struct json value)
{
	static const char *const names[] = {
		[FED_MESSAGE] = "message",
		[FED_RECEIPT] = "receipt",
		[FED_DEVICES_CHANGED] = "devices_changed",
		[FED_VOID] = "void",
	};
	struct bytes text = json_text(value, 1, SIZE_MAX);

	for (size_t i = FED_MESSAGE; i < sizeof names / sizeof names[0]; i++)
		if (bytes_equal(text, bytes_of_text(names[i])))
			return (enum fed_kind)i;
	json_fail(value, ERR_VALIDATION, "is not a known kind");
	return FED_VOID;
}

static void fed_item_read(const struct intake *intake, struct json value, struct fed_item *item)
{
	struct json_source part;
	struct json object = json_part(value, &part, NULL);
	struct json kind = json_get(&object, "kind");

	item->kind = kind_read(kind);
	if (intake->ephemeral && item->kind != FED_MESSAGE)
		json_fail(kind, ERR_VALIDATION, "is never ephemeral");
	switch (item->kind) {
	case FED_MESSAGE:
		fed_message_read(intake, &object, item);
		break;
	case FED_RECEIPT:
		fed_receipt_read(intake, &object, item);
		break;
	case FED_DEVICES_CHANGED:
		fed_devices_changed_read(intake, &object, item);
		break;
	case FED_VOID:
		break;
	}
	item->too_large = part.err == ERR_TOO_LARGE;
	item->bad = part.err != ERR_OK && !item->too_large;
}

static struct fed_item *items_read(const struct intake *intake, struct json value, size_t max,
				   size_t *count_out)
{
	struct json array = json_as_array(value, 1, max);
	size_t count = json_count(&array);
	struct fed_item *items = arena_array(value.source->arena, struct fed_item, count);

	for (size_t i = 0; i < count && !json_failed(&array); i++) {
		struct json item = json_as_object(json_at(&array, i));

		fed_item_read(intake, item, &items[i]);
	}
	*count_out = count;
	return items;
}

static void stream_read(struct json value, char stream_out[STREAM_SIZE])
{
	uint8_t bytes[STREAM_BYTES];
	struct bytes text = json_text(value, STREAM_SIZE - 1, STREAM_SIZE - 1);

	if (base64url_decode_exact(text, sizeof bytes, bytes) != ERR_OK)
		json_fail(value, ERR_VALIDATION, "is not 16 bytes of base64url");
	memcpy(stream_out, text.data, text.len);
	stream_out[text.len] = '\0';
}

/* Stream, seq and items; the last number still is a number. */
static void numbered_read(const struct json *root, const struct intake *intake,
			  struct transaction *t)
{
	struct json seq = json_get(root, "seq");

	stream_read(json_get(root, "stream"), t->stream);
	t->seq = json_int(seq, 1, JSON_INT_MAX - TRANSACTION_ITEMS_MAX);
	t->items =
		items_read(intake, json_get(root, "items"), TRANSACTION_ITEMS_MAX, &t->n_items);
}

enum err transaction_decode(struct arena *arena, struct bytes json, const char *origin,
			    size_t content_max, struct transaction *transaction_out,
			    struct problem *problem)
{
	struct intake intake = {.origin = origin, .content_max = content_max};
	struct transaction t = {0};
	struct json_source source;
	struct json root = json_open(&source, arena, json, problem);
	struct json ephemeral = json_get(&root, "ephemeral");
	enum err err;

	intake.ephemeral = json_is_present(ephemeral);
	if (!intake.ephemeral)
		numbered_read(&root, &intake, &t);
	else if (json_is_present(json_get(&root, "stream")) ||
		 json_is_present(json_get(&root, "seq")) ||
		 json_is_present(json_get(&root, "items")))
		json_fail(ephemeral, ERR_VALIDATION, "stands alone");
	else
		t.ephemeral = items_read(&intake, ephemeral, TRANSACTION_EPHEMERAL_MAX,
					 &t.n_ephemeral);
	err = json_close(&source);
	if (err == ERR_OK)
		*transaction_out = t;
	return err;
}
