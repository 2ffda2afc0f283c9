/* SPDX-License-Identifier: MIT
 *
 * Writing device lists, bundles, claims and requests for lists (docs/protocol.md sections
 * 2.4 and 4.7). Any thread.
 */
#include "restante/keys.h"

#include "write.h"

#define DEVICE_EXPECTED	 256
#define PREKEYS_EXPECTED 2700 /* a Kyber key, two others, two signatures */

static void prekey_write(struct text *out, const char *name, const struct prekey *key)
{
	text_printf(out, ",\"%s\":", name);
	if (!key->present) {
		text_puts(out, "null");
		return;
	}
	text_printf(out, "{\"id\":%u,\"public_key\":", key->id);
	json_write_base64(out, key->public_key);
	if (key->signature.len > 0) {
		text_puts(out, ",\"signature\":");
		json_write_base64(out, key->signature);
	}
	text_puts(out, "}");
}

/* The object is left open. */
static void device_write(struct text *out, const struct device_keys *keys)
{
	text_printf(out, "{\"device_id\":%u,\"registration_id\":%u,\"scheme\":\"%s\"",
		    keys->device_id, keys->registration_id, scheme_name(keys->scheme));
	text_puts(out, ",\"identity_key\":");
	json_write_base64(out, keys->identity_key);
}

static void entries_write(struct text *out, const struct device_list *list, bool with_prekeys)
{
	text_puts(out, "\"devices\":[");
	for (size_t i = 0; i < list->count; i++) {
		const struct device_keys *keys = &list->devices[i];

		if (i > 0)
			text_puts(out, ",");
		device_write(out, keys);
		if (with_prekeys) {
			prekey_write(out, "signed_prekey", &keys->signed_prekey);
			prekey_write(out, "one_time_prekey", &keys->one_time);
			prekey_write(out, "pq_prekey", &keys->pq);
		}
		text_puts(out, "}");
	}
	text_puts(out, "]");
}

void device_entries_write(struct text *out, const struct device_list *list)
{
	entries_write(out, list, false);
}

static struct bytes list_encode(struct arena *arena, const struct device_list *list,
				bool with_prekeys)
{
	size_t each = DEVICE_EXPECTED + (with_prekeys ? PREKEYS_EXPECTED : 0);
	struct text out;

	text_init(&out, arena, ADDRESS_SIZE + list->count * each);
	text_printf(&out, "{\"address\":\"%s\",\"list_version\":%lld,", list->address.text,
		    (long long)list->list_version);
	entries_write(&out, list, with_prekeys);
	text_puts(&out, "}");
	return text_bytes(&out);
}

struct bytes bundles_encode(struct arena *arena, const struct device_list *list)
{
	return list_encode(arena, list, true);
}

struct bytes device_list_encode(struct arena *arena, const struct device_list *list)
{
	return list_encode(arena, list, false);
}

struct bytes claim_encode(struct arena *arena, const struct claim_request *claim)
{
	struct text out;

	text_init(&out, arena, 2 * ADDRESS_SIZE);
	text_printf(&out, "{\"claim_id\":\"%s\"", claim->claim_id);
	if (claim->requester.text[0] != '\0')
		text_printf(&out, ",\"requester\":\"%s\"", claim->requester.text);
	text_printf(&out, ",\"address\":\"%s\"", claim->address.text);
	if (claim->n_devices > 0) {
		text_puts(&out, ",\"devices\":");
		json_write_devices(&out, claim->devices, claim->n_devices);
	}
	text_puts(&out, "}");
	return text_bytes(&out);
}

struct bytes list_request_encode(struct arena *arena, const struct list_request *request)
{
	struct text out;

	text_init(&out, arena, 2 * ADDRESS_SIZE);
	text_printf(&out, "{\"requester\":\"%s\",\"address\":\"%s\"}", request->requester.text,
		    request->address.text);
	return text_bytes(&out);
}
