/* SPDX-License-Identifier: MIT
 *
 * Queries to the embedded database.
 */
#include "sqlite.h"

static void *sqlite_prepare(struct db *db, const char *sql, const char **reason_out)
{
	sqlite3 *handle = sqlite_of(db)->handle;
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v3(handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) !=
	    SQLITE_OK)
		*reason_out = sqlite3_errmsg(handle);
	return statement;
}

static void sqlite_finalize(struct db *db, void *statement)
{
	(void)db;
	sqlite3_finalize(statement);
}

/* A failure shows at the next step: it has no value, or is out of memory. */
static void sqlite_bind(struct db *db, void *statement, int index, const struct value *value)
{
	(void)db;
	switch (value->kind) {
	case VALUE_INT:
		sqlite3_bind_int64(statement, index, value->number);
		break;
	case VALUE_TEXT:
		sqlite3_bind_text(statement, index, (const char *)value->bytes.data,
				  (int)value->bytes.len, SQLITE_STATIC);
		break;
	case VALUE_BLOB:
		sqlite3_bind_blob64(statement, index, value->bytes.data, value->bytes.len,
				    SQLITE_STATIC);
		break;
	default:
		sqlite3_bind_null(statement, index);
	}
}

static enum step sqlite_step(struct db *db, void *statement, const char **reason_out)
{
	switch (sqlite3_step(statement)) {
	case SQLITE_ROW:
		return STEP_ROW;
	case SQLITE_DONE:
		return STEP_DONE;
	default:
		*reason_out = sqlite3_errmsg(sqlite_of(db)->handle);
		return STEP_FAILED;
	}
}

static bool sqlite_is_null(void *statement, int column)
{
	return sqlite3_column_type(statement, column) == SQLITE_NULL;
}

static int64_t sqlite_get_int(void *statement, int column)
{
	return sqlite3_column_int64(statement, column);
}

/* Texts are UTF-8 in the database, so that their bytes are what a blob of them has. */
static struct bytes sqlite_get_bytes(void *statement, int column)
{
	const void *data = sqlite3_column_blob(statement, column);

	return bytes_of(data, (size_t)sqlite3_column_bytes(statement, column));
}

static void sqlite_reset(struct db *db, void *statement)
{
	(void)db;
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
}

static int64_t sqlite_changes(struct db *db)
{
	return sqlite3_changes64(sqlite_of(db)->handle);
}

static int64_t sqlite_total_changes(struct db *db)
{
	return sqlite3_total_changes64(sqlite_of(db)->handle);
}

/* SQLite makes the row of a table with its first row. */
static enum err device_row_make(struct db *db)
{
	struct query query = query_begin(
		db, "INSERT INTO sqlite_sequence (name, seq) SELECT 'device', 0"
		    " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'device')");

	return query_run(&query);
}

/* No token of a device that came after the backup fits one that comes from now on. */
static enum err sqlite_devices_jump(struct db *db, int64_t now_ms)
{
	struct query query;
	enum err err = device_row_make(db);

	if (err != ERR_OK)
		return err;
	query = query_begin(db, "UPDATE sqlite_sequence"
				" SET seq = CASE WHEN seq < ?1 THEN ?1 ELSE seq + ?2 END"
				" WHERE name = 'device'");
	query_int(&query, 1, now_ms);
	query_int(&query, 2, GENERATION_JUMP);
	return query_run(&query);
}

const struct driver sqlite_driver = {
	.prepare = sqlite_prepare,
	.finalize = sqlite_finalize,
	.bind = sqlite_bind,
	.step = sqlite_step,
	.is_null = sqlite_is_null,
	.get_int = sqlite_get_int,
	.get_bytes = sqlite_get_bytes,
	.reset = sqlite_reset,
	.changes = sqlite_changes,
	.total_changes = sqlite_total_changes,
	.devices_jump = sqlite_devices_jump,
	.restore_sign = sqlite_restore_sign,
	.restore_place = sqlite_restore_place,
	.copier = &sqlite_copier,
};
