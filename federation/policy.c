/* SPDX-License-Identifier: MIT
 *
 * With which domains this node federates at all: by configuration, and by what the operator
 * says about single ones while it runs. Read from any thread without a lock: words are added
 * in front of short lists and never removed, and to change one's mind is one store.
 */
#include "restante/federation.h"

#include "restante/log.h"

#include <stdatomic.h>
#include <stdlib.h>

#define BUCKETS 1024

struct word {
	struct word *next;
	atomic_bool allowed;
	char domain[DOMAIN_SIZE];
};

struct policy {
	const struct config *config;
	_Atomic(struct word *) buckets[BUCKETS];
};

struct policy *policy_create(const struct config *config)
{
	struct policy *policy = calloc(1, sizeof *policy);

	if (policy == NULL)
		fatal("out of memory");
	policy->config = config;
	return policy;
}

void policy_destroy(struct policy **policy)
{
	if (*policy == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		struct word *next;

		for (struct word *w = atomic_load(&(*policy)->buckets[i]); w != NULL;
		     w = next) {
			next = w->next;
			free(w);
		}
	}
	free(*policy);
	*policy = NULL;
}

/* --- the operator's words -------------------------------------------------------------- */

static _Atomic(struct word *) *bucket_of(struct policy *policy, const char *domain)
{
	uint32_t hash = 2166136261U; /* FNV-1a */

	for (; *domain != '\0'; domain++)
		hash = (hash ^ (uint8_t)*domain) * 16777619U;
	return &policy->buckets[hash % BUCKETS];
}

static struct word *word_find(struct policy *policy, const char *domain)
{
	struct word *word = atomic_load(bucket_of(policy, domain));

	while (word != NULL && strcmp(word->domain, domain) != 0)
		word = word->next;
	return word;
}

void policy_say(struct policy *policy, const char *domain, bool allowed)
{
	_Atomic(struct word *) *bucket = bucket_of(policy, domain);
	struct word *word = word_find(policy, domain);

	if (word != NULL) {
		atomic_store(&word->allowed, allowed);
		return;
	}
	word = calloc(1, sizeof *word);
	if (word == NULL)
		fatal("out of memory");
	memcpy(word->domain, domain, strnlen(domain, sizeof word->domain - 1));
	atomic_init(&word->allowed, allowed);
	word->next = atomic_load(bucket);
	atomic_store(bucket, word);
}

/* --- the configuration ----------------------------------------------------------------- */

/* An entry `.example.org` means example.org and all that is below it. */
static bool entry_matches(const char *entry, const char *domain)
{
	size_t entry_len = strlen(entry), domain_len = strlen(domain);

	if (entry[0] != '.')
		return strcmp(entry, domain) == 0;
	if (strcmp(entry + 1, domain) == 0)
		return true;
	return domain_len > entry_len && strcmp(domain + domain_len - entry_len, entry) == 0;
}

static bool list_matches(const struct config_list *list, const char *domain)
{
	for (size_t i = 0; i < list->count; i++)
		if (entry_matches(list->items[i], domain))
			return true;
	return false;
}

bool policy_allows(struct policy *policy, const char *domain)
{
	const struct config *config = policy->config;
	struct word *word = word_find(policy, domain);

	/* Nobody else speaks for this domain, and talking to oneself would only loop. */
	if (strcmp(domain, config->node_domain) == 0)
		return false;
	if (list_matches(&config->federation_deny, domain) ||
	    strcmp(config->federation_mode, "closed") == 0)
		return false;
	if (word != NULL)
		return atomic_load(&word->allowed);
	return strcmp(config->federation_mode, "open") == 0 ||
	       list_matches(&config->federation_allow, domain);
}
