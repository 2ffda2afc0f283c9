/* SPDX-License-Identifier: MIT
 *
 * Every decoder of JSON bodies; the first byte of the input selects one, as a letter so
 * that a corpus can be written by hand. What was decoded and is passed on must be good
 * enough to be decoded again.
 */
#include "restante/crypto.h"
#include "restante/transaction.h"

#include <assert.h>

#define CONTENT_MAX 1024
#define ORIGIN	    "a.example"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void accounts(struct arena *arena, uint8_t which, struct bytes json)
{
	struct problem problem = {0};
	struct register_request registration;
	struct login_request login;
	struct link_request link;
	struct account_patch patch;
	enum err err;

	if (which == 'r')
		err = register_decode(arena, json, &registration, &problem);
	else if (which == 'l')
		err = login_decode(arena, json, &login, &problem);
	else if (which == 'd')
		err = link_decode(arena, json, &link, &problem);
	else
		err = account_patch_decode(arena, json, &patch, &problem);
	assert((err == ERR_OK) == (problem.message == NULL));
}

static void keys(struct arena *arena, struct bytes json)
{
	struct problem problem = {0};
	struct key_upload upload;

	if (key_upload_decode(arena, json, &upload, &problem) != ERR_OK)
		return;
	if (key_upload_check(&upload, SCHEME_SIGNAL, bytes_of_text(""), &problem) != ERR_OK)
		assert(problem.field != NULL);
}

static void claim(struct arena *arena, struct bytes json)
{
	struct problem problem = {0};
	struct claim_request first, second;
	struct list_request list;

	if (list_request_decode(json, &list, &problem) == ERR_OK) {
		json = list_request_encode(arena, &list);
		assert(list_request_decode(json, &list, &problem) == ERR_OK);
	}
	if (claim_decode(arena, json, true, &first, &problem) != ERR_OK)
		return;
	json = claim_encode(arena, &first);
	assert(claim_decode(arena, json, true, &second, &problem) == ERR_OK);
	assert(first.n_devices == second.n_devices);
}

static void devices(struct arena *arena, struct bytes json)
{
	struct device_list list;

	if (device_list_decode(arena, json, &list) != ERR_OK)
		return;
	json = bundles_encode(arena, &list);
	assert(device_list_decode(arena, json, &list) == ERR_OK);
	assert(bytes_equal(json, bundles_encode(arena, &list)));
}

static void forward(struct arena *arena, const struct message_request *message)
{
	struct problem problem = {0};
	struct bytes item = fed_message_encode(arena, "x@" ORIGIN, 1, message, 1, "token");
	struct bytes json = transaction_encode(arena, "AAECAwQFBgcICQoLDA0ODw", 1, &item, 1);
	struct transaction t;

	assert(transaction_decode(arena, json, ORIGIN, CONTENT_MAX, &t, &problem) == ERR_OK);
	assert(!t.items[0].bad && !t.items[0].too_large);
	assert(t.items[0].message.n_envelopes == message->n_envelopes);
}

/* With an escape jansson reads it, whoever did before: nothing else may differ. */
static void check_reader(struct arena *arena, struct bytes json, enum err err,
			 const struct message_request *message)
{
	struct problem problem = {0};
	struct message_request other;
	struct text text;

	if (json.len == 0 || json.data[0] != '{' || memchr(json.data, '~', json.len) != NULL)
		return;
	text_init(&text, arena, json.len);
	text_puts(&text, "{\"~\":\"\\n\",");
	text_add(&text, bytes_of(json.data + 1, json.len - 1));
	assert(message_decode(arena, text_bytes(&text), CONTENT_MAX, &other, &problem) == err);
	if (err != ERR_OK)
		return;
	assert(other.n_envelopes == message->n_envelopes);
	for (size_t i = 0; i < other.n_envelopes; i++)
		assert(bytes_equal(other.envelopes[i].content, message->envelopes[i].content));
}

static void message(struct arena *arena, struct bytes json)
{
	struct problem problem = {0};
	struct message_request request;
	enum err err = message_decode(arena, json, CONTENT_MAX, &request, &problem);

	check_reader(arena, json, err, &request);
	if (err == ERR_OK)
		forward(arena, &request);
}

static void frame(struct arena *arena, struct bytes json)
{
	struct problem problem = {0};
	struct frame f;

	if (frame_decode(arena, json, CONTENT_MAX, &f, &problem) != ERR_OK)
		return;
	for (size_t i = 0; i < f.n_messages; i++)
		if (f.errs[i] == ERR_OK)
			forward(arena, &f.messages[i]);
}

static void ack(struct arena *arena, struct bytes json)
{
	struct problem problem = {0};
	struct ack_request request;

	if (ack_decode(arena, json, &request, &problem) == ERR_OK)
		assert((request.up_to > 0) != (request.n_seqs > 0));
}

static void transaction(struct arena *arena, struct bytes json)
{
	struct problem problem = {0};
	struct transaction t;

	if (transaction_decode(arena, json, ORIGIN, CONTENT_MAX, &t, &problem) != ERR_OK)
		return;
	for (size_t i = 0; i < t.n_items; i++) {
		struct fed_item *item = &t.items[i];

		if (item->bad || item->too_large)
			continue;
		assert(item->kind == FED_VOID || strcmp(item->from.domain, ORIGIN) == 0);
		if (item->kind == FED_MESSAGE)
			forward(arena, &item->message);
	}
}

static void results(struct arena *arena, struct bytes json)
{
	struct fed_results first, second;

	error_code_decode(arena, json);
	if (results_decode(arena, json, 1, 9, &first) != ERR_OK)
		return;
	json = results_encode(arena, first.acked, first.results, first.count);
	assert(results_decode(arena, json, 1, 9, &second) == ERR_OK);
	assert(first.count == second.count);
	for (size_t i = 0; i < first.count; i++)
		assert(bytes_equal(first.results[i].detail, second.results[i].detail));
}

static void decode(struct arena *arena, uint8_t which, struct bytes json)
{
	switch (which) {
	case 'k':
		keys(arena, json);
		break;
	case 'c':
		claim(arena, json);
		break;
	case 'v':
		devices(arena, json);
		break;
	case 'm':
		message(arena, json);
		break;
	case 'f':
		frame(arena, json);
		break;
	case 'a':
		ack(arena, json);
		break;
	case 't':
		transaction(arena, json);
		break;
	case 's':
		results(arena, json);
		break;
	default:
		accounts(arena, which, json);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena;

	crypto_init();
	if (size < 1)
		return 0;
	arena = arena_create();
	decode(arena, data[0], bytes_of(data + 1, size - 1));
	arena_destroy(&arena);
	return 0;
}
