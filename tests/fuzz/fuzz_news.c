/* SPDX-License-Identifier: MIT
 *
 * Payloads of news: anybody who may connect to the database can send one.
 */
#include "news.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_create();
	struct effects effects = {0};
	struct text again;

	if (news_read(arena, bytes_of(data, size), &effects) == ERR_OK) {
		text_init(&again, arena, 0);
		news_write(&again, &effects);
		assert(effects.outbound != NULL || again.len > 0 || size > 4000);
	}
	arena_destroy(&arena);
	return 0;
}
