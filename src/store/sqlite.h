/* SPDX-License-Identifier: MIT
 *
 * The embedded database. sqlite.c has the connection and transactions, sqlite_query.c the
 * queries, sqlite_schema.c the migrations, sqlite_restore.c tells whether a backup was put
 * back.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "driver.h"

#include <sqlite3.h>

/* The database as it was found. */
struct sqlite_file {
	int64_t inode, birth_ns, changed_ns;
	bool as_left; /* it is as the file of its generation says that it was left */
	bool in_use;  /* it had a log */
};

struct sqlite {
	struct db db; /* first */
	sqlite3 *handle;
	int64_t wal_pages;	    /* in the log after the last commit */
	int64_t checkpointed_pages; /* of those, when last moved into the database */
	struct sqlite_file file;    /* write lane */
};

static inline struct sqlite *sqlite_of(struct db *db)
{
	return (struct sqlite *)db;
}

extern const struct driver sqlite_driver;
extern const struct copier sqlite_copier; /* (sqlite_copy.c) */

/* (sqlite_schema.c) The schema of a database, and the newest this program knows. */
enum err sqlite_schema_get(sqlite3 *db, int *number_out) MUST_CHECK;
int sqlite_schema_newest(void);
/* Applies what is lacking. ERR_STORE, logged, also for a database that is newer, or is older
 * and in use: whoever uses it does not know what is lacking. */
enum err sqlite_schema_migrate(sqlite3 *db, bool in_use) MUST_CHECK;

/* (sqlite.c) Where the database is. */
void sqlite_path(const struct store_config *config, char *path, size_t size);

/* --- was the database restored from a backup? (sqlite_restore.c) ---------------------- */

/* Looks at the database before it is opened. */
enum err sqlite_file_find(struct db *db) MUST_CHECK;
/* The database was closed: remembers how it was left. */
void sqlite_file_leave(struct db *db);
/* For the driver. */
enum err sqlite_restore_sign(struct db *db, const struct restore_record *last,
			     const char **sign_out) MUST_CHECK;
enum err sqlite_restore_place(struct db *db) MUST_CHECK;

#endif
