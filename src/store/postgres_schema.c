/* SPDX-License-Identifier: MIT
 *
 * Brings a database of PostgreSQL up to the schema of this program: all that it lacks in one
 * transaction, under a lock, so that of several programs that start one does it. The table
 * `migration` has what was applied.
 */
#include "postgres.h"

#include "migrate.h"

#include "restante/log.h"

/* Any number that nobody else uses in this database. */
#define LOCK_MIGRATE "7235521"

enum err postgres_schema_get(struct postgres *postgres, int *number_out)
{
	struct query query =
		query_begin(&postgres->db, "SELECT to_regclass('migration') IS NOT NULL");
	bool found = query_row(&query) && column_int(&query, 0) != 0;
	enum err err = query_end(&query);

	*number_out = 0;
	if (err != ERR_OK || !found)
		return err;
	query = query_begin(&postgres->db, "SELECT coalesce(max(number), 0) FROM migration");
	if (query_row(&query))
		*number_out = (int)column_int(&query, 0);
	return query_end(&query);
}

int postgres_schema_newest(void)
{
	return postgres_migrations[postgres_migration_count - 1].number;
}

static enum err script(struct postgres *postgres, const char *sql)
{
	return pg_script(&postgres->link, sql) ? ERR_OK : postgres_log(postgres, "migration");
}

static enum err apply(struct postgres *postgres, const struct migration *migration)
{
	struct query query;
	enum err err = script(postgres, migration->sql);

	if (err != ERR_OK)
		return err;
	query = query_begin(&postgres->db, "INSERT INTO migration (number) VALUES (?1)");
	query_int(&query, 1, migration->number);
	err = query_run(&query);
	if (err == ERR_OK)
		log_info(migration, "number=%d name=%s", migration->number, migration->name);
	return err;
}

static enum err refuse(int number, const char *reason)
{
	log_error(migration, "number=%d newest=%d reason=%s", number, postgres_schema_newest(),
		  log_quote(reason));
	return ERR_STORE;
}

/* Others that serve it go by what it is like now. */
static enum err lock_out(struct postgres *postgres, int number)
{
	struct query query = query_begin(
		&postgres->db, "SELECT pg_advisory_xact_lock('writer'::REGCLASS::OID::BIGINT)");
	enum err err = query_run(&query);

	return err != ERR_OK && strcmp(postgres->link.sqlstate, LOCK_NOT_AVAILABLE) == 0
		       ? refuse(number, "a node serves it: stop all of its processes first")
		       : err;
}

enum err postgres_schema_migrate(struct postgres *postgres)
{
	int number = 0;
	enum err err = script(postgres, "SELECT pg_advisory_xact_lock(" LOCK_MIGRATE ")");

	if (err == ERR_OK)
		err = postgres_schema_get(postgres, &number);
	if (err == ERR_OK && number > postgres_schema_newest())
		return refuse(number, "the database is newer than this program");
	if (err == ERR_OK && number < postgres_schema_newest() &&
	    postgres->db.config->must_exist)
		return refuse(number, number == 0 ? "no tables yet; restante serve makes them"
						  : "restart the node first, which updates it");
	if (err == ERR_OK && number > 0 && number < postgres_schema_newest())
		err = lock_out(postgres, number);
	for (size_t i = 0; i < postgres_migration_count && err == ERR_OK; i++)
		if (postgres_migrations[i].number > number)
			err = apply(postgres, &postgres_migrations[i]);
	return err;
}
