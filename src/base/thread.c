/* SPDX-License-Identifier: MIT
 *
 * Starting threads: any thread.
 */
#include "restante/thread.h"

#include "restante/log.h"

#include <signal.h>
#include <stdlib.h>

struct start {
	const char *name;
	void *(*run)(void *context);
	void *context;
};

static void *thread_main(void *arg)
{
	struct start start = *(struct start *)arg;

	free(arg);
	log_thread_name(start.name);
	return start.run(start.context);
}

void thread_start(pthread_t *thread_out, const char *name, void *(*run)(void *context),
		  void *context)
{
	struct start *start = malloc(sizeof *start);
	sigset_t all;
	sigset_t before;

	if (start == NULL)
		fatal("out of memory for thread %s", name);
	*start = (struct start){name, run, context};
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(thread_out, NULL, thread_main, start) != 0)
		fatal("cannot start thread %s", name);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}
