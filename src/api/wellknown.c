/* SPDX-License-Identifier: MIT
 *
 * What anybody may read: the server document, health, metrics. Net thread.
 */
#include "handlers.h"
#include "handler.h"

#include "restante/clock.h"
#include "restante/log.h"
#include "restante/metrics.h"

/* A document is valid for 7 days; peers keep it for a day at most. */
#define DOCUMENT_RENEW_MS DAYS_MS

enum err document_renew(struct node *node, int64_t now_ms)
{
	struct arena *arena = arena_create();
	struct server_document document;
	struct bytes wrapper;
	enum err err =
		federation_own_document(node->config, node->keys.live, node->keys.n_live,
					node->keys.has_root ? node->keys.root_public_key : NULL,
					now_ms, arena, &document, &wrapper);

	if (err != ERR_OK) {
		arena_destroy(&arena);
		return err;
	}
	if (node->document_arena != NULL)
		arena_destroy(&node->document_arena);
	node->document_arena = arena;
	node->document = wrapper;
	node->document_ms = now_ms;
	memcpy(node->authority, document.authority, sizeof(node->authority));
	return ERR_OK;
}

void wellknown_document(struct request *request)
{
	static const struct header headers[] = {{"cache-control", "max-age=300"}};
	struct node *node = request_node(request);
	int64_t now_ms = clock_now_ms();

	if (!request_permit(request, LIMIT_PUBLIC, request->source, NULL))
		return;
	if (now_ms - node->document_ms > DOCUMENT_RENEW_MS &&
	    document_renew(node, now_ms) != ERR_OK) {
		request_fail(request, ERR_INTERNAL, NULL, NULL);
		return;
	}
	request_reply_with(request, 200, "application/json",
			   arena_bytes(request->arena, node->document), headers, 1);
}

void health(struct request *request)
{
	request_ok(request, bytes_of_text("{\"status\":\"ok\"}"));
}

void readiness(struct request *request)
{
	if (request_node(request)->ready)
		request_ok(request, bytes_of_text("{\"status\":\"ready\"}"));
	else
		request_fail(request, ERR_STORE, NULL, NULL);
}

static bool metrics_are_for(const struct request *request)
{
	const char *readers = request_node(request)->config->listen_metrics;

	return strcmp(readers, "all") == 0 ||
	       (strcmp(readers, "loopback") == 0 && request->local);
}

void metrics_text(struct request *request)
{
	struct text text;

	if (!metrics_are_for(request)) {
		request_fail(request, ERR_NOT_FOUND, NULL, NULL);
		return;
	}
	text_init(&text, request->arena, 8192);
	metrics_print(&text);
	request_reply_with(request, 200, "text/plain; version=0.0.4", text_bytes(&text), NULL,
			   0);
}
