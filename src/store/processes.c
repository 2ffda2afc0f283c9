/* SPDX-License-Identifier: MIT
 *
 * Several processes that serve one database: which has the socket of a device, and which sends
 * to a destination. On the write lane, of PostgreSQL alone: else there is one process, which
 * has them all.
 */
#include "devices.h"
#include "usage.h"

#include "restante/log.h"

struct holding {
	int64_t process;
	int64_t socket_key;
};

/* Zero: no process has a socket of this device. */
static enum err session_get(struct db *db, int64_t generation, struct holding *holding_out)
{
	struct query query = query_begin(
		db, "SELECT process_key, socket_key FROM session WHERE generation = ?1");

	*holding_out = (struct holding){0};
	query_int(&query, 1, generation);
	if (query_row(&query)) {
		holding_out->process = column_int(&query, 0);
		holding_out->socket_key = column_int(&query, 1);
	}
	return query_end(&query);
}

static enum err session_put(struct db *db, int64_t generation, int64_t *socket_key_out)
{
	struct query query = query_begin(
		db, "INSERT INTO session (generation, process_key, socket_key)"
		    " VALUES (?1, ?2, nextval('socket_key')) ON CONFLICT (generation) DO UPDATE"
		    " SET process_key = excluded.process_key, socket_key = excluded.socket_key"
		    " RETURNING socket_key");

	query_int(&query, 1, generation);
	query_int(&query, 2, db->process);
	while (query_row(&query))
		*socket_key_out = column_int(&query, 0);
	return query_end(&query);
}

enum err db_socket_open(struct db *db, struct store_op *op)
{
	struct op_socket_open *opened = (struct op_socket_open *)op;
	struct db_caller caller;
	struct holding former;
	enum err err = db_caller_get(db, &opened->caller, &caller);

	if (err != ERR_OK || db->process == 0)
		return err;
	err = session_get(db, caller.generation, &former);
	if (err != ERR_OK)
		return err;
	if (former.process != 0 && former.process != db->process) {
		effects_end(&opened->effects, op->arena, caller.generation, former.socket_key,
			    CLOSE_DISPLACED);
		opened->effects.ended->process = former.process;
	}
	return session_put(db, caller.generation, &opened->socket_key);
}

/* Also where the newer one is gone already: nobody would be told anything here. */
enum err db_socket_is_displaced(struct db *db, int64_t generation, int64_t socket_key,
				bool *displaced_out)
{
	struct holding holding;
	enum err err = session_get(db, generation, &holding);

	*displaced_out = err == ERR_OK && holding.socket_key != socket_key;
	return err;
}

enum err db_socket_close(struct db *db, struct store_op *op)
{
	const struct op_socket_close *closed = (const struct op_socket_close *)op;
	struct query query;

	if (db->process == 0)
		return ERR_OK;
	query = query_begin(db,
			    "DELETE FROM session WHERE generation = ?1 AND socket_key = ?2");
	query_int(&query, 1, closed->generation);
	query_int(&query, 2, closed->socket_key);
	return query_run(&query);
}

enum err db_destinations_lease(struct db *db, struct store_op *op)
{
	struct op_destinations_lease *lease = (struct op_destinations_lease *)op;
	struct query query;
	enum err err;

	if (db->process == 0)
		return ERR_OK;
	query = query_begin(db, "UPDATE destination SET holder = ?1 WHERE holder IS NULL");
	query_int(&query, 1, db->process);
	err = query_run(&query);
	lease->taken = query_changes(db);
	return err == ERR_OK ? usage_renew(db) : err;
}

/* --- the beginning of a process ----------------------------------------------------------- */

/* A process that lives holds one of two locks on its key: one connection may be lost. */
static enum err dead_remove(struct db *db)
{
	struct query query =
		query_begin(db, "DELETE FROM process WHERE NOT EXISTS (SELECT 1 FROM pg_locks"
				" WHERE locktype = 'advisory' AND objsubid = 2 AND granted"
				" AND database = (SELECT oid FROM pg_database"
				" WHERE datname = current_database())"
				" AND classid IN ('process'::REGCLASS, 'writer'::REGCLASS)"
				" AND objid = process_key)");

	return query_run(&query);
}

/* Also what a backup that was put back, or a copy, has of such. */
static enum err holdings_of_none_remove(struct db *db)
{
	struct query query = query_begin(db, "DELETE FROM session WHERE process_key NOT IN"
					     " (SELECT process_key FROM process)");
	enum err err = query_run(&query);

	if (err != ERR_OK)
		return err;
	query = query_begin(db, "UPDATE destination SET holder = NULL WHERE holder NOT IN"
				" (SELECT process_key FROM process)");
	return query_run(&query);
}

static enum err others_look(struct db *db, bool *any_out, bool *strange_out)
{
	struct query query = query_begin(
		db, "SELECT count(*) > 0, coalesce(bool_or(domain <> ?1), FALSE) FROM process");

	query_text(&query, 1, db->config->domain);
	while (query_row(&query)) {
		*any_out = column_int(&query, 0) != 0;
		*strange_out = column_int(&query, 1) != 0;
	}
	return query_end(&query);
}

static enum err process_put(struct db *db)
{
	struct query query = query_begin(
		db, "INSERT INTO process (domain) VALUES (?1) RETURNING process_key");

	query_text(&query, 1, db->config->domain);
	while (query_row(&query))
		db->process = column_int(&query, 0);
	db->processes++;
	return query_end(&query);
}

enum err db_process_begin(struct db *db, bool *joins_out)
{
	bool strange = false;
	enum err err = dead_remove(db);

	if (err == ERR_OK)
		err = holdings_of_none_remove(db);
	if (err == ERR_OK)
		err = others_look(db, joins_out, &strange);
	if (err == ERR_OK && strange) {
		log_error(store_error, "at=open reason=%s",
			  log_quote("a node of another domain serves this database"));
		return ERR_STORE;
	}
	return err == ERR_OK ? process_put(db) : err;
}

/* --- the end of a process ---------------------------------------------------------------- */

static enum err process_remove(struct db *db, int64_t process, bool *removed_out)
{
	struct query query = query_begin(
		db, "DELETE FROM process WHERE process_key = ?1 RETURNING process_key");

	query_int(&query, 1, process);
	*removed_out = query_row(&query);
	return query_end(&query);
}

static enum err sessions_remove(struct db *db, int64_t process)
{
	struct query query = query_begin(db, "DELETE FROM session WHERE process_key = ?1");

	query_int(&query, 1, process);
	return query_run(&query);
}

static enum err destinations_release(struct db *db, int64_t process)
{
	struct query query =
		query_begin(db, "UPDATE destination SET holder = NULL WHERE holder = ?1");

	query_int(&query, 1, process);
	return query_run(&query);
}

enum err db_process_end(struct db *db, int64_t process, bool *ended_out)
{
	enum err err = process_remove(db, process, ended_out);

	if (err != ERR_OK || !*ended_out)
		return err;
	err = sessions_remove(db, process);
	if (err == ERR_OK)
		err = destinations_release(db, process);
	return err == ERR_OK ? usage_renew(db) : err;
}

enum err db_process_bury(struct db *db, struct store_op *op)
{
	struct op_process_bury *bury = (struct op_process_bury *)op;

	return db->process == 0 ? ERR_OK
				: db_process_end(db, bury->process_key, &bury->effects.lease);
}
