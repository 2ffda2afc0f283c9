/* SPDX-License-Identifier: MIT
 *
 * Results of transactions (docs/protocol.md section 4.6). What comes from another node is
 * never passed on as it came: details are written anew from what was understood, for they
 * end in mailboxes of our users. Any thread.
 */
#include "restante/transaction.h"

#include "read.h"
#include "write.h"

#include <assert.h>

#define RESULT_EXPECTED 64
#define ERROR_CODE_MAX	64
#define HINT_MAX	4096 /* bytes of an answer that is no verdict */

static const char *const names[] = {
	[RESULT_OK] = "ok",
	[RESULT_DUPLICATE] = "duplicate",
	[RESULT_UNAVAILABLE] = "unavailable",
	[RESULT_STALE_LIST] = "stale_list",
	[RESULT_OVER_QUOTA] = "over_quota",
	[RESULT_TOO_LARGE] = "too_large",
	[RESULT_BAD] = "bad",
	[RESULT_EXPIRED] = "expired",
	[RESULT_UNKNOWN] = "unknown",
	[RESULT_KEY_CONFLICT] = "key_conflict",
	[RESULT_REFUSED] = "refused",
	[RESULT_REQUEST_WAITING] = "request_waiting",
};

const char *result_code_name(enum result_code code)
{
	assert((size_t)code < sizeof names / sizeof names[0]);
	return names[code];
}

struct bytes results_encode(struct arena *arena, int64_t acked,
			    const struct item_result *results, size_t count)
{
	size_t len = RESULT_EXPECTED;
	struct text out;

	for (size_t i = 0; i < count; i++)
		len += RESULT_EXPECTED + results[i].detail.len;
	text_init(&out, arena, len);
	text_printf(&out, "{\"acked\":%lld,\"results\":[", (long long)acked);
	for (size_t i = 0; i < count; i++) {
		text_printf(&out, "%s{\"seq\":%lld,\"code\":\"%s\"", i > 0 ? "," : "",
			    (long long)results[i].seq, result_code_name(results[i].code));
		if (results[i].detail.len > 0)
			text_puts(&out, ",");
		text_add(&out, results[i].detail);
		text_puts(&out, "}");
	}
	text_puts(&out, "]}");
	return text_bytes(&out);
}

/* One of the codes that nodes tell each other; ok is told by silence. */
static enum result_code code_read(struct json value)
{
	static const enum result_code told[] = {
		RESULT_DUPLICATE, RESULT_UNAVAILABLE, RESULT_STALE_LIST,      RESULT_OVER_QUOTA,
		RESULT_TOO_LARGE, RESULT_BAD,	      RESULT_REQUEST_WAITING,
	};
	struct bytes text = json_text(value, 1, SIZE_MAX);

	for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
		if (bytes_equal(text, bytes_of_text(names[told[i]])))
			return told[i];
	json_fail(value, ERR_VALIDATION, "is not a known code");
	return RESULT_BAD;
}

/* The devices may be left out: then they are NULL. */
static void stale_list_read(const struct json *object, struct device_list *list_out)
{
	if (json_is_given(json_get(object, "devices")))
		device_list_read(object, list_out);
	else
		list_out->list_version =
			json_int(json_get(object, "list_version"), 0, JSON_INT_MAX);
}

static struct bytes stale_list_detail(const struct json *object)
{
	struct device_list list = {0};
	struct text out;

	stale_list_read(object, &list);
	if (json_failed(object))
		return bytes_of_text("");
	text_init(&out, object->source->arena, RESULT_EXPECTED);
	text_printf(&out, "\"list_version\":%lld", (long long)list.list_version);
	if (list.devices != NULL) {
		text_puts(&out, ",");
		device_entries_write(&out, &list);
	}
	return text_bytes(&out);
}

static struct bytes over_quota_detail(const struct json *object)
{
	uint8_t devices[DEVICES_MAX];
	size_t count = device_ids_read(json_get(object, "devices"), devices);
	struct text out;

	text_init(&out, object->source->arena, RESULT_EXPECTED);
	text_puts(&out, "\"devices\":");
	json_write_devices(&out, devices, count);
	return text_bytes(&out);
}

static void result_read(struct json value, int64_t first, int64_t last,
			struct item_result *result)
{
	struct json object = json_as_object(value);

	result->seq = json_int(json_get(&object, "seq"), first, last);
	result->code = code_read(json_get(&object, "code"));
	if (result->code == RESULT_STALE_LIST)
		result->detail = stale_list_detail(&object);
	else if (result->code == RESULT_OVER_QUOTA)
		result->detail = over_quota_detail(&object);
}

enum err results_decode(struct arena *arena, struct bytes json, int64_t first, int64_t last,
			struct fed_results *results_out)
{
	struct fed_results results = {0};
	struct json_source source;
	struct json root = json_open(&source, arena, json, NULL);
	struct json array = json_as_array(json_get(&root, "results"), 0, TRANSACTION_ITEMS_MAX);

	results.acked = json_int(json_get(&root, "acked"), 0, last > 0 ? last : 0);
	results.count = json_count(&array);
	results.results = arena_array(arena, struct item_result, results.count);
	/* Rising numbers: none comes twice. */
	for (size_t i = 0; i < results.count && !json_failed(&root); i++) {
		result_read(json_at(&array, i), first, last, &results.results[i]);
		first = results.results[i].seq + 1;
	}
	if (json_close(&source) != ERR_OK)
		return ERR_PEER_INVALID;
	*results_out = results;
	return ERR_OK;
}

enum err stale_list_decode(struct arena *arena, struct bytes detail,
			   const struct address *address, struct device_list *list_out)
{
	struct device_list list = {.address = *address};
	struct json_source source;
	struct json root;
	struct text text;

	text_init(&text, arena, detail.len + 2);
	text_puts(&text, "{");
	text_add(&text, detail);
	text_puts(&text, "}");
	root = json_open(&source, arena, text_bytes(&text), NULL);
	stale_list_read(&root, &list);
	if (json_close(&source) != ERR_OK)
		return ERR_PEER_INVALID;
	*list_out = list;
	return ERR_OK;
}

/* Codes are logged and compared: nothing else may pass as one. */
static bool is_code(struct bytes text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];

		if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_')
			return false;
	}
	return true;
}

const char *error_code_decode(struct arena *arena, struct bytes json)
{
	struct json_source source;
	struct json root = json_open(&source, arena, json, NULL);
	struct json error = json_as_object(json_get(&root, "error"));
	struct bytes text = json_text(json_get(&error, "code"), 1, ERROR_CODE_MAX);
	const char *code = is_code(text) ? arena_text(arena, text) : "";

	return json_close(&source) == ERR_OK ? code : "";
}

const char *error_hint_decode(struct arena *arena, struct bytes json)
{
	enum err err = ERR_OK;

	if (json.len <= HINT_MAX)
		err = err_with_code(error_code_decode(arena, json));
	return err != ERR_OK ? err_code(err) : NULL;
}
