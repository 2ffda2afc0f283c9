/* SPDX-License-Identifier: MIT
 *
 * Reading JSON strictly (docs/protocol.md section 1). jansson already refuses what is not
 * UTF-8, names that occur twice, NUL, lone surrogates and bytes behind the value; what it
 * would do too late or not at all is done before and after it.
 */
#include "json.h"

#include "restante/crypto.h"
#include "restante/text.h"

#include "aside.h"

#include <jansson.h>

#define DEPTH_MAX	    16

/* An empty object of two bytes becomes some 250 in memory. Honest bodies have far fewer
 * objects and arrays than this, so 4 MiB cannot become hundreds. */
#define CONTAINERS_FREE	    2048
#define BYTES_PER_CONTAINER 16

/* Behind the closing quote of the string that begins at i, or the end. */
static size_t skip_string(struct bytes text, size_t i)
{
	const uint8_t *end = text.data + text.len;
	const uint8_t *begin = text.data + i + 1, *quote = begin;

	while (quote < end && (quote = memchr(quote, '"', (size_t)(end - quote))) != NULL) {
		const uint8_t *before = quote;

		while (before > begin && before[-1] == '\\')
			before--;
		quote++;
		if ((quote - 1 - before) % 2 == 0)
			return (size_t)(quote - text.data);
	}
	return text.len;
}

/* Before jansson, which recurses and builds everything. NULL, or what is wrong. What is
 * no JSON at all may pass. */
static const char *prescan(struct bytes text)
{
	size_t depth = 0, containers = 0;

	for (size_t i = 0; i < text.len;) {
		switch (text.data[i]) {
		case '"':
			i = skip_string(text, i);
			continue;
		case '{':
		case '[':
			containers++;
			if (++depth > DEPTH_MAX)
				return "nested too deeply";
			break;
		case '}':
		case ']':
			depth -= depth > 0;
			break;
		}
		i++;
	}
	if (containers > CONTAINERS_FREE + text.len / BYTES_PER_CONTAINER)
		return "too many objects and arrays";
	return NULL;
}

static struct json_t *parse(struct json_source *source, struct bytes text,
			    const char **message_out)
{
	json_error_t error;
	struct bytes whole = text;
	json_t *root;

	*message_out = prescan(text);
	if (*message_out != NULL)
		return NULL;
	if (source->arena != NULL && aside_put(source->arena, text, &text))
		source->text = whole;
	/* Random, once: names cannot be chosen to collide. */
	json_object_seed(0);
	root = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error);
	if (root != NULL && json_is_object(root))
		return root;
	if (root != NULL)
		*message_out = "not a JSON object";
	else if (json_error_code(&error) == json_error_duplicate_key)
		*message_out = "a name occurs twice";
	else
		*message_out = "not valid JSON";
	json_decref(root);
	return NULL;
}

struct json json_open(struct json_source *source, struct arena *arena, struct bytes text,
		      struct problem *problem)
{
	const char *message = NULL;
	struct json root = {.source = source};

	*source = (struct json_source){.arena = arena, .problem = problem};
	root.value = source->root = parse(source, text, &message);
	if (root.value == NULL)
		json_fail(root, ERR_VALIDATION, message);
	return root;
}

enum err json_close(struct json_source *source)
{
	json_decref(source->root);
	source->root = NULL;
	return source->err;
}

struct json json_part(struct json value, struct json_source *part, struct problem *problem)
{
	*part = (struct json_source){
		.arena = value.source->arena, .problem = problem, .text = value.source->text};
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

bool json_is_given(struct json value)
{
	return value.value != NULL && !json_is_null(value.value);
}

struct json json_get(const struct json *object, const char *name)
{
	return (struct json){.source = object->source,
			     .parent = object,
			     .name = name,
			     .value = json_object_get(object->value, name)};
}

bool json_next(const struct json *object, void **cursor, struct json *member_out)
{
	if (object->value == NULL)
		return false;
	*cursor = *cursor == NULL ? json_object_iter(object->value)
				  : json_object_iter_next(object->value, *cursor);
	if (*cursor == NULL)
		return false;
	*member_out = (struct json){.source = object->source,
				    .parent = object,
				    .name = json_object_iter_key(*cursor),
				    .value = json_object_iter_value(*cursor)};
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
	if (!is_kind(value, json_is_object(value.value), "is not an object"))
		value.value = NULL;
	return value;
}

struct json json_as_array(struct json value, size_t min, size_t max)
{
	size_t count = json_array_size(value.value);

	if (!is_kind(value, json_is_array(value.value), "is not an array")) {
		value.value = NULL;
	} else if (count < min || count > max) {
		json_fail(value, ERR_VALIDATION,
			  count < min ? "has too few entries" : "has too many entries");
		value.value = NULL;
	}
	return value;
}

size_t json_count(const struct json *array)
{
	return json_array_size(array->value);
}

struct json json_at(const struct json *array, size_t i)
{
	return (struct json){.source = array->source,
			     .parent = array,
			     .index = i,
			     .value = json_array_get(array->value, i)};
}

struct bytes json_text(struct json value, size_t min, size_t max)
{
	struct bytes text;

	if (!is_kind(value, json_is_string(value.value), "is not a text"))
		return bytes_of_text("");
	text = bytes_of(json_string_value(value.value), json_string_length(value.value));
	if (value.source->text.len > 0)
		text = aside_resolve(value.source->text, text);
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

	if (!is_kind(value, json_is_integer(value.value), "is not an integer"))
		return 0;
	number = json_integer_value(value.value);
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
	return is_kind(value, json_is_boolean(value.value), "is not true or false") &&
	       json_is_true(value.value);
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
