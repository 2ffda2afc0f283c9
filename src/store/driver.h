/* SPDX-License-Identifier: MIT
 *
 * What a kind of database does for queries (query.c). Texts are SQL that every kind
 * understands, with parameters ?1, ?2, … Where a function fails it leaves the reason in
 * *reason_out.
 */
#ifndef STORE_DRIVER_H
#define STORE_DRIVER_H

#include "db.h"

#define QUERY_PARAMETERS_MAX 20

struct copier;

enum value_kind { VALUE_NULL, VALUE_INT, VALUE_TEXT, VALUE_BLOB };

struct value {
	enum value_kind kind;
	int64_t number;
	struct bytes bytes; /* data NULL: NULL; live until query_end() */
};

enum step { STEP_ROW, STEP_DONE, STEP_FAILED };

struct driver {
	/* Others write too, at other times: what the write lane remembers of queues is also on
	 * rows (usage.h). */
	bool shared;
	bool is_remote; /* each question is a round trip */
	/* The driver's own prepared statement; NULL: failed. */
	void *(*prepare)(struct db *db, const char *sql, const char **reason_out);
	void (*finalize)(struct db *db, void *prepared);
	void (*bind)(struct db *db, void *prepared, int index, const struct value *value);
	enum step (*step)(struct db *db, void *prepared, const char **reason_out);
	/* Of the row that was stepped to. Bytes live until the next step. */
	bool (*is_null)(void *prepared, int column);
	int64_t (*get_int)(void *prepared, int column);
	struct bytes (*get_bytes)(void *prepared, int column);
	/* Free for the next use. */
	void (*reset)(struct db *db, void *prepared);
	/* Rows that the last statement has changed; and all, for asking whether there were
	 * any: 0 where the driver does not count. */
	int64_t (*changes)(struct db *db);
	int64_t (*total_changes)(struct db *db);
	/* Does the database show that it was restored since that record? Else *sign_out is
	 * left alone. And: remembers where the database is, for the next time. */
	enum err (*restore_sign)(struct db *db, const struct restore_record *last,
				 const char **sign_out);
	enum err (*restore_place)(struct db *db);
	/* After a restore: generations of devices go on where none has been. */
	enum err (*devices_jump)(struct db *db, int64_t now_ms);
	const struct copier *copier; /* copy.h */
};

/* Binds a parameter (db.h: query_int and the others). */
void query_value(struct query *query, int index, const struct value *value);

/* Forgets all prepared statements of a connection that is closed or was lost. */
void statements_free(struct db *db);

/* At most ten a second: where the disk is broken, everything fails. */
void db_log_failure(struct db *db, const char *at, const char *reason, const char *sql);

#endif
