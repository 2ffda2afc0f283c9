/* SPDX-License-Identifier: MIT
 *
 * Keys that a device uploads, and how many it has left.
 */
#include "devices.h"

#include "restante/clock.h"

/* What a device has now, as far as an upload can change it. */
struct current {
	enum key_scheme scheme;
	struct bytes identity_key;
	uint16_t registration_id;
};

static enum err load_current(struct db *db, int64_t generation, struct arena *arena,
			     struct current *current_out)
{
	struct query query =
		query_begin(db, "SELECT scheme, identity_key, registration_id FROM device"
				" WHERE generation = ?1");

	query_int(&query, 1, generation);
	if (query_row(&query))
		*current_out = (struct current){
			.scheme = (enum key_scheme)column_int(&query, 0),
			.identity_key = column_blob(&query, 1, arena),
			.registration_id = (uint16_t)column_int(&query, 2),
		};
	return query_end(&query);
}

static bool same_identity(const struct current *current, enum key_scheme scheme,
			  struct bytes identity_key)
{
	return current->scheme == scheme && bytes_equal(current->identity_key, identity_key);
}

static bool brings_new_identity(const struct key_upload *upload, const struct current *current)
{
	return upload->has_identity &&
	       !same_identity(current, upload->scheme, upload->identity_key);
}

/* The identity may have changed since the signatures were verified; a new one ends all
 * prekeys, so it comes with a signed prekey. */
static enum err check_upload(struct db *db, const struct op_keys_put *put, int64_t generation,
			     const struct current *current)
{
	bool new_identity = brings_new_identity(put->upload, current);

	if (new_identity && !put->upload->signed_prekey.present)
		return ERR_BAD_SIGNATURE;
	if (!put->upload->has_identity &&
	    !same_identity(current, put->scheme, put->identity_key))
		return ERR_BAD_SIGNATURE;
	return db_prekeys_check(db, new_identity ? 0 : generation, put->upload);
}

static enum err put_identity(struct db *db, int64_t generation, const struct key_upload *upload)
{
	struct query query = query_begin(
		db, "UPDATE device SET scheme = ?2, identity_key = ?3, last_resort_id = NULL,"
		    " last_resort = NULL, last_resort_signature = NULL WHERE generation = ?1");
	enum err err;

	query_int(&query, 1, generation);
	query_int(&query, 2, upload->scheme);
	query_blob(&query, 3, upload->identity_key);
	err = query_run(&query);
	return err == ERR_OK ? db_prekeys_drop(db, generation) : err;
}

static enum err put_registration(struct db *db, int64_t generation, uint16_t registration_id)
{
	struct query query =
		query_begin(db, "UPDATE device SET registration_id = ?2 WHERE generation = ?1");

	query_int(&query, 1, generation);
	query_int(&query, 2, registration_id);
	return query_run(&query);
}

/* Uploaded once more, it is as old as it was. */
static enum err put_signed(struct db *db, int64_t generation, const struct prekey *key,
			   int64_t now_ms)
{
	struct query query = query_begin(
		db, "UPDATE device SET signed_prekey_ms ="
		    " CASE WHEN signed_prekey = ?3 THEN signed_prekey_ms ELSE ?5 END,"
		    " signed_prekey_id = ?2, signed_prekey = ?3, signed_prekey_signature = ?4"
		    " WHERE generation = ?1");

	query_int(&query, 1, generation);
	query_int(&query, 2, key->id);
	query_blob(&query, 3, key->public_key);
	query_blob(&query, 4, key->signature);
	query_int(&query, 5, now_ms);
	return query_run(&query);
}

static enum err put_last_resort(struct db *db, int64_t generation, const struct prekey *key)
{
	struct query query =
		query_begin(db, "UPDATE device SET last_resort_id = ?2, last_resort = ?3,"
				" last_resort_signature = ?4 WHERE generation = ?1");

	query_int(&query, 1, generation);
	query_int(&query, 2, key->id);
	query_blob(&query, 3, key->public_key);
	query_blob(&query, 4, key->signature);
	return query_run(&query);
}

static enum err put_upload(struct db *db, struct op_keys_put *put, int64_t generation,
			   const struct current *current)
{
	const struct key_upload *upload = put->upload;
	enum err err = ERR_OK;

	if (brings_new_identity(upload, current))
		err = put_identity(db, generation, upload);
	if (err == ERR_OK && upload->registration_id != 0)
		err = put_registration(db, generation, upload->registration_id);
	if (err == ERR_OK && upload->signed_prekey.present)
		err = put_signed(db, generation, &upload->signed_prekey, put->op.now_ms);
	if (err == ERR_OK && upload->pq_last_resort.present)
		err = put_last_resort(db, generation, &upload->pq_last_resort);
	if (err == ERR_OK)
		err = db_prekeys_put(db, generation, upload);
	return err;
}

/* What the list of devices shows has changed. */
static bool changes_list(const struct key_upload *upload, const struct current *current)
{
	return brings_new_identity(upload, current) ||
	       (upload->registration_id != 0 &&
		upload->registration_id != current->registration_id);
}

static enum err count_waiting(struct db *db, int64_t generation, int64_t *one_time_out,
			      int64_t *pq_out)
{
	enum err err = db_prekeys_count(db, generation, PREKEY_EC, one_time_out);

	if (err == ERR_OK)
		err = db_prekeys_count(db, generation, PREKEY_PQ, pq_out);
	return err;
}

enum err db_keys_put(struct db *db, struct store_op *op)
{
	struct op_keys_put *put = (struct op_keys_put *)op;
	struct current current = {0};
	struct db_caller caller;
	enum err err = db_caller_get(db, &put->caller, &caller);

	if (err == ERR_OK)
		err = load_current(db, caller.generation, op->arena, &current);
	if (err == ERR_OK)
		err = check_upload(db, put, caller.generation, &current);
	if (err == ERR_OK)
		err = put_upload(db, put, caller.generation, &current);
	if (err != ERR_OK)
		return err;
	put->list_version = caller.list_version;
	if (changes_list(put->upload, &current))
		err = db_list_changed(db, caller.account_key, caller.user, op, &put->effects,
				      &put->list_version);
	if (err == ERR_OK)
		err = count_waiting(db, caller.generation, &put->one_time, &put->pq);
	return err;
}

static enum err load_stats(struct db *db, struct op_keys_stats *get, int64_t generation)
{
	struct query query = query_begin(
		db, "SELECT scheme, identity_key, signed_prekey_id, signed_prekey_ms,"
		    " last_resort IS NOT NULL FROM device WHERE generation = ?1");
	int64_t age_ms;

	query_int(&query, 1, generation);
	if (query_row(&query)) {
		get->scheme = (enum key_scheme)column_int(&query, 0);
		get->identity_key = column_blob(&query, 1, get->op.arena);
		get->stats.signed_prekey_id = (uint32_t)column_int(&query, 2);
		age_ms = get->op.now_ms - column_int(&query, 3);
		get->stats.signed_prekey_age_s = age_ms > 0 ? age_ms / SECONDS_MS : 0;
		get->stats.pq_last_resort = column_int(&query, 4) != 0;
	}
	return query_end(&query);
}

enum err db_keys_stats(struct db *db, struct store_op *op)
{
	struct op_keys_stats *get = (struct op_keys_stats *)op;
	struct db_caller caller;
	enum err err = db_caller_get(db, &get->caller, &caller);

	if (err == ERR_OK)
		err = load_stats(db, get, caller.generation);
	if (err == ERR_OK)
		err = count_waiting(db, caller.generation, &get->stats.one_time,
				    &get->stats.pq);
	return err;
}
