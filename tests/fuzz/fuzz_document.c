/* SPDX-License-Identifier: MIT
 *
 * Server documents as they come from other nodes: the wrapper, or, behind a first byte
 * that is not a brace, the document inside of one.
 */
#include "restante/crypto.h"
#include "restante/document.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes wrap(struct arena *arena, struct bytes document)
{
	return bytes_of_text(arena_printf(arena, "{\"document\":\"%s\",\"signatures\":{}}",
					  base64_encode(arena, document)));
}

static void check(struct arena *arena, const struct server_document *document)
{
	const char *reason = NULL;
	struct server_document again;
	enum err err =
		document_verify(document, document->server, document->issued_at_ms, &reason);

	assert((err == ERR_OK) == (reason == NULL));
	for (size_t i = 0; i < document->n_keys; i++) {
		const struct server_key *key = &document->keys[i];

		assert(document_key(document, key->kid) == key);
		document_signed_by(document, key->public_key);
	}
	assert(document_decode(arena, document_encode(arena, document, NULL, 0), &again) ==
	       ERR_OK);
	assert(strcmp(document->authority, again.authority) == 0);
	assert((document->root_signed == NULL) == (again.root_signed == NULL));
	if (document->root_signed != NULL)
		assert(bytes_equal(document->root_signed->raw, again.root_signed->raw));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes input = bytes_of(data, size);
	struct server_document document;
	struct arena *arena;

	crypto_init();
	arena = arena_create();
	if (size > 0 && data[0] != '{')
		input = wrap(arena, bytes_of(data + 1, size - 1));
	if (document_decode(arena, input, &document) == ERR_OK)
		check(arena, &document);
	arena_destroy(&arena);
	return 0;
}
