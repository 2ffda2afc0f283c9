/* SPDX-License-Identifier: MIT
 *
 * Queries to PostgreSQL. All values travel in binary: numbers are bigint, text is text and
 * bytes are bytea, on both sides. A statement without rows is sent and not waited for.
 */
#include "postgres.h"

#include "restante/log.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

/* pg_type.dat; there is no installed header that names them. */
#define OID_BOOL  16
#define OID_BYTEA 17
#define OID_INT8  20
#define OID_INT4  23
#define OID_TEXT  25

struct prepared {
	char name[16];
	char *sql; /* with $1 for ?1 */
	int count; /* of parameters */
	bool has_rows;
	bool known; /* to the server */
	struct value values[QUERY_PARAMETERS_MAX];
	int64_t numbers[QUERY_PARAMETERS_MAX]; /* as they travel */
	bool begun;
	PGresult *result;
	int row;
};

/* --- preparing ------------------------------------------------------------------------- */

/* A hint for the other database: ` INDEXED BY name`. */
static void drop_hint(char *sql)
{
	static const char hint[] = " INDEXED BY ";
	char *at = strstr(sql, hint);
	char *end;

	if (at == NULL)
		return;
	end = at + sizeof hint - 1 + strcspn(at + sizeof hint - 1, " )");
	memmove(at, end, strlen(end) + 1);
}

/* ?12 becomes $12. No text of ours has a question mark within quotes. */
static void translate(struct prepared *prepared, const char *sql)
{
	prepared->sql = strdup(sql);
	if (prepared->sql == NULL)
		fatal("out of memory for a statement");
	drop_hint(prepared->sql);
	for (char *c = prepared->sql; *c != '\0'; c++) {
		if (*c != '?')
			continue;
		*c = '$';
		if (atoi(c + 1) > prepared->count)
			prepared->count = atoi(c + 1);
	}
}

static void *postgres_prepare(struct db *db, const char *sql, const char **reason_out)
{
	struct postgres *postgres = postgres_of(db);
	struct prepared *prepared = calloc(1, sizeof *prepared);

	(void)reason_out;
	if (prepared == NULL)
		fatal("out of memory for a statement");
	translate(prepared, sql);
	prepared->has_rows = strncmp(sql, "SELECT", 6) == 0 || strncmp(sql, "WITH", 4) == 0 ||
			     strstr(sql, " RETURNING ") != NULL;
	snprintf(prepared->name, sizeof prepared->name, "q%u", postgres->statements_made++);
	return prepared;
}

static void postgres_reset(struct db *db, void *statement)
{
	struct prepared *prepared = statement;

	(void)db;
	PQclear(prepared->result);
	prepared->result = NULL;
	prepared->begun = false;
	memset(prepared->values, 0, sizeof prepared->values);
}

static void postgres_finalize(struct db *db, void *statement)
{
	struct prepared *prepared = statement;

	postgres_reset(db, prepared);
	free(prepared->sql);
	free(prepared);
}

/* --- executing ------------------------------------------------------------------------- */

static void postgres_bind(struct db *db, void *statement, int index, const struct value *value)
{
	struct prepared *prepared = statement;

	(void)db;
	assert(index >= 1 && index <= prepared->count);
	prepared->values[index - 1] = *value;
}

static Oid type_of(enum value_kind kind)
{
	switch (kind) {
	case VALUE_INT:
		return OID_INT8;
	case VALUE_TEXT:
		return OID_TEXT;
	case VALUE_BLOB:
		return OID_BYTEA;
	default:
		return 0; /* the server finds out */
	}
}

/* At its first use: only now are the types known. */
static void make_known(struct pg_link *link, struct prepared *prepared)
{
	Oid types[QUERY_PARAMETERS_MAX];

	if (prepared->known)
		return;
	for (int i = 0; i < prepared->count; i++)
		types[i] = type_of(prepared->values[i].kind);
	pg_prepare(link, prepared->name, prepared->sql, prepared->count, types);
	prepared->known = true;
}

static const char *data_of(const struct value *value, const int64_t *number)
{
	return value->kind == VALUE_INT ? (const char *)number
					: (const char *)value->bytes.data;
}

static void execute(struct pg_link *link, struct prepared *prepared)
{
	const char *values[QUERY_PARAMETERS_MAX];
	int lengths[QUERY_PARAMETERS_MAX], formats[QUERY_PARAMETERS_MAX];
	struct pg_call call = {prepared->name, prepared->count, values, lengths, formats};

	for (int i = 0; i < prepared->count; i++) {
		const struct value *value = &prepared->values[i];

		prepared->numbers[i] = (int64_t)htobe64((uint64_t)value->number);
		values[i] = data_of(value, &prepared->numbers[i]);
		lengths[i] =
			value->kind == VALUE_INT ? (int)sizeof(int64_t) : (int)value->bytes.len;
		formats[i] = 1;
	}
	make_known(link, prepared);
	if (prepared->has_rows)
		prepared->result = pg_ask(link, &call);
	else
		pg_send(link, &call);
}

static enum step postgres_step(struct db *db, void *statement, const char **reason_out)
{
	struct pg_link *link = &postgres_of(db)->link;
	struct prepared *prepared = statement;

	if (!prepared->begun) {
		prepared->begun = true;
		prepared->row = -1;
		execute(link, prepared);
	}
	if (link->failed) {
		*reason_out = link->error;
		return STEP_FAILED;
	}
	if (prepared->result == NULL)
		return STEP_DONE;
	return ++prepared->row < PQntuples(prepared->result) ? STEP_ROW : STEP_DONE;
}

/* --- what came back -------------------------------------------------------------------- */

static bool postgres_is_null(void *statement, int column)
{
	const struct prepared *prepared = statement;

	return PQgetisnull(prepared->result, prepared->row, column) != 0;
}

static int64_t postgres_get_int(void *statement, int column)
{
	const struct prepared *prepared = statement;
	const char *data = PQgetvalue(prepared->result, prepared->row, column);
	uint64_t wide;
	uint32_t narrow;

	if (PQgetisnull(prepared->result, prepared->row, column))
		return 0;
	switch (PQftype(prepared->result, column)) {
	case OID_BOOL:
		return data[0];
	case OID_INT4:
		memcpy(&narrow, data, sizeof narrow);
		return (int32_t)be32toh(narrow);
	case OID_INT8:
		memcpy(&wide, data, sizeof wide);
		return (int64_t)be64toh(wide);
	default:
		fatal("a column is no number: %s", prepared->sql);
	}
}

static struct bytes postgres_get_bytes(void *statement, int column)
{
	const struct prepared *prepared = statement;

	if (PQgetisnull(prepared->result, prepared->row, column))
		return bytes_of(NULL, 0);
	return bytes_of(PQgetvalue(prepared->result, prepared->row, column),
			(size_t)PQgetlength(prepared->result, prepared->row, column));
}

static int64_t postgres_changes(struct db *db)
{
	return pg_changes(&postgres_of(db)->link);
}

static int64_t postgres_total_changes(struct db *db)
{
	(void)db;
	return 0;
}

const struct driver postgres_driver = {
	.shared = true,
	.is_remote = true,
	.prepare = postgres_prepare,
	.finalize = postgres_finalize,
	.bind = postgres_bind,
	.step = postgres_step,
	.is_null = postgres_is_null,
	.get_int = postgres_get_int,
	.get_bytes = postgres_get_bytes,
	.reset = postgres_reset,
	.changes = postgres_changes,
	.total_changes = postgres_total_changes,
	.restore_sign = postgres_restore_sign,
	.restore_place = postgres_restore_place,
	.devices_jump = postgres_devices_jump,
	.copier = &postgres_copier,
};
