/* SPDX-License-Identifier: MIT
 *
 * Turns: of several processes on one database one writes at a time, a batch. Operations find it
 * as one writer has left it, so they need not think of others; what the write lane remembers is
 * out of date when another one has had a turn. Locks that last as long as the connection say
 * who serves.
 */
#include "postgres.h"

#include "known.h"
#include "usage.h"

#include "restante/log.h"

/* --- turns ------------------------------------------------------------------------------ */

static void turn_read(const struct query *query, struct db *db)
{
	int64_t epoch = column_int(query, 1);

	db->processes = column_int(query, 2);
	db->first = column_int(query, 3) != 0;
	if (column_int(query, 0) != 0) {
		db->turns++;
		db_mailbox_seqs_leave(db);
		db->outbox_counted = false;
	}
	if (epoch != db->epoch)
		db_known_forget(db);
	db->epoch = epoch;
}

enum err postgres_turn_take(struct postgres *postgres)
{
	struct query query =
		query_begin(&postgres->db, "SELECT is_foreign, epoch, processes, is_first"
					   " FROM turn_take(?1, ?2, ?3, ?4)");

	query_int(&query, 1, postgres->writer);
	query_int(&query, 2, ++postgres->batch);
	query_int(&query, 3, postgres->committed);
	query_int(&query, 4, postgres->db.process);
	while (query_row(&query))
		turn_read(&query, &postgres->db);
	return query_end(&query);
}

static enum err epoch_raise(struct db *db)
{
	struct query query = query_begin(db, "UPDATE turn SET known = known + 1");

	db->known_changed = false;
	db->epoch++;
	return query_run(&query);
}

enum err postgres_turn_end(struct postgres *postgres)
{
	struct db *db = &postgres->db;
	enum err err = usage_write(db);

	if (err == ERR_OK && db->known_changed)
		err = epoch_raise(db);
	return err == ERR_OK ? db_news_tell(db) : err;
}

/* --- who serves ------------------------------------------------------------------------- */

/* Nodes that serve share the database; a copy, and a node that is older, has it alone. The
 * server may take a moment to notice that one was killed, or that the connection before was
 * lost. */
enum err postgres_serve_lock(struct postgres *postgres)
{
	const struct store_config *config = postgres->db.config;
	struct query query;
	enum err err;

	if (!config->serves && !config->alone)
		return ERR_OK;
	query = query_begin(&postgres->db,
			    config->alone
				    ? "SELECT pg_advisory_lock('writer'::REGCLASS::OID::BIGINT)"
				    : "SELECT pg_advisory_lock_shared("
				      "'writer'::REGCLASS::OID::BIGINT)");
	err = query_run(&query);
	if (err != ERR_OK && strcmp(postgres->link.sqlstate, LOCK_NOT_AVAILABLE) == 0)
		log_error(store_error, "at=open reason=%s",
			  log_quote(config->alone
					    ? "a node serves this database: stop the node first"
					    : "a copy or an older node has this database"));
	return err == ERR_OK && postgres->db.process != 0 ? postgres_process_lock(postgres)
							  : err;
}

/* As long as this connection lives its process is not dead. */
enum err postgres_process_lock(struct postgres *postgres)
{
	struct query query = query_begin(
		&postgres->db, "SELECT pg_advisory_lock_shared("
			       "CAST('writer'::REGCLASS::OID AS INT), CAST(?1 AS INT))");

	query_int(&query, 1, postgres->db.process);
	return query_run(&query);
}
