/* SPDX-License-Identifier: MIT
 *
 * Databases of earlier versions: what is in them is there after the update.
 */
#include "mail.h"

#include "migrate.h"

#include <sqlite3.h>

static void execute(sqlite3 *db, const char *sql)
{
	char *problem = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &problem) != SQLITE_OK)
		fail_msg("%s: %s", problem, sql);
}

static const char *path_of(struct contract *contract)
{
	return arena_printf(contract->arena, "%s/restante.db", contract->dir);
}

/* In place of the store, which is closed: a database of that version. */
static sqlite3 *make_earlier(struct contract *contract, int version)
{
	sqlite3 *db;

	store_close(&contract->store);
	assert_int_equal(remove(path_of(contract)), 0);
	assert_int_equal(sqlite3_open(path_of(contract), &db), SQLITE_OK);
	for (int i = 0; i < version; i++)
		execute(db, sqlite_migrations[i].sql);
	execute(db, arena_printf(contract->arena, "PRAGMA user_version = %d", version));
	return db;
}

/* The store, opened on a database of that version in which this has been done. */
static void open_earlier(struct contract *contract, int version, const char *sql)
{
	sqlite3 *db = make_earlier(contract, version);

	execute(db, sql);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	contract_open(contract);
}

static void version_1_keeps_accounts_mailboxes_and_outboxes(void **state)
{
	struct contract *contract = *state;
	struct contract_device open = {0};
	struct contract_device closed = {0};
	struct op_account_get get = {0};

	open_earlier(
		contract, 1,
		"INSERT INTO account (account_key, user, list_version, open_to_strangers,"
		" created_ms) VALUES (1, 'ann', 1, 1, 1), (2, 'bob', 1, 0, 1);"
		"INSERT INTO device (generation, account_key, device_id, name,"
		" registration_id, scheme, identity_key, signed_prekey_id, signed_prekey,"
		" signed_prekey_signature, signed_prekey_ms, created_ms, last_seen_ms)"
		" VALUES (7, 1, 1, '', 1, 1, x'00', 1, x'00', x'00', 1, 1, 1),"
		" (8, 2, 1, '', 1, 1, x'00', 1, x'00', x'00', 1, 1, 1);"
		"INSERT INTO mailbox (seq, generation, kind, bytes, expires_ms, body)"
		" VALUES (5, 7, 1, 4, 9000000000000, 'body');"
		"INSERT INTO destination (destination_key, domain) VALUES (3, 'b.example');"
		"INSERT INTO outbox (destination_key, position, kind, bytes, expires_ms,"
		" generation, recipient, body)"
		" VALUES (3, 1, 1, 3, 9000000000000, 7, 'rita@b.example', 'out')");
	contract_fill_device(&open, "ann", 1, 7, contract_now);
	contract_fill_device(&closed, "bob", 1, 8, contract_now);
	get.caller = open.caller;
	RUN_OK(contract, ACCOUNT_GET, &get);
	assert_int_equal(get.account.strangers, STRANGERS_REQUEST);
	get.caller = closed.caller;
	RUN_OK(contract, ACCOUNT_GET, &get);
	assert_int_equal(get.account.strangers, STRANGERS_REFUSE);
	assert_int_equal(mail_only(contract, &open).seq, 5);
	assert_true(mail_has(mail_only(contract, &open).body, "body"));
	assert_true(mail_has(outbox_read(contract, "b.example", 0).items[0].body, "out"));
}

/* One value of every column of every table. */
struct value {
	const char *table, *column, *value;
};

static size_t values_read(struct contract *contract, sqlite3 *db, struct value *values,
			  size_t most)
{
	sqlite3_stmt *rows;
	size_t count = 0;

	assert_int_equal(
		sqlite3_prepare_v2(db,
				   "SELECT t.name, c.name, CASE c.type WHEN 'INTEGER' THEN '1'"
				   " WHEN 'BLOB' THEN quote(x'01') ELSE quote(c.name) END"
				   " FROM sqlite_schema t, pragma_table_info(t.name) c"
				   " WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
				   -1, &rows, NULL),
		SQLITE_OK);
	for (; sqlite3_step(rows) == SQLITE_ROW; count++) {
		const char *text[3];

		assert_true(count < most);
		for (int i = 0; i < 3; i++)
			text[i] = arena_printf(contract->arena, "%s",
					       (const char *)sqlite3_column_text(rows, i));
		values[count] = (struct value){text[0], text[1], text[2]};
	}
	sqlite3_finalize(rows);
	return count;
}

/* A row into each table; the columns of one table are together. */
static const char *rows_make(struct contract *contract, const struct value *values,
			     size_t count)
{
	struct text sql, row;

	text_init(&sql, contract->arena, 4096);
	for (size_t i = 0; i < count; i++) {
		bool first = i == 0 || strcmp(values[i - 1].table, values[i].table) != 0;
		bool last = i + 1 == count || strcmp(values[i + 1].table, values[i].table) != 0;

		if (first) {
			text_init(&row, contract->arena, 256);
			text_printf(&sql, "INSERT INTO %s (", values[i].table);
		}
		text_printf(&sql, "%s%s", values[i].column, last ? ") VALUES (" : ", ");
		text_printf(&row, "%s%s", values[i].value, last ? ");" : ", ");
		if (last)
			text_puts(&sql, row.data);
	}
	return sql.data;
}

static const char *name_now(const struct value *value)
{
	if (strcmp(value->column, "open_to_strangers") == 0)
		return "strangers";
	return strcmp(value->column, "user") == 0 ? "name" : value->column;
}

static bool has_value(struct contract *contract, sqlite3 *db, const struct value *value)
{
	const char *sql = arena_printf(contract->arena, "SELECT 1 FROM %s WHERE %s = %s",
				       value->table, name_now(value), value->value);
	sqlite3_stmt *row;
	bool found;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
	found = sqlite3_step(row) == SQLITE_ROW;
	sqlite3_finalize(row);
	return found;
}

static void nothing_of_version_1_is_lost(void **state)
{
	struct contract *contract = *state;
	struct value values[256];
	size_t count;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	execute(db, sqlite_migrations[0].sql);
	count = values_read(contract, db, values, 256);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_true(count > 100);
	open_earlier(contract, 1, rows_make(contract, values, count));
	store_close(&contract->store);
	assert_int_equal(sqlite3_open(path_of(contract), &db), SQLITE_OK);
	for (size_t i = 0; i < count; i++)
		if (!has_value(contract, db, &values[i]))
			fail_msg("lost: %s.%s", values[i].table, values[i].column);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The node that uses it would have nothing but errors from then on. */
static void a_command_updates_no_database_that_is_in_use(void **state)
{
	struct contract *contract = *state;
	sqlite3 *db = make_earlier(contract, 1);
	enum err err;

	execute(db, "PRAGMA journal_mode = WAL; DELETE FROM account");
	contract->config.must_exist = true;
	err = store_open(&contract->config, &contract->store);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(err, ERR_STORE);
	contract_open(contract);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(version_1_keeps_accounts_mailboxes_and_outboxes,
						contract_setup, contract_teardown),
		cmocka_unit_test_setup_teardown(nothing_of_version_1_is_lost, contract_setup,
						contract_teardown),
		cmocka_unit_test_setup_teardown(a_command_updates_no_database_that_is_in_use,
						contract_setup, contract_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
