/* SPDX-License-Identifier: MIT
 *
 * Writing answers about accounts, sessions, devices and consent (docs/protocol.md sections
 * 2.2 to 2.5). Any thread.
 */
#include "restante/accounts.h"

#include "write.h"

#define DEVICE_EXPECTED	 200
#define CONSENT_EXPECTED 48

struct bytes session_encode(struct arena *arena, const struct session_reply *session)
{
	struct text out;

	text_init(&out, arena, ADDRESS_SIZE + 1024);
	text_puts(&out, "{\"address\":");
	json_write_string(&out, session->address);
	text_printf(&out, ",\"device_id\":%u,\"access_token\":", session->device_id);
	json_write_string(&out, session->access_token);
	text_puts(&out, ",\"refresh_token\":");
	json_write_string(&out, session->refresh_token);
	text_printf(&out, ",\"expires_in\":%lld,\"list_version\":%lld}",
		    (long long)session->expires_in_s, (long long)session->list_version);
	return text_bytes(&out);
}

struct bytes account_encode(struct arena *arena, const struct account_info *account)
{
	struct text out;

	text_init(&out, arena, ADDRESS_SIZE);
	text_puts(&out, "{\"address\":");
	json_write_string(&out, account->address);
	text_printf(&out,
		    ",\"strangers\":\"%s\",\"receipts\":%s,\"list_version\":%lld,"
		    "\"has_password\":%s}",
		    strangers_name(account->strangers), json_bool_text(account->receipts),
		    (long long)account->list_version, json_bool_text(account->has_password));
	return text_bytes(&out);
}

struct bytes devices_encode(struct arena *arena, int64_t list_version, uint8_t current,
			    const struct device_info *devices, size_t count)
{
	struct text out;

	text_init(&out, arena, (count + 1) * DEVICE_EXPECTED);
	text_printf(&out, "{\"list_version\":%lld,\"devices\":[", (long long)list_version);
	for (size_t i = 0; i < count; i++) {
		const struct device_info *device = &devices[i];

		text_printf(&out, "%s{\"device_id\":%u,\"name\":", i > 0 ? "," : "",
			    device->device_id);
		json_write_string(&out, device->name);
		text_printf(&out,
			    ",\"registration_id\":%u,\"created_at\":%lld,\"last_seen\":%lld,"
			    "\"current\":%s}",
			    device->registration_id, (long long)device->created_at_ms,
			    (long long)device->last_seen_ms,
			    json_bool_text(device->device_id == current));
	}
	text_puts(&out, "]}");
	return text_bytes(&out);
}

struct bytes key_stats_encode(struct arena *arena, const struct key_stats *stats)
{
	struct text out;

	text_init(&out, arena, 160);
	text_printf(&out,
		    "{\"one_time_prekeys\":%lld,\"pq_prekeys\":%lld,\"pq_last_resort\":%s,"
		    "\"signed_prekey_id\":%u,\"signed_prekey_age\":%lld}",
		    (long long)stats->one_time, (long long)stats->pq,
		    json_bool_text(stats->pq_last_resort), stats->signed_prekey_id,
		    (long long)stats->signed_prekey_age_s);
	return text_bytes(&out);
}

static void requests_write(struct text *out, const struct consent_entry *entries, size_t count)
{
	const char *comma = "";

	text_puts(out, "\"requests\":[");
	for (size_t i = 0; i < count; i++) {
		if (entries[i].state != CONSENT_REQUESTED)
			continue;
		text_printf(out, "%s{\"address\":", comma);
		json_write_string(out, entries[i].address);
		text_printf(out, ",\"since\":%lld}", (long long)entries[i].since_ms);
		comma = ",";
	}
	text_puts(out, "]");
}

static void addresses_write(struct text *out, const char *name, enum consent_state state,
			    const struct consent_entry *entries, size_t count)
{
	const char *comma = "";

	text_printf(out, ",\"%s\":[", name);
	for (size_t i = 0; i < count; i++) {
		if (entries[i].state != state)
			continue;
		text_puts(out, comma);
		json_write_string(out, entries[i].address);
		comma = ",";
	}
	text_puts(out, "]");
}

struct bytes consent_encode(struct arena *arena, const struct consent_entry *entries,
			    size_t count)
{
	struct text out;

	text_init(&out, arena, (count + 1) * CONSENT_EXPECTED);
	text_puts(&out, "{");
	requests_write(&out, entries, count);
	addresses_write(&out, "accepted", CONSENT_ACCEPTED, entries, count);
	addresses_write(&out, "blocked", CONSENT_BLOCKED, entries, count);
	text_puts(&out, "}");
	return text_bytes(&out);
}
