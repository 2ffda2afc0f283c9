/* SPDX-License-Identifier: MIT
 *
 * Devices: joining an account and leaving it. An id may be given out again; a generation
 * never is.
 */
#include "devices.h"

#include <stdio.h>

/* --- rows ----------------------------------------------------------------------------- */

enum err db_generations_load(struct db *db, int64_t account_key, struct arena *arena,
			     struct generations *out)
{
	struct query query =
		query_begin(db, "SELECT generation FROM device WHERE account_key = ?1"
				" ORDER BY device_id");

	*out = (struct generations){.generations = arena_array(arena, int64_t, DEVICES_MAX)};
	query_int(&query, 1, account_key);
	while (out->count < DEVICES_MAX && query_row(&query))
		out->generations[out->count++] = column_int(&query, 0);
	return query_end(&query);
}

static enum err insert_device(struct db *db, int64_t account_key, uint8_t device_id,
			      const struct key_upload *upload, int64_t now_ms,
			      int64_t *generation_out)
{
	struct query query = query_begin(
		db, "INSERT INTO device (account_key, device_id, name, registration_id, scheme,"
		    " identity_key, signed_prekey_id, signed_prekey, signed_prekey_signature,"
		    " signed_prekey_ms, last_resort_id, last_resort, last_resort_signature,"
		    " created_ms, last_seen_ms)"
		    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?10, ?10)"
		    " RETURNING generation");

	query_int(&query, 1, account_key);
	query_int(&query, 2, device_id);
	query_text(&query, 3, upload->name);
	query_int(&query, 4, upload->registration_id);
	query_int(&query, 5, upload->scheme);
	query_blob(&query, 6, upload->identity_key);
	query_int(&query, 7, upload->signed_prekey.id);
	query_blob(&query, 8, upload->signed_prekey.public_key);
	query_blob(&query, 9, upload->signed_prekey.signature);
	query_int(&query, 10, now_ms);
	if (upload->pq_last_resort.present) {
		query_int(&query, 11, upload->pq_last_resort.id);
		query_blob(&query, 12, upload->pq_last_resort.public_key);
		query_blob(&query, 13, upload->pq_last_resort.signature);
	}
	if (query_row(&query))
		*generation_out = column_int(&query, 0);
	return query_end(&query);
}

enum err db_device_add(struct db *db, int64_t account_key, uint8_t device_id,
		       const struct key_upload *upload, int64_t now_ms, int64_t *generation_out)
{
	enum err err =
		insert_device(db, account_key, device_id, upload, now_ms, generation_out);

	if (err == ERR_OK)
		err = db_prekeys_put(db, *generation_out, upload);
	return err;
}

static enum err drop_row(struct db *db, const char *sql, int64_t generation)
{
	struct query query = query_begin(db, sql);

	query_int(&query, 1, generation);
	return query_run(&query);
}

/* Answers to the device's claims hold keys of others, and nobody can ask for them again. */
static enum err drop_claims(struct db *db, int64_t generation)
{
	struct query query = query_begin(db, "DELETE FROM claim WHERE claimer = ?1");
	char claimer[32];

	snprintf(claimer, sizeof claimer, "g%lld", (long long)generation);
	query_text(&query, 1, claimer);
	return query_run(&query);
}

enum err db_device_drop(struct db *db, struct store_op *op, struct effects *effects,
			int64_t generation)
{
	enum err err =
		drop_row(db, "DELETE FROM refresh_token WHERE generation = ?1", generation);

	if (err == ERR_OK)
		err = db_prekeys_drop(db, generation);
	if (err == ERR_OK)
		err = drop_claims(db, generation);
	if (err == ERR_OK)
		err = db_mailbox_drop(db, generation);
	if (err == ERR_OK)
		err = drop_row(db, "DELETE FROM device WHERE generation = ?1", generation);
	effects_end(effects, op->arena, generation, 0, CLOSE_DEVICE_REMOVED);
	return err;
}

/* --- what the owner sees -------------------------------------------------------------- */

static enum err load_infos(struct db *db, struct op_devices_get *get, int64_t account_key)
{
	struct query query = query_begin(
		db, "SELECT device_id, registration_id, name, created_ms, last_seen_ms"
		    " FROM device WHERE account_key = ?1 ORDER BY device_id");

	get->devices = arena_array(get->op.arena, struct device_info, DEVICES_MAX);
	query_int(&query, 1, account_key);
	while (get->count < DEVICES_MAX && query_row(&query))
		get->devices[get->count++] = (struct device_info){
			.device_id = (uint8_t)column_int(&query, 0),
			.registration_id = (uint16_t)column_int(&query, 1),
			.name = column_text(&query, 2, get->op.arena),
			.created_at_ms = column_int(&query, 3),
			.last_seen_ms = column_int(&query, 4),
		};
	return query_end(&query);
}

enum err db_devices_get(struct db *db, struct store_op *op)
{
	struct op_devices_get *get = (struct op_devices_get *)op;
	struct db_caller caller;
	enum err err = db_caller_get(db, &get->caller, &caller);

	if (err != ERR_OK)
		return err;
	get->list_version = caller.list_version;
	return load_infos(db, get, caller.account_key);
}

static enum err put_name(struct db *db, int64_t account_key, uint8_t device_id,
			 const char *name)
{
	struct query query =
		query_begin(db, "UPDATE device SET name = ?3"
				" WHERE account_key = ?1 AND device_id = ?2 RETURNING 1");
	bool found;

	query_int(&query, 1, account_key);
	query_int(&query, 2, device_id);
	query_text(&query, 3, name);
	found = query_row(&query);
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return found ? ERR_OK : ERR_NOT_FOUND;
}

enum err db_device_rename(struct db *db, struct store_op *op)
{
	struct op_device_rename *rename = (struct op_device_rename *)op;
	struct db_caller caller;
	enum err err = db_caller_get(db, &rename->caller, &caller);

	if (err == ERR_OK)
		err = put_name(db, caller.account_key, rename->device_id, rename->name);
	return err;
}

/* --- leaving -------------------------------------------------------------------------- */

static enum err find_generation(struct db *db, int64_t account_key, uint8_t device_id,
				int64_t *generation_out)
{
	struct query query = query_begin(db, "SELECT generation FROM device"
					     " WHERE account_key = ?1 AND device_id = ?2");
	bool found;

	query_int(&query, 1, account_key);
	query_int(&query, 2, device_id);
	found = query_row(&query);
	if (found)
		*generation_out = column_int(&query, 0);
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return found ? ERR_OK : ERR_NOT_FOUND;
}

/* Without a device and without a password nobody would come in again. */
static enum err check_not_last(struct db *db, int64_t account_key, int64_t generation)
{
	struct query query = query_begin(
		db, "SELECT 1 FROM account WHERE account_key = ?1"
		    " AND (password_hash IS NOT NULL OR EXISTS (SELECT 1 FROM device"
		    " WHERE account_key = ?1 AND generation <> ?2))");
	bool found;

	query_int(&query, 1, account_key);
	query_int(&query, 2, generation);
	found = query_row(&query);
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return found ? ERR_OK : ERR_LAST_DEVICE;
}

enum err db_device_remove(struct db *db, struct store_op *op)
{
	struct op_device_remove *remove = (struct op_device_remove *)op;
	struct db_caller caller;
	int64_t generation = 0;
	enum err err = db_caller_get(db, &remove->caller, &caller);

	if (err == ERR_OK)
		err = find_generation(db, caller.account_key, remove->device_id, &generation);
	if (err == ERR_OK)
		err = check_not_last(db, caller.account_key, generation);
	if (err == ERR_OK)
		err = db_device_drop(db, op, &remove->effects, generation);
	if (err == ERR_OK)
		err = db_list_changed(db, caller.account_key, caller.user, op, &remove->effects,
				      &remove->list_version);
	return err;
}

/* --- joining -------------------------------------------------------------------------- */

enum err db_link_token_create(struct db *db, struct store_op *op)
{
	struct op_link_token_create *create = (struct op_link_token_create *)op;
	struct db_caller caller;
	struct query query;
	enum err err = db_caller_get(db, &create->caller, &caller);

	if (err != ERR_OK)
		return err;
	query = query_begin(db, "INSERT INTO link_token (hash, account_key, expires_ms)"
				" VALUES (?1, ?2, ?3)");
	query_blob(&query, 1, bytes_of(create->token_hash, HASH_SIZE));
	query_int(&query, 2, caller.account_key);
	query_int(&query, 3, create->expires_ms);
	return query_run(&query);
}

/* The account that a row of (account_key, user) names. */
static enum err read_account(struct query *query, struct op_device_link *link,
			     int64_t *account_key_out, enum err missing)
{
	bool found = query_row(query);

	if (found) {
		*account_key_out = column_int(query, 0);
		column_text_to(query, 1, link->linked_user, sizeof link->linked_user);
	}
	if (query_end(query) != ERR_OK)
		return ERR_STORE;
	return found ? ERR_OK : missing;
}

static enum err find_by_token(struct db *db, struct op_device_link *link,
			      int64_t *account_key_out)
{
	struct query query = query_begin(db, "SELECT account_key, account.name FROM link_token "
					     "JOIN account USING (account_key)"
					     " WHERE hash = ?1 AND expires_ms > ?2");

	query_blob(&query, 1, bytes_of(link->token_hash, HASH_SIZE));
	query_int(&query, 2, link->op.now_ms);
	return read_account(&query, link, account_key_out, ERR_LINK_TOKEN_INVALID);
}

static enum err find_by_password(struct db *db, struct op_device_link *link,
				 int64_t *account_key_out)
{
	struct query query = query_begin(db, "SELECT account_key, name FROM account"
					     " WHERE name = ?1 AND password_hash = ?2");

	query_text(&query, 1, link->user);
	query_text(&query, 2, link->password_hash);
	return read_account(&query, link, account_key_out, ERR_LOGIN_FAILED);
}

static enum err find_free_id(struct db *db, int64_t account_key, uint8_t *device_id_out)
{
	struct query query =
		query_begin(db, "SELECT device_id FROM device WHERE account_key = ?1"
				" ORDER BY device_id");
	int64_t count = 0;
	uint8_t free_id = 1;

	query_int(&query, 1, account_key);
	while (query_row(&query)) {
		count++;
		if (column_int(&query, 0) == free_id)
			free_id++;
	}
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	if (count >= db->config->max_devices || free_id > DEVICES_MAX)
		return ERR_DEVICE_LIMIT;
	*device_id_out = free_id;
	return ERR_OK;
}

static enum err use_token(struct db *db, const uint8_t *hash)
{
	struct query query = query_begin(db, "DELETE FROM link_token WHERE hash = ?1");

	query_blob(&query, 1, bytes_of(hash, HASH_SIZE));
	return query_run(&query);
}

static enum err check_link(struct db *db, struct op_device_link *link, int64_t *account_key_out)
{
	enum err err = link->token_hash != NULL ? find_by_token(db, link, account_key_out)
						: find_by_password(db, link, account_key_out);

	if (err == ERR_OK)
		err = find_free_id(db, *account_key_out, &link->device_id);
	if (err == ERR_OK)
		err = db_prekeys_check(db, 0, link->device);
	return err;
}

enum err db_device_link(struct db *db, struct store_op *op)
{
	struct op_device_link *link = (struct op_device_link *)op;
	int64_t account_key = 0;
	enum err err = check_link(db, link, &account_key);

	if (err == ERR_OK && link->token_hash != NULL)
		err = use_token(db, link->token_hash);
	if (err == ERR_OK)
		err = db_device_add(db, account_key, link->device_id, link->device, op->now_ms,
				    &link->generation);
	if (err == ERR_OK)
		err = db_session_put(db, link->generation, &link->session, op->now_ms,
				     &link->issued_at_ms);
	if (err == ERR_OK)
		err = db_list_changed(db, account_key, link->linked_user, op, &link->effects,
				      &link->list_version);
	return err;
}
