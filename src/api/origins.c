/* SPDX-License-Identifier: MIT
 *
 * Origins whose signature has verified here lately. A request in the name of any other
 * may cost a discovery, which its source address has to have a permit for. Net thread.
 */
#include "node.h"

#include "restante/log.h"

#include <stdlib.h>
#include <uthash.h>

#define ORIGINS_MAX 10000

struct known_origin {
	UT_hash_handle hh;
	char domain[DOMAIN_SIZE];
};

bool origin_is_known(const struct node *node, const char *domain)
{
	struct known_origin *origin;

	HASH_FIND_STR(node->origins, domain, origin);
	return origin != NULL;
}

void origins_forget(struct node *node)
{
	struct known_origin *origin, *next;

	HASH_ITER(hh, node->origins, origin, next)
	{
		HASH_DEL(node->origins, origin);
		free(origin);
	}
}

void origin_know(struct node *node, const char *domain)
{
	struct known_origin *origin;

	if (origin_is_known(node, domain))
		return;
	if (HASH_COUNT(node->origins) >= ORIGINS_MAX)
		origins_forget(node);
	origin = calloc(1, sizeof(*origin));
	if (origin == NULL)
		fatal("out of memory");
	memcpy(origin->domain, domain, strlen(domain) + 1);
	HASH_ADD_STR(node->origins, domain, origin);
}
