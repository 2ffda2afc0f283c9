/* SPDX-License-Identifier: MIT
 *
 * A connection to PostgreSQL: opening and transactions. A connection that is lost is made anew
 * when the next transaction begins, at growing intervals while the server is away; until then
 * everything fails as it does with a broken disk, and clients are told to come back.
 */
#include "postgres.h"

#include "fault.h"

#include "restante/clock.h"
#include "restante/log.h"

#include <stdio.h>
#include <stdlib.h>

#define WAIT_FIRST_MS	100
#define WAIT_MOST_MS	(2 * SECONDS_MS)
#define PAUSE_MS	(1 * SECONDS_MS)
#define QUERY_CANCELED	"57014"
#define RAISE_EXCEPTION "P0001" /* these two only turn_take does */
#define TAKEN_FOR_DEAD	"RT001"

/* In a transaction at the start, which may have to go over all rows there are. */
#define WITHOUT_LIMIT	"SET LOCAL statement_timeout = 0"

struct backend_connection {
	struct postgres postgres;
	struct store_config config;
};

/* --- connecting ----------------------------------------------------------------------- */

enum err postgres_log(const struct postgres *postgres, const char *at)
{
	log_error(store_error, "at=%s sqlstate=%s reason=%s", at, postgres->link.sqlstate,
		  log_quote(postgres->link.error));
	return ERR_STORE;
}

/* The end of a session that nobody is left of is seen by the server within seconds, for what
 * it was about to commit is waited for. Rows of queues are gone soon: scans of an index mark in
 * it which are, for the next not to look at them again, and scans by bitmap do not. Statements
 * find few rows by an index, whatever the values: they are planned once, and not for the size
 * that a table has at that moment. The reader sees one state of the database; the writer has to
 * see what was committed while it waited for its turn, whatever the database is set to. */
static enum err set_up(struct postgres *postgres)
{
	struct pg_link *link = &postgres->link;
	bool patient = postgres->db.config->alone;

	pg_send_text(link,
		     patient ? "SET statement_timeout = 0" : "SET statement_timeout = '8s'");
	pg_send_text(link, "SET lock_timeout = '3s'");
	pg_send_text(link, patient ? "SET idle_in_transaction_session_timeout = 0"
				   : "SET idle_in_transaction_session_timeout = '10s'");
	pg_send_text(link, "SET tcp_keepalives_idle = 5");
	pg_send_text(link, "SET tcp_keepalives_interval = 5");
	pg_send_text(link, "SET tcp_keepalives_count = 2");
	pg_send_text(link, "SET enable_bitmapscan = off");
	pg_send_text(link, "SET enable_seqscan = off");
	pg_send_text(link, "SET plan_cache_mode = force_generic_plan");
	pg_send_text(link, "SET jit = off");
	if (postgres->db.lane == LANE_WRITE) {
		pg_send_text(link, "SET synchronous_commit = on");
		pg_send_text(link, "SET default_transaction_isolation = 'read committed'");
	} else {
		pg_send_text(link, "SET default_transaction_isolation = 'repeatable read'");
		pg_send_text(link, "SET default_transaction_read_only = on");
	}
	return pg_sync(link) ? ERR_OK : ERR_STORE;
}

static void lose(struct postgres *postgres)
{
	pg_disconnect(&postgres->link);
	statements_free(&postgres->db);
	postgres->enlisted = false;
}

static void count_failure(struct postgres *postgres)
{
	postgres->wait_ms = postgres->wait_ms == 0 ? WAIT_FIRST_MS : 2 * postgres->wait_ms;
	if (postgres->wait_ms > WAIT_MOST_MS)
		postgres->wait_ms = WAIT_MOST_MS;
	postgres->next_try_ms = clock_monotonic_ms() + postgres->wait_ms;
}

static enum err connect_anew(struct postgres *postgres)
{
	lose(postgres);
	if (pg_connect(&postgres->link, postgres->db.config->url) == ERR_OK &&
	    set_up(postgres) == ERR_OK)
		return ERR_OK;
	postgres_log(postgres, "connect");
	pg_disconnect(&postgres->link);
	count_failure(postgres);
	return ERR_STORE;
}

static void postgres_close(struct backend_connection **connection)
{
	struct postgres *postgres;

	if (*connection == NULL)
		return;
	postgres = &(*connection)->postgres;
	db_forget(&postgres->db);
	statements_free(&postgres->db);
	pg_disconnect(&postgres->link);
	free(*connection);
	*connection = NULL;
}

static enum err postgres_open(const struct store_config *config, enum store_lane lane,
			      struct backend_connection **connection_out)
{
	struct backend_connection *connection = calloc(1, sizeof *connection);
	enum err err;

	if (connection == NULL)
		fatal("out of memory for a database connection");
	connection->config = *config;
	connection->postgres.db.driver = &postgres_driver;
	connection->postgres.db.config = &connection->config;
	connection->postgres.db.lane = lane;
	connection->postgres.db.watch.generation = generation_read(config->data_dir);
	err = connect_anew(&connection->postgres);
	if (err == ERR_OK)
		*connection_out = connection;
	else
		postgres_close(&connection);
	return err;
}

/* --- the writer ------------------------------------------------------------------------- */

/* Ends whatever the writer of the connection that was lost had begun, which the server may
 * still be at, and asks how far it had come. */
static enum err discharge(struct postgres *postgres)
{
	struct query query = query_begin(
		&postgres->db, "DELETE FROM writer WHERE writer_key = ?1 RETURNING batch");

	query_int(&query, 1, postgres->writer);
	if (query_row(&query))
		postgres->found = column_int(&query, 0);
	return query_end(&query);
}

/* One that somebody has let go before the standby had it too is as one without an answer: the
 * next connection waits for the standby again. */
static bool commit_arrives(struct postgres *postgres)
{
	struct pg_link *link = &postgres->link;

	link->unreplicated = false;
	if (pg_sync(link) && link->unreplicated) {
		log_warn(store_error, "at=commit reason=%s",
			 log_quote("its wait for a standby was ended"));
		pg_disconnect(link);
	}
	return link->conn != NULL && !link->failed && strcmp(link->tag, "COMMIT") == 0;
}

/* Of commands, and of nodes that were killed. */
static enum err clear_away(struct postgres *postgres)
{
	struct query query = query_begin(&postgres->db, "DELETE FROM writer WHERE marked <"
							" now() - INTERVAL '1 day'");

	return query_run(&query);
}

static enum err enlist(struct postgres *postgres, int64_t *writer_out)
{
	struct query query = query_begin(&postgres->db, "INSERT INTO writer (batch) VALUES (?1)"
							" RETURNING writer_key");

	query_int(&query, 1, postgres->found);
	if (query_row(&query))
		*writer_out = column_int(&query, 0);
	return query_end(&query);
}

/* Other processes have not all lost something. They end too, at their next turn, and the first
 * one that starts again does what a restored database calls for. */
static void end_all(struct postgres *postgres)
{
	struct pg_link *link = &postgres->link;

	pg_send_text(link, "BEGIN");
	pg_send_text(link, WITHOUT_LIMIT);
	pg_send_text(link, "SET LOCAL lock_timeout = 0");
	pg_send_text(link, "SELECT pg_advisory_xact_lock('turn'::REGCLASS::OID::BIGINT)");
	pg_send_text(link, "DELETE FROM process");
	pg_send_text(link, "INSERT INTO meta (name, value) VALUES ('restore_mark', 1)"
			   " ON CONFLICT (name) DO UPDATE SET value = 1");
	pg_send_text(link, "COMMIT");
	link->patient = true;
	if (!pg_sync(link))
		(void)postgres_log(postgres, "loss");
}

/* Beyond what this process, or another one with the same folder, has written there. */
static struct generation generation_ahead(const struct restore_watch *watch,
					  const char *data_dir)
{
	int64_t last = watch->due != 0 ? watch->due : watch->generation.number;
	int64_t beside = generation_read(data_dir).number;

	return (struct generation){.number = 1 + (last > beside ? last : beside)};
}

/* What was committed is gone: the server is one that did not have it all. The next start finds
 * a mark, or a generation ahead of that of the database, and does what a restored one calls
 * for.
 */
static void check_loss(struct postgres *postgres)
{
	const char *data_dir = postgres->db.config->data_dir;
	struct generation ahead;

	if (postgres->found >= postgres->committed || !postgres->db.config->serves)
		return;
	ahead = generation_ahead(&postgres->db.watch, data_dir);
	if (generation_write(data_dir, &ahead) != ERR_OK)
		log_error(store_error, "at=loss reason=%s",
			  log_quote("the next start will not know; run restante restored"));
	end_all(postgres);
	fatal("the database has lost what was committed: batch %lld, it has %lld",
	      (long long)postgres->committed, (long long)postgres->found);
}

/* A server that has everything may be another one, by which no start should be alarmed. */
static enum err take_place(struct postgres *postgres)
{
	return postgres->db.config->serves && postgres->found >= postgres->committed
		       ? postgres_restore_place(&postgres->db)
		       : ERR_OK;
}

/* Only when this is committed itself it is certain that nothing comes of the old one: until
 * then what was found is kept, and asked for again. */
static enum err replace_writer(struct postgres *postgres)
{
	int64_t writer = 0;
	enum err err = postgres_serve_lock(postgres);

	pg_send_text(&postgres->link, "BEGIN");
	if (err == ERR_OK && postgres->writer != 0)
		err = discharge(postgres);
	if (err == ERR_OK && postgres->writer != 0)
		err = take_place(postgres);
	if (err == ERR_OK && postgres->db.config->serves)
		err = clear_away(postgres);
	if (err == ERR_OK)
		err = enlist(postgres, &writer);
	if (err == ERR_OK)
		pg_send_text(&postgres->link, "COMMIT");
	if (err != ERR_OK || !commit_arrives(postgres))
		return ERR_STORE;
	check_loss(postgres);
	postgres->committed = postgres->found;
	postgres->writer = writer;
	postgres->found = 0;
	postgres->enlisted = true;
	return ERR_OK;
}

/* Ready for a transaction? */
static enum err make_ready(struct postgres *postgres)
{
	if (clock_monotonic_ms() < postgres->next_try_ms)
		return ERR_STORE;
	if (pg_is_lost(&postgres->link) && connect_anew(postgres) != ERR_OK)
		return ERR_STORE;
	if (postgres->db.lane == LANE_READ || postgres->enlisted ||
	    replace_writer(postgres) == ERR_OK) {
		postgres->wait_ms = 0;
		return ERR_OK;
	}
	if (postgres->link.failed)
		postgres_log(postgres, "connect");
	pg_disconnect(&postgres->link);
	count_failure(postgres);
	return ERR_STORE;
}

/* --- transactions --------------------------------------------------------------------- */

static void forget(struct postgres *postgres)
{
	db_forget(&postgres->db);
	restore_forget(&postgres->db);
}

/* What makes one operation wait in vain does so to all that come with it: they are not tried
 * one by one, each for so long. And a row of this writer that is not as it was left was put
 * back from a backup. */
static void note_failure(struct postgres *postgres)
{
	const char *sqlstate = postgres->link.sqlstate;

	if (postgres->link.silent || strcmp(sqlstate, LOCK_NOT_AVAILABLE) == 0 ||
	    strcmp(sqlstate, QUERY_CANCELED) == 0)
		postgres->next_try_ms = clock_monotonic_ms() + PAUSE_MS;
	else if (strcmp(sqlstate, TAKEN_FOR_DEAD) == 0)
		fatal("other processes took this one for dead: it writes no more");
	else if (strcmp(sqlstate, RAISE_EXCEPTION) == 0)
		pg_disconnect(&postgres->link);
}

/* Whether a statement was prepared before the failure is not known: all anew. */
static void postgres_rollback(struct backend_connection *connection)
{
	struct postgres *postgres = &connection->postgres;
	struct pg_link *link = &postgres->link;

	forget(postgres);
	statements_free(&postgres->db);
	if (link->conn != NULL)
		(void)pg_sync(link);
	note_failure(postgres);
	pg_clear(link);
	if (link->conn != NULL) {
		pg_send_text(link, "ROLLBACK");
		pg_send_text(link, "DEALLOCATE ALL");
		(void)pg_sync(link);
	}
	if (link->failed || link->conn == NULL)
		lose(postgres);
	pg_clear(link);
}

static enum err begin(struct postgres *postgres)
{
	pg_send_text(&postgres->link, "BEGIN");
	return postgres->link.failed ? postgres_log(postgres, "begin") : ERR_OK;
}

static enum err postgres_begin(struct backend_connection *connection)
{
	struct postgres *postgres = &connection->postgres;
	enum err err;

	if (make_ready(postgres) != ERR_OK)
		return ERR_STORE;
	err = begin(postgres);
	if (err == ERR_OK && postgres->db.lane == LANE_WRITE)
		err = postgres_turn_take(postgres);
	if (err != ERR_OK)
		postgres_rollback(connection);
	return err;
}

/* Durable only once the end of the pipeline has answered. Where no answer came from a server
 * that was told to commit, it may have done so. */
static enum commit postgres_commit(struct backend_connection *connection)
{
	struct postgres *postgres = &connection->postgres;
	struct pg_link *link = &postgres->link;

	if (fault_commit()) {
		log_error(store_error, "at=commit reason=fault");
		return COMMIT_FAILED;
	}
	if (postgres->db.lane == LANE_WRITE && postgres_turn_end(postgres) != ERR_OK)
		return COMMIT_FAILED;
	pg_send_text(link, "COMMIT");
	if (commit_arrives(postgres)) {
		postgres->committed = postgres->batch;
		return COMMIT_DONE;
	}
	if (link->failed)
		postgres_log(postgres, "commit");
	return postgres->db.lane == LANE_WRITE && link->conn == NULL ? COMMIT_UNKNOWN
								     : COMMIT_FAILED;
}

static enum commit postgres_outcome(struct backend_connection *connection)
{
	struct postgres *postgres = &connection->postgres;

	lose(postgres);
	if (make_ready(postgres) != ERR_OK)
		return COMMIT_UNKNOWN;
	log_info(store_decided, "committed=%d", postgres->committed == postgres->batch);
	return postgres->committed == postgres->batch ? COMMIT_DONE : COMMIT_FAILED;
}

static enum err postgres_run(struct backend_connection *connection, struct store_op *op)
{
	return db_run(&connection->postgres.db, op);
}

static enum err postgres_serve(struct backend_connection *connection)
{
	struct postgres *postgres = &connection->postgres;
	bool joins = false;
	enum err err;

	pg_send_text(&postgres->link, WITHOUT_LIMIT);
	postgres->link.patient = true;
	err = db_process_begin(&postgres->db, &joins);
	if (err == ERR_OK)
		err = postgres_process_lock(postgres);
	if (err == ERR_OK)
		err = restore_serve(&postgres->db, joins);
	postgres->link.patient = false;
	return err;
}

static enum err postgres_rest(struct backend_connection *connection)
{
	struct db *db = &connection->postgres.db;
	bool ended = false;
	enum err err = db_process_end(db, db->process, &ended);

	db_news_add(db, &(struct effects){.lease = ended});
	return err == ERR_OK ? restore_rest(db) : err;
}

static void postgres_idle(struct backend_connection *connection)
{
	restore_write(&connection->postgres.db);
}

static struct db *postgres_db(struct backend_connection *connection)
{
	return &connection->postgres.db;
}

/* --- the schema ------------------------------------------------------------------------- */

static enum err postgres_migrate(struct backend_connection *connection)
{
	struct postgres *postgres = &connection->postgres;
	enum err err = begin(postgres);

	pg_send_text(&postgres->link, WITHOUT_LIMIT);
	if (err == ERR_OK)
		err = postgres_schema_migrate(postgres);
	if (err != ERR_OK)
		return err;
	pg_send_text(&postgres->link, "COMMIT");
	return pg_sync(&postgres->link) ? ERR_OK : postgres_log(postgres, "migration");
}

/* A database without tables is fine: they will be made. */
static void check_schema(struct postgres *postgres, struct text *problems)
{
	int number = 0;

	if (postgres_schema_get(postgres, &number) != ERR_OK)
		text_printf(problems, "store: %s\n", postgres->link.error);
	else if (number > postgres_schema_newest())
		text_printf(problems,
			    "store: schema %d is newer than this program, which knows %d\n",
			    number, postgres_schema_newest());
}

static enum err postgres_check(const struct store_config *config, struct text *problems)
{
	struct postgres postgres = {.db = {.driver = &postgres_driver, .config = config}};
	size_t before = problems->len;

	if (pg_connect(&postgres.link, config->url) != ERR_OK)
		text_printf(problems, "store: %s\n", postgres.link.error);
	else
		check_schema(&postgres, problems);
	statements_free(&postgres.db);
	pg_disconnect(&postgres.link);
	return problems->len == before ? ERR_OK : ERR_STORE;
}

const struct backend postgres_backend = {
	.name = "postgres",
	.shared = true,
	.open = postgres_open,
	.close = postgres_close,
	.migrate = postgres_migrate,
	.check = postgres_check,
	.begin = postgres_begin,
	.commit = postgres_commit,
	.outcome = postgres_outcome,
	.rollback = postgres_rollback,
	.run = postgres_run,
	.serve = postgres_serve,
	.rest = postgres_rest,
	.idle = postgres_idle,
	.news_start = postgres_news_start,
	.news_stop = postgres_news_stop,
	.news_free = postgres_news_free,
	.db = postgres_db,
};
