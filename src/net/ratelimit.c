/* SPDX-License-Identifier: MIT
 *
 * Token buckets. A bucket is one number: the time at which it is full again. Taking a
 * permit moves that time on by every_ms; it may not lie further ahead than the burst
 * allows (the generic cell rate algorithm).
 */
#include "restante/ratelimit.h"

#include "restante/lock.h"
#include "restante/log.h"

#include <stdlib.h>
#include <sys/random.h>

struct bucket {
	struct bucket *chain; /* same slot */
	struct bucket *older;
	struct bucket *newer;
	int64_t full_at_ms;
	uint64_t hash;
	size_t len;
	uint8_t key[];
};

struct ratelimit {
	struct lock *lock;
	struct rate rate;
	size_t max_buckets;
	size_t n_buckets;
	size_t n_slots; /* a power of two */
	struct bucket **slots;
	struct bucket *oldest; /* by last use */
	struct bucket *newest;
	int64_t now_ms;	       /* latest time seen: time does not go back */
	int64_t next_sweep_ms; /* before that no bucket is full */
	uint64_t seed;
};

static void *must_calloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL)
		fatal("out of memory, wanted %zu times %zu bytes", n, size);
	return p;
}

struct ratelimit *ratelimit_create(struct rate rate, size_t max_buckets)
{
	struct ratelimit *limit = must_calloc(1, sizeof *limit);

	limit->lock = lock_create();
	limit->rate = rate;
	limit->max_buckets = max_buckets > 0 ? max_buckets : 1;
	limit->n_slots = 16;
	while (limit->n_slots < limit->max_buckets)
		limit->n_slots *= 2;
	limit->slots = must_calloc(limit->n_slots, sizeof *limit->slots);
	limit->now_ms = INT64_MIN;
	/* So that nobody can choose keys that share one slot. */
	if (getrandom(&limit->seed, sizeof limit->seed, 0) != sizeof limit->seed)
		fatal("no random bytes");
	return limit;
}

void ratelimit_set_rate(struct ratelimit *limit, struct rate rate)
{
	lock_take(limit->lock);
	limit->rate = rate;
	lock_give(limit->lock);
}

void ratelimit_destroy(struct ratelimit **limit)
{
	struct bucket *newer;

	if (*limit == NULL)
		return;
	for (struct bucket *b = (*limit)->oldest; b != NULL; b = newer) {
		newer = b->newer;
		free(b);
	}
	free((*limit)->slots);
	lock_destroy(&(*limit)->lock);
	free(*limit);
	*limit = NULL;
}

/* FNV-1a from a secret start, with the bits mixed at the end. */
static uint64_t hash_key(const struct ratelimit *limit, struct bytes key)
{
	uint64_t h = limit->seed ^ UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < key.len; i++)
		h = (h ^ key.data[i]) * UINT64_C(0x100000001b3);
	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

static struct bucket **slot_of(struct ratelimit *limit, uint64_t hash)
{
	return &limit->slots[hash & (limit->n_slots - 1)];
}

static struct bucket *find(struct ratelimit *limit, struct bytes key, uint64_t hash)
{
	for (struct bucket *b = *slot_of(limit, hash); b != NULL; b = b->chain) {
		if (b->hash == hash && bytes_equal(bytes_of(b->key, b->len), key))
			return b;
	}
	return NULL;
}

static void unlink_by_age(struct ratelimit *limit, struct bucket *b)
{
	*(b->older != NULL ? &b->older->newer : &limit->oldest) = b->newer;
	*(b->newer != NULL ? &b->newer->older : &limit->newest) = b->older;
}

static void link_newest(struct ratelimit *limit, struct bucket *b)
{
	b->older = limit->newest;
	b->newer = NULL;
	*(b->older != NULL ? &b->older->newer : &limit->oldest) = b;
	limit->newest = b;
}

static void drop(struct ratelimit *limit, struct bucket *b)
{
	struct bucket **at = slot_of(limit, b->hash);

	while (*at != b)
		at = &(*at)->chain;
	*at = b->chain;
	unlink_by_age(limit, b);
	limit->n_buckets--;
	free(b);
}

/* One pass drops all full buckets and finds out when the next one will be full, so
 * that a flood of new keys does not make us look through the table each time. */
static void drop_full(struct ratelimit *limit)
{
	struct bucket *newer;

	limit->next_sweep_ms = INT64_MAX;
	for (struct bucket *b = limit->oldest; b != NULL; b = newer) {
		newer = b->newer;
		if (b->full_at_ms <= limit->now_ms)
			drop(limit, b);
		else if (b->full_at_ms < limit->next_sweep_ms)
			limit->next_sweep_ms = b->full_at_ms;
	}
}

static struct bucket *add(struct ratelimit *limit, struct bytes key, uint64_t hash)
{
	struct bucket *b;

	if (limit->n_buckets >= limit->max_buckets && limit->now_ms >= limit->next_sweep_ms)
		drop_full(limit);
	if (limit->n_buckets >= limit->max_buckets)
		drop(limit, limit->oldest);
	b = must_calloc(1, sizeof *b + key.len);
	b->full_at_ms = limit->now_ms;
	b->hash = hash;
	b->len = key.len;
	if (key.len > 0)
		memcpy(b->key, key.data, key.len);
	b->chain = *slot_of(limit, hash);
	*slot_of(limit, hash) = b;
	link_newest(limit, b);
	limit->n_buckets++;
	return b;
}

static int64_t take(struct ratelimit *limit, struct bytes key, uint64_t hash, int64_t now_ms)
{
	struct bucket *b = find(limit, key, hash);
	int64_t every = limit->rate.every_ms;
	int64_t ahead; /* how far in the future the bucket will be full */

	if (now_ms > limit->now_ms)
		limit->now_ms = now_ms;
	if (b == NULL) {
		b = add(limit, key, hash);
	} else {
		unlink_by_age(limit, b);
		link_newest(limit, b);
	}
	if (b->full_at_ms < limit->now_ms)
		b->full_at_ms = limit->now_ms;
	ahead = b->full_at_ms + every - limit->now_ms;
	if (ahead > every * limit->rate.burst)
		return ahead - every * limit->rate.burst;
	b->full_at_ms += every;
	if (b->full_at_ms < limit->next_sweep_ms)
		limit->next_sweep_ms = b->full_at_ms;
	return 0;
}

int64_t ratelimit_take(struct ratelimit *limit, struct bytes key, int64_t now_ms)
{
	uint64_t hash = hash_key(limit, key);
	int64_t wait_ms;

	lock_take(limit->lock);
	wait_ms = take(limit, key, hash, now_ms);
	lock_give(limit->lock);
	return wait_ms;
}
