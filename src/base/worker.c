/* SPDX-License-Identifier: MIT
 *
 * Worker pools: threads that take one job at a time from a shared inbox.
 */
#include "restante/worker.h"

#include "restante/log.h"
#include "restante/thread.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct worker_pool {
	struct inbox *inbox;
	char name[16]; /* as long as the system allows */
	size_t n_threads;
	pthread_t threads[];
};

static void *worker_main(void *context)
{
	struct worker_pool *pool = context;
	struct message *message;

	while ((message = inbox_wait(pool->inbox, 1)) != NULL) {
		struct job *job = (struct job *)message;

		job->work(job);
		inbox_return(message);
	}
	return NULL;
}

struct worker_pool *worker_pool_start(const char *name, size_t threads, size_t capacity)
{
	struct worker_pool *pool;

	assert(threads > 0);
	pool = calloc(1, sizeof *pool + threads * sizeof pool->threads[0]);
	if (pool == NULL)
		fatal("out of memory for pool %s", name);
	snprintf(pool->name, sizeof pool->name, "%s", name);
	pool->inbox = inbox_create(capacity, NULL, NULL);
	pool->n_threads = threads;
	for (size_t i = 0; i < threads; i++)
		thread_start(&pool->threads[i], pool->name, worker_main, pool);
	return pool;
}

void worker_pool_stop(struct worker_pool **pool)
{
	struct worker_pool *p = *pool;

	if (p == NULL)
		return;
	inbox_close(p->inbox);
	for (size_t i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	inbox_destroy(&p->inbox);
	free(p);
	*pool = NULL;
}

bool worker_post(struct worker_pool *pool, struct job *job)
{
	return inbox_post(pool->inbox, &job->message);
}
