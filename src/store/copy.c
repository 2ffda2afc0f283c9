/* SPDX-License-Identifier: MIT
 *
 * Copying a database to another one. Both are locked as by a node that serves them. `to` has a
 * mark in `meta` from before its first row until after the comparison. The mark says what
 * `from` was like, so that when the copy is taken up again, tables that are whole can stay.
 *
 * The copy goes on where the source ended, by the same signs as a node that was stopped and
 * starts again (restore.c), and the source counts as older from then on.
 */
#include "copy.h"

#include "restante/log.h"

#include <endian.h>

/* A mark that is no state: the next run copies everything anew. */
#define MARK_DIFFERS 1

static enum err fail(const char *reason)
{
	log_error(store_error, "at=copy reason=%s", log_quote(reason));
	return ERR_STORE;
}

/* --- two databases ------------------------------------------------------------------------ */

static enum err side_open(struct copy_side *side, struct store_config *config, bool must_exist)
{
	enum err err;

	config->alone = true;
	config->must_exist = must_exist;
	side->backend = backend_find(config);
	if (side->backend == NULL)
		return ERR_STORE;
	err = side->backend->open(config, LANE_WRITE, &side->connection);
	if (err == ERR_OK)
		err = side->backend->migrate(side->connection);
	if (err == ERR_OK)
		side->db = side->backend->db(side->connection);
	return err;
}

static void side_close(struct copy_side *side)
{
	if (side->backend != NULL)
		side->backend->close(&side->connection);
}

static enum err begin(struct copy_side *side)
{
	return side->backend->begin(side->connection);
}

enum err copy_commit(struct copy_side *side)
{
	if (side->backend->commit(side->connection) != COMMIT_DONE)
		return ERR_STORE;
	side->backend->idle(side->connection);
	return ERR_OK;
}

/* Ends the transaction that was begun: whole or not at all. */
static enum err end(struct copy_side *side, enum err err)
{
	if (err == ERR_OK)
		err = copy_commit(side);
	if (err != ERR_OK)
		side->backend->rollback(side->connection);
	return err;
}

/* --- before ------------------------------------------------------------------------------- */

/* The source stays in one transaction, and as it is, until the end. */
static enum err hold_source(struct copy_job *job)
{
	const struct copier *copier = job->from.db->driver->copier;
	enum err err = begin(&job->from);

	for (size_t i = 0; i < job->n_tables && err == ERR_OK && copier->hold[0] != NULL; i++) {
		struct query query = query_begin(
			job->from.db, arena_printf(job->copy->arena, "%s%s%s", copier->hold[0],
						   job->tables[i].name, copier->hold[1]));

		err = query_run(&query);
	}
	for (size_t i = 0; i < job->n_tables && err == ERR_OK; i++)
		err = copy_count(job, &job->from, &job->tables[i], &job->tables[i].total);
	return err;
}

/* Whatever a node or a command does raises a number in `meta`, or shows in the comparison. */
static enum err state_get(struct copy_job *job, int64_t *state_out)
{
	struct copy_sum sum = {0};
	uint64_t first;
	enum err err = ERR_OK;

	for (size_t i = 0; i < job->n_tables && err == ERR_OK; i++)
		if (strcmp(job->tables[i].name, "meta") == 0)
			err = copy_sum_up(job, &job->from, &job->tables[i], &sum);
	memcpy(&first, sum.digest, sizeof first);
	*state_out = (int64_t)(be64toh(first) >> 2) + MARK_DIFFERS + 1;
	return err;
}

/* How many tables in front have all their rows, and whether there are any rows at all. */
static enum err tables_whole(struct copy_job *job, size_t *whole_out, bool *any_out)
{
	enum err err = ERR_OK;

	*whole_out = 0;
	*any_out = false;
	for (size_t i = 0; i < job->n_tables && err == ERR_OK; i++) {
		int64_t count = 0;

		err = copy_count(job, &job->to, &job->tables[i], &count);
		*any_out = *any_out || count > 0;
		if (count == job->tables[i].total && *whole_out == i)
			*whole_out = i + 1;
	}
	return err;
}

/* Empties what has to be copied, the last first: those may refer to others. */
static enum err target_prepare(struct copy_job *job, int64_t state, size_t *whole_out)
{
	int64_t mark = 0;
	bool any = false;
	enum err err = meta_get(job->to.db, META_UNFINISHED, &mark);

	if (err == ERR_OK)
		err = tables_whole(job, whole_out, &any);
	if (err == ERR_OK && mark == 0 && any)
		return fail("the target is not empty, and no unfinished copy");
	if (mark != state)
		*whole_out = 0;
	for (size_t i = job->n_tables; i-- > *whole_out && err == ERR_OK;)
		err = copy_empty(job, &job->tables[i]);
	return err == ERR_OK ? meta_put(job->to.db, META_UNFINISHED, state) : err;
}

static enum err prepare(struct copy_job *job, size_t *whole_out)
{
	int64_t state = 0;
	enum err err = copy_tables_find(job);

	if (err == ERR_OK)
		err = hold_source(job);
	if (err == ERR_OK)
		err = state_get(job, &state);
	if (err == ERR_OK)
		err = begin(&job->to);
	return err == ERR_OK ? end(&job->to, target_prepare(job, state, whole_out)) : err;
}

/* --- every table -------------------------------------------------------------------------- */

/* In the order of their names, by which what is referred to comes before what refers to it. */
static enum err carry_all(struct copy_job *job, size_t whole)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < job->n_tables && err == ERR_OK; i++) {
		struct copy_sum *sum = &job->results[i].from;

		if (i < whole) {
			err = copy_sum_up(job, &job->from, &job->tables[i], sum);
			continue;
		}
		err = begin(&job->to);
		if (err == ERR_OK)
			err = end(&job->to, copy_carry(job, &job->tables[i], sum));
	}
	return err;
}

static enum err mark_differs(struct copy_job *job)
{
	enum err err = begin(&job->to);

	if (err == ERR_OK)
		err = end(&job->to, meta_put(job->to.db, META_UNFINISHED, MARK_DIFFERS));
	return err == ERR_OK ? ERR_STORE : err;
}

static bool are_same(const struct copy_sum *a, const struct copy_sum *b)
{
	return a->rows == b->rows && memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

static enum err read_all(struct copy_job *job)
{
	enum err err = ERR_OK;

	job->progress.comparing = true;
	for (size_t i = 0; i < job->n_tables && err == ERR_OK; i++) {
		struct copy_result *result = &job->results[i];

		err = copy_sum_up(job, &job->to, &job->tables[i], &result->to);
		result->table = job->tables[i].name;
		result->same = are_same(&result->from, &result->to);
		job->copy->differs = job->copy->differs || !result->same;
	}
	return err;
}

static enum err compare(struct copy_job *job)
{
	enum err err = begin(&job->to);

	if (err == ERR_OK)
		err = end(&job->to, read_all(job));
	if (err != ERR_OK)
		return err;
	job->copy->results = job->results;
	job->copy->n_results = job->n_tables;
	return job->copy->differs ? mark_differs(job) : ERR_OK;
}

/* --- the end ------------------------------------------------------------------------------ */

static enum err hand_over(struct copy_job *job)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < job->n_tables && err == ERR_OK; i++)
		err = copy_keys_go_on(job, &job->tables[i]);
	return err == ERR_OK ? restore_carry(job->from.db, job->to.db, &job->copy->sign) : err;
}

static enum err finish(struct copy_job *job)
{
	enum err err = begin(&job->to);

	return err == ERR_OK ? end(&job->to, hand_over(job)) : err;
}

static void progress_begin(struct copy_job *job)
{
	job->progress = (struct copy_progress){0};
	for (size_t i = 0; i < job->n_tables; i++)
		job->progress.total += 2 * job->tables[i].total; /* each is read twice */
}

static enum err run(struct copy_job *job)
{
	size_t whole = 0;
	enum err err = prepare(job, &whole);

	if (err != ERR_OK)
		return err;
	job->results = arena_array(job->copy->arena, struct copy_result, job->n_tables);
	progress_begin(job);
	err = carry_all(job, whole);
	if (err == ERR_OK)
		err = compare(job);
	return err == ERR_OK ? finish(job) : err;
}

enum err store_copy(struct store_copy *copy)
{
	struct copy_job job = {.copy = copy};
	enum err err = side_open(&job.from, &copy->from, true);

	text_init(&job.room, copy->arena, 4096);
	if (err == ERR_OK)
		err = side_open(&job.to, &copy->to, false);
	if (err == ERR_OK) {
		err = run(&job);
		job.from.backend->rollback(job.from.connection);
	}
	side_close(&job.to);
	side_close(&job.from);
	return err;
}
