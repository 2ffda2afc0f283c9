/* SPDX-License-Identifier: MIT
 *
 * Reading plain JSON, several times as fast as jansson does: one pass, and nothing is
 * copied. Whatever is unusual or wrong makes it give up, so there is nothing here that
 * decides how it is to be read or what is said about it. Any thread.
 */
#include "json_node.h"

/* Nodes of which the array or object has not ended. A transaction of 1,000 items fits. */
#define OPEN_MAX    1280
/* Each new name is compared with those before it. */
#define MEMBERS_MAX 32
#define DIGITS_MAX  15
#define BLOCK	    16

struct reader {
	struct arena *arena;
	const uint8_t *at, *end;
	size_t depth, containers, containers_max;
	size_t n_open;
	struct json_node open[OPEN_MAX];
};

/* Blocks of a fixed size are what compilers make fast. */
static bool is_plain(struct bytes text)
{
	uint8_t odd = 0;
	size_t i = 0;

	for (; text.len - i >= BLOCK; i += BLOCK)
		for (size_t j = i; j < i + BLOCK; j++)
			odd |= (text.data[j] < 0x20) | (text.data[j] > 0x7e) |
			       (text.data[j] == '\\');
	for (; i < text.len; i++)
		odd |= (text.data[i] < 0x20) | (text.data[i] > 0x7e) | (text.data[i] == '\\');
	return odd == 0;
}

static void skip_blanks(struct reader *reader)
{
	while (reader->at < reader->end && *reader->at == ' ')
		reader->at++;
}

static bool take(struct reader *reader, uint8_t c)
{
	skip_blanks(reader);
	if (reader->at == reader->end || *reader->at != c)
		return false;
	reader->at++;
	return true;
}

static bool take_text(struct reader *reader, struct bytes *text_out)
{
	const uint8_t *begin, *quote;

	if (!take(reader, '"'))
		return false;
	begin = reader->at;
	quote = memchr(begin, '"', (size_t)(reader->end - begin));
	if (quote == NULL)
		return false;
	*text_out = bytes_of(begin, (size_t)(quote - begin));
	reader->at = quote + 1;
	return true;
}

static bool take_word(struct reader *reader, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(reader->end - reader->at) < len || memcmp(reader->at, word, len) != 0)
		return false;
	reader->at += len;
	return true;
}

/* Without a sign. What follows it is for the caller to like. */
static bool take_integer(struct reader *reader, int64_t *integer_out)
{
	const uint8_t *begin = reader->at;
	int64_t integer = 0;

	while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9' &&
	       reader->at - begin < DIGITS_MAX)
		integer = 10 * integer + (*reader->at++ - '0');
	*integer_out = integer;
	return reader->at - begin == 1 || (reader->at > begin && *begin != '0');
}

static bool take_container(struct reader *reader, struct json_node *node);

static bool take_value(struct reader *reader, struct json_node *node)
{
	skip_blanks(reader);
	switch (reader->at < reader->end ? *reader->at : '\0') {
	case '"':
		node->kind = JSON_NODE_TEXT;
		return take_text(reader, &node->text);
	case '{':
		node->kind = JSON_NODE_OBJECT;
		return take_container(reader, node);
	case '[':
		node->kind = JSON_NODE_ARRAY;
		return take_container(reader, node);
	case 't':
		node->kind = JSON_NODE_TRUE;
		return take_word(reader, "true");
	case 'f':
		node->kind = JSON_NODE_FALSE;
		return take_word(reader, "false");
	case 'n':
		node->kind = JSON_NODE_NULL;
		return take_word(reader, "null");
	default:
		node->kind = JSON_NODE_INTEGER;
		return take_integer(reader, &node->integer);
	}
}

/* The name of a member, which none of the open nodes from the first on has. */
static bool take_name(struct reader *reader, size_t first, struct bytes *name_out)
{
	if (reader->n_open - first == MEMBERS_MAX || !take_text(reader, name_out))
		return false;
	for (size_t i = first; i < reader->n_open; i++)
		if (bytes_equal(reader->open[i].name, *name_out))
			return false;
	return take(reader, ':');
}

/* Of an array or object of which the entries so far are open, from the first on. */
static bool take_entry(struct reader *reader, enum json_kind kind, size_t first)
{
	struct json_node *node = &reader->open[reader->n_open];

	if (reader->n_open == OPEN_MAX)
		return false;
	node->name = bytes_of(NULL, 0);
	if (kind == JSON_NODE_OBJECT && !take_name(reader, first, &node->name))
		return false;
	reader->n_open++;
	return take_value(reader, node);
}

/* Its entries are open until it ends; then they go to the arena. */
static bool take_container(struct reader *reader, struct json_node *node)
{
	uint8_t end = node->kind == JSON_NODE_OBJECT ? '}' : ']';
	size_t first = reader->n_open, count;
	struct json_node *nodes;

	reader->at++;
	if (++reader->depth > DEPTH_MAX || ++reader->containers > reader->containers_max)
		return false;
	if (!take(reader, end)) {
		do {
			if (!take_entry(reader, node->kind, first))
				return false;
		} while (take(reader, ','));
		if (!take(reader, end))
			return false;
	}
	count = reader->n_open - first;
	nodes = arena_array(reader->arena, struct json_node, count);
	memcpy(nodes, &reader->open[first], count * sizeof *nodes);
	node->in.nodes = nodes;
	node->in.count = count;
	reader->n_open = first;
	reader->depth--;
	return true;
}

bool json_plain_read(struct arena *arena, struct bytes text, struct json_node *root_out)
{
	struct reader reader;

	if (text.len == 0 || !is_plain(text))
		return false;
	reader.arena = arena;
	reader.at = text.data;
	reader.end = text.data + text.len;
	reader.depth = reader.containers = reader.n_open = 0;
	reader.containers_max = CONTAINERS_FREE + text.len / BYTES_PER_CONTAINER;
	root_out->name = bytes_of(NULL, 0);
	if (!take_value(&reader, root_out) || root_out->kind != JSON_NODE_OBJECT)
		return false;
	skip_blanks(&reader);
	return reader.at == reader.end;
}
