/* SPDX-License-Identifier: MIT
 *
 * Callers, logins and tokens. Access tokens are not stored: a device carries the time from
 * which on they must have been issued. Refresh tokens are stored as hashes and stay after
 * their use until they expire, so that a second use is noticed.
 */
#include "devices.h"
#include "known.h"

#include "restante/clock.h"

/* A clock that ran ahead and was set back must not keep devices out: nothing that it left
 * behind is believed further than this from now. */
#define AHEAD_MS (1 * MINUTES_MS)

/* A device as callers need it. */
struct device_row {
	struct db_caller caller;
	int64_t tokens_from_ms;
	int64_t seen_ms;
};

static enum err device_load(struct db *db, int64_t generation, struct device_row *row_out)
{
	struct query query = query_begin(
		db, "SELECT account_key, device_id, account.receipts, account.name,"
		    " list_version, tokens_from_ms, last_seen_ms"
		    " FROM device JOIN account USING (account_key) WHERE generation = ?1");
	enum err found = ERR_NOT_FOUND;

	query_int(&query, 1, generation);
	if (query_row(&query)) {
		*row_out = (struct device_row){
			.caller = {.account_key = column_int(&query, 0),
				   .generation = generation,
				   .device_id = (uint8_t)column_int(&query, 1),
				   .receipts = column_int(&query, 2) != 0,
				   .list_version = column_int(&query, 4)},
			.tokens_from_ms = column_int(&query, 5),
			.seen_ms = column_int(&query, 6),
		};
		column_text_to(&query, 3, row_out->caller.user, sizeof row_out->caller.user);
		found = ERR_OK;
	}
	return query_end(&query) == ERR_OK ? found : ERR_STORE;
}

/* ERR_NOT_FOUND. */
static enum err device_find(struct db *db, int64_t generation, struct device_row *row_out)
{
	enum err err;

	if (known_get(db, known_device(generation), row_out))
		return ERR_OK;
	err = device_load(db, generation, row_out);
	if (err == ERR_OK)
		known_put(db, known_device(generation), row_out, sizeof *row_out);
	return err;
}

enum err db_device_exists(struct db *db, int64_t generation, bool *exists_out)
{
	struct device_row row;
	enum err err = device_find(db, generation, &row);

	*exists_out = err == ERR_OK;
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err db_caller_get(struct db *db, const struct caller *caller, struct db_caller *caller_out)
{
	struct device_row row;
	enum err err = device_find(db, caller->generation, &row);

	if (err == ERR_NOT_FOUND ||
	    (err == ERR_OK && row.tokens_from_ms > caller->issued_at_ms))
		return ERR_UNAUTHORIZED;
	if (err != ERR_OK)
		return err;
	*caller_out = row.caller;
	db->seen_generation = caller->generation;
	db->seen_ms = row.seen_ms;
	return ERR_OK;
}

/* --- tokens --------------------------------------------------------------------------- */

/* last_seen_ms is at least the time of every access token issued, also when the clock has
 * been set back since. */
static enum err mark_issued(struct db *db, int64_t generation, int64_t now_ms,
			    int64_t *issued_at_out)
{
	struct query query = query_begin(
		db, "UPDATE device SET tokens_from_ms = min(tokens_from_ms, ?3),"
		    " last_seen_ms = max(?2, min(max(last_seen_ms, tokens_from_ms), ?3))"
		    " WHERE generation = ?1 RETURNING max(?2, tokens_from_ms)");

	known_drop(db, known_device(generation));
	query_int(&query, 1, generation);
	query_int(&query, 2, now_ms);
	query_int(&query, 3, now_ms + AHEAD_MS);
	if (query_row(&query))
		*issued_at_out = column_int(&query, 0);
	if (*issued_at_out > now_ms) /* tokens count from earlier on than others remember */
		known_change(db, known_device(generation));
	return query_end(&query);
}

enum err db_session_put(struct db *db, int64_t generation, const struct new_session *session,
			int64_t now_ms, int64_t *issued_at_out)
{
	struct query query;
	enum err err = mark_issued(db, generation, now_ms, issued_at_out);

	if (err != ERR_OK)
		return err;
	query = query_begin(db, "INSERT INTO refresh_token (hash, generation, expires_ms)"
				" VALUES (?1, ?2, ?3)");
	query_blob(&query, 1, bytes_of(session->refresh_hash, HASH_SIZE));
	query_int(&query, 2, generation);
	query_int(&query, 3, session->refresh_expires_ms);
	return query_run(&query);
}

/* Later than everything issued so far, if only by a millisecond: who logs in again at once
 * gets a token of that time. */
static enum err end_access_tokens(struct db *db, int64_t generation, int64_t now_ms)
{
	struct query query = query_begin(
		db, "UPDATE device SET"
		    " tokens_from_ms = min(max(max(tokens_from_ms, last_seen_ms), ?2), ?3) + 1"
		    " WHERE generation = ?1");

	known_change(db, known_device(generation));
	query_int(&query, 1, generation);
	query_int(&query, 2, now_ms);
	query_int(&query, 3, now_ms + AHEAD_MS);
	return query_run(&query);
}

enum err db_session_end_all(struct db *db, struct store_op *op, struct effects *effects,
			    int64_t generation)
{
	struct query query;
	enum err err = end_access_tokens(db, generation, op->now_ms);

	if (err != ERR_OK)
		return err;
	query = query_begin(db, "DELETE FROM refresh_token WHERE generation = ?1");
	query_int(&query, 1, generation);
	effects_end(effects, op->arena, generation, 0, CLOSE_UNAUTHORIZED);
	return query_run(&query);
}

/* --- logging in ----------------------------------------------------------------------- */

static enum err lookup_account(struct db *db, struct op_login_lookup *lookup)
{
	struct query query = query_begin(
		db, "SELECT password_hash FROM account WHERE name = ?1 AND deleted_ms IS NULL");
	bool found;

	query_text(&query, 1, lookup->user);
	found = query_row(&query);
	if (found)
		lookup->password_hash = column_text(&query, 0, lookup->op.arena);
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return found ? ERR_OK : ERR_NOT_FOUND;
}

static enum err lookup_device(struct db *db, struct op_login_lookup *lookup)
{
	struct query query = query_begin(db, "SELECT generation, scheme, identity_key"
					     " FROM account JOIN device USING (account_key)"
					     " WHERE account.name = ?1 AND device_id = ?2");
	bool found;

	query_text(&query, 1, lookup->user);
	query_int(&query, 2, lookup->device_id);
	found = query_row(&query);
	if (found) {
		lookup->generation = column_int(&query, 0);
		lookup->scheme = (enum key_scheme)column_int(&query, 1);
		lookup->identity_key = column_blob(&query, 2, lookup->op.arena);
	}
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return found ? ERR_OK : ERR_NOT_FOUND;
}

enum err db_login_lookup(struct db *db, struct store_op *op)
{
	struct op_login_lookup *lookup = (struct op_login_lookup *)op;
	enum err err = lookup_account(db, lookup);

	if (err == ERR_OK && lookup->device_id != 0)
		err = lookup_device(db, lookup);
	return err;
}

/* What has been verified outside of this transaction must still hold. */
static enum err check_login(struct db *db, struct op_session_open *open)
{
	struct query query = query_begin(
		db, "SELECT list_version FROM device JOIN account USING (account_key)"
		    " WHERE generation = ?1 AND (?2 IS NULL OR password_hash = ?2)"
		    " AND NOT EXISTS (SELECT 1 FROM used_nonce WHERE hash = ?3)");
	bool good;

	query_int(&query, 1, open->generation);
	query_text(&query, 2, open->password_hash);
	query_blob(&query, 3,
		   bytes_of(open->nonce_hash, open->nonce_hash == NULL ? 0 : HASH_SIZE));
	good = query_row(&query);
	if (good)
		open->list_version = column_int(&query, 0);
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return good ? ERR_OK : ERR_LOGIN_FAILED;
}

static enum err use_nonce(struct db *db, const struct op_session_open *open)
{
	struct query query =
		query_begin(db, "INSERT INTO used_nonce (hash, expires_ms) VALUES (?1, ?2)");

	query_blob(&query, 1, bytes_of(open->nonce_hash, HASH_SIZE));
	query_int(&query, 2, open->nonce_expires_ms);
	return query_run(&query);
}

enum err db_session_open(struct db *db, struct store_op *op)
{
	struct op_session_open *open = (struct op_session_open *)op;
	enum err err = check_login(db, open);

	if (err == ERR_OK && open->nonce_hash != NULL)
		err = use_nonce(db, open);
	if (err == ERR_OK)
		err = db_session_put(db, open->generation, &open->session, op->now_ms,
				     &open->issued_at_ms);
	return err;
}

/* --- refreshing and logging out ------------------------------------------------------- */

static enum err find_refresh_token(struct db *db, struct op_session_refresh *refresh,
				   bool *used_out)
{
	struct query query = query_begin(
		db, "SELECT generation, used, device_id, account.name, list_version"
		    " FROM refresh_token JOIN device USING (generation)"
		    " JOIN account USING (account_key) WHERE hash = ?1 AND expires_ms > ?2");
	bool found;

	query_blob(&query, 1, bytes_of(refresh->old_hash, HASH_SIZE));
	query_int(&query, 2, refresh->op.now_ms);
	found = query_row(&query);
	if (found) {
		refresh->generation = column_int(&query, 0);
		*used_out = column_int(&query, 1) != 0;
		refresh->device_id = (uint8_t)column_int(&query, 2);
		column_text_to(&query, 3, refresh->user, sizeof refresh->user);
		refresh->list_version = column_int(&query, 4);
	}
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return found ? ERR_OK : ERR_UNAUTHORIZED;
}

static enum err use_refresh_token(struct db *db, const uint8_t *hash)
{
	struct query query =
		query_begin(db, "UPDATE refresh_token SET used = 1 WHERE hash = ?1");

	query_blob(&query, 1, bytes_of(hash, HASH_SIZE));
	return query_run(&query);
}

enum err db_session_refresh(struct db *db, struct store_op *op)
{
	struct op_session_refresh *refresh = (struct op_session_refresh *)op;
	bool used = false;
	enum err err = find_refresh_token(db, refresh, &used);

	if (err == ERR_OK && used) {
		/* Two hold this token, and one of them is a thief. */
		err = db_session_end_all(db, op, &refresh->effects, refresh->generation);
		return err == ERR_OK ? ERR_UNAUTHORIZED : err;
	}
	if (err == ERR_OK)
		err = use_refresh_token(db, refresh->old_hash);
	if (err == ERR_OK)
		err = db_session_put(db, refresh->generation, &refresh->session, op->now_ms,
				     &refresh->issued_at_ms);
	return err;
}

enum err db_session_end(struct db *db, struct store_op *op)
{
	struct op_session_end *end = (struct op_session_end *)op;
	struct db_caller caller;
	enum err err = db_caller_get(db, &end->caller, &caller);

	if (err == ERR_OK)
		err = db_session_end_all(db, op, &end->effects, caller.generation);
	return err;
}

enum err db_caller_check(struct db *db, struct store_op *op)
{
	struct op_caller_check *check = (struct op_caller_check *)op;
	struct db_caller caller;
	enum err err = db_caller_get(db, &check->caller, &caller);

	if (err == ERR_OK)
		err = db_prekeys_count(db, caller.generation, PREKEY_EC, &check->one_time);
	if (err == ERR_OK)
		err = db_prekeys_count(db, caller.generation, PREKEY_PQ, &check->pq);
	return err;
}
