/* SPDX-License-Identifier: MIT
 *
 * What the embedded database does for a copy: rows by prepared statements.
 */
#include "copy.h"

#include "sqlite.h"

#include <endian.h>

/* --- reading ------------------------------------------------------------------------------ */

static void add_u16(struct text *row, uint16_t value)
{
	uint16_t wire = htobe16(value);

	text_add(row, bytes_of(&wire, sizeof wire));
}

static void add_u32(struct text *row, uint32_t value)
{
	uint32_t wire = htobe32(value);

	text_add(row, bytes_of(&wire, sizeof wire));
}

static void add_value(struct text *row, const struct query *query, int column,
		      enum value_kind kind)
{
	uint64_t number = htobe64((uint64_t)column_int(query, column));
	struct bytes bytes = kind == VALUE_INT ? bytes_of(&number, sizeof number)
					       : column_bytes(query, column);

	if (column_is_null(query, column)) {
		add_u32(row, UINT32_MAX);
		return;
	}
	add_u32(row, (uint32_t)bytes.len);
	text_add(row, bytes);
}

static enum err sqlite_read(struct db *db, const struct copy_table *table, const char *select,
			    copy_take_fn *take, void *context)
{
	struct query query = query_begin(db, select);
	struct arena *arena = arena_create();
	enum err err = ERR_OK;
	struct text row;

	text_init(&row, arena, 4096);
	while (err == ERR_OK && query_row(&query)) {
		row.len = 0;
		add_u16(&row, (uint16_t)table->n_columns);
		for (size_t i = 0; i < table->n_columns; i++)
			add_value(&row, &query, (int)i, table->columns[i].kind);
		err = take(context, text_bytes(&row));
	}
	arena_destroy(&arena);
	return query_end(&query) == ERR_OK ? err : ERR_STORE;
}

/* --- writing ------------------------------------------------------------------------------ */

static enum err sqlite_write_begin(struct copy_writer *writer, struct arena *arena)
{
	struct text sql;

	text_init(&sql, arena, 256);
	text_printf(&sql, "INSERT INTO \"%s\" (%s) VALUES (?1", writer->table->name,
		    copy_names(arena, writer->table));
	for (size_t i = 2; i <= writer->table->n_columns; i++)
		text_printf(&sql, ", ?%zu", i);
	text_puts(&sql, ")");
	writer->sql = sql.data;
	return ERR_OK;
}

/* Cuts so much off the front. False: there is less. */
static bool cut(struct bytes *row, size_t len, struct bytes *front_out)
{
	if (row->len < len)
		return false;
	*front_out = bytes_of(row->data, len);
	*row = bytes_of(row->data + len, row->len - len);
	return true;
}

static bool cut_u16(struct bytes *row, uint16_t *value_out)
{
	struct bytes front;

	if (!cut(row, sizeof *value_out, &front))
		return false;
	memcpy(value_out, front.data, sizeof *value_out);
	*value_out = be16toh(*value_out);
	return true;
}

static bool cut_u32(struct bytes *row, uint32_t *value_out)
{
	struct bytes front;

	if (!cut(row, sizeof *value_out, &front))
		return false;
	memcpy(value_out, front.data, sizeof *value_out);
	*value_out = be32toh(*value_out);
	return true;
}

static bool cut_value(struct bytes *row, enum value_kind kind, struct value *value_out)
{
	uint64_t number;
	uint32_t len;

	*value_out = (struct value){.kind = VALUE_NULL};
	if (!cut_u32(row, &len))
		return false;
	if (len == UINT32_MAX)
		return true;
	value_out->kind = kind;
	if (!cut(row, len, &value_out->bytes))
		return false;
	if (kind != VALUE_INT)
		return true;
	if (len != sizeof number)
		return false;
	memcpy(&number, value_out->bytes.data, sizeof number);
	value_out->number = (int64_t)be64toh(number);
	return true;
}

/* False: not as copy.h has it. */
static bool bind_row(struct query *query, const struct copy_table *table, struct bytes row)
{
	struct value value;
	uint16_t count;

	if (!cut_u16(&row, &count) || count != table->n_columns)
		return false;
	for (size_t i = 0; i < table->n_columns; i++) {
		if (!cut_value(&row, table->columns[i].kind, &value))
			return false;
		query_value(query, (int)i + 1, &value);
	}
	return row.len == 0;
}

static enum err sqlite_write(struct copy_writer *writer, struct bytes row)
{
	struct query query = query_begin(writer->db, writer->sql);

	if (query.err == ERR_OK && !bind_row(&query, writer->table, row)) {
		db_log_failure(writer->db, "copy", "a row cannot be read", writer->sql);
		query.err = ERR_STORE;
	}
	return query_run(&query);
}

static enum err sqlite_write_end(struct copy_writer *writer, struct arena *arena)
{
	(void)writer;
	(void)arena;
	return ERR_OK;
}

/* --- keys --------------------------------------------------------------------------------- */

/* Other tables go on behind the highest key that is there. */
static enum err sqlite_keys_go_on(struct db *db, const char *table, int64_t highest)
{
	struct query query = query_begin(db, "DELETE FROM sqlite_sequence WHERE name = ?1");
	enum err err;

	query_text(&query, 1, table);
	err = query_run(&query);
	if (err != ERR_OK)
		return err;
	query = query_begin(db, "INSERT INTO sqlite_sequence (name, seq) SELECT name, ?2"
				" FROM sqlite_schema WHERE type = 'table' AND name = ?1"
				" AND sql LIKE '%AUTOINCREMENT%'");
	query_text(&query, 1, table);
	query_int(&query, 2, highest);
	return query_run(&query);
}

const struct copier sqlite_copier = {
	.columns = "SELECT t.name, c.name, c.type, c.pk"
		   " FROM sqlite_schema AS t, pragma_table_info(t.name) AS c"
		   " WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite!_%' ESCAPE '!'"
		   " ORDER BY t.name, c.name",
	.highest_key = "SELECT seq FROM sqlite_sequence WHERE name = ?1",
	.by_bytes = "",
	.batch_rows = 10000,
	.read = sqlite_read,
	.write_begin = sqlite_write_begin,
	.write = sqlite_write,
	.write_end = sqlite_write_end,
	.keys_go_on = sqlite_keys_go_on,
};
