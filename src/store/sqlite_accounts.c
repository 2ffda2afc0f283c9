/* SPDX-License-Identifier: MIT
 *
 * Accounts: registering, settings, passwords, the end.
 */
#include "sqlite_devices.h"

enum err sqlite_account_find(struct sqlite *sqlite, const char *user,
			     struct sqlite_account *account_out)
{
	struct query query =
		query_begin(sqlite, "SELECT account_key, list_version, strangers, receipts"
				    " FROM account WHERE user = ?1 AND deleted_ms IS NULL");
	bool found;

	query_text(&query, 1, user);
	found = query_row(&query);
	if (found)
		*account_out = (struct sqlite_account){
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

enum err sqlite_invite_create(struct sqlite *sqlite, struct store_op *op)
{
	struct op_invite_create *invite = (struct op_invite_create *)op;
	struct query query =
		query_begin(sqlite, "INSERT INTO invite (hash, expires_ms) VALUES (?1, ?2)");

	query_blob(&query, 1, bytes_of(invite->invite_hash, HASH_SIZE));
	query_int(&query, 2, invite->expires_ms);
	return query_run(&query);
}

static enum err check_invite(struct sqlite *sqlite, const struct op_register *request)
{
	struct query query =
		query_begin(sqlite, "SELECT 1 FROM invite WHERE hash = ?1 AND expires_ms > ?2");
	bool found;

	query_blob(&query, 1, bytes_of(request->invite_hash, HASH_SIZE));
	query_int(&query, 2, request->op.now_ms);
	found = query_row(&query);
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return found ? ERR_OK : ERR_INVITE_INVALID;
}

static enum err check_name(struct sqlite *sqlite, const char *user)
{
	struct query query = query_begin(sqlite, "SELECT 1 FROM account WHERE user = ?1");
	bool found;

	query_text(&query, 1, user);
	found = query_row(&query);
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return found ? ERR_USERNAME_TAKEN : ERR_OK;
}

static enum err use_invite(struct sqlite *sqlite, const uint8_t *hash)
{
	struct query query = query_begin(sqlite, "DELETE FROM invite WHERE hash = ?1");

	query_blob(&query, 1, bytes_of(hash, HASH_SIZE));
	return query_run(&query);
}

static enum err add_account(struct sqlite *sqlite, struct op_register *request,
			    int64_t *account_key_out)
{
	struct query query = query_begin(
		sqlite, "INSERT INTO account (user, password_hash, list_version, created_ms,"
			" strangers) VALUES (?1, ?2, ?3, ?3, ?4) RETURNING account_key");

	query_text(&query, 1, request->user);
	query_text(&query, 2, request->password_hash);
	query_int(&query, 3, request->op.now_ms);
	query_int(&query, 4, sqlite->config->strangers);
	if (query_row(&query))
		*account_key_out = column_int(&query, 0);
	return query_end(&query);
}

/* The invite before the name, so that names cannot be tried out without one. */
static enum err check_register(struct sqlite *sqlite, const struct op_register *request)
{
	enum err err = ERR_OK;

	if (request->invite_hash != NULL)
		err = check_invite(sqlite, request);
	if (err == ERR_OK)
		err = check_name(sqlite, request->user);
	if (err == ERR_OK)
		err = sqlite_prekeys_check(sqlite, 0, request->device);
	return err;
}

enum err sqlite_register(struct sqlite *sqlite, struct store_op *op)
{
	struct op_register *request = (struct op_register *)op;
	int64_t account_key = 0;
	enum err err = check_register(sqlite, request);

	if (err == ERR_OK && request->invite_hash != NULL)
		err = use_invite(sqlite, request->invite_hash);
	if (err == ERR_OK)
		err = add_account(sqlite, request, &account_key);
	request->device_id = 1;
	if (err == ERR_OK)
		err = sqlite_device_add(sqlite, account_key, request->device_id,
					request->device, op->now_ms, &request->generation);
	if (err == ERR_OK)
		err = sqlite_session_put(sqlite, request->generation, &request->session,
					 op->now_ms, &request->issued_at_ms);
	request->list_version = op->now_ms;
	return err;
}

/* --- settings ------------------------------------------------------------------------- */

static enum err load_info(struct sqlite *sqlite, int64_t account_key, struct arena *arena,
			  struct account_info *info, const char **password_hash)
{
	struct query query = query_begin(
		sqlite, "SELECT user, strangers, receipts, list_version, password_hash"
			" FROM account WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	if (query_row(&query)) {
		*password_hash = column_text(&query, 4, arena);
		*info = (struct account_info){
			.address = arena_printf(arena, "%s@%s", column_text(&query, 0, arena),
						sqlite->config->domain),
			.strangers = (enum strangers)column_int(&query, 1),
			.receipts = column_int(&query, 2) != 0,
			.has_password = *password_hash != NULL,
			.list_version = column_int(&query, 3),
		};
	}
	return query_end(&query);
}

enum err sqlite_account_get(struct sqlite *sqlite, struct store_op *op)
{
	struct op_account_get *get = (struct op_account_get *)op;
	struct sqlite_caller caller;
	enum err err = sqlite_caller_get(sqlite, &get->caller, &caller);

	if (err == ERR_OK)
		err = load_info(sqlite, caller.account_key, op->arena, &get->account,
				&get->password_hash);
	return err;
}

static enum err patch_account(struct sqlite *sqlite, int64_t account_key,
			      const struct account_patch *patch)
{
	struct query query = query_begin(
		sqlite, "UPDATE account SET strangers = coalesce(?2, strangers),"
			" receipts = coalesce(?3, receipts) WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	if (patch->has_strangers)
		query_int(&query, 2, patch->strangers);
	if (patch->has_receipts)
		query_int(&query, 3, patch->receipts);
	return query_run(&query);
}

enum err sqlite_account_patch(struct sqlite *sqlite, struct store_op *op)
{
	struct op_account_patch *patch = (struct op_account_patch *)op;
	const char *password_hash;
	struct sqlite_caller caller;
	enum err err = sqlite_caller_get(sqlite, &patch->caller, &caller);

	if (err == ERR_OK)
		err = patch_account(sqlite, caller.account_key, &patch->patch);
	if (err == ERR_OK)
		err = load_info(sqlite, caller.account_key, op->arena, &patch->account,
				&password_hash);
	return err;
}

/* --- the password --------------------------------------------------------------------- */

/* The password that was verified outside of this transaction must still be the one. */
static enum err check_password(struct sqlite *sqlite, int64_t account_key, const char *hash)
{
	struct query query = query_begin(
		sqlite, "SELECT 1 FROM account WHERE account_key = ?1 AND password_hash IS ?2");
	bool same;

	query_int(&query, 1, account_key);
	query_text(&query, 2, hash);
	same = query_row(&query);
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return same ? ERR_OK : ERR_LOGIN_FAILED;
}

static enum err drop_link_tokens(struct sqlite *sqlite, int64_t account_key)
{
	struct query query =
		query_begin(sqlite, "DELETE FROM link_token WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	return query_run(&query);
}

static enum err end_other_sessions(struct sqlite *sqlite, struct op_password_set *set,
				   const struct sqlite_caller *caller)
{
	struct generations all = {0};
	enum err err =
		sqlite_generations_load(sqlite, caller->account_key, set->op.arena, &all);

	for (size_t i = 0; i < all.count && err == ERR_OK; i++)
		if (all.generations[i] != caller->generation)
			err = sqlite_session_end_all(sqlite, &set->op, &set->effects,
						     all.generations[i]);
	return err;
}

static enum err put_password(struct sqlite *sqlite, int64_t account_key, const char *hash)
{
	struct query query = query_begin(
		sqlite, "UPDATE account SET password_hash = ?2 WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	query_text(&query, 2, hash);
	return query_run(&query);
}

enum err sqlite_password_set(struct sqlite *sqlite, struct store_op *op)
{
	struct op_password_set *set = (struct op_password_set *)op;
	struct sqlite_caller caller;
	enum err err = sqlite_caller_get(sqlite, &set->caller, &caller);

	if (err == ERR_OK)
		err = check_password(sqlite, caller.account_key, set->old_hash);
	if (err == ERR_OK)
		err = put_password(sqlite, caller.account_key, set->new_hash);
	if (err == ERR_OK)
		err = end_other_sessions(sqlite, set, &caller);
	if (err == ERR_OK)
		err = drop_link_tokens(sqlite, caller.account_key);
	return err;
}

/* --- the end -------------------------------------------------------------------------- */

static enum err drop_devices(struct sqlite *sqlite, struct op_account_delete *delete,
			     int64_t account_key)
{
	struct generations all = {0};
	enum err err = sqlite_generations_load(sqlite, account_key, delete->op.arena, &all);

	for (size_t i = 0; i < all.count && err == ERR_OK; i++)
		err = sqlite_device_drop(sqlite, &delete->op, &delete->effects,
					 all.generations[i]);
	return err;
}

static enum err drop_subscriptions(struct sqlite *sqlite, int64_t account_key)
{
	struct query query =
		query_begin(sqlite, "DELETE FROM subscription WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	return query_run(&query);
}

static enum err drop_consent(struct sqlite *sqlite, int64_t account_key)
{
	struct query query = query_begin(sqlite, "DELETE FROM consent WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	return query_run(&query);
}

static enum err bury(struct sqlite *sqlite, int64_t account_key, int64_t now_ms)
{
	struct query query =
		query_begin(sqlite, "UPDATE account SET password_hash = NULL, deleted_ms = ?2"
				    " WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	query_int(&query, 2, now_ms);
	return query_run(&query);
}

/* Who is told about the end follows from consent and subscriptions, so these go last. */
enum err sqlite_account_delete(struct sqlite *sqlite, struct store_op *op)
{
	struct op_account_delete *delete = (struct op_account_delete *)op;
	struct sqlite_caller caller;
	int64_t list_version;
	enum err err = sqlite_caller_get(sqlite, &delete->caller, &caller);

	if (err == ERR_OK)
		err = check_password(sqlite, caller.account_key, delete->password_hash);
	if (err == ERR_OK)
		err = drop_devices(sqlite, delete, caller.account_key);
	if (err == ERR_OK)
		err = sqlite_list_changed(sqlite, caller.account_key, caller.user, op,
					  &delete->effects, &list_version);
	if (err == ERR_OK)
		err = drop_link_tokens(sqlite, caller.account_key);
	if (err == ERR_OK)
		err = drop_subscriptions(sqlite, caller.account_key);
	if (err == ERR_OK)
		err = drop_consent(sqlite, caller.account_key);
	if (err == ERR_OK)
		err = bury(sqlite, caller.account_key, op->now_ms);
	return err;
}
