/* SPDX-License-Identifier: MIT
 *
 * The server document and the keys in it while the node runs. It is made anew every hour, on
 * SIGHUP, and when the turn of a key comes; each time the key files are loaded anew. The first
 * net thread does that, and gives each of the others a copy.
 */
#include "node.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"

#include <stdlib.h>

#define RENEW_EVERY_MS HOURS_MS
#define RENEW_AGAIN_MS MINUTES_MS /* where it could not be made */

static void sign_with(struct node *node, const struct sign_key *key)
{
	if (strcmp(node->signer.kid, key->kid) == 0)
		return;
	node->signer = *key;
	node->signer_is_news = true;
	log_info(server_keys, "signs=%s", key->kid);
}

/* --- for the other net threads ---------------------------------------------------------- */

/* On its way to one of them. */
struct document_copy {
	struct message message;
	struct arena *arena;
	struct bytes document;
	char authority[AUTHORITY_SIZE];
	struct sign_key signer;
};

static void document_copy_free(struct document_copy *copy)
{
	if (copy->arena != NULL)
		arena_destroy(&copy->arena);
	crypto_wipe(&copy->signer, sizeof(copy->signer));
	free(copy);
}

static void document_take(struct message *message, void *receiver)
{
	struct document_copy *copy = (struct document_copy *)(void *)message;
	struct node *node = receiver;

	if (node->document_arena != NULL)
		arena_destroy(&node->document_arena);
	node->document_arena = copy->arena;
	node->document = copy->document;
	memcpy(node->authority, copy->authority, sizeof(node->authority));
	node->signer = copy->signer;
	copy->arena = NULL;
	document_copy_free(copy);
}

static struct document_copy *document_copy(const struct node *first)
{
	struct document_copy *copy = calloc(1, sizeof(*copy));

	if (copy == NULL)
		fatal("out of memory");
	copy->message.deliver = document_take;
	copy->arena = arena_create();
	copy->document = arena_bytes(copy->arena, first->document);
	memcpy(copy->authority, first->authority, sizeof(copy->authority));
	copy->signer = first->signer;
	return copy;
}

void document_join(struct node *node)
{
	const struct node *first = node->shared->nodes[0];

	memcpy(node->keys.token_secret, first->keys.token_secret,
	       sizeof(node->keys.token_secret));
	memcpy(node->keys.receipt_secret, first->keys.receipt_secret,
	       sizeof(node->keys.receipt_secret));
	document_take(&document_copy(first)->message, node);
}

/* False: not all of them have room for it now. */
static bool document_pass(struct node *first)
{
	bool all = true;

	for (size_t i = 1; i < first->shared->n_nodes; i++) {
		struct document_copy *copy = document_copy(first);

		if (!inbox_post(first->shared->nodes[i]->inbox, &copy->message)) {
			document_copy_free(copy);
			all = false;
		}
	}
	return all;
}

/* --- making it -------------------------------------------------------------------------- */

/* All of it, or nothing changes. */
static enum err use(struct node *node, const struct node_keys *keys, int64_t now_ms,
		    bool some_unreadable)
{
	struct own_document own = {.config = node->config,
				   .some_unreadable = some_unreadable,
				   .arena = arena_create()};
	enum err err;

	node_keys_own(keys, now_ms, &own);
	err = federation_own_document(&own);
	if (err != ERR_OK) {
		arena_destroy(&own.arena);
		return err;
	}
	if (node->document_arena != NULL)
		arena_destroy(&node->document_arena);
	node->document_arena = own.arena;
	node->document = own.wrapper;
	node->document_due_ms = own.next_ms;
	memcpy(node->authority, own.document.authority, sizeof(node->authority));
	sign_with(node, &keys->server[own.signer]);
	node->keys = *keys;
	node->document_is_news = !document_pass(node);
	return ERR_OK;
}

enum err document_start(struct node *node)
{
	int64_t now_ms = clock_now_ms();
	struct node_keys keys;
	enum err err = node_keys_load(node->config->node_data_dir, &keys);

	if (err != ERR_OK)
		return err;
	err = use(node, &keys, now_ms, false);
	node_keys_wipe(&keys);
	node->renew_ms = clock_monotonic_ms() + RENEW_EVERY_MS;
	return err;
}

void document_renew(struct node *node)
{
	int64_t now_ms = clock_now_ms();
	struct node_keys keys = node->keys; /* its secrets */
	enum err err = node_server_keys_load(node->config->node_data_dir, &keys);

	if (err == ERR_OK)
		err = use(node, &keys, now_ms, false);
	if (err != ERR_OK) {
		log_error(server_keys, "reason=\"the new ones are not used\" err=%s",
			  err_code(err));
		keys = node->keys;
		err = use(node, &keys, now_ms, true);
	}
	node_keys_wipe(&keys);
	node->renew_ms = clock_monotonic_ms() + RENEW_EVERY_MS;
	if (err != ERR_OK) { /* the last document is good for some days yet */
		node->renew_ms = clock_monotonic_ms() + RENEW_AGAIN_MS;
		node->document_due_ms = INT64_MAX;
	}
}

void document_tick(struct node *node)
{
	if (clock_monotonic_ms() >= node->renew_ms || clock_now_ms() >= node->document_due_ms)
		document_renew(node);
	if (node->document_is_news)
		node->document_is_news = !document_pass(node);
	if (node->signer_is_news)
		node->signer_is_news =
			!federation_key_set(node->shared->federation, &node->signer);
}
