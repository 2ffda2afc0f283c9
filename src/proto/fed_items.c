/* SPDX-License-Identifier: MIT
 *
 * Writing items for other nodes and transactions of them (docs/protocol.md section 4.5).
 * Ids and addresses were validated when they came in and need no escapes. Any thread.
 */
#include "restante/transaction.h"

#include "write.h"

#define ITEM_EXPECTED	  320 /* without addresses, token and content */
#define ENVELOPE_EXPECTED 80

static void envelope_write(struct text *out, const struct envelope *envelope)
{
	text_printf(out, "{\"device_id\":%u,\"registration_id\":%u,\"type\":%u,\"content\":\"",
		    envelope->device_id, envelope->registration_id, envelope->type);
	text_add(out, envelope->content);
	text_puts(out, "\"}");
}

static size_t envelopes_len(const struct message_request *message)
{
	size_t len = 0;

	for (size_t i = 0; i < message->n_envelopes; i++)
		len += ENVELOPE_EXPECTED + message->envelopes[i].content.len;
	return len;
}

struct bytes fed_message_encode(struct arena *arena, const char *from, uint8_t from_device,
				const struct message_request *message, int64_t expires_at_ms,
				const char *token)
{
	struct text out;

	text_init(&out, arena,
		  ITEM_EXPECTED + strlen(from) + strlen(message->to.text) + TOKEN_TEXT_MAX +
			  envelopes_len(message));
	text_printf(&out,
		    "{\"kind\":\"message\",\"id\":\"%s\",\"from\":\"%s\",\"from_device\":%u,"
		    "\"to\":\"%s\",\"timestamp\":%lld,\"urgent\":%s,\"expires_at\":%lld,"
		    "\"list_version\":%lld",
		    message->id_text, from, from_device, message->to.text,
		    (long long)message->timestamp_ms, json_bool_text(message->urgent),
		    (long long)expires_at_ms, (long long)message->list_version);
	if (token != NULL) {
		text_puts(&out, ",\"token\":");
		json_write_string(&out, token);
	}
	text_puts(&out, ",\"envelopes\":[");
	for (size_t i = 0; i < message->n_envelopes; i++) {
		if (i > 0)
			text_puts(&out, ",");
		envelope_write(&out, &message->envelopes[i]);
	}
	text_puts(&out, "]}");
	return text_bytes(&out);
}

struct bytes fed_receipt_encode(struct arena *arena, const char *id_text, const char *from,
				const char *to, const uint8_t *devices, size_t n_devices,
				int64_t now_ms, const char *token)
{
	struct text out;

	text_init(&out, arena, ITEM_EXPECTED + strlen(from) + strlen(to) + strlen(token));
	text_printf(&out,
		    "{\"kind\":\"receipt\",\"id\":\"%s\",\"from\":\"%s\",\"to\":\"%s\","
		    "\"devices\":",
		    id_text, from, to);
	json_write_devices(&out, devices, n_devices);
	text_printf(&out, ",\"timestamp\":%lld,\"token\":", (long long)now_ms);
	json_write_string(&out, token);
	text_puts(&out, "}");
	return text_bytes(&out);
}

struct bytes fed_devices_changed_encode(struct arena *arena, const char *address,
					int64_t list_version)
{
	struct text out;

	text_init(&out, arena, ADDRESS_SIZE);
	text_printf(&out,
		    "{\"kind\":\"devices_changed\",\"address\":\"%s\",\"list_version\":%lld}",
		    address, (long long)list_version);
	return text_bytes(&out);
}

struct bytes fed_void_encode(void)
{
	return bytes_of_text("{\"kind\":\"void\"}");
}

struct bytes transaction_encode(struct arena *arena, const char *stream, int64_t seq,
				const struct bytes *items, size_t n_items)
{
	size_t len = ITEM_EXPECTED;
	struct text out;

	for (size_t i = 0; i < n_items; i++)
		len += items[i].len + 1;
	text_init(&out, arena, len);
	if (stream != NULL)
		text_printf(&out, "{\"stream\":\"%s\",\"seq\":%lld,\"items\":[", stream,
			    (long long)seq);
	else
		text_puts(&out, "{\"ephemeral\":[");
	for (size_t i = 0; i < n_items; i++) {
		if (i > 0)
			text_puts(&out, ",");
		text_add(&out, items[i]);
	}
	text_puts(&out, "]}");
	return text_bytes(&out);
}
