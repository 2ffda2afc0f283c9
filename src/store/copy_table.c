/* SPDX-License-Identifier: MIT
 *
 * Copying: which tables there are, and one of them at a time. A table is read once on each
 * side, by a pass that sums it up; the pass over the source hands its rows on.
 */
#include "copy.h"

#include "restante/log.h"

#define PROGRESS_ROWS 1000
#define BATCH_BYTES   (INT64_C(32) << 20)

/* What each database says of itself alone (restore_place(), copy.c). */
#define OF_ITS_OWN                                                                             \
	"'" META_UNFINISHED "', 'file_inode', 'file_birth_ns', 'database_oid', 'timeline'"

static enum err fail(const char *reason, const char *table)
{
	log_error(store_error, "at=copy table=%s reason=%s", log_quote(table),
		  log_quote(reason));
	return ERR_STORE;
}

/* --- the schema --------------------------------------------------------------------------- */

struct columns {
	struct copy_column *columns;
	size_t count, cap;
};

/* VALUE_NULL: a type that does not travel. */
static enum value_kind kind_of(const char *type)
{
	static const struct {
		const char *type;
		enum value_kind kind;
	} kinds[] = {
		{"INTEGER", VALUE_INT}, {"TEXT", VALUE_TEXT}, {"BLOB", VALUE_BLOB},
		{"bigint", VALUE_INT},	{"text", VALUE_TEXT}, {"bytea", VALUE_BLOB},
	};

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (strcmp(type, kinds[i].type) == 0)
			return kinds[i].kind;
	return VALUE_NULL;
}

static struct copy_column *add_column(struct columns *columns, struct arena *arena)
{
	struct copy_column *grown;

	if (columns->count == columns->cap) {
		grown = arena_array(arena, struct copy_column, 2 * columns->cap + 64);
		if (columns->count > 0)
			memcpy(grown, columns->columns, columns->count * sizeof *grown);
		columns->columns = grown;
		columns->cap = 2 * columns->cap + 64;
	}
	return &columns->columns[columns->count++];
}

static enum err columns_read(struct db *db, struct arena *arena, struct columns *columns_out)
{
	struct query query = query_begin(db, db->driver->copier->columns);
	const char *strange = NULL;

	*columns_out = (struct columns){0};
	while (query_row(&query)) {
		struct copy_column *column = add_column(columns_out, arena);

		column->table = column_text(&query, 0, arena);
		column->name = column_text(&query, 1, arena);
		column->kind = kind_of(column_text(&query, 2, arena));
		column->key = column_int(&query, 3);
		if (column->kind == VALUE_NULL)
			strange = column->table;
	}
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return strange == NULL ? ERR_OK
			       : fail("a column of a type that is not copied", strange);
}

static bool is_same(const struct copy_column *a, const struct copy_column *b)
{
	return strcmp(a->table, b->table) == 0 && strcmp(a->name, b->name) == 0 &&
	       a->kind == b->kind && a->key == b->key;
}

static enum err schemas_compare(const struct columns *from, const struct columns *to)
{
	for (size_t i = 0; i < from->count && i < to->count; i++)
		if (!is_same(&from->columns[i], &to->columns[i]))
			return fail("the two databases have different columns",
				    from->columns[i].table);
	return from->count == to->count ? ERR_OK
					: fail("the two databases have different tables", "");
}

static struct copy_table table_at(const struct columns *columns, size_t first)
{
	struct copy_table table = {.name = columns->columns[first].table,
				   .columns = &columns->columns[first],
				   .where = ""};

	while (first + table.n_columns < columns->count &&
	       strcmp(columns->columns[first + table.n_columns].table, table.name) == 0)
		table.n_columns++;
	if (strcmp(table.name, "meta") == 0)
		table.where = " WHERE name NOT IN (" OF_ITS_OWN ")";
	return table;
}

static bool has_key(const struct copy_table *table)
{
	for (size_t i = 0; i < table->n_columns; i++)
		if (table->columns[i].key > 0)
			return true;
	return false;
}

enum err copy_tables_find(struct copy_job *job)
{
	struct arena *arena = job->copy->arena;
	struct columns from, to;
	enum err err = columns_read(job->from.db, arena, &from);

	if (err == ERR_OK)
		err = columns_read(job->to.db, arena, &to);
	if (err == ERR_OK)
		err = schemas_compare(&from, &to);
	if (err != ERR_OK)
		return err;
	job->tables = arena_array(arena, struct copy_table, from.count);
	for (size_t i = 0; i < from.count && err == ERR_OK;) {
		struct copy_table *table = &job->tables[job->n_tables++];

		*table = table_at(&from, i);
		i += table->n_columns;
		if (table->n_columns > COPY_COLUMNS_MAX || !has_key(table))
			err = fail("a table without a primary key, or too many columns",
				   table->name);
	}
	return err;
}

/* --- texts -------------------------------------------------------------------------------- */

const char *copy_names(struct arena *arena, const struct copy_table *table)
{
	struct text names;

	text_init(&names, arena, 256);
	for (size_t i = 0; i < table->n_columns; i++)
		text_printf(&names, "%s\"%s\"", i > 0 ? ", " : "", table->columns[i].name);
	return names.data;
}

static const struct copy_column *key_at(const struct copy_table *table, int64_t place)
{
	for (size_t i = 0; i < table->n_columns; i++)
		if (table->columns[i].key == place)
			return &table->columns[i];
	return NULL;
}

static const char *select_text(struct arena *arena, const struct copy_table *table,
			       const struct copier *copier)
{
	const struct copy_column *key;
	struct text sql;

	text_init(&sql, arena, 256);
	text_printf(&sql, "SELECT %s FROM \"%s\"%s", copy_names(arena, table), table->name,
		    table->where);
	for (int64_t place = 1; (key = key_at(table, place)) != NULL; place++)
		text_printf(&sql, "%s \"%s\"%s", place == 1 ? " ORDER BY" : ",", key->name,
			    key->kind == VALUE_TEXT ? copier->by_bytes : "");
	return sql.data;
}

/* --- small questions ---------------------------------------------------------------------- */

static enum err ask(struct db *db, const char *sql, int64_t *answer_out)
{
	struct query query = query_begin(db, sql);

	*answer_out = 0;
	while (query_row(&query))
		*answer_out = column_int(&query, 0);
	return query_end(&query);
}

enum err copy_count(struct copy_job *job, struct copy_side *side,
		    const struct copy_table *table, int64_t *count_out)
{
	return ask(side->db,
		   arena_printf(job->copy->arena, "SELECT count(*) FROM \"%s\"%s", table->name,
				table->where),
		   count_out);
}

enum err copy_empty(struct copy_job *job, const struct copy_table *table)
{
	struct query query =
		query_begin(job->to.db, arena_printf(job->copy->arena, "DELETE FROM \"%s\"%s",
						     table->name, table->where));

	return query_run(&query);
}

/* --- passes ------------------------------------------------------------------------------- */

struct pass {
	struct copy_job *job;
	const struct copy_table *table;
	struct copy_writer *writer; /* NULL: the rows are only summed up */
	struct copy_sum *sum;
	int64_t batch_rows, batch_bytes;
};

static void tell(struct copy_job *job)
{
	if (job->progress.total > 0)
		job->copy->progress(job->copy->context, &job->progress);
}

static void add_up(struct pass *pass, struct bytes row)
{
	struct copy_progress *progress = &pass->job->progress;
	struct copy_sum *sum = pass->sum;
	struct text *room = &pass->job->room;

	room->len = 0;
	text_add(room, bytes_of(sum->digest, SHA256_SIZE));
	text_add(room, row);
	crypto_sha256(text_bytes(room), sum->digest);
	sum->rows++;
	sum->bytes += (int64_t)row.len;
	progress->table_rows++;
	progress->rows++;
	progress->bytes += (int64_t)row.len;
	if (progress->table_rows % PROGRESS_ROWS == 0)
		tell(pass->job);
}

/* A long transaction would leave a long log. */
static enum err next_batch(struct pass *pass, struct bytes row)
{
	const struct copier *copier = pass->writer->db->driver->copier;
	struct copy_side *to = &pass->job->to;
	enum err err;

	pass->batch_rows++;
	pass->batch_bytes += (int64_t)row.len;
	if (copier->batch_rows == 0 ||
	    (pass->batch_rows < copier->batch_rows && pass->batch_bytes < BATCH_BYTES))
		return ERR_OK;
	pass->batch_rows = 0;
	pass->batch_bytes = 0;
	err = copy_commit(to);
	return err == ERR_OK ? to->backend->begin(to->connection) : err;
}

static enum err take(void *context, struct bytes row)
{
	struct pass *pass = context;
	enum err err;

	add_up(pass, row);
	if (pass->writer == NULL)
		return ERR_OK;
	err = pass->writer->db->driver->copier->write(pass->writer, row);
	return err == ERR_OK ? next_batch(pass, row) : err;
}

static enum err read_rows(struct pass *pass, struct copy_side *side)
{
	const struct copier *copier = side->db->driver->copier;
	const char *select = select_text(pass->job->copy->arena, pass->table, copier);
	struct copy_progress *progress = &pass->job->progress;

	progress->table = pass->table->name;
	progress->table_rows = 0;
	progress->table_total = pass->table->total;
	tell(pass->job);
	return copier->read(side->db, pass->table, select, take, pass);
}

enum err copy_sum_up(struct copy_job *job, struct copy_side *side,
		     const struct copy_table *table, struct copy_sum *sum_out)
{
	struct pass pass = {.job = job, .table = table, .sum = sum_out};

	*sum_out = (struct copy_sum){0};
	return read_rows(&pass, side);
}

enum err copy_carry(struct copy_job *job, const struct copy_table *table,
		    struct copy_sum *sum_out)
{
	const struct copier *copier = job->to.db->driver->copier;
	struct arena *arena = job->copy->arena;
	struct copy_writer writer = {.db = job->to.db, .table = table};
	struct pass pass = {.job = job, .table = table, .writer = &writer, .sum = sum_out};
	enum err err = copier->write_begin(&writer, arena);

	*sum_out = (struct copy_sum){0};
	if (err == ERR_OK)
		err = read_rows(&pass, &job->from);
	return err == ERR_OK ? copier->write_end(&writer, arena) : err;
}

/* --- keys --------------------------------------------------------------------------------- */

static enum err highest_given_out(struct db *db, const struct copy_table *table,
				  int64_t *highest_out)
{
	struct query query = query_begin(db, db->driver->copier->highest_key);

	query_text(&query, 1, table->name);
	while (query_row(&query))
		*highest_out = column_int(&query, 0);
	return query_end(&query);
}

/* What is there counts too: not every kind of table remembers more. */
enum err copy_keys_go_on(struct copy_job *job, const struct copy_table *table)
{
	const struct copy_column *key = key_at(table, 1);
	int64_t highest = 0, there = 0;
	enum err err = highest_given_out(job->from.db, table, &highest);

	if (err == ERR_OK && key->kind == VALUE_INT && key_at(table, 2) == NULL)
		err = ask(job->to.db,
			  arena_printf(job->copy->arena, "SELECT max(\"%s\") FROM \"%s\"",
				       key->name, table->name),
			  &there);
	if (there > highest)
		highest = there;
	if (err != ERR_OK || highest == 0)
		return err;
	return job->to.db->driver->copier->keys_go_on(job->to.db, table->name, highest);
}
