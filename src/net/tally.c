/* SPDX-License-Identifier: MIT
 *
 * Counts by name: a hash table with chains.
 */
#include "tally.h"

#include "restante/lock.h"
#include "restante/log.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct tally_entry {
	struct tally_entry *chain; /* same slot */
	size_t count;
	size_t slot;
	char name[];
};

struct tally {
	struct lock *lock;
	size_t n_slots; /* a power of two */
	struct tally_entry **slots;
	uint64_t seed;
};

static void *must_calloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL)
		fatal("out of memory, wanted %zu times %zu bytes", n, size);
	return p;
}

struct tally *tally_create(size_t names)
{
	struct tally *tally = must_calloc(1, sizeof *tally);

	tally->lock = lock_create();
	tally->n_slots = 16;
	while (tally->n_slots < names)
		tally->n_slots *= 2;
	tally->slots = must_calloc(tally->n_slots, sizeof(struct tally_entry *));
	/* So that nobody can choose names that share one slot. */
	if (getrandom(&tally->seed, sizeof tally->seed, 0) != sizeof tally->seed)
		fatal("no random bytes");
	return tally;
}

void tally_destroy(struct tally **tally)
{
	if (*tally == NULL)
		return;
	for (size_t i = 0; i < (*tally)->n_slots; i++) {
		struct tally_entry *chain;

		for (struct tally_entry *e = (*tally)->slots[i]; e != NULL; e = chain) {
			chain = e->chain;
			free(e);
		}
	}
	free((*tally)->slots);
	lock_destroy(&(*tally)->lock);
	free(*tally);
	*tally = NULL;
}

/* FNV-1a from a secret start, with the bits mixed at the end. */
static size_t slot_of(const struct tally *tally, const char *name)
{
	uint64_t h = tally->seed ^ UINT64_C(0xcbf29ce484222325);

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return (size_t)(h ^ h >> 32) & (tally->n_slots - 1);
}

static struct tally_entry *find(const struct tally *tally, size_t slot, const char *name)
{
	struct tally_entry *e = tally->slots[slot];

	while (e != NULL && strcmp(e->name, name) != 0)
		e = e->chain;
	return e;
}

struct tally_entry *tally_add(struct tally *tally, const char *name)
{
	size_t slot = slot_of(tally, name);
	struct tally_entry *e;

	lock_take(tally->lock);
	e = find(tally, slot, name);
	if (e == NULL) {
		e = must_calloc(1, sizeof *e + strlen(name) + 1);
		memcpy(e->name, name, strlen(name) + 1);
		e->slot = slot;
		e->chain = tally->slots[slot];
		tally->slots[slot] = e;
	}
	e->count++;
	lock_give(tally->lock);
	return e;
}

static void drop(struct tally *tally, struct tally_entry *e)
{
	struct tally_entry **at = &tally->slots[e->slot];

	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	free(e);
}

void tally_remove(struct tally *tally, struct tally_entry **entry)
{
	lock_take(tally->lock);
	if (--(*entry)->count == 0)
		drop(tally, *entry);
	lock_give(tally->lock);
	*entry = NULL;
}

size_t tally_of(struct tally *tally, const char *name)
{
	size_t slot = slot_of(tally, name);
	const struct tally_entry *e;
	size_t count;

	lock_take(tally->lock);
	e = find(tally, slot, name);
	count = e != NULL ? e->count : 0;
	lock_give(tally->lock);
	return count;
}
