/* SPDX-License-Identifier: MIT
 *
 * The lanes: one thread that writes, one that reads, each behind its inbox.
 *
 * The write lane runs what has arrived as one transaction and gives it back after the
 * commit. When the database fails within it, all of it is rolled back and replayed, each
 * operation in a transaction of its own, so that only the one that fails again has failed.
 * A commit that fails is treated the same. The read lane runs one operation after the
 * other, each in a read transaction, so that it sees one state of the database.
 */
#include "restante/store.h"

#include "db.h"
#include "fault.h"
#include "restore.h"

#include "restante/log.h"
#include "restante/metrics.h"
#include "restante/ops_federation.h"
#include "restante/ops_keys.h"
#include "restante/ops_messages.h"
#include "restante/thread.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH_OPS	 256
#define BATCH_BYTES	 ((size_t)4 << 20)
#define BUSY_OPS	 4 /* taken at once: many write */
#define GATHER_US	 1000
#define LANES		 2
#define OUTCOME_EVERY_US 50000

struct lane {
	const char *name;
	enum store_lane kind;
	const struct backend *backend;
	struct backend_connection *connection;
	struct inbox *inbox;
	pthread_t thread;
	/* Of the write lane: */
	struct message *taken; /* from the inbox, and not begun */
	struct message *(*told)(void *told_context, const struct effects *effects);
	void *told_context;
};

struct store {
	struct lane lanes[LANES];
	bool serves;
	struct hearing *hearing; /* NULL: there is no news */
};

static const enum store_lane lane_of[STORE_KIND_COUNT] = {
#define STORE_OP(name, lane) [STORE_##name] = lane,
#include "restante/ops.def"
#undef STORE_OP
};

static struct store_op *next_op(struct store_op *op)
{
	return (struct store_op *)op->message.next;
}

/* --- one transaction ------------------------------------------------------------------ */

static enum err run_op(struct lane *lane, struct store_op *op)
{
	enum err err = lane->backend->run(lane->connection, op);

	return err == ERR_OK && fault_is_poisoned(op) ? ERR_STORE : err;
}

/* What went wrong has been logged where it did. */
static void fail(struct store_op *op)
{
	op->err = ERR_STORE;
	metric_inc(store_errors_total);
}

/* Where not even a transaction can begin, waiting for it once is enough for all. */
static void fail_all(struct store_op *first)
{
	for (struct store_op *op = first; op != NULL; op = next_op(op))
		fail(op);
}

static struct effects *all_effects(struct store_op *first)
{
	struct effects *list = NULL;
	struct effects **at = &list;

	for (struct store_op *op = first; op != NULL; op = next_op(op)) {
		*at = op_effects(op);
		if (*at != NULL)
			at = &(*at)->next;
	}
	return list;
}

/* What has been committed is told, and goes back. */
static void give_back(struct lane *lane, struct store_op *first)
{
	struct effects *effects = lane->told != NULL ? all_effects(first) : NULL;
	struct message *list = effects != NULL ? lane->told(lane->told_context, effects) : NULL;
	struct message **at = &list;
	int64_t count = 0;

	for (struct store_op *op = first; op != NULL; op = next_op(op))
		count++;
	metric_add(METRIC_store_ops_total, count);
	while (*at != NULL)
		at = &(*at)->next;
	*at = &first->message;
	inbox_return_all(list);
}

/* The database is out of reach in the middle of a commit. Whatever arrives fails, until it can
 * say how that ended or the store is closed. */
static enum commit await_outcome(struct lane *lane)
{
	enum commit commit;
	bool closed = false;

	while ((commit = lane->backend->outcome(lane->connection)) == COMMIT_UNKNOWN &&
	       !closed) {
		if (lane->taken == NULL)
			lane->taken = inbox_take(lane->inbox, BATCH_OPS, &closed);
		if (lane->taken == NULL)
			usleep(OUTCOME_EVERY_US);
		fail_all((struct store_op *)lane->taken);
		if (lane->taken != NULL)
			give_back(lane, (struct store_op *)lane->taken);
		lane->taken = NULL;
	}
	return commit;
}

/* Ends the transaction that has begun: all of these operations or none. */
static enum commit run_and_commit(struct lane *lane, struct store_op *first)
{
	enum commit commit = COMMIT_FAILED;
	enum err err = ERR_OK;

	if (lane->kind == LANE_WRITE)
		err = db_ask_ahead(lane->backend->db(lane->connection), first);
	for (struct store_op *op = first; op != NULL && err == ERR_OK; op = next_op(op))
		err = run_op(lane, op);
	if (err == ERR_OK)
		commit = lane->backend->commit(lane->connection);
	if (commit == COMMIT_UNKNOWN)
		commit = await_outcome(lane);
	if (commit != COMMIT_DONE)
		lane->backend->rollback(lane->connection);
	else if (lane->kind == LANE_WRITE)
		metric_inc(store_commits_total);
	return commit;
}

static void run_one_by_one(struct lane *lane, struct store_op *first)
{
	for (struct store_op *op = first; op != NULL; op = next_op(op)) {
		struct message *next = op->message.next;

		if (lane->backend->begin(lane->connection) != ERR_OK) {
			fail_all(op);
			return;
		}
		op->message.next = NULL;
		if (run_and_commit(lane, op) != COMMIT_DONE)
			fail(op);
		op->message.next = next;
	}
}

/* --- lanes ---------------------------------------------------------------------------- */

/* Bytes that an operation may bring into the database; small change is not counted. */
static size_t op_bytes(const struct store_op *op)
{
	size_t bytes = 0;

	if (op->kind == STORE_SEND) {
		const struct message_request *message = ((const struct op_send *)op)->message;

		for (size_t i = 0; i < message->n_envelopes; i++)
			bytes += message->envelopes[i].content.len;
	} else if (op->kind == STORE_TRANSACTION) {
		const struct transaction *in = ((const struct op_transaction *)op)->transaction;

		for (size_t i = 0; i < in->n_items; i++)
			for (size_t k = 0; k < in->items[i].message.n_envelopes; k++)
				bytes += in->items[i].message.envelopes[k].content.len;
	}
	return bytes;
}

/* Cuts the next batch off the front of what was taken from the inbox. */
static struct store_op *cut_batch(struct message **taken, size_t *count_out)
{
	struct store_op *first = (struct store_op *)*taken;
	struct message *last = *taken;
	size_t bytes = op_bytes(first);
	size_t count = 1;

	while (last->next != NULL) {
		bytes += op_bytes((struct store_op *)last->next);
		if (bytes > BATCH_BYTES)
			break;
		last = last->next;
		count++;
	}
	*taken = last->next;
	last->next = NULL;
	*count_out = count;
	return first;
}

static void replay(struct lane *lane, struct store_op *batch, size_t count)
{
	metric_inc(store_replays_total);
	log_warn(store_replay, "ops=%zu", count);
	run_one_by_one(lane, batch);
}

static void write_batch(struct lane *lane, struct store_op *batch, size_t count)
{
	if (count == 1) {
		run_one_by_one(lane, batch);
	} else if (lane->backend->begin(lane->connection) != ERR_OK) {
		fail_all(batch);
	} else {
		switch (run_and_commit(lane, batch)) {
		case COMMIT_DONE:
			break;
		case COMMIT_FAILED:
			replay(lane, batch, count);
			break;
		case COMMIT_UNKNOWN:
			fail_all(batch);
		}
	}
	give_back(lane, batch);
}

/* How many operations. */
static size_t write_taken(struct lane *lane)
{
	size_t ops = 0;

	while (lane->taken != NULL) {
		size_t count;
		struct store_op *batch = cut_batch(&lane->taken, &count);

		write_batch(lane, batch, count);
		ops += count;
	}
	return ops;
}

/* A commit costs as much as ten messages do. So while many write, the next one waits a moment
 * for more of them; who writes alone is not held up. */
static void *write_main(void *context)
{
	struct lane *lane = context;

	while ((lane->taken = inbox_wait(lane->inbox, BATCH_OPS)) != NULL) {
		size_t ops;

		fault_wait_while_held();
		ops = write_taken(lane);
		lane->backend->idle(lane->connection);
		if (ops >= BUSY_OPS && ops < BATCH_OPS)
			usleep(GATHER_US);
	}
	return NULL;
}

static void *read_main(void *context)
{
	struct lane *lane = context;
	struct message *taken;

	while ((taken = inbox_wait(lane->inbox, 1)) != NULL) {
		run_one_by_one(lane, (struct store_op *)taken);
		give_back(lane, (struct store_op *)taken);
	}
	return NULL;
}

static void start_lane(struct lane *lane)
{
	thread_start(&lane->thread, lane->name,
		     lane->kind == LANE_WRITE ? write_main : read_main, lane);
}

/* --- the store ------------------------------------------------------------------------ */

/* The one that is built in. A URL of another database is no path. */
static const struct backend *find_backend(const struct store_config *config)
{
	if (strncmp(config->url, "postgresql://", 13) == 0 ||
	    strncmp(config->url, "postgres://", 11) == 0)
		return &postgres_backend;
	return strstr(config->url, "://") == NULL ? &sqlite_backend : NULL;
}

const struct backend *backend_find(const struct store_config *config)
{
	const struct backend *backend = find_backend(config);

	if (backend == NULL)
		log_error(store_error, "at=open reason=%s",
			  log_quote("store.url names a kind of database that is not built in"));
	return backend;
}

static void close_connections(struct store *store)
{
	/* The writer last: it takes what is left of the log into the database. */
	for (size_t i = 0; i < LANES; i++)
		if (store->lanes[i].backend != NULL)
			store->lanes[i].backend->close(&store->lanes[i].connection);
}

/* The writer first: it makes and migrates what the reader opens. */
static enum err open_connections(struct store *store, const struct store_config *config,
				 const struct backend *backend)
{
	static const char *const names[LANES] = {"store-read", "store-write"};
	enum err err = ERR_OK;

	for (size_t i = LANES; i-- > 0 && err == ERR_OK;) {
		struct lane *lane = &store->lanes[i];

		lane->name = names[i];
		lane->kind = (enum store_lane)i;
		lane->backend = backend;
		err = backend->open(config, lane->kind, &lane->connection);
		if (err == ERR_OK && lane->kind == LANE_WRITE)
			err = backend->migrate(lane->connection);
	}
	return err;
}

/* For commands. By the reader, for those that only read must leave nothing behind. */
static enum err refuse_unfinished(struct lane *lane)
{
	enum err err = lane->backend->begin(lane->connection);

	if (err != ERR_OK)
		return err;
	err = restore_refuse_unfinished(lane->backend->db(lane->connection));
	lane->backend->rollback(lane->connection);
	return err;
}

static enum err in_transaction(struct lane *lane,
			       enum err (*step)(struct backend_connection *connection))
{
	enum err err = lane->backend->begin(lane->connection);

	if (err != ERR_OK)
		return err;
	err = step(lane->connection);
	if (err == ERR_OK && lane->backend->commit(lane->connection) != COMMIT_DONE)
		err = ERR_STORE;
	if (err != ERR_OK)
		lane->backend->rollback(lane->connection);
	else
		lane->backend->idle(lane->connection);
	return err;
}

/* The reader has to know which process this is. */
static enum err begin_to_serve(struct store *store)
{
	struct lane *lanes = store->lanes;
	const struct backend *backend = lanes[LANE_WRITE].backend;
	enum err err = in_transaction(&lanes[LANE_WRITE], backend->serve);

	backend->db(lanes[LANE_READ].connection)->process =
		backend->db(lanes[LANE_WRITE].connection)->process;
	return err;
}

enum err store_open(const struct store_config *config, struct store **store_out)
{
	const struct backend *backend = backend_find(config);
	struct store *store;
	enum err err;

	if (backend == NULL)
		return ERR_STORE;
	store = calloc(1, sizeof *store);
	if (store == NULL)
		fatal("out of memory for the store");
	store->serves = config->serves;
	store->lanes[LANE_WRITE].told = config->told;
	store->lanes[LANE_WRITE].told_context = config->told_context;
	err = open_connections(store, config, backend);
	if (err == ERR_OK)
		err = store->serves ? begin_to_serve(store)
				    : refuse_unfinished(&store->lanes[LANE_READ]);
	if (err != ERR_OK) {
		close_connections(store);
		free(store);
		return err;
	}
	for (size_t i = 0; i < LANES; i++) {
		store->lanes[i].inbox = inbox_create(config->inbox_capacity, NULL, NULL);
		start_lane(&store->lanes[i]);
	}
	*store_out = store;
	return ERR_OK;
}

void store_close(struct store **store)
{
	struct store *s = *store;
	struct lane *writer;

	if (s == NULL)
		return;
	writer = &s->lanes[LANE_WRITE];
	if (s->hearing != NULL)
		writer->backend->news_stop(s->hearing);
	for (size_t i = 0; i < LANES; i++)
		inbox_close(s->lanes[i].inbox);
	for (size_t i = 0; i < LANES; i++) {
		pthread_join(s->lanes[i].thread, NULL);
		inbox_destroy(&s->lanes[i].inbox);
	}
	if (s->hearing != NULL)
		writer->backend->news_free(&s->hearing);
	if (s->serves && in_transaction(writer, writer->backend->rest) != ERR_OK)
		log_warn(store_error, "at=close");
	close_connections(s);
	free(s);
	*store = NULL;
}

bool store_is_shared(const struct store *store)
{
	return store->lanes[LANE_WRITE].backend->shared;
}

enum err store_start_news(struct store *store)
{
	const struct lane *writer = &store->lanes[LANE_WRITE];
	struct db *db = writer->backend->db(writer->connection);

	if (!store_is_shared(store) || db->process == 0 || writer->told == NULL)
		return ERR_OK;
	return writer->backend->news_start(store, db, &store->hearing);
}

bool store_post(struct store *store, struct store_op *op)
{
	assert(op->kind < STORE_KIND_COUNT);
	return inbox_post(store->lanes[lane_of[op->kind]].inbox, &op->message);
}

enum err store_run(struct store *store, struct store_op *op)
{
	struct inbox *inbox = inbox_create(1, NULL, NULL);
	bool posted;

	op->message.reply_to = inbox;
	posted = store_post(store, op);
	if (posted)
		(void)inbox_wait(inbox, 1);
	inbox_destroy(&inbox);
	return posted ? op->err : ERR_BUSY;
}

enum err store_check(const struct store_config *config, struct text *problems)
{
	const struct backend *backend = find_backend(config);

	if (backend != NULL)
		return backend->check(config, problems);
	text_puts(problems, "store: url names a kind of database that is not built in\n");
	return ERR_STORE;
}
