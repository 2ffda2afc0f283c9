/* SPDX-License-Identifier: MIT
 *
 * Reading JSON from the network: the strict rules of docs/protocol.md section 1 in one
 * place, and small typed getters.
 *
 * A source remembers its first failure, and where it was, in the problem. After it every
 * getter gives zero, so a decoder reads all its members in a row and asks once, with
 * json_close(). What it has filled by then counts only if the answer is ERR_OK. Any
 * thread; a source belongs to one.
 */
#ifndef RESTANTE_PROTO_JSON_H
#define RESTANTE_PROTO_JSON_H

#include "restante/address.h"
#include "restante/arena.h"
#include "restante/problem.h"

#define JSON_INT_MAX (INT64_C(1) << 53)

struct json_node;

struct json_source {
	struct arena *arena;	 /* what is read is copied here; NULL: nothing is to copy */
	struct problem *problem; /* may be NULL */
	enum err err;		 /* the first failure */
	struct arena *nodes;	 /* what was read, until json_close() */
};

/* A value and its place. It points to its parent, which must not move meanwhile. */
struct json {
	struct json_source *source;
	const struct json *parent;
	const char *name;
	size_t index;
	const struct json_node *value; /* NULL: absent */
};

/* The root object. The text must live until json_close(). Every source that was opened is
 * closed, whatever became of it. */
struct json json_open(struct json_source *source, struct arena *arena, struct bytes text,
		      struct problem *problem);
enum err json_close(struct json_source *source) MUST_CHECK;
/* The same value with failures of its own, in part, and paths that begin there. A part is
 * not closed. */
struct json json_part(struct json value, struct json_source *part, struct problem *problem);

/* Only the first failure counts. The message is static; NULL for the usual one. */
void json_fail(struct json value, enum err err, const char *message);
bool json_failed(const struct json *value);

bool json_is_present(struct json value);
bool json_is_given(struct json value); /* present, and not null */
/* Absent for absent members, and in what is no object. */
struct json json_get(const struct json *object, const char *name);
/* Members one after the other: false at the end. The index begins as 0. */
bool json_next(const struct json *object, size_t *index, struct json *member_out);

/* These fail where the value is absent or of another kind. */
struct json json_as_object(struct json value);
struct json json_as_array(struct json value, size_t min, size_t max);
size_t json_count(const struct json *array);
struct json json_at(const struct json *array, size_t i);

/* Sizes are in bytes. The text lives until json_close(), a copy in the arena. */
struct bytes json_text(struct json value, size_t min, size_t max);
const char *json_text_copy(struct json value, size_t min, size_t max);
const char *json_text_or_null(struct json value, size_t min, size_t max); /* a copy */
int64_t json_int(struct json value, int64_t min, int64_t max);
int64_t json_int_or(struct json value, int64_t min, int64_t max, int64_t fallback);
bool json_bool(struct json value);
bool json_bool_or(struct json value, bool fallback);

/* Base64: decoded, of min to max bytes. */
struct bytes json_base64(struct json value, size_t min, size_t max);
void json_base64_exact(struct json value, size_t len, uint8_t *bytes_out);
/* Validated but left as text; standing for more than max bytes is ERR_TOO_LARGE. */
struct bytes json_base64_text(struct json value, size_t max);

void json_address(struct json value, struct address *address_out);

#endif
