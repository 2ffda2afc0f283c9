/* SPDX-License-Identifier: MIT
 *
 * Jobs for the worker pool. slow_work() runs on a pool thread, the rest on the net thread.
 */
#include "slow.h"

#include "restante/crypto.h"

struct slow_job *slow_new(struct request *request)
{
	const struct config *config = request_node(request)->config;
	struct slow_job *job = arena_new(request->arena, struct slow_job);

	job->request = request;
	job->cost.passes = (uint64_t)config->accounts_password_passes;
	job->cost.memory_bytes = (size_t)config->accounts_password_memory;
	return job;
}

static enum err slow_run(struct slow_job *job)
{
	enum err err = ERR_OK;

	if (job->upload != NULL)
		err = key_upload_check(job->upload, job->scheme, job->identity_key,
				       &job->problem);
	if (err == ERR_OK && job->verify_password != NULL &&
	    !password_verify(job->verify_hash, bytes_of_text(job->verify_password)))
		err = ERR_LOGIN_FAILED;
	if (err == ERR_OK && job->hash_password != NULL)
		err = password_hash(bytes_of_text(job->hash_password), job->cost, job->hash);
	return err;
}

static void slow_work(struct job *job)
{
	struct slow_job *slow = (struct slow_job *)job;

	slow->err = slow_run(slow);
}

void slow_post(struct slow_job *job, void (*done)(struct message *message))
{
	struct node *node = request_node(job->request);

	job->job.work = slow_work;
	job->job.message.reply_to = node->inbox;
	job->job.message.returned = done;
	if (!node_post_job(node, &job->job))
		request_fail(job->request, ERR_BUSY, NULL, NULL);
}

bool slow_went_well(struct slow_job *job)
{
	if (job->err != ERR_OK)
		request_refuse(job->request, job->err, &job->problem);
	return job->err == ERR_OK;
}
