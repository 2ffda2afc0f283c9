/* SPDX-License-Identifier: MIT
 *
 * Starting threads.
 */
#ifndef RESTANTE_THREAD_H
#define RESTANTE_THREAD_H

#include <pthread.h>

/* Ends the process if that is impossible. Signals are for the main thread, so all others start
 * with all of them blocked. The name is for the message and for the log; it outlives the
 * thread. */
void thread_start(pthread_t *thread_out, const char *name, void *(*run)(void *context),
		  void *context);

#endif
