/* SPDX-License-Identifier: MIT
 *
 * Queries: prepared statements that are found again by the address of their text. On the
 * thread of the connection.
 */
#include "driver.h"
#include "fault.h"

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
	void *prepared;
	bool busy;
	UT_hash_handle hh;
};

void statements_free(struct db *db)
{
	struct statement *statement;
	struct statement *next;

	HASH_ITER(hh, db->statements, statement, next)
	{
		HASH_DEL(db->statements, statement);
		db->driver->finalize(db, statement->prepared);
		free(statement);
	}
}

void db_log_failure(struct db *db, const char *at, const char *reason, const char *sql)
{
	int64_t now_ms = clock_monotonic_ms();

	if (now_ms < db->quiet_until_ms) {
		db->errors_unlogged++;
		return;
	}
	log_error(store_error, "at=%s reason=%s sql=%s unlogged=%lld", at, log_quote(reason),
		  log_quote(sql), (long long)db->errors_unlogged);
	db->quiet_until_ms = now_ms + ERROR_EVERY_MS;
	db->errors_unlogged = 0;
}

static void fail_query(struct query *query, const char *at, const char *reason)
{
	db_log_failure(query->db, at, reason, query->statement->sql);
	query->err = ERR_STORE;
}

static struct statement *prepare(struct db *db, const char *sql)
{
	struct statement *statement;
	const char *reason = "";
	void *prepared = db->driver->prepare(db, sql, &reason);

	if (prepared == NULL) {
		db_log_failure(db, "prepare", reason, sql);
		return NULL;
	}
	statement = calloc(1, sizeof *statement);
	if (statement == NULL)
		fatal("out of memory for a statement");
	statement->sql = sql;
	statement->prepared = prepared;
	HASH_ADD_PTR(db->statements, sql, statement);
	return statement;
}

struct query query_begin(struct db *db, const char *sql)
{
	struct query query = {.db = db};

	HASH_FIND_PTR(db->statements, &sql, query.statement);
	if (query.statement == NULL)
		query.statement = prepare(db, sql);
	if (query.statement == NULL) {
		query.err = ERR_STORE;
		return query;
	}
	/* One text is one statement: it cannot be used inside its own rows. */
	assert(!query.statement->busy);
	query.statement->busy = true;
	return query;
}

void query_value(struct query *query, int index, const struct value *value)
{
	if (query->err == ERR_OK)
		query->db->driver->bind(query->db, query->statement->prepared, index, value);
}

void query_int(struct query *query, int index, int64_t value)
{
	query_value(query, index, &(struct value){.kind = VALUE_INT, .number = value});
}

void query_text(struct query *query, int index, const char *text)
{
	struct bytes bytes = text != NULL ? bytes_of_text(text) : bytes_of(NULL, 0);

	query_value(query, index, &(struct value){.kind = VALUE_TEXT, .bytes = bytes});
}

void query_blob(struct query *query, int index, struct bytes bytes)
{
	query_value(query, index, &(struct value){.kind = VALUE_BLOB, .bytes = bytes});
}

void query_null(struct query *query, int index)
{
	query_value(query, index, &(struct value){0});
}

bool query_row(struct query *query)
{
	const char *reason = "";
	enum step step;

	if (query->err != ERR_OK)
		return false;
	if (fault_statement()) {
		fail_query(query, "step", "fault");
		return false;
	}
	step = query->db->driver->step(query->db, query->statement->prepared, &reason);
	if (step == STEP_FAILED)
		fail_query(query, "step", reason);
	return step == STEP_ROW;
}

int64_t column_int(const struct query *query, int column)
{
	return query->db->driver->get_int(query->statement->prepared, column);
}

bool column_is_null(const struct query *query, int column)
{
	return query->db->driver->is_null(query->statement->prepared, column);
}

struct bytes column_bytes(const struct query *query, int column)
{
	return query->db->driver->get_bytes(query->statement->prepared, column);
}

struct bytes column_blob(const struct query *query, int column, struct arena *arena)
{
	return arena_bytes(arena, column_bytes(query, column));
}

char *column_text(const struct query *query, int column, struct arena *arena)
{
	return column_is_null(query, column) ? NULL
					     : arena_text(arena, column_bytes(query, column));
}

void column_text_to(const struct query *query, int column, char *buffer, size_t size)
{
	struct bytes text = column_bytes(query, column);

	snprintf(buffer, size, "%.*s", (int)text.len, text.len > 0 ? (char *)text.data : "");
}

enum err query_end(struct query *query)
{
	if (query->statement != NULL) {
		query->db->driver->reset(query->db, query->statement->prepared);
		query->statement->busy = false;
	}
	return query->err;
}

enum err query_run(struct query *query)
{
	while (query_row(query))
		;
	return query_end(query);
}

int64_t query_changes(struct db *db)
{
	return db->driver->changes(db);
}
