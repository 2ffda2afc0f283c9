/* SPDX-License-Identifier: MIT
 *
 * Copying a database to another one. copy.c has the order of things, copy_table.c one table at
 * a time; sqlite_copy.c and postgres_copy.c have what each kind of database does for it.
 *
 * A row travels as COPY of PostgreSQL has it in binary: how many columns (16 bits), then for
 * each its length (32 bits; -1: NULL) and its bytes, numbers as 64 bits; all big-endian.
 * Columns come in the order of their names, and rows in that of the primary key.
 */
#ifndef STORE_COPY_H
#define STORE_COPY_H

#include "driver.h"
#include "restante/store_copy.h"

#define COPY_COLUMNS_MAX QUERY_PARAMETERS_MAX

/* Found in the schema, the same in both databases. */
struct copy_column {
	const char *table;
	const char *name;
	enum value_kind kind;
	int64_t key; /* its place in the primary key, from 1; 0: not in it */
};

struct copy_table {
	const char *name;
	const struct copy_column *columns;
	size_t n_columns;
	const char *where; /* which rows: "" or a clause of SQL */
	int64_t total;	   /* rows in `from` */
};

/* Takes the next row; it lives until this returns. */
typedef enum err copy_take_fn(void *context, struct bytes row);

struct copy_writer {
	struct db *db;
	const struct copy_table *table;
	const char *sql;
};

struct copier {
	/* SQL: tables that are copied with their columns, types and places in the key, in the
	 * order of their names. */
	const char *columns;
	/* SQL: the highest key that table ?1 has ever given out. */
	const char *highest_key;
	/* SQL before and behind the name of a table that keeps others from writing to it; NULL:
	 * they cannot. */
	const char *hold[2];
	/* Behind a text in ORDER BY: by its bytes. */
	const char *by_bytes;
	/* Rows to be written in one transaction; 0: however many there are. */
	int64_t batch_rows;
	enum err (*read)(struct db *db, const struct copy_table *table, const char *select,
			 copy_take_fn *take, void *context);
	enum err (*write_begin)(struct copy_writer *writer, struct arena *arena);
	enum err (*write)(struct copy_writer *writer, struct bytes row);
	enum err (*write_end)(struct copy_writer *writer, struct arena *arena);
	/* The table gives out higher keys from now on. */
	enum err (*keys_go_on)(struct db *db, const char *table, int64_t highest);
};

/* --- copy_table.c ----------------------------------------------------------------------- */

struct copy_side {
	const struct backend *backend;
	struct backend_connection *connection;
	struct db *db;
};

struct copy_job {
	struct store_copy *copy;
	struct copy_side from, to;
	struct copy_table *tables;
	struct copy_result *results;
	size_t n_tables;
	struct copy_progress progress;
	struct text room; /* for a digest and a row */
};

/* (copy.c) */
enum err copy_commit(struct copy_side *side) MUST_CHECK;

/* Finds the tables. ERR_STORE, logged, also where the two schemas differ. */
enum err copy_tables_find(struct copy_job *job) MUST_CHECK;
enum err copy_count(struct copy_job *job, struct copy_side *side,
		    const struct copy_table *table, int64_t *count_out) MUST_CHECK;
enum err copy_empty(struct copy_job *job, const struct copy_table *table) MUST_CHECK;
/* These read all rows of a table, and sum them up. The second one writes them to `to`, which is
 * in a transaction, but not always in the same at the end. */
enum err copy_sum_up(struct copy_job *job, struct copy_side *side,
		     const struct copy_table *table, struct copy_sum *sum_out) MUST_CHECK;
enum err copy_carry(struct copy_job *job, const struct copy_table *table,
		    struct copy_sum *sum_out) MUST_CHECK;
/* Keys of `to` go on behind those that `from` has ever given out. */
enum err copy_keys_go_on(struct copy_job *job, const struct copy_table *table) MUST_CHECK;
/* "name", in the arena. */
const char *copy_names(struct arena *arena, const struct copy_table *table);

#endif
