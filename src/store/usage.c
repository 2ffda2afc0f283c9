/* SPDX-License-Identifier: MIT
 *
 * Usage of queues: in memory, and on rows where the database is shared. A row that is there is
 * right at the end of every batch. One that is not is made by counting: so it is after a copy,
 * in a database that was served before there were rows, and where a process was alone, which
 * has no use for them.
 */
#include "usage.h"

#include "driver.h"

#include <utlist.h>

bool usage_is_fresh(const struct db *db, const struct usage *usage)
{
	return usage->turns == db->turns;
}

/* A command is not: it does not know of a process that begins to serve. */
static bool is_alone(const struct db *db)
{
	return !db->driver->shared || (db->process != 0 && db->processes == 1);
}

static void mark_changed(struct db *db, struct usage *usage)
{
	if (usage->changed || (is_alone(db) && !usage->on_row))
		return;
	usage->changed = true;
	DL_APPEND(db->changed, usage);
}

static void mark_unchanged(struct db *db, struct usage *usage)
{
	if (usage->changed)
		DL_DELETE(db->changed, usage);
	usage->changed = false;
}

/* --- loading ---------------------------------------------------------------------------- */

static enum err take_row(struct query *query, struct usage *usage, bool *found_out)
{
	*found_out = query_row(query);
	if (*found_out) {
		usage->items = column_int(query, 0);
		usage->bytes = column_int(query, 1);
		usage->last = column_int(query, 2);
	}
	return query_end(query);
}

static enum err load_row(struct db *db, struct usage *usage, bool *found_out)
{
	struct query query = query_begin(
		db, "SELECT items, bytes, last FROM usage WHERE queue = ?1 AND key = ?2");

	query_int(&query, 1, usage->queue);
	query_int(&query, 2, usage->key);
	return take_row(&query, usage, found_out);
}

static enum err count(struct db *db, struct usage *usage, const char *sql)
{
	struct query query = query_begin(db, sql);
	bool found;

	query_int(&query, 1, usage->key);
	mark_changed(db, usage);
	return take_row(&query, usage, &found);
}

void usage_begin(const struct db *db, struct usage *usage)
{
	usage->items = usage->bytes = usage->last = 0;
	usage->on_row = false;
	usage->turns = db->turns;
}

enum err usage_load(struct db *db, struct usage *usage, const char *sql)
{
	int64_t items = usage->items, bytes = usage->bytes;
	bool found = false;
	enum err err = ERR_OK;

	if (db->driver->shared)
		err = load_row(db, usage, &found);
	usage->on_row = found;
	if (err == ERR_OK && !found)
		err = count(db, usage, sql);
	usage->turns = db->turns;
	if (usage->items > items || usage->bytes > bytes)
		db_shares_doubt(&usage->shares);
	return err;
}

void usage_forget(struct db *db, struct usage *usage)
{
	mark_unchanged(db, usage);
	db_shares_forget(&usage->shares);
}

/* --- changing --------------------------------------------------------------------------- */

void usage_add(struct db *db, struct usage *usage, int64_t items, int64_t bytes)
{
	usage->items += items;
	usage->bytes += bytes;
	mark_changed(db, usage);
}

void usage_number(struct db *db, struct usage *usage, int64_t last)
{
	usage->last = last;
	mark_changed(db, usage);
}

enum err usage_add_to_row(struct db *db, enum usage_queue queue, int64_t key, int64_t items,
			  int64_t bytes)
{
	struct query query;

	if (!db->driver->shared)
		return ERR_OK;
	query = query_begin(db, "UPDATE usage SET items = items + ?3, bytes = bytes + ?4"
				" WHERE queue = ?1 AND key = ?2");
	query_int(&query, 1, queue);
	query_int(&query, 2, key);
	query_int(&query, 3, items);
	query_int(&query, 4, bytes);
	return query_run(&query);
}

enum err usage_remove_row(struct db *db, enum usage_queue queue, int64_t key)
{
	struct query query;

	if (!db->driver->shared)
		return ERR_OK;
	query = query_begin(db, "DELETE FROM usage WHERE queue = ?1 AND key = ?2");
	query_int(&query, 1, queue);
	query_int(&query, 2, key);
	return query_run(&query);
}

/* --- writing ---------------------------------------------------------------------------- */

/* Five numbers for each row, as an array of PostgreSQL. */
static const char *rows_text(struct arena *arena, const struct db *db)
{
	const struct usage *usage;
	struct text text;

	text_init(&text, arena, 4096);
	DL_FOREACH(db->changed, usage)
	{
		text_printf(&text, "%s%d,%lld,%lld,%lld,%lld", text.len == 0 ? "{" : ",",
			    (int)usage->queue, (long long)usage->key, (long long)usage->items,
			    (long long)usage->bytes, (long long)usage->last);
	}
	text_puts(&text, "}");
	return text.data;
}

#define ALL_ROWS                                                                               \
	" FROM (SELECT CAST(?1 AS BIGINT[]) AS a) AS all_rows,"                                \
	" generate_series(1, cardinality(a), 5) AS i"

/* One statement for all of them. */
static enum err write_rows(struct db *db, const char *rows)
{
	struct query query = query_begin(
		db, is_alone(db)
			    ? "DELETE FROM usage WHERE (queue, key) IN"
			      " (SELECT a[i], a[i + 1]" ALL_ROWS ")"
			    : "INSERT INTO usage (queue, key, items, bytes, last)"
			      " SELECT a[i], a[i + 1], a[i + 2], a[i + 3], a[i + 4]" ALL_ROWS
			      " ON CONFLICT (queue, key) DO UPDATE SET"
			      " items = excluded.items, bytes = excluded.bytes,"
			      " last = excluded.last");

	query_text(&query, 1, rows);
	return query_run(&query);
}

enum err usage_write(struct db *db)
{
	struct arena *arena;
	enum err err;

	if (db->changed == NULL)
		return ERR_OK;
	arena = arena_create();
	err = write_rows(db, rows_text(arena, db));
	arena_destroy(&arena);
	while (db->changed != NULL) {
		db->changed->on_row = !is_alone(db);
		mark_unchanged(db, db->changed);
	}
	return err;
}

enum err usage_renew(struct db *db)
{
	enum err err = usage_write(db);

	db->turns++;
	return err;
}
