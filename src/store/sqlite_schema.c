/* SPDX-License-Identifier: MIT
 *
 * Brings a database up to the schema of this program, on the thread that opens the store,
 * before there are lanes. The number of the last migration applied is the database's
 * user_version; a migration and its number are committed together.
 */
#include "migrate.h"

#include "sqlite.h"

#include "restante/log.h"

#include <stdio.h>

int sqlite_schema_newest(void)
{
	return sqlite_migration_count == 0
		       ? 0
		       : sqlite_migrations[sqlite_migration_count - 1].number;
}

enum err sqlite_schema_get(sqlite3 *db, int *number_out)
{
	sqlite3_stmt *statement = NULL;
	enum err err = ERR_STORE;

	if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW) {
		*number_out = sqlite3_column_int(statement, 0);
		err = ERR_OK;
	} else {
		log_error(store_error, "at=schema reason=%s", log_quote(sqlite3_errmsg(db)));
	}
	sqlite3_finalize(statement);
	return err;
}

static enum err apply(sqlite3 *db, const struct migration *migration)
{
	char number[64];

	/* A pragma takes no parameters. */
	snprintf(number, sizeof number, "PRAGMA user_version = %d", migration->number);
	if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(db, migration->sql, NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(db, number, NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK) {
		log_info(migration, "number=%d name=%s", migration->number, migration->name);
		return ERR_OK;
	}
	log_error(migration, "number=%d name=%s reason=%s", migration->number, migration->name,
		  log_quote(sqlite3_errmsg(db)));
	if (sqlite3_get_autocommit(db) == 0)
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return ERR_STORE;
}

enum err sqlite_schema_migrate(sqlite3 *db, bool in_use)
{
	int number = 0;
	enum err err = sqlite_schema_get(db, &number);

	if (err == ERR_OK && number > sqlite_schema_newest()) {
		log_error(migration, "number=%d newest=%d reason=%s", number,
			  sqlite_schema_newest(),
			  log_quote("the database is newer than this program"));
		return ERR_STORE;
	}
	if (err == ERR_OK && number < sqlite_schema_newest() && in_use) {
		log_error(migration, "number=%d newest=%d reason=%s", number,
			  sqlite_schema_newest(),
			  log_quote("the database is in use by an older program: restart the "
				    "node first"));
		return ERR_STORE;
	}
	for (size_t i = 0; i < sqlite_migration_count && err == ERR_OK; i++)
		if (sqlite_migrations[i].number > number)
			err = apply(db, &sqlite_migrations[i]);
	return err;
}
