/* SPDX-License-Identifier: MIT
 *
 * One run of discovery: pin_loaded -> document_found -> decide -> pin_stored -> tell. Where
 * it fails and the last good document is still valid, that one is used: DNS and web servers
 * that are down for a while do not end what is known of a domain. Federation thread.
 */
#include "lookup.h"

#include "find.h"
#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"
#include "restante/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#define LIFE_DEFAULT_MS	 (6 * HOURS_MS)
#define LIFE_LEAST_MS	 (5 * MINUTES_MS)
#define LIFE_MOST_MS	 (24 * HOURS_MS)
#define LIFE_CONFLICT_MS (10 * MINUTES_MS)
#define LIFE_HALF_MS	 MINUTES_MS /* of a peer that has keys but no address */
#define TRIES_MOST	 4

struct lookup {
	struct loop_task task;
	struct lookup_context *context;
	char domain[DOMAIN_SIZE];
	void (*done)(void *owner, const struct lookup_result *result);
	void *owner;
	struct targets before;
	struct arena *arena;
	struct find *find;
	struct op_peer_load load;
	struct op_peer_put put;
	struct trust trust;
	unsigned tries;
	bool has_last; /* a stored document that is still valid */
	struct server_document last;
	struct lookup_result result;
};

/* The end */

static void lookup_free(struct lookup *lookup)
{
	find_abandon(&lookup->find);
	loop_forget(lookup->context->loop, &lookup->task);
	arena_destroy(&lookup->arena);
	free(lookup);
}

static void tell(struct loop_task *task)
{
	struct lookup *lookup = (struct lookup *)task;
	struct lookup_result result = lookup->result;

	lookup->result.peer = NULL; /* given away */
	lookup->done(lookup->owner, &result);
	lookup_free(lookup);
}

/* The peer keeps what is used of a document, not its bytes: they are in the store, and could
 * be 64 KiB for each of thousands of peers. */
static struct peer *peer_create(const char *domain, const struct server_document *document,
				const struct trust *trust)
{
	const char *texts[] = {document->api_url, document->software,
			       document->software_version, document->abuse};
	size_t total = sizeof(struct peer);
	struct peer *peer;
	char *room;

	for (size_t i = 0; i < 4; i++)
		total += strlen(texts[i]) + 1;
	peer = calloc(1, total);
	if (peer == NULL)
		fatal("out of memory");
	room = (char *)(peer + 1);
	for (size_t i = 0; i < 4; i++) {
		size_t size = strlen(texts[i]) + 1;

		texts[i] = memcpy(room, texts[i], size);
		room += size;
	}
	snprintf(peer->domain, sizeof peer->domain, "%s", domain);
	peer->document = *document;
	peer->document.raw = (struct bytes){0};
	peer->document.root_signed = NULL;
	peer->document.api_url = texts[0];
	peer->document.software = texts[1];
	peer->document.software_version = texts[2];
	peer->document.abuse = texts[3];
	peer->trust = *trust;
	return peer;
}

static void fail(struct lookup *lookup, enum err err, const char *reason)
{
	struct lookup_result *result = &lookup->result;
	struct targets *targets;

	result->err = err;
	result->reason = reason;
	if (lookup->has_last) {
		result->err = ERR_OK;
		result->peer = peer_create(lookup->domain, &lookup->last, &lookup->trust);
		targets = &result->peer->targets;
		*targets = lookup->before;
		if (targets->tls_name[0] == '\0')
			snprintf(targets->tls_name, sizeof targets->tls_name, "%s",
				 lookup->domain);
	}
	loop_defer(lookup->context->loop, &lookup->task);
}

/* As long as SRV says, within bounds, and a little at random so that not everything is
 * fetched at once. */
static int64_t life_of(const struct peer *peer, int64_t ttl_ms)
{
	int64_t left_ms = peer->document.valid_until_ms - clock_now_ms();
	int64_t life_ms = ttl_ms >= 0 ? ttl_ms : LIFE_DEFAULT_MS;

	if (life_ms < LIFE_LEAST_MS)
		life_ms = LIFE_LEAST_MS;
	life_ms = life_ms * (100 + crypto_random_u32_below(21)) / 100;
	if (life_ms > LIFE_MOST_MS)
		life_ms = LIFE_MOST_MS - crypto_random_u32_below(LIFE_MOST_MS / 5);
	if (peer->trust.conflict && life_ms > LIFE_CONFLICT_MS)
		life_ms = LIFE_CONFLICT_MS;
	if (peer->targets.count == 0)
		life_ms = LIFE_HALF_MS;
	return life_ms < left_ms ? life_ms : left_ms;
}

/* The store */

static bool post(struct lookup *lookup, struct store_op *op, enum store_kind kind,
		 void (*returned)(struct message *message))
{
	op->message.reply_to = lookup->context->inbox;
	op->message.returned = returned;
	op->kind = kind;
	op->arena = lookup->arena;
	op->now_ms = clock_now_ms();
	lookup->context->in_store++;
	if (store_post(lookup->context->config->store, op))
		return true;
	lookup->context->in_store--;
	return false;
}

static void begin(struct lookup *lookup);

/* The pin that this verdict is about is not there any more: the operator has had it forgotten,
 * or another process was faster. */
static void begin_anew(struct lookup *lookup)
{
	free(lookup->result.peer);
	lookup->result = (struct lookup_result){0};
	lookup->trust = (struct trust){0};
	lookup->has_last = false;
	if (++lookup->tries < TRIES_MOST)
		begin(lookup);
	else
		fail(lookup, ERR_BUSY, "others store its keys all the time");
}

static void pin_stored(struct message *message)
{
	struct lookup *lookup =
		(struct lookup *)((char *)message - offsetof(struct lookup, put));
	enum err err = lookup->put.op.err;

	lookup->context->in_store--;
	if (err == ERR_NOT_FOUND) {
		begin_anew(lookup);
		return;
	}
	/* The pin of last time is still there, and this verdict comes again. */
	if (err != ERR_OK)
		log_error(store_error, "domain=%s reason=\"keys of a peer were not stored\"",
			  lookup->domain);
	loop_defer(lookup->context->loop, &lookup->task);
}

static void store_pin(struct lookup *lookup, const struct found *found, bool keep_last)
{
	struct op_peer_put *put = &lookup->put;

	put->domain = lookup->domain;
	put->before = lookup->load.trust;
	put->trust = trust_encode(lookup->arena, &lookup->trust);
	/* A document whose keys are not believed does not replace one whose keys are. */
	put->document = keep_last ? lookup->load.document : found->wrapper;
	put->fetched_ms = keep_last ? lookup->load.fetched_ms : clock_now_ms();
	if (!post(lookup, &put->op, STORE_PEER_PUT, pin_stored)) {
		log_warn(store_error, "domain=%s reason=\"no room to store keys of a peer\"",
			 lookup->domain);
		loop_defer(lookup->context->loop, &lookup->task);
	}
}

/* Trust */

static void log_conflict(const struct lookup *lookup, const struct txt_answer *txt)
{
	metric_inc(key_conflicts_total);
	log_error(key_conflict, "domain=%s pinned=%d txt=%s", lookup->domain,
		  lookup->trust.pinned,
		  !txt->present	   ? "absent"
		  : txt->validated ? "validated"
				   : "not_validated");
}

static void log_verdict(const struct lookup *lookup, enum trust_verdict verdict)
{
	const char *name = trust_verdict_name(verdict);

	if (verdict == TRUST_SAME || verdict == TRUST_CONFLICT)
		return;
	if (verdict == TRUST_SAME_TXT_DIFFERS)
		log_warn(peer_keys, "domain=%s verdict=%s", lookup->domain, name);
	else if (verdict == TRUST_REPINNED)
		log_error(peer_keys,
			  "domain=%s verdict=%s reason=\"DNSSEC has named these keys for 72 h, "
			  "but none of the former keys has signed for them\"",
			  lookup->domain, name);
	else
		log_info(peer_keys, "domain=%s verdict=%s verified=%d", lookup->domain, name,
			 lookup->trust.verified);
}

static void decide(struct lookup *lookup, const struct found *found)
{
	bool was_in_conflict = lookup->trust.conflict;
	struct lookup_result *result = &lookup->result;
	const struct server_document *document = &found->document;
	enum trust_verdict verdict =
		trust_decide(&lookup->trust, document, &found->txt, clock_now_ms());

	if (verdict != TRUST_CONFLICT)
		log_verdict(lookup, verdict);
	else if (!was_in_conflict)
		log_conflict(lookup, &found->txt);
	if (verdict == TRUST_CONFLICT && lookup->has_last)
		document = &lookup->last;
	result->peer = peer_create(lookup->domain, document, &lookup->trust);
	result->peer->targets = found->targets;
	result->is_new = true;
	result->life_ms = life_of(result->peer, found->ttl_ms);
	store_pin(lookup, found, verdict == TRUST_CONFLICT);
}

static void document_found(void *context, const struct found *found)
{
	struct lookup *lookup = context;

	lookup->find = NULL;
	if (found->declined)
		lookup->has_last = false; /* the domain itself has ended it */
	if (found->err != ERR_OK)
		fail(lookup, found->err, found->reason);
	else if (!lookup->trust.pinned && found->txt.failed && !found->no_txt_needed)
		/* A first use that nothing could speak against has to wait. */
		fail(lookup, ERR_PEER_UNREACHABLE, "DNS does not answer for TXT");
	else
		decide(lookup, found);
}

static enum err pin_read(struct lookup *lookup)
{
	const struct op_peer_load *load = &lookup->load;
	const char *reason;

	if (load->op.err == ERR_NOT_FOUND)
		return ERR_OK;
	if (load->op.err != ERR_OK)
		return ERR_BUSY;
	if (trust_decode(load->trust, &lookup->trust) != ERR_OK)
		return ERR_PEER_INVALID;
	lookup->has_last =
		lookup->trust.pinned && load->document.len > 0 &&
		document_decode(lookup->arena, load->document, &lookup->last) == ERR_OK &&
		document_verify(&lookup->last, lookup->domain, clock_now_ms(), &reason) ==
			ERR_OK;
	return ERR_OK;
}

static void pin_loaded(struct message *message)
{
	struct lookup *lookup =
		(struct lookup *)((char *)message - offsetof(struct lookup, load));
	enum err err;

	lookup->context->in_store--;
	err = pin_read(lookup);
	/* A pin that cannot be read must not turn into a first use. */
	if (err != ERR_OK)
		fail(lookup, err, "the stored pin cannot be read");
	else
		lookup->find = find_start(lookup->context->loop, lookup->domain, lookup->arena,
					  document_found, lookup);
}

static void begin(struct lookup *lookup)
{
	lookup->load.domain = lookup->domain;
	if (!post(lookup, &lookup->load.op, STORE_PEER_LOAD, pin_loaded))
		fail(lookup, ERR_BUSY, "the store is busy");
}

struct lookup *lookup_start(struct lookup_context *context, const char *domain,
			    const struct peer *before,
			    void (*done)(void *owner, const struct lookup_result *result),
			    void *owner)
{
	struct lookup *lookup = calloc(1, sizeof *lookup);

	if (lookup == NULL)
		fatal("out of memory");
	lookup->task.run = tell;
	lookup->context = context;
	lookup->done = done;
	lookup->owner = owner;
	lookup->arena = arena_create();
	snprintf(lookup->domain, sizeof lookup->domain, "%s", domain);
	if (before != NULL)
		lookup->before = before->targets;
	begin(lookup);
	return lookup;
}

void lookup_abandon(struct lookup **lookup)
{
	if (*lookup == NULL)
		return;
	free((*lookup)->result.peer);
	lookup_free(*lookup);
	*lookup = NULL;
}
