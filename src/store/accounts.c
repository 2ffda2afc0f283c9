/* SPDX-License-Identifier: MIT
 *
 * Accounts: registering, settings, passwords, the end.
 */
#include "devices.h"

enum err db_account_find(struct db *db, const char *user, struct db_account *account_out)
{
	struct query query =
		query_begin(db, "SELECT account_key, list_version, strangers, receipts"
				" FROM account WHERE name = ?1 AND deleted_ms IS NULL");
	bool found;

	query_text(&query, 1, user);
	found = query_row(&query);
	if (found)
		*account_out = (struct db_account){
			.account_key = column_int(&query, 0),
			.list_version = column_int(&query, 1),
			.strangers = (enum strangers)column_int(&query, 2),
			.receipts = column_int(&query, 3) != 0,
		};
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return found ? ERR_OK : ERR_NOT_FOUND;
}

/* --- registering ---------------------------------------------------------------------- */

enum err db_invite_create(struct db *db, struct store_op *op)
{
	struct op_invite_create *invite = (struct op_invite_create *)op;
	struct query query =
		query_begin(db, "INSERT INTO invite (hash, expires_ms) VALUES (?1, ?2)");

	query_blob(&query, 1, bytes_of(invite->invite_hash, HASH_SIZE));
	query_int(&query, 2, invite->expires_ms);
	return query_run(&query);
}

static enum err check_invite(struct db *db, const struct op_register *request)
{
	struct query query =
		query_begin(db, "SELECT 1 FROM invite WHERE hash = ?1 AND expires_ms > ?2");
	bool found;

	query_blob(&query, 1, bytes_of(request->invite_hash, HASH_SIZE));
	query_int(&query, 2, request->op.now_ms);
	found = query_row(&query);
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return found ? ERR_OK : ERR_INVITE_INVALID;
}

static enum err check_name(struct db *db, const char *user)
{
	struct query query = query_begin(db, "SELECT 1 FROM account WHERE name = ?1");
	bool found;

	query_text(&query, 1, user);
	found = query_row(&query);
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return found ? ERR_USERNAME_TAKEN : ERR_OK;
}

static enum err use_invite(struct db *db, const uint8_t *hash)
{
	struct query query = query_begin(db, "DELETE FROM invite WHERE hash = ?1");

	query_blob(&query, 1, bytes_of(hash, HASH_SIZE));
	return query_run(&query);
}

static enum err add_account(struct db *db, struct op_register *request,
			    int64_t *account_key_out)
{
	struct query query = query_begin(
		db, "INSERT INTO account (name, password_hash, list_version, created_ms,"
		    " strangers) VALUES (?1, ?2, ?3, ?3, ?4) RETURNING account_key");

	query_text(&query, 1, request->user);
	query_text(&query, 2, request->password_hash);
	query_int(&query, 3, request->op.now_ms);
	query_int(&query, 4, db->config->strangers);
	if (query_row(&query))
		*account_key_out = column_int(&query, 0);
	return query_end(&query);
}

/* The invite before the name, so that names cannot be tried out without one. */
static enum err check_register(struct db *db, const struct op_register *request)
{
	enum err err = ERR_OK;

	if (request->invite_hash != NULL)
		err = check_invite(db, request);
	if (err == ERR_OK)
		err = check_name(db, request->user);
	if (err == ERR_OK)
		err = db_prekeys_check(db, 0, request->device);
	return err;
}

enum err db_register(struct db *db, struct store_op *op)
{
	struct op_register *request = (struct op_register *)op;
	int64_t account_key = 0;
	enum err err = check_register(db, request);

	if (err == ERR_OK && request->invite_hash != NULL)
		err = use_invite(db, request->invite_hash);
	if (err == ERR_OK)
		err = add_account(db, request, &account_key);
	request->device_id = 1;
	if (err == ERR_OK)
		err = db_device_add(db, account_key, request->device_id, request->device,
				    op->now_ms, &request->generation);
	if (err == ERR_OK)
		err = db_session_put(db, request->generation, &request->session, op->now_ms,
				     &request->issued_at_ms);
	request->list_version = op->now_ms;
	return err;
}

/* --- settings ------------------------------------------------------------------------- */

static enum err load_info(struct db *db, int64_t account_key, struct arena *arena,
			  struct account_info *info, const char **password_hash)
{
	struct query query =
		query_begin(db, "SELECT name, strangers, receipts, list_version, password_hash"
				" FROM account WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	if (query_row(&query)) {
		*password_hash = column_text(&query, 4, arena);
		*info = (struct account_info){
			.address = arena_printf(arena, "%s@%s", column_text(&query, 0, arena),
						db->config->domain),
			.strangers = (enum strangers)column_int(&query, 1),
			.receipts = column_int(&query, 2) != 0,
			.has_password = *password_hash != NULL,
			.list_version = column_int(&query, 3),
		};
	}
	return query_end(&query);
}

enum err db_account_get(struct db *db, struct store_op *op)
{
	struct op_account_get *get = (struct op_account_get *)op;
	struct db_caller caller;
	enum err err = db_caller_get(db, &get->caller, &caller);

	if (err == ERR_OK)
		err = load_info(db, caller.account_key, op->arena, &get->account,
				&get->password_hash);
	return err;
}

static enum err patch_account(struct db *db, int64_t account_key,
			      const struct account_patch *patch)
{
	struct query query =
		query_begin(db, "UPDATE account SET strangers = coalesce(?2, strangers),"
				" receipts = coalesce(?3, receipts) WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	if (patch->has_strangers)
		query_int(&query, 2, patch->strangers);
	if (patch->has_receipts)
		query_int(&query, 3, patch->receipts);
	return query_run(&query);
}

enum err db_account_patch(struct db *db, struct store_op *op)
{
	struct op_account_patch *patch = (struct op_account_patch *)op;
	const char *password_hash;
	struct db_caller caller;
	enum err err = db_caller_get(db, &patch->caller, &caller);

	if (err == ERR_OK)
		err = patch_account(db, caller.account_key, &patch->patch);
	if (err == ERR_OK)
		err = load_info(db, caller.account_key, op->arena, &patch->account,
				&password_hash);
	return err;
}

/* --- the password --------------------------------------------------------------------- */

/* The password that was verified outside of this transaction must still be the one. */
static enum err check_password(struct db *db, int64_t account_key, const char *hash)
{
	struct query query = query_begin(db, "SELECT 1 FROM account WHERE account_key = ?1 AND "
					     "password_hash IS NOT DISTINCT FROM ?2");
	bool same;

	query_int(&query, 1, account_key);
	query_text(&query, 2, hash);
	same = query_row(&query);
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return same ? ERR_OK : ERR_LOGIN_FAILED;
}

static enum err drop_link_tokens(struct db *db, int64_t account_key)
{
	struct query query = query_begin(db, "DELETE FROM link_token WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	return query_run(&query);
}

static enum err end_other_sessions(struct db *db, struct op_password_set *set,
				   const struct db_caller *caller)
{
	struct generations all = {0};
	enum err err = db_generations_load(db, caller->account_key, set->op.arena, &all);

	for (size_t i = 0; i < all.count && err == ERR_OK; i++)
		if (all.generations[i] != caller->generation)
			err = db_session_end_all(db, &set->op, &set->effects,
						 all.generations[i]);
	return err;
}

static enum err put_password(struct db *db, int64_t account_key, const char *hash)
{
	struct query query =
		query_begin(db, "UPDATE account SET password_hash = ?2 WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	query_text(&query, 2, hash);
	return query_run(&query);
}

enum err db_password_set(struct db *db, struct store_op *op)
{
	struct op_password_set *set = (struct op_password_set *)op;
	struct db_caller caller;
	enum err err = db_caller_get(db, &set->caller, &caller);

	if (err == ERR_OK)
		err = check_password(db, caller.account_key, set->old_hash);
	if (err == ERR_OK)
		err = put_password(db, caller.account_key, set->new_hash);
	if (err == ERR_OK)
		err = end_other_sessions(db, set, &caller);
	if (err == ERR_OK)
		err = drop_link_tokens(db, caller.account_key);
	return err;
}

/* --- the end -------------------------------------------------------------------------- */

static enum err drop_devices(struct db *db, struct op_account_delete *delete,
			     int64_t account_key)
{
	struct generations all = {0};
	enum err err = db_generations_load(db, account_key, delete->op.arena, &all);

	for (size_t i = 0; i < all.count && err == ERR_OK; i++)
		err = db_device_drop(db, &delete->op, &delete->effects, all.generations[i]);
	return err;
}

static enum err drop_subscriptions(struct db *db, int64_t account_key)
{
	struct query query = query_begin(db, "DELETE FROM subscription WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	return query_run(&query);
}

static enum err drop_consent(struct db *db, int64_t account_key)
{
	struct query query = query_begin(db, "DELETE FROM consent WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	return query_run(&query);
}

static enum err bury(struct db *db, int64_t account_key, int64_t now_ms)
{
	struct query query =
		query_begin(db, "UPDATE account SET password_hash = NULL, deleted_ms = ?2"
				" WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	query_int(&query, 2, now_ms);
	return query_run(&query);
}

/* Who is told about the end follows from consent and subscriptions, so these go last. */
enum err db_account_delete(struct db *db, struct store_op *op)
{
	struct op_account_delete *delete = (struct op_account_delete *)op;
	struct db_caller caller;
	int64_t list_version;
	enum err err = db_caller_get(db, &delete->caller, &caller);

	if (err == ERR_OK)
		err = check_password(db, caller.account_key, delete->password_hash);
	if (err == ERR_OK)
		err = drop_devices(db, delete, caller.account_key);
	if (err == ERR_OK)
		err = db_list_changed(db, caller.account_key, caller.user, op, &delete->effects,
				      &list_version);
	if (err == ERR_OK)
		err = drop_link_tokens(db, caller.account_key);
	if (err == ERR_OK)
		err = drop_subscriptions(db, caller.account_key);
	if (err == ERR_OK)
		err = drop_consent(db, caller.account_key);
	if (err == ERR_OK)
		err = bury(db, caller.account_key, op->now_ms);
	return err;
}
