/* SPDX-License-Identifier: MIT
 *
 * Finding a domain's document. Steps, each named after what has happened:
 *
 *   service_found, txt_found -> host_found (one for each target) -> document_fetched
 *   -> host_found (where the document names another host) -> tell
 *
 * A step that fails ends the run, but it is told only when everything that was asked for has
 * come back: `waiting` counts that. Federation thread.
 */
#include "find.h"

#include "restante/clock.h"
#include "restante/log.h"
#include "restante/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECT_TIMEOUT_MS  5000
#define DOCUMENT_TIMEOUT_MS 10000
#define NAMES_TRIED_MAX	    3
#define HTTPS_PORT	    443

/* A host whose addresses become targets. */
struct host {
	struct find *find;
	bool known;
	char name[DOMAIN_SIZE];
	uint16_t port;
	struct host_answer answer;
};

enum way { WAY_FIXED, WAY_SRV, WAY_DOMAIN };

struct find {
	struct loop_task task;
	struct loop *loop;
	char domain[DOMAIN_SIZE];
	struct arena *arena;
	void (*done)(void *context, const struct found *found);
	void *context;
	unsigned waiting;
	enum way way;
	bool names_are_validated; /* by DNSSEC: the targets' own names do as TLS names too */
	struct host hosts[TARGETS_MAX];
	size_t n_hosts;
	size_t names_tried;
	struct targets targets; /* of the document */
	struct transfer *transfer;
	struct host authority; /* of the document, where that is another host */
	struct found found;
};

static void go_on(struct find *find);

static void fail(struct find *find, enum err err, const char *reason)
{
	if (find->found.err != ERR_OK)
		return;
	find->found.err = err;
	find->found.reason = arena_text(find->arena, bytes_of_text(reason));
}

static void tell(struct loop_task *task)
{
	struct find *find = (struct find *)task;

	find->done(find->context, &find->found);
	free(find);
}

/* Targets */

static void add_targets(struct targets *targets, const struct host *host, size_t at_most)
{
	for (size_t i = 0; i < host->answer.count && i < at_most; i++) {
		struct target *target = &targets->items[targets->count];

		if (targets->count == TARGETS_MAX)
			return;
		*target = (struct target){.port = host->port};
		memcpy(target->host, host->name, sizeof target->host);
		memcpy(target->address, host->answer.addresses[i], sizeof target->address);
		targets->count++;
	}
}

static void set_tls_name(struct targets *targets, const char *name)
{
	*targets = (struct targets){0};
	snprintf(targets->tls_name, sizeof targets->tls_name, "%s", name);
}

static void host_found(void *context, const struct host_answer *answer)
{
	struct host *host = context;

	host->answer = *answer;
	host->known = true;
	host->find->waiting--;
	go_on(host->find);
}

static void host_find(struct find *find, struct host *host, const char *name, int port)
{
	host->find = find;
	snprintf(host->name, sizeof host->name, "%s", name);
	host->port = (uint16_t)port;
	find->waiting++;
	resolve_host(find->loop, name, host_found, host);
}

/* DNS */

static void service_found(void *context, const struct srv_answer *answer)
{
	struct find *find = context;

	find->waiting--;
	switch (answer->outcome) {
	case RESOLVE_FOUND:
		find->way = WAY_SRV;
		find->names_are_validated = answer->validated;
		find->found.ttl_ms = answer->ttl_s * SECONDS_MS;
		find->n_hosts = answer->count;
		for (size_t i = 0; i < answer->count; i++)
			host_find(find, &find->hosts[i], answer->records[i].target,
				  answer->records[i].port);
		break;
	case RESOLVE_NONE:
		find->way = WAY_DOMAIN;
		find->n_hosts = 1;
		host_find(find, &find->hosts[0], find->domain, HTTPS_PORT);
		break;
	case RESOLVE_REFUSED:
		find->found.declined = true;
		fail(find, ERR_PEER_UNREACHABLE, "the domain does not federate");
		break;
	case RESOLVE_TRANSIENT:
		fail(find, ERR_PEER_UNREACHABLE, "DNS does not answer for SRV");
		break;
	}
	go_on(find);
}

static void txt_found(void *context, enum resolve_outcome outcome,
		      const struct txt_answer *answer)
{
	struct find *find = context;

	find->waiting--;
	find->found.txt = *answer;
	find->found.txt.failed = outcome == RESOLVE_TRANSIENT;
	go_on(find);
}

/* HOST:PORT or [V6]:PORT from the configuration; NULL without one. */
static const char *fixed_address(const struct find *find)
{
	const struct config_map *hosts = &loop_config(find->loop)->federation_hosts;

	for (size_t i = 0; i < hosts->count; i++)
		if (strcmp(hosts->items[i].name, find->domain) == 0)
			return hosts->items[i].value;
	return NULL;
}

static void find_fixed(struct find *find, const char *address)
{
	const char *colon = strrchr(address, ':');
	char name[DOMAIN_SIZE];
	int port = colon != NULL ? atoi(colon + 1) : HTTPS_PORT;
	size_t len = colon != NULL ? (size_t)(colon - address) : strlen(address);

	if (len > 1 && address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	}
	snprintf(name, sizeof name, "%.*s", (int)len, address);
	find->way = WAY_FIXED;
	find->found.no_txt_needed = true;
	find->n_hosts = 1;
	host_find(find, &find->hosts[0], name, port);
}

/* The document */

static void document_fetched(void *context, const struct transfer_answer *answer);

/* The next TLS name that may be tried: the domain with all targets, then, where DNSSEC
 * vouches for the SRV records, those of the targets. */
static bool next_name(struct find *find)
{
	size_t i = find->names_tried;
	size_t each = TARGETS_MAX / find->n_hosts;

	if (i == 0) {
		set_tls_name(&find->targets, find->domain);
		for (size_t host = 0; host < find->n_hosts; host++)
			add_targets(&find->targets, &find->hosts[host], each);
	} else {
		if (!find->names_are_validated || i > find->n_hosts || i >= NAMES_TRIED_MAX)
			return false;
		set_tls_name(&find->targets, find->hosts[i - 1].name);
		add_targets(&find->targets, &find->hosts[i - 1], TARGETS_MAX);
	}
	find->names_tried++;
	return true;
}

static void fetch(struct find *find)
{
	struct transfer_request request = {
		.targets = &find->targets,
		.url = arena_printf(find->arena, "https://%s/.well-known/restante",
				    find->targets.tls_name),
		.host = find->domain,
		.answer_max = DOCUMENT_WIRE_MAX,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.timeout_ms = DOCUMENT_TIMEOUT_MS,
	};

	find->waiting++;
	find->transfer = transfer_start(find->loop, &request, document_fetched, find);
}

/* The one that has answered is the first to be tried until the next discovery: those before
 * it may have cost seconds. */
static void prefer_target(struct targets *targets, size_t at)
{
	struct target target = targets->items[at];

	memmove(targets->items + 1, targets->items, at * sizeof target);
	targets->items[0] = target;
}

static void document_take(struct find *find, struct bytes wrapper)
{
	struct found *found = &find->found;
	const char *reason = "the document is malformed";

	metric_inc(discoveries_total);
	found->wrapper = arena_bytes(find->arena, wrapper);
	if (document_decode(find->arena, found->wrapper, &found->document) != ERR_OK ||
	    document_verify(&found->document, find->domain, clock_now_ms(), &reason) !=
		    ERR_OK) {
		fail(find, ERR_PEER_INVALID, reason);
		return;
	}
	/* SRV and fixed addresses are for all requests; else the document says where to. */
	found->targets = find->targets;
	if (find->way != WAY_DOMAIN)
		return;
	for (size_t i = 0; i < found->targets.count; i++)
		found->targets.items[i].port = (uint16_t)found->document.port;
	if (strcmp(found->document.host, find->domain) != 0)
		host_find(find, &find->authority, found->document.host, found->document.port);
}

static void document_fetched(void *context, const struct transfer_answer *answer)
{
	struct find *find = context;

	find->transfer = NULL;
	find->waiting--;
	if (answer->err == ERR_OK && answer->status == 200) {
		prefer_target(&find->targets, answer->target);
		document_take(find, answer->body);
	} else if (answer->err == ERR_OK)
		fail(find,
		     answer->status >= 500 || answer->status == 429 ? ERR_PEER_UNREACHABLE
								    : ERR_PEER_INVALID,
		     arena_printf(find->arena, "status %d for the document", answer->status));
	else if (answer->err == ERR_PEER_UNREACHABLE && next_name(find))
		fetch(find);
	else
		fail(find, answer->err, answer->error);
	go_on(find);
}

/* Keys without an address are worth something too: what they sign can be verified. */
static void authority_take(struct find *find)
{
	if (!find->authority.known)
		return;
	set_tls_name(&find->found.targets, find->authority.name);
	add_targets(&find->found.targets, &find->authority, TARGETS_MAX);
}

/* Called after every step. */
static void go_on(struct find *find)
{
	bool hosts_known = find->n_hosts > 0;

	for (size_t i = 0; i < find->n_hosts; i++)
		hosts_known = hosts_known && find->hosts[i].known;
	if (find->found.err == ERR_OK && hosts_known && find->names_tried == 0 &&
	    next_name(find))
		fetch(find);
	if (find->waiting > 0)
		return;
	if (find->found.err == ERR_OK)
		authority_take(find);
	loop_defer(find->loop, &find->task);
}

struct find *find_start(struct loop *loop, const char *domain, struct arena *arena,
			void (*done)(void *context, const struct found *found), void *context)
{
	struct find *find = calloc(1, sizeof *find);
	const char *fixed;

	if (find == NULL)
		fatal("out of memory");
	find->task.run = tell;
	find->found.ttl_ms = -1;
	find->loop = loop;
	find->arena = arena;
	find->done = done;
	find->context = context;
	snprintf(find->domain, sizeof find->domain, "%s", domain);
	fixed = fixed_address(find);
	if (fixed != NULL) {
		find_fixed(find, fixed);
		return find;
	}
	find->waiting = 2;
	resolve_srv(loop, domain, service_found, find);
	resolve_txt(loop, domain, txt_found, find);
	return find;
}

void find_abandon(struct find **find)
{
	if (*find == NULL)
		return;
	transfer_cancel(&(*find)->transfer);
	loop_forget((*find)->loop, &(*find)->task);
	free(*find);
	*find = NULL;
}
