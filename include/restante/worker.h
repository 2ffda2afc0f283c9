/* SPDX-License-Identifier: MIT
 *
 * A small pool of threads for slow work (password hashing) that must not stall a
 * loop. A job is a message whose work() runs on a pool thread and which then returns
 * to its sender.
 */
#ifndef RESTANTE_WORKER_H
#define RESTANTE_WORKER_H

#include "restante/inbox.h"

struct worker_pool;

struct job {
	struct message message; /* reply_to and returned are set by the sender */
	void (*work)(struct job *job);
};

struct worker_pool *worker_pool_start(const char *name, size_t threads, size_t capacity);
/* Finishes what was posted, then joins. */
void worker_pool_stop(struct worker_pool **pool);
bool worker_post(struct worker_pool *pool, struct job *job) MUST_CHECK;

#endif
