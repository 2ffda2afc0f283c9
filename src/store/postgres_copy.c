/* SPDX-License-Identifier: MIT
 *
 * What PostgreSQL does for a copy: rows by COPY, in its binary form, with a header in front and
 * a count of -1 at the end.
 */
#include "copy.h"

#include "postgres.h"

#define HEADER_SIZE 19

static const char header[HEADER_SIZE + 1] =
	"PGCOPY\n\377\r\n\0" /* and no flags, no extension */
	"\0\0\0\0\0\0\0\0";
static const char trailer[] = "\377\377";

/* --- reading ------------------------------------------------------------------------------ */

/* The server sends each row by itself, the first one behind the header. */
static struct bytes without_header(struct bytes data)
{
	if (data.len >= HEADER_SIZE && memcmp(data.data, header, HEADER_SIZE) == 0)
		return bytes_of(data.data + HEADER_SIZE, data.len - HEADER_SIZE);
	return data;
}

static bool is_row(struct bytes data)
{
	return data.len > 0 && !bytes_equal(data, bytes_of(trailer, 2));
}

static bool begin_reading(struct pg_link *link, const char *select)
{
	struct arena *arena = arena_create();
	bool begun = pg_copy_begin(
		link, arena_printf(arena, "COPY (%s) TO STDOUT (FORMAT binary)", select));

	arena_destroy(&arena);
	return begun;
}

static enum err postgres_read(struct db *db, const struct copy_table *table, const char *select,
			      copy_take_fn *take, void *context)
{
	struct pg_link *link = &postgres_of(db)->link;
	bool first = true;
	enum err err = ERR_OK;
	struct bytes data;

	(void)table;
	if (!begin_reading(link, select))
		return postgres_log(postgres_of(db), "copy");
	while (err == ERR_OK && pg_copy_get(link, &data)) {
		if (first)
			data = without_header(data);
		first = false;
		if (is_row(data))
			err = take(context, data);
	}
	if (err != ERR_OK)
		return err; /* the connection is of no more use */
	return pg_copy_end(link) ? ERR_OK : postgres_log(postgres_of(db), "copy");
}

/* --- writing ------------------------------------------------------------------------------ */

static enum err put(struct copy_writer *writer, struct bytes data)
{
	struct postgres *postgres = postgres_of(writer->db);

	return pg_copy_put(&postgres->link, data) ? ERR_OK : postgres_log(postgres, "copy");
}

static enum err postgres_write_begin(struct copy_writer *writer, struct arena *arena)
{
	struct postgres *postgres = postgres_of(writer->db);

	writer->sql = arena_printf(arena, "COPY \"%s\" (%s) FROM STDIN (FORMAT binary)",
				   writer->table->name, copy_names(arena, writer->table));
	if (!pg_copy_begin(&postgres->link, writer->sql))
		return postgres_log(postgres, "copy");
	return put(writer, bytes_of(header, HEADER_SIZE));
}

/* Whoever reads the table next has to know how it lies. */
static enum err postgres_write_end(struct copy_writer *writer, struct arena *arena)
{
	struct postgres *postgres = postgres_of(writer->db);
	struct query query;

	if (put(writer, bytes_of(trailer, 2)) != ERR_OK)
		return ERR_STORE;
	if (!pg_copy_end(&postgres->link))
		return postgres_log(postgres, "copy");
	query = query_begin(writer->db,
			    arena_printf(arena, "ANALYZE \"%s\"", writer->table->name));
	return query_run(&query);
}

/* --- keys --------------------------------------------------------------------------------- */

static enum err postgres_keys_go_on(struct db *db, const char *table, int64_t highest)
{
	struct query query =
		query_begin(db, "SELECT setval(pg_get_serial_sequence(?1, attname)::REGCLASS, "
				"?2) FROM pg_attribute"
				" WHERE attrelid = ?1::REGCLASS AND attidentity <> ''");

	query_text(&query, 1, table);
	query_int(&query, 2, highest);
	return query_run(&query);
}

/* `migration` and `writer` are of this kind of database only. */
const struct copier postgres_copier = {
	.columns = "SELECT t.relname::TEXT, a.attname::TEXT, format_type(a.atttypid, NULL),"
		   " coalesce(array_position(i.indkey::INT2[], a.attnum) + 1, 0)"
		   " FROM pg_class AS t JOIN pg_attribute AS a ON a.attrelid = t.oid"
		   " LEFT JOIN pg_index AS i ON i.indrelid = t.oid AND i.indisprimary"
		   " WHERE t.relnamespace = current_schema()::REGNAMESPACE AND t.relkind = 'r'"
		   " AND t.relname NOT IN ('migration', 'writer', 'turn', 'process', "
		   "'session', 'usage')"
		   " AND a.attnum > 0 AND NOT a.attisdropped"
		   " ORDER BY t.relname, a.attname",
	.highest_key =
		"SELECT pg_sequence_last_value(pg_get_serial_sequence(?1, attname)::REGCLASS)"
		" FROM pg_attribute WHERE attrelid = ?1::REGCLASS AND attidentity <> ''",
	.hold = {"LOCK TABLE \"", "\" IN SHARE MODE"},
	.by_bytes = " COLLATE \"C\"",
	.read = postgres_read,
	.write_begin = postgres_write_begin,
	.write = put,
	.write_end = postgres_write_end,
	.keys_go_on = postgres_keys_go_on,
};
