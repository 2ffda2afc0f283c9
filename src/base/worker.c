/* SPDX-License-Identifier: MIT
 *
 * Worker pools: threads that take one job at a time from a shared inbox.
 */
#include "restante/worker.h"

#include "restante/log.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct worker_pool {
	struct inbox *inbox;
	char name[16]; /* as long as the system allows */
	size_t n_threads;
	pthread_t threads[];
};

static void *worker_main(void *arg)
{
	struct worker_pool *pool = arg;
	struct message *message;

	log_thread_name(pool->name);
	while ((message = inbox_wait(pool->inbox, 1)) != NULL) {
		struct job *job = (struct job *)message;

		job->work(job);
		inbox_return(message);
	}
	return NULL;
}

/* Signals are for the main thread, so the workers start with all of them blocked. */
static void start_threads(struct worker_pool *pool)
{
	sigset_t all;
	sigset_t before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (size_t i = 0; i < pool->n_threads; i++) {
		if (pthread_create(&pool->threads[i], NULL, worker_main, pool) != 0)
			fatal("cannot start thread %zu of pool %s", i, pool->name);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
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
	start_threads(pool);
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
