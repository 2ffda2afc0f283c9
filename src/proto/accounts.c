/* SPDX-License-Identifier: MIT
 *
 * Reading requests about accounts, sessions and devices (docs/protocol.md sections 2.2
 * and 2.3). Any thread.
 */
#include "restante/accounts.h"

#include "restante/password.h"

#include "read.h"

#define OPAQUE_MAX 128 /* invites, link tokens and nonces as text: this node made them */

static const char *new_password_read(struct json value)
{
	return json_text_copy(value, PASSWORD_MIN, PASSWORD_MAX);
}

/* One to compare with what was set, whenever that was: no minimum. */
static const char *password_read(struct json value)
{
	return json_text_copy(value, 0, PASSWORD_MAX);
}

enum err register_decode(struct arena *arena, struct bytes json, struct register_request *out,
			 struct problem *problem)
{
	struct register_request request = {0};
	struct json_source source;
	struct json root = json_open(&source, arena, json, problem);
	struct json password = json_get(&root, "password");
	struct json device = json_as_object(json_get(&root, "device"));
	enum err err;

	user_read(json_get(&root, "username"), request.user);
	if (json_is_present(password))
		request.password = new_password_read(password);
	request.invite = json_text_or_null(json_get(&root, "invite"), 1, OPAQUE_MAX);
	key_upload_read(&device, true, &request.device);
	err = json_close(&source);
	if (err == ERR_OK)
		*out = request;
	return err;
}

enum err login_decode(struct arena *arena, struct bytes json, struct login_request *out,
		      struct problem *problem)
{
	struct login_request request = {0};
	struct device_set set = {0};
	struct json_source source;
	struct json root = json_open(&source, arena, json, problem);
	struct json password = json_get(&root, "password");
	struct json nonce = json_get(&root, "nonce");
	struct json signature = json_get(&root, "signature");
	enum err err;

	user_read(json_get(&root, "username"), request.user);
	request.device_id = device_id_read(json_get(&root, "device_id"), &set);
	if (!json_is_present(password)) {
		request.nonce = json_text_copy(nonce, 1, OPAQUE_MAX);
		request.signature = json_base64(signature, 1, SCHEME_SIGNATURE_MAX);
	} else if (json_is_present(nonce) || json_is_present(signature)) {
		json_fail(password, ERR_VALIDATION, "excludes a signature");
	} else {
		request.password = password_read(password);
	}
	err = json_close(&source);
	if (err == ERR_OK)
		*out = request;
	return err;
}

enum err link_decode(struct arena *arena, struct bytes json, struct link_request *out,
		     struct problem *problem)
{
	struct link_request request = {0};
	struct json_source source;
	struct json root = json_open(&source, arena, json, problem);
	struct json token = json_get(&root, "token");
	struct json user = json_get(&root, "username");
	struct json password = json_get(&root, "password");
	struct json device = json_as_object(json_get(&root, "device"));
	enum err err;

	if (!json_is_present(token)) {
		user_read(user, request.user);
		request.password = password_read(password);
	} else if (json_is_present(user) || json_is_present(password)) {
		json_fail(token, ERR_VALIDATION, "excludes a password");
	} else {
		request.token = json_text_copy(token, 1, OPAQUE_MAX);
	}
	key_upload_read(&device, true, &request.device);
	err = json_close(&source);
	if (err == ERR_OK)
		*out = request;
	return err;
}

enum err password_decode(struct arena *arena, struct bytes json, struct password_request *out,
			 struct problem *problem)
{
	struct password_request request = {0};
	struct json_source source;
	struct json root = json_open(&source, arena, json, problem);
	struct json current = json_get(&root, "current_password");
	enum err err;

	request.password = new_password_read(json_get(&root, "password"));
	if (json_is_present(current))
		request.current_password = password_read(current);
	err = json_close(&source);
	if (err == ERR_OK)
		*out = request;
	return err;
}

static const char *const strangers_names[] = {
	[STRANGERS_REFUSE] = "refuse",
	[STRANGERS_REQUEST] = "request",
	[STRANGERS_ACCEPT] = "accept",
};

const char *strangers_name(enum strangers strangers)
{
	return strangers_names[strangers];
}

enum err strangers_parse(struct bytes text, enum strangers *strangers_out)
{
	for (size_t i = 0; i < sizeof strangers_names / sizeof strangers_names[0]; i++)
		if (bytes_equal(text, bytes_of_text(strangers_names[i]))) {
			*strangers_out = (enum strangers)i;
			return ERR_OK;
		}
	return ERR_VALIDATION;
}

static void strangers_read(struct json value, struct account_patch *patch)
{
	patch->has_strangers = true;
	if (strangers_parse(json_text(value, 1, SIZE_MAX), &patch->strangers) != ERR_OK)
		json_fail(value, ERR_VALIDATION, "is not accept, request or refuse");
}

enum err account_patch_decode(struct arena *arena, struct bytes json, struct account_patch *out,
			      struct problem *problem)
{
	struct account_patch patch = {0};
	struct json_source source;
	struct json root = json_open(&source, arena, json, problem);
	struct json strangers = json_get(&root, "strangers");
	struct json receipts = json_get(&root, "receipts");
	enum err err;

	if (json_is_present(strangers))
		strangers_read(strangers, &patch);
	patch.has_receipts = json_is_present(receipts);
	patch.receipts = json_bool_or(receipts, false);
	err = json_close(&source);
	if (err == ERR_OK)
		*out = patch;
	return err;
}

enum err text_member_decode(struct arena *arena, struct bytes json, const char *name,
			    size_t max, bool optional, const char **out,
			    struct problem *problem)
{
	struct json_source source;
	struct json root = json_open(&source, arena, json, problem);
	struct json value = json_get(&root, name);
	const char *text = NULL;
	enum err err;

	if (!optional || json_is_present(value))
		text = json_text_copy(value, 0, max);
	err = json_close(&source);
	if (err == ERR_OK)
		*out = text;
	return err;
}

enum err empty_decode(struct arena *arena, struct bytes json, bool *out,
		      struct problem *problem)
{
	struct json_source source;
	struct json root = json_open(&source, arena, json, problem);
	bool is_object = json_is_present(root);
	enum err err = json_close(&source);

	if (err == ERR_OK)
		*out = is_object;
	return err;
}
