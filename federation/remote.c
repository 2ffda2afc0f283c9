/* SPDX-License-Identifier: MIT
 *
 * What other threads ask the federation thread for: calls to other nodes, and the keys of
 * those who call here. Bounded, so that one slow node, or many that nobody knows, do not take
 * all the room.
 */
#include "call.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"

#include <stddef.h>
#include <stdlib.h>

#define CALL_TIMEOUT_MS	 8000
#define CALL_ANSWER_MAX	 (2 * 1024 * 1024)
#define CALLS_MAX	 256
#define CALLS_DOMAIN_MAX 32
#define STRANGERS_MAX	 1024 /* queries about domains that are not known yet */

/* One call under way. */
struct remote_job {
	struct remote_job *next, *prev;
	struct remote *remote;
	struct remote_call *call;
};

/* One query under way. When the thread stops it is abandoned: the query has gone back, and
 * discovery still holds the wait. */
struct query_job {
	struct query_job *next, *prev;
	struct remote *remote;
	struct peer_wait wait;
	struct peer_query *query; /* NULL: abandoned */
	bool stranger;		  /* counts as one */
	bool renewed;
};

struct remote {
	struct calls *calls;
	struct discovery *discovery;
	struct policy *policy;
	struct remote_job *jobs;
	size_t n_jobs;
	struct query_job *queries;
	size_t n_strangers;
};

static const char *const paths[] = {
	[REMOTE_CLAIM] = "/federation/v1/keys/claim",
	[REMOTE_DEVICE_LIST] = "/federation/v1/devices/list",
};

static void *must_calloc(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
		fatal("out of memory");
	return p;
}

struct remote *remote_create(const struct federation_config *config, struct calls *calls,
			     struct discovery *discovery)
{
	struct remote *remote = must_calloc(sizeof *remote);

	remote->policy = config->policy;
	remote->calls = calls;
	remote->discovery = discovery;
	return remote;
}

/* --- calls ----------------------------------------------------------------------------- */

static size_t count_jobs(const struct remote *remote, const char *domain)
{
	size_t count = 0;

	for (const struct remote_job *job = remote->jobs; job != NULL; job = job->next)
		count += strcmp(job->call->domain, domain) == 0;
	return count;
}

static void job_unlink(struct remote_job *job)
{
	if (job->prev != NULL)
		job->prev->next = job->next;
	else
		job->remote->jobs = job->next;
	if (job->next != NULL)
		job->next->prev = job->prev;
	job->remote->n_jobs--;
}

static void remote_call_return(struct remote_call *call, enum err err)
{
	call->err = err;
	inbox_return(&call->message);
}

static struct bytes call_body(void *context, const struct peer *peer)
{
	struct remote_job *job = context;

	(void)peer;
	return job->call->body;
}

static void call_done(void *context, const struct call_answer *answer)
{
	struct remote_job *job = context;
	struct remote_call *call = job->call;

	if (answer->err == ERR_OK) {
		call->status = answer->status;
		call->answer = arena_bytes(call->arena, answer->body);
	}
	job_unlink(job);
	free(job);
	remote_call_return(call, answer->err);
}

void remote_call_take(struct remote *remote, struct remote_call *call)
{
	struct call_request request = {
		.domain = call->domain,
		.path = paths[call->path],
		.answer_max = CALL_ANSWER_MAX,
		.timeout_ms = CALL_TIMEOUT_MS,
		.prepare = call_body,
		.done = call_done,
	};
	struct remote_job *job;
	enum err err;

	if (remote->n_jobs >= CALLS_MAX ||
	    count_jobs(remote, call->domain) >= CALLS_DOMAIN_MAX) {
		remote_call_return(call, ERR_BUSY);
		return;
	}
	job = must_calloc(sizeof *job);
	job->remote = remote;
	job->call = call;
	request.context = job;
	err = call_start(remote->calls, &request);
	if (err != ERR_OK) {
		free(job);
		remote_call_return(call, err);
		return;
	}
	job->next = remote->jobs;
	if (job->next != NULL)
		job->next->prev = job;
	remote->jobs = job;
	remote->n_jobs++;
}

/* --- keys ------------------------------------------------------------------------------ */

static void query_free(struct query_job *job)
{
	if (job->prev != NULL)
		job->prev->next = job->next;
	else
		job->remote->queries = job->next;
	if (job->next != NULL)
		job->next->prev = job->prev;
	job->remote->n_strangers -= job->stranger;
	free(job);
}

static void query_return(struct peer_query *query, enum err err)
{
	query->err = err;
	inbox_return(&query->message);
}

/* While keys are in conflict, those that are pinned and valid still count. A kid that is
 * not known may be newer than what is known of the domain. */
static void query_found(struct peer_wait *wait, enum err err, const struct peer *peer)
{
	struct query_job *job =
		(struct query_job *)(void *)((char *)wait - offsetof(struct query_job, wait));
	struct peer_query *query = job->query;
	const struct server_key *key = NULL;

	if (query == NULL) {
		query_free(job);
		return;
	}
	if (err == ERR_OK)
		key = trust_key(&peer->trust, query->kid, clock_now_ms());
	if (key != NULL) {
		memcpy(query->public_key, key->public_key, sizeof query->public_key);
		query->known_since_ms = peer->trust.pinned_ms;
	} else if (err == ERR_OK && !job->renewed) {
		job->renewed = true;
		discovery_get(job->remote->discovery, query->domain, true, &job->wait);
		return;
	} else if (err == ERR_OK) {
		err = peer->trust.conflict ? ERR_KEY_CONFLICT : ERR_SIG_KEY_UNKNOWN;
	}
	query_free(job);
	query_return(query, err);
}

void peer_query_take(struct remote *remote, struct peer_query *query)
{
	bool stranger = !discovery_knows(remote->discovery, query->domain);
	struct query_job *job;

	if (!policy_allows(remote->policy, query->domain)) {
		query_return(query, ERR_FEDERATION_DENIED);
		return;
	}
	if (stranger && remote->n_strangers >= STRANGERS_MAX) {
		query_return(query, ERR_BUSY);
		return;
	}
	job = must_calloc(sizeof *job);
	job->remote = remote;
	job->query = query;
	job->stranger = stranger;
	job->wait.stranger = true;
	job->wait.done = query_found;
	job->next = remote->queries;
	if (job->next != NULL)
		job->next->prev = job;
	remote->queries = job;
	remote->n_strangers += stranger;
	discovery_get(remote->discovery, query->domain, false, &job->wait);
}

void remote_abandon(struct remote *remote)
{
	for (struct query_job *job = remote->queries; job != NULL; job = job->next) {
		if (job->query != NULL)
			query_return(job->query, ERR_BUSY);
		job->query = NULL;
	}
}

void remote_destroy(struct remote **remote)
{
	if (*remote == NULL)
		return;
	while ((*remote)->queries != NULL)
		query_free((*remote)->queries);
	free(*remote);
	*remote = NULL;
}
