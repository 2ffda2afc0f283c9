/* SPDX-License-Identifier: MIT
 *
 * TXT records of server keys.
 */
#include "restante/document.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_and_read(const char *kid, const uint8_t key[32])
{
	struct arena *arena = arena_create();
	uint8_t key_again[32];
	char kid_again[33];
	struct text out;

	text_init(&out, arena, 0);
	txt_write(&out, kid, key);
	assert(txt_decode(text_bytes(&out), kid_again, key_again) == ERR_OK);
	assert(strcmp(kid, kid_again) == 0 && memcmp(key, key_again, 32) == 0);
	arena_destroy(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t key[32];
	char kid[33];

	if (txt_decode(bytes_of(data, size), kid, key) == ERR_OK)
		write_and_read(kid, key);
	return 0;
}
