/* SPDX-License-Identifier: MIT
 *
 * Origins whose signature has verified here lately. A request in the name of any other
 * may cost a discovery, which its source address has to have a permit for. Any thread.
 */
#include "node.h"

#include "restante/lock.h"
#include "restante/log.h"

#include <stdlib.h>
#include <uthash.h>

#define ORIGINS_MAX 10000

struct known_origin {
	UT_hash_handle hh;
	char domain[DOMAIN_SIZE];
};

struct origins {
	struct lock *lock;
	struct known_origin *known;
};

struct origins *origins_create(void)
{
	struct origins *origins = calloc(1, sizeof(*origins));

	if (origins == NULL)
		fatal("out of memory");
	origins->lock = lock_create();
	return origins;
}

static void forget(struct origins *origins)
{
	struct known_origin *origin, *next;

	HASH_ITER(hh, origins->known, origin, next)
	{
		HASH_DEL(origins->known, origin);
		free(origin);
	}
}

void origins_destroy(struct origins **origins)
{
	if (*origins == NULL)
		return;
	forget(*origins);
	lock_destroy(&(*origins)->lock);
	free(*origins);
	*origins = NULL;
}

static struct known_origin *find(const struct origins *origins, const char *domain)
{
	struct known_origin *origin;

	HASH_FIND_STR(origins->known, domain, origin);
	return origin;
}

bool origin_is_known(struct origins *origins, const char *domain)
{
	bool is_known;

	lock_take(origins->lock);
	is_known = find(origins, domain) != NULL;
	lock_give(origins->lock);
	return is_known;
}

static void add(struct origins *origins, const char *domain)
{
	struct known_origin *origin;

	if (HASH_COUNT(origins->known) >= ORIGINS_MAX)
		forget(origins);
	origin = calloc(1, sizeof(*origin));
	if (origin == NULL)
		fatal("out of memory");
	memcpy(origin->domain, domain, strlen(domain) + 1);
	HASH_ADD_STR(origins->known, domain, origin);
}

void origin_know(struct origins *origins, const char *domain)
{
	lock_take(origins->lock);
	if (find(origins, domain) == NULL)
		add(origins, domain);
	lock_give(origins->lock);
}
