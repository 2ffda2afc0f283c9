/* SPDX-License-Identifier: MIT
 *
 * What the contract tests of the store share: a store of its own for each test, operations
 * that are posted and waited for, and accounts with devices to work on. The store is a file,
 * or, where RESTANTE_TEST_STORE names a database of PostgreSQL, a schema in that.
 * `contract_now` is the time of every operation; tests set and advance it. Every helper ends
 * the test when it cannot do its job.
 */
#ifndef TEST_STORE_CONTRACT_H
#define TEST_STORE_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/ops_federation.h"
#include "restante/ops_keys.h"
#include "restante/ops_messages.h"
#include "restante/sign.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define CONTRACT_DOMAIN "a.example"
#define CONTRACT_START	INT64_C(1767225600000)
#define UNUSED		__attribute__((unused))

/* A store and what its tests need; in the cmocka state. */
struct contract {
	char *dir;
	char url[512]; /* of the store; "": a file in dir */
	struct store_config config;
	struct store *store;
	struct inbox *inbox; /* where operations come back to */
	struct arena *arena; /* of the test: results live until its end */
};

static int64_t contract_now UNUSED = CONTRACT_START;

static UNUSED void contract_config(struct store_config *config, const char *dir)
{
	*config = (struct store_config){
		.url = "",
		.data_dir = dir,
		.domain = CONTRACT_DOMAIN,
		.max_devices = 10,
		.strangers = STRANGERS_ACCEPT,
		.prekeys_max = 200,
		.first_contact = 8 << 10,
		.mailbox_items = 10000,
		.mailbox_bytes = 200000000,
		.mailbox_life_ms = 30 * DAYS_MS,
		.outbox_items = 250000,
		.outbox_bytes = 512 << 20,
		.outbox_life_ms = 7 * DAYS_MS,
		.inbox_capacity = 10000,
	};
}

static UNUSED void contract_execute_postgres(const char *url, const char *sql)
{
	PGconn *conn = PQconnectdb(url);
	PGresult *result = PQexec(conn, sql);

	assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
	PQclear(result);
	PQfinish(conn);
}

static UNUSED void contract_make_schema(const char *database, char *url, size_t size)
{
	static int schemas;
	char sql[64];

	snprintf(sql, sizeof sql, "CREATE SCHEMA test%d", ++schemas);
	contract_execute_postgres(database, sql);
	snprintf(url, size, "%s&options=-csearch_path%%3Dtest%d", database, schemas);
}

static UNUSED void contract_make_store(struct contract *contract)
{
	const char *database = getenv("RESTANTE_TEST_STORE");

	if (database == NULL)
		return;
	contract_make_schema(database, contract->url, sizeof contract->url);
	contract->config.url = contract->url;
}

static UNUSED void contract_open(struct contract *contract)
{
	assert_int_equal(store_open(&contract->config, &contract->store), ERR_OK);
}

static UNUSED void contract_reopen(struct contract *contract)
{
	store_close(&contract->store);
	contract_open(contract);
}

static UNUSED void contract_execute_sqlite(const char *path, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* SQL behind the back of the store, which is closed meanwhile. */
static UNUSED void contract_execute(struct contract *contract, const char *sql)
{
	store_close(&contract->store);
	if (contract->url[0] != '\0')
		contract_execute_postgres(contract->url, sql);
	else
		contract_execute_sqlite(
			arena_printf(contract->arena, "%s/restante.db", contract->dir), sql);
	contract_open(contract);
}

/* cmocka: setup and teardown of each test. */
static UNUSED int contract_setup(void **state)
{
	struct contract *contract = calloc(1, sizeof *contract);

	crypto_init();
	contract_now = CONTRACT_START;
	contract->dir = support_make_dir();
	contract->inbox = inbox_create(1, NULL, NULL);
	contract->arena = arena_create();
	contract_config(&contract->config, contract->dir);
	contract_make_store(contract);
	contract_open(contract);
	*state = contract;
	return 0;
}

static UNUSED int contract_teardown(void **state)
{
	struct contract *contract = *state;

	store_close(&contract->store);
	inbox_destroy(&contract->inbox);
	arena_destroy(&contract->arena);
	support_remove_dir(&contract->dir);
	free(contract);
	return 0;
}

/* --- operations ----------------------------------------------------------------------- */

/* Fills in the head of an operation. */
static UNUSED void contract_prepare(struct contract *contract, struct store_op *op,
				    enum store_kind kind)
{
	op->message.reply_to = contract->inbox;
	op->kind = kind;
	op->arena = contract->arena;
	op->now_ms = contract_now;
}

/* Posts an operation and waits for it. */
static UNUSED enum err contract_run(struct contract *contract, struct store_op *op,
				    enum store_kind kind)
{
	contract_prepare(contract, op, kind);
	assert_true(store_post(contract->store, op));
	assert_ptr_equal(inbox_wait(contract->inbox, 1), &op->message);
	return op->err;
}

/* RUN(contract, SEND, &send): enum err. */
#define RUN(contract, KIND, operation) contract_run((contract), &(operation)->op, STORE_##KIND)
#define RUN_OK(contract, KIND, operation)                                                      \
	assert_int_equal(RUN(contract, KIND, operation), ERR_OK)

/* A hash that nobody else has asked for. */
static UNUSED void contract_hash(uint8_t hash_out[HASH_SIZE])
{
	crypto_random(hash_out, HASH_SIZE);
}

static UNUSED struct new_session contract_session(void)
{
	struct new_session session = {.refresh_expires_ms = contract_now + 30 * DAYS_MS};

	contract_hash(session.refresh_hash);
	return session;
}

/* --- keys ----------------------------------------------------------------------------- */

/* 32 bytes that follow from a name, and that do for an X25519 key. */
static UNUSED struct bytes contract_key(struct contract *contract, const char *what,
					uint32_t id)
{
	uint8_t *key = arena_alloc(contract->arena, SHA256_SIZE);

	crypto_sha256(bytes_of_text(arena_printf(contract->arena, "%s %u", what, id)), key);
	key[SHA256_SIZE - 1] &= 0x3f;
	return bytes_of(key, SHA256_SIZE);
}

static UNUSED struct bytes contract_identity(struct contract *contract, const char *name,
					     uint32_t id)
{
	struct sign_key *key = arena_new(contract->arena, struct sign_key);
	struct bytes seed = contract_key(contract, name, id);

	assert_int_equal(sign_key_from_seed(bytes_of_text("test"), seed.data, key), ERR_OK);
	return bytes_of(key->public_key, sizeof key->public_key);
}

static UNUSED struct prekey contract_prekey(struct contract *contract, const char *what,
					    uint32_t id, bool with_signature)
{
	struct prekey key = {
		.present = true, .id = id, .public_key = contract_key(contract, what, id)};

	if (with_signature)
		key.signature = contract_key(contract, "signature", id);
	return key;
}

/* Keys with ids from `first` on. */
static UNUSED struct prekey_list contract_prekeys(struct contract *contract, const char *what,
						  uint32_t first, size_t count,
						  bool with_signature)
{
	struct prekey_list list = {.count = count};

	list.keys = arena_array(contract->arena, struct prekey, count);
	for (size_t i = 0; i < count; i++)
		list.keys[i] =
			contract_prekey(contract, what, first + (uint32_t)i, with_signature);
	return list;
}

/* A device with `one_time` and `pq` one-time keys, ids from 1, and no last resort. */
static UNUSED struct key_upload contract_upload(struct contract *contract, const char *name,
						size_t one_time, size_t pq)
{
	static uint16_t registration_id = 1000;
	struct key_upload upload = {.registration_id = ++registration_id,
				    .has_identity = true,
				    .scheme = SCHEME_ED25519};

	snprintf(upload.name, sizeof upload.name, "%s", name);
	upload.identity_key = contract_identity(contract, name, registration_id);
	upload.signed_prekey = contract_prekey(
		contract, arena_printf(contract->arena, "signed prekey of %s", name), 1, true);
	upload.one_time = contract_prekeys(
		contract, arena_printf(contract->arena, "one-time of %s", name), 1, one_time,
		false);
	upload.pq = contract_prekeys(contract, arena_printf(contract->arena, "pq of %s", name),
				     1, pq, true);
	return upload;
}

/* --- accounts and devices --------------------------------------------------------------- */

/* A device as a test knows it; its caller is what its access token says. */
struct contract_device {
	struct caller caller;
	struct address address;
	uint16_t registration_id;
	int64_t list_version; /* right after it joined */
	uint8_t refresh_hash[HASH_SIZE];
};

static UNUSED void contract_fill_device(struct contract_device *device, const char *user,
					uint8_t device_id, int64_t generation,
					int64_t issued_at_ms)
{
	snprintf(device->caller.user, sizeof device->caller.user, "%s", user);
	device->caller.device_id = device_id;
	device->caller.generation = generation;
	device->caller.issued_at_ms = issued_at_ms;
	device->caller.expires_at_ms = issued_at_ms + 15 * MINUTES_MS;
	address_make(user, CONTRACT_DOMAIN, &device->address);
}

/* A new account with a first device of that upload. */
static UNUSED struct contract_device contract_register_with(struct contract *contract,
							    const char *user,
							    const struct key_upload *upload,
							    const char *password_hash)
{
	struct op_register op = {.user = user,
				 .password_hash = password_hash,
				 .device = upload,
				 .session = contract_session()};
	struct contract_device device = {.registration_id = upload->registration_id};

	RUN_OK(contract, REGISTER, &op);
	memcpy(device.refresh_hash, op.session.refresh_hash, HASH_SIZE);
	contract_fill_device(&device, user, op.device_id, op.generation, op.issued_at_ms);
	device.list_version = op.list_version;
	return device;
}

/* A new account without a password; its device has no one-time keys. */
static UNUSED struct contract_device contract_register(struct contract *contract,
						       const char *user)
{
	struct key_upload upload = contract_upload(contract, user, 0, 0);

	return contract_register_with(contract, user, &upload, NULL);
}

/* Links a device by a link token of this one. */
static UNUSED enum err contract_try_link(struct contract *contract,
					 const struct contract_device *by,
					 const struct key_upload *upload,
					 struct op_device_link *op)
{
	struct op_link_token_create *token =
		arena_new(contract->arena, struct op_link_token_create);

	token->caller = by->caller;
	token->expires_ms = contract_now + 10 * MINUTES_MS;
	contract_hash(token->token_hash);
	RUN_OK(contract, LINK_TOKEN_CREATE, token);
	*op = (struct op_device_link){.token_hash = token->token_hash,
				      .device = upload,
				      .session = contract_session()};
	return RUN(contract, DEVICE_LINK, op);
}

static UNUSED struct contract_device contract_link_with(struct contract *contract,
							const struct contract_device *by,
							const struct key_upload *upload)
{
	struct contract_device device = {.registration_id = upload->registration_id};
	struct op_device_link op;

	assert_int_equal(contract_try_link(contract, by, upload, &op), ERR_OK);
	memcpy(device.refresh_hash, op.session.refresh_hash, HASH_SIZE);
	contract_fill_device(&device, op.linked_user, op.device_id, op.generation,
			     op.issued_at_ms);
	device.list_version = op.list_version;
	return device;
}

/* A further device of the account, without one-time keys. */
static UNUSED struct contract_device
contract_link(struct contract *contract, const struct contract_device *by, const char *name)
{
	struct key_upload upload = contract_upload(contract, name, 0, 0);

	return contract_link_with(contract, by, &upload);
}

static UNUSED enum err contract_remove(struct contract *contract,
				       const struct contract_device *by, uint8_t device_id)
{
	struct op_device_remove op = {.caller = by->caller, .device_id = device_id};

	return RUN(contract, DEVICE_REMOVE, &op);
}

/* What the account of this device says about an address. */
static UNUSED void contract_consent(struct contract *contract, const struct contract_device *by,
				    const char *address, enum consent_state state)
{
	struct op_consent_set op = {.caller = by->caller, .state = state};

	assert_int_equal(address_parse(bytes_of_text(address), &op.address), ERR_OK);
	RUN_OK(contract, CONSENT_SET, &op);
}

static UNUSED void contract_meet_strangers(struct contract *contract,
					   const struct contract_device *by,
					   enum strangers strangers)
{
	struct op_account_patch op = {.caller = by->caller,
				      .patch = {.has_strangers = true, .strangers = strangers}};

	RUN_OK(contract, ACCOUNT_PATCH, &op);
}

static UNUSED void contract_close_to_strangers(struct contract *contract,
					       const struct contract_device *by)
{
	contract_meet_strangers(contract, by, STRANGERS_REFUSE);
}

/* --- effects -------------------------------------------------------------------------- */

static UNUSED bool effects_have_end(const struct effects *effects, int64_t generation,
				    uint16_t code)
{
	for (const struct session_end *end = effects->ended; end != NULL; end = end->next)
		if (end->generation == generation && end->code == code)
			return true;
	return false;
}

static UNUSED bool effects_have_hint(const struct effects *effects, int64_t generation,
				     const char *address)
{
	for (const struct list_hint *hint = effects->list_hints; hint != NULL;
	     hint = hint->next)
		if (hint->generation == generation && strcmp(hint->address, address) == 0)
			return true;
	return false;
}

static UNUSED bool effects_have_outbound(const struct effects *effects, const char *domain)
{
	for (const struct outbound *out = effects->outbound; out != NULL; out = out->next)
		if (strcmp(out->domain, domain) == 0)
			return true;
	return false;
}

#endif
