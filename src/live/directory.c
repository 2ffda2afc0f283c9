/* SPDX-License-Identifier: MIT
 *
 * The directory: tables by generation, each behind a lock of its own, so that threads that
 * look up different devices seldom meet.
 */
#include "restante/directory.h"

#include "restante/lock.h"
#include "restante/log.h"

#include <stdatomic.h>
#include <stdlib.h>

#define uthash_fatal(reason) fatal("directory: %s", reason)
#include <uthash.h>

#define TABLES 64

struct entry {
	UT_hash_handle hh;
	int64_t generation;
	int64_t number;
	void *holder;
};

struct table {
	struct lock *lock;
	struct entry *entries;
};

struct directory {
	_Atomic int64_t last_number;
	struct table tables[TABLES];
};

struct directory *directory_create(void)
{
	struct directory *directory = calloc(1, sizeof *directory);

	if (directory == NULL)
		fatal("out of memory");
	for (size_t i = 0; i < TABLES; i++)
		directory->tables[i].lock = lock_create();
	return directory;
}

static void table_clear(struct table *table)
{
	struct entry *entry, *next;

	HASH_ITER(hh, table->entries, entry, next)
	{
		HASH_DEL(table->entries, entry);
		free(entry);
	}
	lock_destroy(&table->lock);
}

void directory_destroy(struct directory **directory)
{
	if (*directory == NULL)
		return;
	for (size_t i = 0; i < TABLES; i++)
		table_clear(&(*directory)->tables[i]);
	free(*directory);
	*directory = NULL;
}

static struct table *table_of(struct directory *directory, int64_t generation)
{
	return &directory->tables[(uint64_t)generation % TABLES];
}

static struct entry *find(const struct table *table, int64_t generation)
{
	struct entry *entry;

	HASH_FIND(hh, table->entries, &generation, sizeof(generation), entry);
	return entry;
}

static struct entry *add(struct table *table, int64_t generation)
{
	struct entry *entry = calloc(1, sizeof *entry);

	if (entry == NULL)
		fatal("out of memory");
	entry->generation = generation;
	HASH_ADD(hh, table->entries, generation, sizeof(entry->generation), entry);
	return entry;
}

static int64_t enter(struct directory *directory, struct table *table, int64_t generation,
		     int64_t socket_key, void *holder, void **former_out)
{
	struct entry *entry = find(table, generation);

	*former_out = NULL;
	if (entry != NULL && socket_key > 0 && entry->number > socket_key)
		return 0;
	if (entry == NULL)
		entry = add(table, generation);
	*former_out = entry->holder;
	entry->holder = holder;
	entry->number =
		socket_key > 0 ? socket_key : atomic_fetch_add(&directory->last_number, 1) + 1;
	return entry->number;
}

int64_t directory_enter(struct directory *directory, int64_t generation, int64_t socket_key,
			void *holder, void **former_out)
{
	struct table *table = table_of(directory, generation);
	int64_t number;

	lock_take(table->lock);
	number = enter(directory, table, generation, socket_key, holder, former_out);
	lock_give(table->lock);
	return number;
}

void directory_leave(struct directory *directory, int64_t generation, int64_t number)
{
	struct table *table = table_of(directory, generation);
	struct entry *entry;

	lock_take(table->lock);
	entry = find(table, generation);
	if (entry != NULL && entry->number == number) {
		HASH_DEL(table->entries, entry);
		free(entry);
	}
	lock_give(table->lock);
}

bool directory_has(struct directory *directory, int64_t generation, int64_t number)
{
	struct table *table = table_of(directory, generation);
	const struct entry *entry;
	bool has;

	lock_take(table->lock);
	entry = find(table, generation);
	has = entry != NULL && entry->number == number;
	lock_give(table->lock);
	return has;
}

void *directory_find(struct directory *directory, int64_t generation)
{
	struct table *table = table_of(directory, generation);
	const struct entry *entry;
	void *holder;

	lock_take(table->lock);
	entry = find(table, generation);
	holder = entry != NULL ? entry->holder : NULL;
	lock_give(table->lock);
	return holder;
}
