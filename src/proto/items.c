/* SPDX-License-Identifier: MIT
 *
 * Writing mailbox items, and the answers to those who send (docs/protocol.md sections 2.6
 * and 2.7). Ids and addresses were validated when they came in and need no escapes. Any
 * thread.
 */
#include "restante/messages.h"

#include "write.h"

#include <assert.h>

#define ITEM_EXPECTED	256 /* without addresses and content */
#define ANSWER_EXPECTED 160

static const char body_begins[] = "{\"kind\":";

struct bytes envelope_item_encode(struct arena *arena, const struct envelope_item *item)
{
	const struct envelope *envelope = item->envelope;
	struct text out;

	text_init(&out, arena, ITEM_EXPECTED + strlen(item->from) + envelope->content.len);
	text_printf(&out,
		    "{\"kind\":\"envelope\",\"id\":\"%s\",\"from\":\"%s\",\"from_device\":%u,"
		    "\"timestamp\":%lld,\"server_timestamp\":%lld,\"type\":%u,\"urgent\":%s,"
		    "%s\"content\":\"",
		    item->id_text, item->from, item->from_device, (long long)item->timestamp_ms,
		    (long long)item->server_timestamp_ms, envelope->type,
		    json_bool_text(item->urgent), item->ephemeral ? "\"ephemeral\":true," : "");
	text_add(&out, envelope->content);
	text_puts(&out, "\"}");
	return text_bytes(&out);
}

struct bytes receipt_item_encode(struct arena *arena, const char *id_text, const char *from,
				 const uint8_t *devices, size_t n_devices, int64_t now_ms)
{
	struct text out;

	text_init(&out, arena, ITEM_EXPECTED + strlen(from));
	text_printf(&out,
		    "{\"kind\":\"receipt\",\"id\":\"%s\",\"from\":\"%s\",\"devices\":", id_text,
		    from);
	json_write_devices(&out, devices, n_devices);
	text_printf(&out, ",\"timestamp\":%lld}", (long long)now_ms);
	return text_bytes(&out);
}

struct bytes send_result_item_encode(struct arena *arena, const char *id_text, const char *to,
				     const char *code, struct bytes detail)
{
	struct text out;

	text_init(&out, arena, ITEM_EXPECTED + strlen(to) + detail.len);
	text_printf(&out,
		    "{\"kind\":\"send_result\",\"id\":\"%s\",\"to\":\"%s\",\"code\":\"%s\"",
		    id_text, to, code);
	if (detail.len > 0)
		text_puts(&out, ",");
	text_add(&out, detail);
	text_puts(&out, "}");
	return text_bytes(&out);
}

void item_write(struct text *out, const struct mailbox_item *item)
{
	struct bytes body = item->body;

	assert(body.len > sizeof body_begins &&
	       memcmp(body.data, body_begins, sizeof body_begins - 1) == 0);
	if (item->seq > 0) {
		text_printf(out, "{\"seq\":%lld,", (long long)item->seq);
		body = bytes_of(body.data + 1, body.len - 1);
	}
	text_add(out, body);
}

static size_t items_len(const struct mailbox_item *items, size_t count)
{
	static const size_t seq_expected = 24;
	size_t len = 0;

	for (size_t i = 0; i < count; i++)
		len += items[i].body.len + seq_expected;
	return len;
}

static void items_write(struct text *out, const struct mailbox_item *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			text_puts(out, ",");
		item_write(out, &items[i]);
	}
}

struct bytes mailbox_encode(struct arena *arena, const struct mailbox_item *items, size_t count,
			    bool more)
{
	struct text out;

	text_init(&out, arena, ANSWER_EXPECTED + items_len(items, count));
	text_puts(&out, "{\"items\":[");
	items_write(&out, items, count);
	text_printf(&out, "],\"more\":%s}", json_bool_text(more));
	return text_bytes(&out);
}

/* How many from the first on are of its kind, and like it acknowledged or not. */
static size_t run_of(const struct mailbox_item *items, size_t count)
{
	size_t n = 1;

	while (n < count && items[n].kind == items[0].kind &&
	       (items[n].seq == 0) == (items[0].seq == 0))
		n++;
	return n;
}

struct bytes items_frame_encode(struct arena *arena, const struct mailbox_item *items,
				size_t count, size_t *taken_out)
{
	static const char *const begins[] = {
		[ITEM_ENVELOPE] = "{\"type\":\"envelope\",\"envelopes\":[",
		[ITEM_RECEIPT] = "{\"type\":\"receipt\",\"receipts\":[",
		[ITEM_SEND_RESULT] = "{\"type\":\"send_result\",\"results\":[",
	};
	size_t n = run_of(items, count);
	struct text out;

	text_init(&out, arena, ANSWER_EXPECTED + items_len(items, n));
	text_puts(&out, begins[items[0].kind]);
	items_write(&out, items, n);
	text_puts(&out, "]}");
	*taken_out = n;
	return text_bytes(&out);
}

static void devices_member(struct text *out, const char *name, const uint8_t *devices,
			   size_t count)
{
	text_printf(out, "\"%s\":", name);
	json_write_devices(out, devices, count);
	text_puts(out, ",");
}

struct bytes list_mismatch_encode(struct arena *arena, const struct list_mismatch *mismatch)
{
	struct text out;

	text_init(&out, arena, ANSWER_EXPECTED);
	text_puts(&out, "{");
	if (mismatch->n_stale > 0)
		devices_member(&out, "stale_devices", mismatch->stale, mismatch->n_stale);
	devices_member(&out, "missing_devices", mismatch->missing, mismatch->n_missing);
	devices_member(&out, "extra_devices", mismatch->extra, mismatch->n_extra);
	text_printf(&out, "\"list_version\":%lld}", (long long)mismatch->list_version);
	return text_bytes(&out);
}

const char *message_status_name(enum message_status status)
{
	static const char *const names[] = {
		[MESSAGE_STORED] = "stored",   [MESSAGE_QUEUED] = "queued",
		[MESSAGE_RELAYED] = "relayed", [MESSAGE_DELIVERED] = "delivered",
		[MESSAGE_FAILED] = "failed",   [MESSAGE_UNKNOWN] = "unknown",
	};

	assert((size_t)status < sizeof names / sizeof names[0]);
	return names[status];
}

struct bytes send_answer_encode(struct arena *arena, const struct send_answer *answer)
{
	struct text out;

	text_init(&out, arena, ANSWER_EXPECTED);
	text_printf(&out, "{\"id\":\"%s\",\"status\":\"%s\",\"server_timestamp\":%lld",
		    answer->id_text, message_status_name(answer->status),
		    (long long)answer->server_timestamp_ms);
	if (answer->n_over_quota > 0) {
		text_puts(&out, ",\"over_quota\":");
		json_write_devices(&out, answer->over_quota, answer->n_over_quota);
	}
	text_puts(&out, "}");
	return text_bytes(&out);
}

struct bytes send_refusal_encode(struct arena *arena, const char *id_text, enum err err,
				 struct bytes details)
{
	struct text out;

	text_init(&out, arena, ANSWER_EXPECTED + details.len);
	text_printf(&out,
		    "{\"id\":\"%s\",\"code\":\"%s\",\"status_code\":%d,\"details\":", id_text,
		    err_code(err), err_status(err));
	text_add(&out, details.len > 0 ? details : bytes_of_text("{}"));
	text_puts(&out, "}");
	return text_bytes(&out);
}

struct bytes message_info_encode(struct arena *arena, const struct message_info *info)
{
	struct text out;

	text_init(&out, arena, ANSWER_EXPECTED + ADDRESS_SIZE);
	text_printf(&out,
		    "{\"id\":\"%s\",\"to\":\"%s\",\"status\":\"%s\",\"server_timestamp\":%lld,"
		    "\"taken_by\":",
		    info->id_text, info->to, message_status_name(info->status),
		    (long long)info->server_timestamp_ms);
	json_write_devices(&out, info->taken_by, info->n_taken_by);
	if (info->code != NULL) {
		text_puts(&out, ",\"code\":");
		json_write_string(&out, info->code);
	}
	text_puts(&out, "}");
	return text_bytes(&out);
}
