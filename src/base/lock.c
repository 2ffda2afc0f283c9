/* SPDX-License-Identifier: MIT
 *
 * Locks. Any thread.
 */
#include "restante/lock.h"

#include "restante/log.h"

#include <pthread.h>
#include <stdlib.h>

struct lock {
	pthread_mutex_t mutex;
};

struct lock *lock_create(void)
{
	struct lock *lock = calloc(1, sizeof *lock);

	if (lock == NULL || pthread_mutex_init(&lock->mutex, NULL) != 0)
		fatal("cannot make a lock");
	return lock;
}

void lock_destroy(struct lock **lock)
{
	if (*lock == NULL)
		return;
	pthread_mutex_destroy(&(*lock)->mutex);
	free(*lock);
	*lock = NULL;
}

void lock_take(struct lock *lock)
{
	pthread_mutex_lock(&lock->mutex);
}

void lock_give(struct lock *lock)
{
	pthread_mutex_unlock(&lock->mutex);
}
