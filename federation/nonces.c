/* SPDX-License-Identifier: MIT
 *
 * Nonces that have been seen, in two generations that take turns: what is in the older one
 * has had its time. Nonces are kept as keyed hashes, so that nobody can choose them to
 * collide in the table. Any thread.
 */
#include "restante/signature.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/lock.h"
#include "restante/log.h"

#include <stdlib.h>

#define uthash_fatal(reason) fatal("nonces: %s", reason)
#include <uthash.h>

#define TURN_MS	  (S2S_NONCE_KEPT_S * SECONDS_MS)
#define HASH_KEPT 16

struct nonce {
	UT_hash_handle hh;
	uint8_t hash[HASH_KEPT];
};

struct origin {
	UT_hash_handle hh;
	size_t count;
	char domain[];
};

struct generation {
	struct nonce *nonces;
	struct origin *origins;
	size_t of_new; /* how many of the nonces are of new origins */
};

struct nonces {
	struct lock *lock;
	struct generation current, older;
	int64_t since_ms; /* when the current one began */
	size_t max, max_per_origin;
	uint8_t key[MAC_KEY_SIZE];
};

static void *must_calloc(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
		fatal("out of memory, wanted %zu bytes", size);
	return p;
}

static void generation_clear(struct generation *generation)
{
	struct nonce *nonce, *next_nonce;
	struct origin *origin, *next_origin;

	HASH_ITER(hh, generation->nonces, nonce, next_nonce)
	{
		HASH_DEL(generation->nonces, nonce);
		free(nonce);
	}
	HASH_ITER(hh, generation->origins, origin, next_origin)
	{
		HASH_DEL(generation->origins, origin);
		free(origin);
	}
	*generation = (struct generation){0};
}

struct nonces *nonces_create(size_t max, size_t max_per_origin)
{
	struct nonces *nonces = must_calloc(sizeof *nonces);

	nonces->lock = lock_create();
	nonces->max = max;
	nonces->max_per_origin = max_per_origin;
	crypto_random(nonces->key, sizeof nonces->key);
	return nonces;
}

void nonces_destroy(struct nonces **nonces)
{
	if (*nonces == NULL)
		return;
	generation_clear(&(*nonces)->current);
	generation_clear(&(*nonces)->older);
	lock_destroy(&(*nonces)->lock);
	free(*nonces);
	*nonces = NULL;
}

/* What has had its time goes to `ended`, to be cleared without the lock. */
static void turn(struct nonces *nonces, int64_t now_ms, struct generation ended[2])
{
	if (nonces->since_ms == 0 || now_ms < nonces->since_ms) {
		/* The clock was set back: keep everything for a full turn from now. */
		nonces->since_ms = now_ms;
		return;
	}
	if (now_ms - nonces->since_ms < TURN_MS)
		return;
	ended[0] = nonces->older;
	nonces->older = nonces->current;
	nonces->current = (struct generation){0};
	if (now_ms - nonces->since_ms >= 2 * TURN_MS) {
		ended[1] = nonces->older;
		nonces->older = (struct generation){0};
	}
	nonces->since_ms = now_ms;
}

static void nonce_hash(const struct nonces *nonces, const char *origin, const char *nonce,
		       uint8_t hash_out[SHA256_SIZE])
{
	char text[DOMAIN_SIZE + S2S_NONCE_SIZE];
	size_t origin_len = strlen(origin), nonce_len = strlen(nonce);

	if (origin_len >= DOMAIN_SIZE || nonce_len >= S2S_NONCE_SIZE)
		fatal("nonces: an origin or nonce that was not checked");
	/* A domain has no slash. */
	memcpy(text, origin, origin_len);
	text[origin_len] = '/';
	memcpy(text + origin_len + 1, nonce, nonce_len);
	crypto_mac(nonces->key, bytes_of(text, origin_len + 1 + nonce_len), hash_out);
}

static bool seen(const struct generation *generation, const uint8_t hash[HASH_KEPT])
{
	struct nonce *found;

	HASH_FIND(hh, generation->nonces, hash, HASH_KEPT, found);
	return found != NULL;
}

static struct origin *origin_find(const struct generation *generation, const char *domain)
{
	struct origin *origin;

	HASH_FIND_STR(generation->origins, domain, origin);
	return origin;
}

static struct origin *origin_get(struct generation *generation, const char *domain)
{
	struct origin *origin = origin_find(generation, domain);
	size_t len = strlen(domain);

	if (origin != NULL)
		return origin;
	origin = must_calloc(sizeof *origin + len + 1);
	memcpy(origin->domain, domain, len);
	HASH_ADD_KEYPTR(hh, generation->origins, origin->domain, len, origin);
	return origin;
}

static bool origin_has_room(const struct nonces *nonces, const char *domain)
{
	const struct origin *now = origin_find(&nonces->current, domain);
	const struct origin *before = origin_find(&nonces->older, domain);
	size_t count = (now != NULL ? now->count : 0) + (before != NULL ? before->count : 0);

	return count < nonces->max_per_origin;
}

/* New origins have half of it, so that whoever has many names leaves the rest to others. */
static bool has_room(const struct nonces *nonces, bool is_new)
{
	const struct generation *now = &nonces->current, *before = &nonces->older;

	return HASH_COUNT(now->nonces) + HASH_COUNT(before->nonces) < nonces->max &&
	       (!is_new || now->of_new + before->of_new < nonces->max / 2);
}

static enum err add(struct nonces *nonces, const char *origin, bool is_new,
		    const uint8_t hash[HASH_KEPT])
{
	struct nonce *added;

	if (seen(&nonces->current, hash) || seen(&nonces->older, hash))
		return ERR_SIG_REPLAY;
	if (!origin_has_room(nonces, origin) || !has_room(nonces, is_new))
		return ERR_RATE_LIMITED;
	added = must_calloc(sizeof *added);
	memcpy(added->hash, hash, sizeof added->hash);
	HASH_ADD(hh, nonces->current.nonces, hash, HASH_KEPT, added);
	origin_get(&nonces->current, origin)->count++;
	nonces->current.of_new += is_new;
	return ERR_OK;
}

enum err nonces_add(struct nonces *nonces, const char *origin, bool is_new, const char *nonce,
		    int64_t now_ms)
{
	struct generation ended[2] = {0};
	uint8_t hash[SHA256_SIZE];
	enum err err;

	nonce_hash(nonces, origin, nonce, hash);
	lock_take(nonces->lock);
	turn(nonces, now_ms, ended);
	err = add(nonces, origin, is_new, hash);
	lock_give(nonces->lock);
	generation_clear(&ended[0]);
	generation_clear(&ended[1]);
	return err;
}
