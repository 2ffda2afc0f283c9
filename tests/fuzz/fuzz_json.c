/* SPDX-License-Identifier: MIT
 *
 * The reader of plain JSON against jansson: whatever it takes, jansson takes too, and reads
 * the same.
 */
#include "json_node.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct json_node *a, const struct json_node *b)
{
	assert(a->kind == b->kind && bytes_equal(a->name, b->name));
	if (a->kind == JSON_NODE_INTEGER)
		assert(a->integer == b->integer);
	if (a->kind == JSON_NODE_TEXT)
		assert(bytes_equal(a->text, b->text));
	if (a->kind != JSON_NODE_ARRAY && a->kind != JSON_NODE_OBJECT)
		return;
	assert(a->in.count == b->in.count);
	for (size_t i = 0; i < a->in.count; i++)
		check_same(&a->in.nodes[i], &b->in.nodes[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_create();
	struct json_node plain = {0}, any = {0};
	struct bytes text = bytes_of(data, size);

	if (json_plain_read(arena, text, &plain)) {
		assert(json_any_read(arena, text, &any) == NULL);
		check_same(&plain, &any);
	}
	arena_destroy(&arena);
	return 0;
}
