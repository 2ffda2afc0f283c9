/* SPDX-License-Identifier: MIT
 *
 * Worker pools run every job on a thread of theirs and give it back.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/worker.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>

struct task {
	struct job job;
	pthread_t worked_on;
	char thread_name[16];
	bool returned;
	sem_t *started; /* for a task that blocks its worker */
	sem_t *go_on;
};

static void task_work(struct job *job)
{
	struct task *task = (struct task *)job;

	task->worked_on = pthread_self();
	pthread_getname_np(pthread_self(), task->thread_name, sizeof task->thread_name);
	if (task->started != NULL) {
		sem_post(task->started);
		sem_wait(task->go_on);
	}
}

static void task_returned(struct message *message)
{
	((struct task *)message)->returned = true;
}

static struct task make_task(struct inbox *own)
{
	return (struct task){
		.job = {.message = {.reply_to = own, .returned = task_returned},
			.work = task_work},
	};
}

static void stopping_finishes_what_was_posted(void **state)
{
	enum { TASKS = 50 };
	struct inbox *own = inbox_create(0, NULL, NULL);
	struct worker_pool *pool = worker_pool_start("slow-work", 3, TASKS);
	struct task tasks[TASKS];

	(void)state;
	for (int i = 0; i < TASKS; i++) {
		tasks[i] = make_task(own);
		assert_true(worker_post(pool, &tasks[i].job));
	}
	worker_pool_stop(&pool);
	assert_null(pool);
	assert_int_equal(inbox_dispatch(own, NULL), TASKS);
	for (int i = 0; i < TASKS; i++) {
		assert_true(tasks[i].returned);
		assert_false(pthread_equal(tasks[i].worked_on, pthread_self()));
		assert_string_equal(tasks[i].thread_name, "slow-work");
	}
	inbox_destroy(&own);
}

static void a_full_pool_refuses(void **state)
{
	struct inbox *own = inbox_create(0, NULL, NULL);
	struct worker_pool *pool = worker_pool_start("slow-work", 1, 1);
	struct task running = make_task(own);
	struct task waiting = make_task(own);
	struct task refused = make_task(own);
	sem_t started;
	sem_t go_on;

	(void)state;
	sem_init(&started, 0, 0);
	sem_init(&go_on, 0, 0);
	running.started = &started;
	running.go_on = &go_on;
	assert_true(worker_post(pool, &running.job));
	sem_wait(&started);
	assert_true(worker_post(pool, &waiting.job));
	assert_false(worker_post(pool, &refused.job));
	sem_post(&go_on);
	worker_pool_stop(&pool);
	assert_int_equal(inbox_dispatch(own, NULL), 2);
	assert_false(refused.returned);
	sem_destroy(&started);
	sem_destroy(&go_on);
	inbox_destroy(&own);
}

/* Posted at once to a pool that sleeps; again and again, since a lost wake-up shows only
 * when the threads happen to be late. */
static void every_thread_of_a_pool_takes_a_job(void **state)
{
	enum { THREADS = 3, ROUNDS = 200 };
	struct inbox *own = inbox_create(0, NULL, NULL);
	struct worker_pool *pool = worker_pool_start("slow-work", THREADS, THREADS);
	struct task tasks[THREADS];
	sem_t started;
	sem_t go_on;

	(void)state;
	sem_init(&started, 0, 0);
	sem_init(&go_on, 0, 0);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < THREADS; i++) {
			tasks[i] = make_task(own);
			tasks[i].started = &started;
			tasks[i].go_on = &go_on;
			assert_true(worker_post(pool, &tasks[i].job));
		}
		for (int i = 0; i < THREADS; i++)
			sem_wait(&started);
		for (int i = 0; i < THREADS; i++)
			sem_post(&go_on);
		for (size_t back = 0; back < THREADS;)
			back += inbox_dispatch(own, NULL);
	}
	worker_pool_stop(&pool);
	sem_destroy(&started);
	sem_destroy(&go_on);
	inbox_destroy(&own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stopping_finishes_what_was_posted),
		cmocka_unit_test(a_full_pool_refuses),
		cmocka_unit_test(every_thread_of_a_pool_takes_a_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
