/* SPDX-License-Identifier: MIT
 *
 * Reading keys: uploads of devices, claims, and the device lists of other nodes
 * (docs/protocol.md sections 2.1, 2.4 and 4.7). Any thread.
 */
#include "read.h"

#include <stdlib.h>

bool claim_id_is_valid(struct bytes id)
{
	if (id.len < 1 || id.len > CLAIM_ID_MAX)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		uint8_t c = id.data[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && c != '_' && c != '-')
			return false;
	}
	return true;
}

enum key_scheme scheme_read(struct json value)
{
	enum key_scheme scheme = SCHEME_SIGNAL;

	if (scheme_parse(json_text(value, 1, SIZE_MAX), &scheme) != ERR_OK)
		json_fail(value, ERR_VALIDATION, "is not a known scheme");
	return scheme;
}

/* What a kind of prekey may look like. */
struct prekey_shape {
	size_t key_max;
	bool is_signed;
};
static const struct prekey_shape one_time_shape = {SCHEME_KEY_MAX, false};
static const struct prekey_shape signed_shape = {SCHEME_KEY_MAX, true};
static const struct prekey_shape pq_shape = {SCHEME_PQ_MAX, true};

static struct prekey prekey_read(struct json value, struct prekey_shape shape)
{
	struct json object = json_as_object(value);
	struct prekey key = {.present = true};

	key.id = (uint32_t)json_int(json_get(&object, "id"), 0, UINT32_MAX);
	key.public_key = json_base64(json_get(&object, "public_key"), 1, shape.key_max);
	if (shape.is_signed)
		key.signature =
			json_base64(json_get(&object, "signature"), 1, SCHEME_SIGNATURE_MAX);
	return key;
}

static struct prekey prekey_read_or_none(struct json value, struct prekey_shape shape)
{
	return json_is_present(value) ? prekey_read(value, shape) : (struct prekey){0};
}

static struct prekey_list prekeys_read(struct json value, struct prekey_shape shape)
{
	struct prekey_list list = {0};
	struct json array;

	if (!json_is_present(value))
		return list;
	array = json_as_array(value, 0, SIZE_MAX);
	list.count = json_count(&array);
	if (list.count > PREKEY_UPLOAD_MAX) {
		json_fail(value, ERR_TOO_LARGE, "has too many entries");
		list.count = 0;
	}
	list.keys = arena_array(value.source->arena, struct prekey, list.count);
	for (size_t i = 0; i < list.count && !json_failed(&array); i++)
		list.keys[i] = prekey_read(json_at(&array, i), shape);
	return list;
}

/* Scheme and identity key come together. */
static void identity_read(const struct json *object, bool required, struct key_upload *out)
{
	struct json scheme = json_get(object, "scheme");
	struct json identity = json_get(object, "identity_key");

	if (!required && !json_is_present(scheme) && !json_is_present(identity))
		return;
	out->has_identity = true;
	out->scheme = scheme_read(scheme);
	out->identity_key = json_base64(identity, 1, SCHEME_KEY_MAX);
}

void key_upload_read(const struct json *object, bool device, struct key_upload *upload_out)
{
	struct json name = json_get(object, "name");
	struct json registration_id = json_get(object, "registration_id");
	struct json signed_prekey = json_get(object, "signed_prekey");

	*upload_out = (struct key_upload){0};
	if (device && json_is_present(name)) {
		struct bytes text = json_text(name, 0, sizeof upload_out->name - 1);

		memcpy(upload_out->name, text.data, text.len);
	}
	if (device || json_is_present(registration_id))
		upload_out->registration_id = registration_id_read(registration_id);
	identity_read(object, device, upload_out);
	if (device || json_is_present(signed_prekey))
		upload_out->signed_prekey = prekey_read(signed_prekey, signed_shape);
	upload_out->one_time =
		prekeys_read(json_get(object, "one_time_prekeys"), one_time_shape);
	upload_out->pq = prekeys_read(json_get(object, "pq_prekeys"), pq_shape);
	upload_out->pq_last_resort =
		prekey_read_or_none(json_get(object, "pq_last_resort_prekey"), pq_shape);
}

enum err key_upload_decode(struct arena *arena, struct bytes json,
			   struct key_upload *upload_out, struct problem *problem)
{
	struct key_upload upload;
	struct json_source source;
	struct json root = json_open(&source, arena, json, problem);
	enum err err;

	key_upload_read(&root, false, &upload);
	err = json_close(&source);
	if (err == ERR_OK)
		*upload_out = upload;
	return err;
}

static void claim_id_read(struct json value, char id_out[CLAIM_ID_MAX + 1])
{
	struct bytes id = json_text(value, 1, CLAIM_ID_MAX);

	if (!claim_id_is_valid(id))
		json_fail(value, ERR_VALIDATION, "is not a claim id");
	memcpy(id_out, id.data, id.len);
	id_out[id.len] = '\0';
}

enum err claim_decode(struct arena *arena, struct bytes json, bool between_nodes,
		      struct claim_request *claim_out, struct problem *problem)
{
	struct claim_request claim = {0};
	struct json_source source;
	struct json root = json_open(&source, arena, json, problem);
	struct json devices = json_get(&root, "devices");
	enum err err;

	claim_id_read(json_get(&root, "claim_id"), claim.claim_id);
	if (between_nodes)
		json_address(json_get(&root, "requester"), &claim.requester);
	json_address(json_get(&root, "address"), &claim.address);
	if (json_is_present(devices))
		claim.n_devices = device_ids_read(devices, claim.devices);
	err = json_close(&source);
	if (err == ERR_OK)
		*claim_out = claim;
	return err;
}

enum err list_request_decode(struct bytes json, struct list_request *request_out,
			     struct problem *problem)
{
	struct list_request request;
	struct json_source source;
	struct json root = json_open(&source, NULL, json, problem);
	enum err err;

	json_address(json_get(&root, "requester"), &request.requester);
	json_address(json_get(&root, "address"), &request.address);
	err = json_close(&source);
	if (err == ERR_OK)
		*request_out = request;
	return err;
}

/* Lists of other nodes */

static struct prekey prekey_of_list(struct json value, struct prekey_shape shape)
{
	return json_is_given(value) ? prekey_read(value, shape) : (struct prekey){0};
}

static void check_key(struct json value, enum err err)
{
	if (err != ERR_OK)
		json_fail(value, ERR_VALIDATION, "is not a key of this scheme");
}

static void device_keys_read(struct json value, struct device_set *set,
			     struct device_keys *keys)
{
	struct json object = json_as_object(value);
	struct json identity = json_get(&object, "identity_key");
	struct json signed_prekey = json_get(&object, "signed_prekey");
	struct json one_time = json_get(&object, "one_time_prekey");
	struct json pq = json_get(&object, "pq_prekey");

	keys->device_id = device_id_read(json_get(&object, "device_id"), set);
	keys->registration_id = registration_id_read(json_get(&object, "registration_id"));
	keys->scheme = scheme_read(json_get(&object, "scheme"));
	keys->identity_key = json_base64(identity, 1, SCHEME_KEY_MAX);
	keys->signed_prekey = prekey_of_list(signed_prekey, signed_shape);
	keys->one_time = prekey_of_list(one_time, one_time_shape);
	keys->pq = prekey_of_list(pq, pq_shape);
	if (json_failed(&object))
		return;
	check_key(identity, scheme_check_identity(keys->scheme, keys->identity_key));
	if (keys->signed_prekey.present)
		check_key(signed_prekey,
			  scheme_check_prekey(keys->scheme, keys->signed_prekey.public_key));
	if (keys->one_time.present)
		check_key(one_time,
			  scheme_check_prekey(keys->scheme, keys->one_time.public_key));
	if (keys->pq.present)
		check_key(pq, scheme_check_pq(keys->scheme, keys->pq.public_key));
}

static int by_device_id(const void *a, const void *b)
{
	const struct device_keys *left = a, *right = b;

	return (int)left->device_id - (int)right->device_id;
}

void device_list_read(const struct json *object, struct device_list *list_out)
{
	struct json array = json_as_array(json_get(object, "devices"), 0, DEVICES_MAX);
	struct device_set set = {0};
	size_t count = json_count(&array);

	list_out->list_version = json_int(json_get(object, "list_version"), 0, JSON_INT_MAX);
	list_out->devices = arena_array(object->source->arena, struct device_keys, count);
	list_out->count = count;
	for (size_t i = 0; i < count && !json_failed(object); i++)
		device_keys_read(json_at(&array, i), &set, &list_out->devices[i]);
	qsort(list_out->devices, count, sizeof *list_out->devices, by_device_id);
}

enum err device_list_decode(struct arena *arena, struct bytes json,
			    struct device_list *list_out)
{
	struct device_list list;
	struct json_source source;
	struct json root = json_open(&source, arena, json, NULL);

	json_address(json_get(&root, "address"), &list.address);
	device_list_read(&root, &list);
	if (json_close(&source) != ERR_OK)
		return ERR_PEER_INVALID;
	*list_out = list;
	return ERR_OK;
}
