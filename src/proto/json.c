/* SPDX-License-Identifier: MIT
 *
 * Getters of what was read strictly (docs/protocol.md section 1), in json_plain.c or
 * json_any.c.
 */
#include "json.h"

#include "restante/crypto.h"
#include "restante/text.h"

#include "json_node.h"

/* An object, or NULL and what is wrong. */
static const struct json_node *read(struct arena *arena, struct bytes text,
				    const char **message_out)
{
	struct json_node *root = arena_new(arena, struct json_node);

	if (json_plain_read(arena, text, root))
		return root;
	*message_out = json_any_read(arena, text, root);
	return *message_out == NULL ? root : NULL;
}

struct json json_open(struct json_source *source, struct arena *arena, struct bytes text,
		      struct problem *problem)
{
	const char *message = NULL;
	struct json root = {.source = source};

	*source = (struct json_source){
		.arena = arena, .problem = problem, .nodes = arena_create()};
	root.value = read(source->nodes, text, &message);
	if (root.value == NULL)
		json_fail(root, ERR_VALIDATION, message);
	return root;
}

enum err json_close(struct json_source *source)
{
	arena_destroy(&source->nodes);
	return source->err;
}

struct json json_part(struct json value, struct json_source *part, struct problem *problem)
{
	*part = (struct json_source){
		.arena = value.source->arena, .problem = problem, .nodes = value.source->nodes};
	return (struct json){.source = part, .value = value.value};
}

static void write_path(struct text *out, const struct json *value)
{
	if (value->parent == NULL)
		return;
	write_path(out, value->parent);
	if (value->name == NULL)
		text_printf(out, "[%zu]", value->index);
	else
		text_printf(out, "%s%s", out->len > 0 ? "." : "", value->name);
}

/* The path is made only now, when it is needed. A name right below the root is static and
 * needs no arena. */
static const char *path_of(struct json value)
{
	struct text out;

	if (value.parent == NULL)
		return NULL;
	if (value.parent->parent == NULL && value.name != NULL)
		return value.name;
	if (value.source->arena == NULL)
		return NULL;
	text_init(&out, value.source->arena, 0);
	write_path(&out, &value);
	return out.data;
}

void json_fail(struct json value, enum err err, const char *message)
{
	struct json_source *source = value.source;

	if (source->err != ERR_OK)
		return;
	source->err = err;
	if (source->problem != NULL)
		*source->problem =
			(struct problem){.field = path_of(value), .message = message};
}

bool json_failed(const struct json *value)
{
	return value->source->err != ERR_OK;
}

bool json_is_present(struct json value)
{
	return value.value != NULL;
}

static bool is(struct json value, enum json_kind kind)
{
	return value.value != NULL && value.value->kind == kind;
}

bool json_is_given(struct json value)
{
	return value.value != NULL && !is(value, JSON_NODE_NULL);
}

struct json json_get(const struct json *object, const char *name)
{
	struct json member = {.source = object->source, .parent = object, .name = name};
	struct bytes wanted = bytes_of_text(name);

	for (size_t i = 0; is(*object, JSON_NODE_OBJECT) && i < object->value->in.count; i++)
		if (bytes_equal(object->value->in.nodes[i].name, wanted))
			member.value = &object->value->in.nodes[i];
	return member;
}

bool json_next(const struct json *object, size_t *index, struct json *member_out)
{
	const struct json_node *node;

	if (!is(*object, JSON_NODE_OBJECT) || *index == object->value->in.count)
		return false;
	node = &object->value->in.nodes[(*index)++];
	*member_out = (struct json){.source = object->source,
				    .parent = object,
				    .name = arena_text(object->source->nodes, node->name),
				    .value = node};
	return true;
}

/* Whether to go on: the value is there, of the wanted kind, and nothing failed before. */
static bool is_kind(struct json value, bool right, const char *message)
{
	if (!right)
		json_fail(value, ERR_VALIDATION, value.value == NULL ? "is missing" : message);
	return right && value.source->err == ERR_OK;
}

struct json json_as_object(struct json value)
{
	if (!is_kind(value, is(value, JSON_NODE_OBJECT), "is not an object"))
		value.value = NULL;
	return value;
}

size_t json_count(const struct json *array)
{
	return is(*array, JSON_NODE_ARRAY) ? array->value->in.count : 0;
}

struct json json_as_array(struct json value, size_t min, size_t max)
{
	size_t count = json_count(&value);

	if (!is_kind(value, is(value, JSON_NODE_ARRAY), "is not an array")) {
		value.value = NULL;
	} else if (count < min || count > max) {
		json_fail(value, ERR_VALIDATION,
			  count < min ? "has too few entries" : "has too many entries");
		value.value = NULL;
	}
	return value;
}

struct json json_at(const struct json *array, size_t i)
{
	return (struct json){.source = array->source,
			     .parent = array,
			     .index = i,
			     .value =
				     i < json_count(array) ? &array->value->in.nodes[i] : NULL};
}

struct bytes json_text(struct json value, size_t min, size_t max)
{
	struct bytes text;

	if (!is_kind(value, is(value, JSON_NODE_TEXT), "is not a text"))
		return bytes_of_text("");
	text = value.value->text;
	if (text.len >= min && text.len <= max)
		return text;
	json_fail(value, ERR_VALIDATION, text.len < min ? "is too short" : "is too long");
	return bytes_of_text("");
}

const char *json_text_copy(struct json value, size_t min, size_t max)
{
	return arena_text(value.source->arena, json_text(value, min, max));
}

const char *json_text_or_null(struct json value, size_t min, size_t max)
{
	return json_is_present(value) ? json_text_copy(value, min, max) : NULL;
}

int64_t json_int(struct json value, int64_t min, int64_t max)
{
	int64_t number;

	if (!is_kind(value, is(value, JSON_NODE_INTEGER), "is not an integer"))
		return 0;
	number = value.value->integer;
	if (number >= min && number <= max)
		return number;
	json_fail(value, ERR_VALIDATION, "is out of range");
	return 0;
}

int64_t json_int_or(struct json value, int64_t min, int64_t max, int64_t fallback)
{
	return json_is_present(value) ? json_int(value, min, max) : fallback;
}

bool json_bool(struct json value)
{
	bool right = is(value, JSON_NODE_TRUE) || is(value, JSON_NODE_FALSE);

	return is_kind(value, right, "is not true or false") && is(value, JSON_NODE_TRUE);
}

bool json_bool_or(struct json value, bool fallback)
{
	return json_is_present(value) ? json_bool(value) : fallback;
}

/* True and its size where it is base64; else it has failed. */
static bool is_base64(struct json value, struct bytes *text_out, size_t *len_out)
{
	*text_out = json_text(value, 0, SIZE_MAX);
	if (json_failed(&value))
		return false;
	if (base64_is_valid(*text_out, len_out))
		return true;
	json_fail(value, ERR_VALIDATION, "is not canonical base64");
	return false;
}

struct bytes json_base64(struct json value, size_t min, size_t max)
{
	struct bytes text, bytes = bytes_of_text("");
	size_t len;

	if (!is_base64(value, &text, &len))
		return bytes;
	if (len < min || len > max)
		json_fail(value, ERR_VALIDATION, len < min ? "is too short" : "is too long");
	else if (base64_decode(value.source->arena, text, &bytes) != ERR_OK)
		json_fail(value, ERR_VALIDATION, "is not canonical base64");
	return bytes;
}

void json_base64_exact(struct json value, size_t len, uint8_t *bytes_out)
{
	struct bytes text = json_text(value, 0, SIZE_MAX);

	if (base64_decode_exact(text, len, bytes_out) != ERR_OK)
		json_fail(value, ERR_VALIDATION, "is not canonical base64 of the right size");
}

struct bytes json_base64_text(struct json value, size_t max)
{
	struct bytes text;
	size_t len;

	if (!is_base64(value, &text, &len))
		return bytes_of_text("");
	if (len > max) {
		json_fail(value, ERR_TOO_LARGE, "is too large");
		return bytes_of_text("");
	}
	return arena_bytes(value.source->arena, text);
}

void json_address(struct json value, struct address *address_out)
{
	struct bytes text = json_text(value, 1, ADDRESS_SIZE - 1);

	if (address_parse(text, address_out) != ERR_OK)
		json_fail(value, ERR_VALIDATION, "is not an address");
}
