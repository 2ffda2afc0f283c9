/* SPDX-License-Identifier: MIT
 *
 * Reading any JSON strictly (docs/protocol.md section 1) with jansson. It already refuses
 * what is not UTF-8, names that occur twice, NUL, lone surrogates and bytes behind the
 * value; what it would do too late or not at all is done before and after it. Any thread.
 */
#include "json_node.h"

#include <jansson.h>

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

static void node_set(struct arena *arena, json_t *value, struct json_node *node);

static struct bytes text_of(struct arena *arena, json_t *value)
{
	return arena_bytes(arena,
			   bytes_of(json_string_value(value), json_string_length(value)));
}

static void array_set(struct arena *arena, json_t *array, struct json_node *node)
{
	size_t count = json_array_size(array);
	struct json_node *nodes = arena_array(arena, struct json_node, count);

	for (size_t i = 0; i < count; i++)
		node_set(arena, json_array_get(array, i), &nodes[i]);
	node->in.nodes = nodes;
	node->in.count = count;
}

static void object_set(struct arena *arena, json_t *object, struct json_node *node)
{
	size_t count = json_object_size(object);
	struct json_node *nodes = arena_array(arena, struct json_node, count), *member = nodes;
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		member->name = arena_bytes(arena, bytes_of_text(name));
		node_set(arena, value, member++);
	}
	node->in.nodes = nodes;
	node->in.count = count;
}

static void node_set(struct arena *arena, json_t *value, struct json_node *node)
{
	static const enum json_kind kinds[] = {
		[JSON_OBJECT] = JSON_NODE_OBJECT, [JSON_ARRAY] = JSON_NODE_ARRAY,
		[JSON_STRING] = JSON_NODE_TEXT,	  [JSON_INTEGER] = JSON_NODE_INTEGER,
		[JSON_REAL] = JSON_NODE_REAL,	  [JSON_TRUE] = JSON_NODE_TRUE,
		[JSON_FALSE] = JSON_NODE_FALSE,	  [JSON_NULL] = JSON_NODE_NULL,
	};

	node->kind = kinds[json_typeof(value)];
	if (node->kind == JSON_NODE_OBJECT)
		object_set(arena, value, node);
	else if (node->kind == JSON_NODE_ARRAY)
		array_set(arena, value, node);
	else if (node->kind == JSON_NODE_TEXT)
		node->text = text_of(arena, value);
	else if (node->kind == JSON_NODE_INTEGER)
		node->integer = json_integer_value(value);
}

const char *json_any_read(struct arena *arena, struct bytes text, struct json_node *root_out)
{
	const char *message = prescan(text);
	json_error_t error;
	json_t *root;

	if (message != NULL)
		return message;
	/* Random, once: names cannot be chosen to collide. */
	json_object_seed(0);
	root = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error);
	if (root == NULL && json_error_code(&error) == json_error_duplicate_key)
		return "a name occurs twice";
	if (root == NULL)
		return "not valid JSON";
	if (json_is_object(root))
		node_set(arena, root, root_out);
	else
		message = "not a JSON object";
	json_decref(root);
	return message;
}
