/* SPDX-License-Identifier: MIT
 *
 * Queries: prepared statements that are found again by the address of their text. On the
 * thread of the connection.
 */
#include "sqlite.h"

#include "fault.h"
#include "statement.h"

#include "restante/clock.h"
#include "restante/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define uthash_fatal(reason) fatal("statements: %s", reason)
#include <uthash.h>

#define ERROR_EVERY_MS 100

struct statement {
	const char *sql;
	sqlite3_stmt *prepared;
	UT_hash_handle hh;
};

void statements_free(struct statement **statements)
{
	struct statement *statement;
	struct statement *next;

	HASH_ITER(hh, *statements, statement, next)
	{
		HASH_DEL(*statements, statement);
		sqlite3_finalize(statement->prepared);
		free(statement);
	}
}

/* At most ten a second: where the disk is broken, everything fails. */
static void log_failure(struct sqlite *sqlite, const char *at, const char *reason,
			const char *sql)
{
	int64_t now_ms = clock_monotonic_ms();

	if (now_ms < sqlite->quiet_until_ms) {
		sqlite->errors_unlogged++;
		return;
	}
	log_error(store_error, "at=%s code=%d reason=%s sql=%s unlogged=%lld", at,
		  sqlite3_extended_errcode(sqlite->db), log_quote(reason), log_quote(sql),
		  (long long)sqlite->errors_unlogged);
	sqlite->quiet_until_ms = now_ms + ERROR_EVERY_MS;
	sqlite->errors_unlogged = 0;
}

static void fail_query(struct query *query, const char *at, const char *reason)
{
	log_failure(query->sqlite, at, reason, sqlite3_sql(query->statement));
	query->err = ERR_STORE;
}

static sqlite3_stmt *prepare(struct sqlite *sqlite, const char *sql)
{
	struct statement *statement;
	sqlite3_stmt *prepared = NULL;

	if (sqlite3_prepare_v3(sqlite->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &prepared,
			       NULL) != SQLITE_OK) {
		log_failure(sqlite, "prepare", sqlite3_errmsg(sqlite->db), sql);
		return NULL;
	}
	statement = calloc(1, sizeof *statement);
	if (statement == NULL)
		fatal("out of memory for a statement");
	statement->sql = sql;
	statement->prepared = prepared;
	HASH_ADD_PTR(sqlite->statements, sql, statement);
	return prepared;
}

struct query query_begin(struct sqlite *sqlite, const char *sql)
{
	struct query query = {.sqlite = sqlite};
	struct statement *statement;

	HASH_FIND_PTR(sqlite->statements, &sql, statement);
	query.statement = statement != NULL ? statement->prepared : prepare(sqlite, sql);
	query.err = query.statement != NULL ? ERR_OK : ERR_STORE;
	/* One text is one statement: it cannot be used inside its own rows. */
	assert(query.statement == NULL || !sqlite3_stmt_busy(query.statement));
	return query;
}

static void check_bind(struct query *query, int result)
{
	if (result != SQLITE_OK)
		fail_query(query, "bind", sqlite3_errmsg(query->sqlite->db));
}

void query_int(struct query *query, int index, int64_t value)
{
	if (query->err == ERR_OK)
		check_bind(query, sqlite3_bind_int64(query->statement, index, value));
}

void query_text(struct query *query, int index, const char *text)
{
	if (query->err == ERR_OK)
		check_bind(query,
			   sqlite3_bind_text(query->statement, index, text, -1, SQLITE_STATIC));
}

void query_blob(struct query *query, int index, struct bytes bytes)
{
	if (query->err == ERR_OK)
		check_bind(query, sqlite3_bind_blob64(query->statement, index, bytes.data,
						      bytes.len, SQLITE_STATIC));
}

void query_null(struct query *query, int index)
{
	if (query->err == ERR_OK)
		check_bind(query, sqlite3_bind_null(query->statement, index));
}

bool query_row(struct query *query)
{
	int result;

	if (query->err != ERR_OK)
		return false;
	if (fault_statement()) {
		fail_query(query, "step", "fault");
		return false;
	}
	result = sqlite3_step(query->statement);
	if (result == SQLITE_ROW)
		return true;
	if (result != SQLITE_DONE)
		fail_query(query, "step", sqlite3_errmsg(query->sqlite->db));
	return false;
}

int64_t column_int(const struct query *query, int column)
{
	return sqlite3_column_int64(query->statement, column);
}

bool column_is_null(const struct query *query, int column)
{
	return sqlite3_column_type(query->statement, column) == SQLITE_NULL;
}

struct bytes column_blob(const struct query *query, int column, struct arena *arena)
{
	const void *data = sqlite3_column_blob(query->statement, column);
	int len = sqlite3_column_bytes(query->statement, column);

	return arena_bytes(arena, bytes_of(data, (size_t)len));
}

char *column_text(const struct query *query, int column, struct arena *arena)
{
	const void *data = sqlite3_column_text(query->statement, column);
	int len = sqlite3_column_bytes(query->statement, column);

	return data == NULL ? NULL : arena_text(arena, bytes_of(data, (size_t)len));
}

void column_text_to(const struct query *query, int column, char *buffer, size_t size)
{
	const unsigned char *text = sqlite3_column_text(query->statement, column);

	snprintf(buffer, size, "%s", text == NULL ? "" : (const char *)text);
}

enum err query_end(struct query *query)
{
	if (query->statement != NULL) {
		sqlite3_reset(query->statement);
		sqlite3_clear_bindings(query->statement);
	}
	return query->err;
}

enum err query_run(struct query *query)
{
	while (query_row(query))
		;
	return query_end(query);
}

int64_t query_changes(const struct sqlite *sqlite)
{
	return sqlite3_changes64(sqlite->db);
}
