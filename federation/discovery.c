/* SPDX-License-Identifier: MIT
 *
 * What is known of other domains, and the one discovery that runs for all who want to know
 * it at the same time. Entries are kept in the order of their last use; failures are kept
 * for a short while, so that a domain that is down is not asked for every message.
 * Federation thread.
 */
#include "lookup.h"
#include "states.h"

#include "restante/clock.h"
#include "restante/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define uthash_fatal(reason) fatal("discovery: %s", reason)
#include <uthash.h>

#define ENTRIES_MAX    10000
#define LOOKUPS_MAX    1024
#define STRANGERS_MAX  128 /* lookups for those who call here and are not known */
#define RENEW_AFTER_MS MINUTES_MS
#define RETRY_MOST_MS  MINUTES_MS
#define UNUSED_MAX_MS  (24 * HOURS_MS)
#define SWEEP_EVERY_MS MINUTES_MS

/* Times are monotonic. */
struct entry {
	UT_hash_handle hh;
	struct loop_task task; /* answers the waiters */
	struct discovery *discovery;
	char domain[DOMAIN_SIZE];
	struct peer *peer; /* NULL: none, for the reason in err */
	enum err err;
	int64_t found_ms; /* when the last discovery ended */
	int64_t fresh_until_ms;
	int64_t retry_ms; /* none sooner, after a failure */
	int64_t used_ms;
	unsigned failures;
	struct peer_wait *waiters, **last_waiter;
	struct lookup *lookup;
	bool outdated; /* what the lookup finds does not count */
	bool stranger; /* the lookup counts as one of theirs */
	bool answering;
};

struct discarded {
	struct discarded *next;
	struct peer *peer;
};

struct discovery {
	struct lookup_context context;
	struct entry *entries;	       /* least recently used first */
	size_t n_lookups, n_strangers; /* under way: all, and those of strangers */
	int64_t sweep_ms;
	struct discarded *discarded; /* peers that somebody may look at until the next tick */
};

/* Entries */

static void discard_peer(struct discovery *discovery, struct peer *peer)
{
	struct discarded *discarded;

	if (peer == NULL)
		return;
	discarded = calloc(1, sizeof *discarded);
	if (discarded == NULL)
		fatal("out of memory");
	discarded->peer = peer;
	discarded->next = discovery->discarded;
	discovery->discarded = discarded;
}

static void free_discarded(struct discovery *discovery)
{
	struct discarded *next;

	for (struct discarded *d = discovery->discarded; d != NULL; d = next) {
		next = d->next;
		free(d->peer);
		free(d);
	}
	discovery->discarded = NULL;
}

static void entry_remove(struct discovery *discovery, struct entry *entry)
{
	HASH_DEL(discovery->entries, entry);
	loop_forget(discovery->context.loop, &entry->task);
	lookup_abandon(&entry->lookup);
	discard_peer(discovery, entry->peer);
	free(entry);
}

static bool is_idle(const struct entry *entry)
{
	return entry->lookup == NULL && entry->waiters == NULL && !entry->answering;
}

/* Of the idle entries the one least recently used; rather one of a domain that could not be
 * found, since names that do not exist are free to anybody. */
static void make_room(struct discovery *discovery)
{
	struct entry *victim = NULL;

	if (HASH_COUNT(discovery->entries) < ENTRIES_MAX)
		return;
	for (struct entry *e = discovery->entries; e != NULL; e = e->hh.next) {
		if (!is_idle(e) || (victim != NULL && e->peer != NULL))
			continue;
		victim = e;
		if (e->peer == NULL)
			break;
	}
	if (victim != NULL)
		entry_remove(discovery, victim);
}

static void answer_waiters(struct loop_task *task);

static struct entry *entry_get(struct discovery *discovery, const char *domain)
{
	struct entry *entry;

	HASH_FIND_STR(discovery->entries, domain, entry);
	if (entry != NULL) {
		/* To the end, as the most recently used. */
		HASH_DEL(discovery->entries, entry);
	} else {
		make_room(discovery);
		entry = calloc(1, sizeof *entry);
		if (entry == NULL)
			fatal("out of memory");
		snprintf(entry->domain, sizeof entry->domain, "%s", domain);
		entry->discovery = discovery;
		entry->err = ERR_BUSY;
		entry->task.run = answer_waiters;
		entry->last_waiter = &entry->waiters;
	}
	HASH_ADD_STR(discovery->entries, domain, entry);
	entry->used_ms = clock_monotonic_ms();
	return entry;
}

/* Answers */

static void answer_waiters(struct loop_task *task)
{
	struct entry *entry = (struct entry *)((char *)task - offsetof(struct entry, task));
	struct peer_wait *wait = entry->waiters, *next;
	const struct peer *peer = entry->peer;
	enum err err = peer != NULL ? ERR_OK : entry->err;

	if (entry->lookup != NULL)
		return; /* its result comes later */
	entry->waiters = NULL;
	entry->last_waiter = &entry->waiters;
	entry->answering = true;
	for (; wait != NULL; wait = next) {
		next = wait->next; /* done() may free it */
		wait->done(wait, err, peer);
	}
	entry->answering = false;
}

static void log_result(const struct entry *entry, const struct lookup_result *result)
{
	if (result->err == ERR_OK && result->is_new)
		log_debug(discovery, "domain=%s result=ok targets=%zu keep_s=%lld",
			  entry->domain, result->peer->targets.count,
			  (long long)(result->life_ms / SECONDS_MS));
	else
		log_warn(discovery, "domain=%s result=%s error=%s reason=%s", entry->domain,
			 result->err == ERR_OK ? "last_good" : "failed", err_code(result->err),
			 log_quote(result->reason));
}

/* Sooner than the destination itself is tried again, for users ask too. */
static void set_retry(struct entry *entry, int64_t now_ms)
{
	const struct config *config = entry->discovery->context.config->config;
	const struct schedule schedule = {config->federation_backoff_first,
					  config->federation_backoff_max};
	int64_t wait_ms = backoff_ms(&schedule, ++entry->failures);

	entry->retry_ms = now_ms + (wait_ms < RETRY_MOST_MS ? wait_ms : RETRY_MOST_MS);
	entry->fresh_until_ms = entry->retry_ms;
}

static bool lookup_begin(struct entry *entry, bool stranger);

static void lookup_done(void *owner, const struct lookup_result *result)
{
	struct entry *entry = owner;
	struct discovery *discovery = entry->discovery;
	int64_t now_ms = clock_monotonic_ms();

	entry->lookup = NULL;
	discovery->n_lookups--;
	discovery->n_strangers -= entry->stranger;
	if (entry->outdated) {
		entry->outdated = false;
		free(result->peer);
		if (entry->waiters != NULL)
			(void)lookup_begin(entry, entry->stranger); /* in its own place */
		return;
	}
	log_result(entry, result);
	/* Where the store had no time for it, what is known is not out of date. */
	if (result->err != ERR_BUSY || entry->peer == NULL) {
		discard_peer(discovery, entry->peer);
		entry->peer = result->peer;
		entry->err = result->err;
	}
	entry->found_ms = now_ms;
	if (result->is_new) {
		entry->failures = 0;
		entry->retry_ms = 0;
		entry->fresh_until_ms = now_ms + result->life_ms;
	} else {
		set_retry(entry, now_ms);
	}
	if (entry->peer != NULL)
		entry->peer->refresh_ms = clock_now_ms() + entry->fresh_until_ms - now_ms;
	loop_defer(discovery->context.loop, &entry->task);
}

/* Asking */

static bool is_expired(const struct peer *peer)
{
	return clock_now_ms() > peer->document.valid_until_ms;
}

static bool is_stale(const struct entry *entry, bool renew)
{
	int64_t now_ms = clock_monotonic_ms();

	if (now_ms < entry->retry_ms)
		return false;
	return now_ms >= entry->fresh_until_ms ||
	       (renew && now_ms - entry->found_ms >= RENEW_AFTER_MS);
}

/* Strangers have a share of their own, so that those who call here under many names do not
 * keep this node from finding others. */
static bool lookup_begin(struct entry *entry, bool stranger)
{
	struct discovery *discovery = entry->discovery;

	if (discovery->n_lookups >= LOOKUPS_MAX ||
	    (stranger && discovery->n_strangers >= STRANGERS_MAX))
		return false;
	discovery->n_lookups++;
	discovery->n_strangers += stranger;
	entry->stranger = stranger;
	entry->lookup = lookup_start(&discovery->context, entry->domain, entry->peer,
				     lookup_done, entry);
	return true;
}

void discovery_get(struct discovery *discovery, const char *domain, bool renew,
		   struct peer_wait *wait)
{
	struct entry *entry = entry_get(discovery, domain);

	wait->next = NULL;
	*entry->last_waiter = wait;
	entry->last_waiter = &wait->next;
	if (entry->lookup != NULL)
		return;
	if (entry->peer != NULL && is_expired(entry->peer)) {
		discard_peer(discovery, entry->peer);
		entry->peer = NULL;
		entry->err = ERR_PEER_UNREACHABLE;
		entry->fresh_until_ms = 0;
	}
	if (is_stale(entry, renew)) {
		if (lookup_begin(entry, wait->stranger && entry->peer == NULL))
			return;
		entry->err = ERR_BUSY; /* the failure of last time is no news */
	}
	/* Fresh, or too soon after a failure, or too much going on: what is known will do. */
	loop_defer(discovery->context.loop, &entry->task);
}

bool discovery_knows(const struct discovery *discovery, const char *domain)
{
	struct entry *entry;

	HASH_FIND_STR(discovery->entries, domain, entry);
	return entry != NULL && entry->peer != NULL;
}

/* Waiters without a lookup are answered in this turn. Were it by what is forgotten, a call
 * could still end in a conflict that is over. */
void discovery_forget(struct discovery *discovery, const char *domain)
{
	struct entry *entry;

	HASH_FIND_STR(discovery->entries, domain, entry);
	if (entry == NULL)
		return;
	discard_peer(discovery, entry->peer);
	entry->peer = NULL;
	entry->err = ERR_BUSY;
	entry->failures = 0;
	entry->retry_ms = 0;
	entry->fresh_until_ms = 0;
	entry->outdated = entry->lookup != NULL;
	if (entry->lookup == NULL && entry->waiters != NULL)
		(void)lookup_begin(entry, entry->stranger); /* else they are told ERR_BUSY */
}

void discovery_outdate(struct discovery *discovery, const char *domain)
{
	struct entry *entry;

	HASH_FIND_STR(discovery->entries, domain, entry);
	if (entry == NULL)
		return;
	entry->retry_ms = 0;
	entry->fresh_until_ms = 0;
}

void discovery_retry(struct discovery *discovery, const char *domain)
{
	struct entry *entry;

	HASH_FIND_STR(discovery->entries, domain, entry);
	if (entry == NULL ||
	    (entry->failures == 0 && entry->peer != NULL && !entry->peer->trust.conflict))
		return;
	entry->retry_ms = 0;
	entry->fresh_until_ms = 0;
}

void discovery_tick(struct discovery *discovery)
{
	struct entry *entry, *next;
	int64_t now = clock_monotonic_ms();

	free_discarded(discovery);
	if (now < discovery->sweep_ms)
		return;
	discovery->sweep_ms = now + SWEEP_EVERY_MS;
	HASH_ITER(hh, discovery->entries, entry, next)
	{
		/* They stand in order: the rest has been used since. */
		if (now - entry->used_ms < UNUSED_MAX_MS)
			break;
		if (is_idle(entry))
			entry_remove(discovery, entry);
	}
	free_discarded(discovery);
}

/* Begin and end */

struct discovery *discovery_create(struct loop *loop, const struct federation_config *config,
				   struct inbox *inbox)
{
	struct discovery *discovery = calloc(1, sizeof *discovery);

	if (discovery == NULL)
		fatal("out of memory");
	discovery->context.loop = loop;
	discovery->context.config = config;
	discovery->context.inbox = inbox;
	return discovery;
}

size_t discovery_pending(const struct discovery *discovery)
{
	return discovery->context.in_store;
}

void discovery_destroy(struct discovery **discovery)
{
	struct discovery *d = *discovery;
	struct entry *entry, *next;

	if (d == NULL)
		return;
	assert(d->context.in_store == 0);
	HASH_ITER(hh, d->entries, entry, next)
	entry_remove(d, entry);
	free_discarded(d);
	free(d);
	*discovery = NULL;
}
