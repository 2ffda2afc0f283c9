/* SPDX-License-Identifier: MIT
 *
 * What anybody may read: the server document, health, metrics.
 */
#include "handlers.h"
#include "handler.h"

#include "restante/clock.h"
#include "restante/metrics.h"

#define LOOK_EVERY_MS (2 * SECONDS_MS)

void wellknown_document(struct request *request)
{
	static const struct header headers[] = {{"cache-control", "max-age=300"}};
	struct node *node = request_node(request);

	if (!request_permit(request, LIMIT_PUBLIC, request->source, NULL))
		return;
	request_reply_with(request, 200, "application/json",
			   arena_bytes(request->arena, node->document), headers, 1);
}

void health(struct request *request)
{
	request_ok(request, bytes_of_text("{\"status\":\"ok\"}"));
}

/* The store is looked at by housekeeping (node.c), more often where somebody wants to know. One
 * that does not come to an end with it works no more. */
void readiness(struct request *request)
{
	struct shared *shared = request_node(request)->shared;
	int64_t since_ms = clock_monotonic_ms() - shared->expiry_ms;

	if (since_ms > LOOK_EVERY_MS)
		shared->next_expiry_ms = 0;
	if (shared->ready && !(shared->expiring && since_ms > LOOK_EVERY_MS))
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
