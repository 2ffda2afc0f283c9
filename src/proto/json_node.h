/* SPDX-License-Identifier: MIT
 *
 * What JSON is read into, and the two readers that make it: one for the plain texts that
 * nearly all messages are, and jansson, which decides about everything else. Any thread.
 */
#ifndef RESTANTE_PROTO_JSON_NODE_H
#define RESTANTE_PROTO_JSON_NODE_H

#include "restante/arena.h"

#define DEPTH_MAX	    16

/* An empty object of two bytes becomes some 250 in memory. Honest bodies have far fewer
 * objects and arrays than this, so 4 MiB cannot become hundreds. */
#define CONTAINERS_FREE	    2048
#define BYTES_PER_CONTAINER 16

enum json_kind {
	JSON_NODE_NULL,
	JSON_NODE_FALSE,
	JSON_NODE_TRUE,
	JSON_NODE_REAL, /* nothing here is one */
	JSON_NODE_INTEGER,
	JSON_NODE_TEXT,
	JSON_NODE_ARRAY,
	JSON_NODE_OBJECT,
};

struct json_node {
	struct bytes name; /* of a member */
	enum json_kind kind;
	union {
		int64_t integer;
		struct bytes text;
		struct {
			const struct json_node *nodes;
			size_t count;
		} in; /* arrays and objects */
	};
};

/* Reads a text without escapes, control characters, line ends, characters beyond ASCII,
 * fractions, negative or very long numbers, or very large objects, if it is an object and
 * keeps all rules; else false, which says nothing about it. Names and texts are pieces of
 * the text that is read; the nodes are in the arena. */
bool json_plain_read(struct arena *arena, struct bytes text, struct json_node *root_out);
/* Reads any text, a few times slower. NULL, or what is wrong. All is in the arena. */
const char *json_any_read(struct arena *arena, struct bytes text, struct json_node *root_out);

#endif
