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

/* The store, opened on a database of that version in which this has been done. */
static void open_earlier(struct contract *contract, int version, const char *sql)
{
	char *path = arena_printf(contract->arena, "%s/restante.db", contract->dir);
	sqlite3 *db;

	store_close(&contract->store);
	assert_int_equal(remove(path), 0);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	for (int i = 0; i < version; i++)
		execute(db, sqlite_migrations[i].sql);
	execute(db, arena_printf(contract->arena, "PRAGMA user_version = %d", version));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(version_1_keeps_accounts_mailboxes_and_outboxes,
						contract_setup, contract_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
