/* SPDX-License-Identifier: MIT
 *
 * Consent: what accounts have said about addresses.
 */
#include "known.h"

static enum err state_load(struct db *db, int64_t account_key, const char *address,
			   enum consent_state *state_out)
{
	struct query query = query_begin(
		db, "SELECT name || '@' || ?3 = ?2,"
		    " (SELECT state FROM consent WHERE account_key = ?1 AND address = ?2)"
		    " FROM account WHERE account_key = ?1");

	*state_out = CONSENT_NONE;
	query_int(&query, 1, account_key);
	query_text(&query, 2, address);
	query_text(&query, 3, db->config->domain);
	if (query_row(&query))
		*state_out = column_int(&query, 0) != 0
				     ? CONSENT_ACCEPTED
				     : (enum consent_state)column_int(&query, 1);
	return query_end(&query);
}

enum err db_consent_get_state(struct db *db, int64_t account_key, const char *address,
			      enum consent_state *state_out)
{
	enum err err;

	if (known_get(db, known_consent(account_key, address), state_out))
		return ERR_OK;
	err = state_load(db, account_key, address, state_out);
	if (err == ERR_OK)
		known_put(db, known_consent(account_key, address), state_out,
			  sizeof *state_out);
	return err;
}

/* Whoever is blocked, unknown to a closed account, or asks for one that is not there gets
 * the same answer. */
enum err db_consent_check(struct db *db, const struct db_account *account, const char *address,
			  enum consent_state *state_out)
{
	enum err err = db_consent_get_state(db, account->account_key, address, state_out);

	if (err != ERR_OK || *state_out == CONSENT_ACCEPTED)
		return err;
	if (*state_out == CONSENT_BLOCKED || account->strangers == STRANGERS_REFUSE)
		return ERR_UNAVAILABLE;
	return ERR_OK;
}

static enum err check_room(struct db *db, int64_t account_key, const char *address)
{
	struct query query = query_begin(db, "SELECT " CONSENT_ROOM);
	bool room = false;

	query_int(&query, 1, account_key);
	query_text(&query, 2, address);
	if (query_row(&query))
		room = column_int(&query, 0) != 0;
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	return room ? ERR_OK : ERR_OVER_QUOTA;
}

/* The time stays that of the first word. */
static enum err put_word(struct db *db, int64_t account_key, const char *address,
			 enum consent_state state, int64_t now_ms)
{
	struct query query = query_begin(
		db, "INSERT INTO consent (account_key, address, state, since_ms)"
		    " VALUES (?1, ?2, ?3, ?4) ON CONFLICT (account_key, address) DO UPDATE"
		    " SET state = excluded.state, since_ms = excluded.since_ms"
		    " WHERE excluded.state <> consent.state");

	query_int(&query, 1, account_key);
	query_text(&query, 2, address);
	query_int(&query, 3, state);
	query_int(&query, 4, now_ms);
	return query_run(&query);
}

static enum err forget(struct db *db, int64_t account_key, const char *address,
		       enum consent_state from)
{
	struct query query = query_begin(
		db, from == CONSENT_BLOCKED
			    ? "DELETE FROM consent"
			      " WHERE account_key = ?1 AND address = ?2 AND state = 3"
			    : "DELETE FROM consent"
			      " WHERE account_key = ?1 AND address = ?2 AND state <> 3");

	query_int(&query, 1, account_key);
	query_text(&query, 2, address);
	return query_run(&query);
}

enum err db_consent_set(struct db *db, struct store_op *op)
{
	struct op_consent_set *set = (struct op_consent_set *)op;
	struct db_caller caller;
	enum err err = db_caller_get(db, &set->caller, &caller);

	if (err != ERR_OK)
		return err;
	known_change(db, known_consent(caller.account_key, set->address.text));
	if (set->state == CONSENT_NONE)
		return forget(db, caller.account_key, set->address.text, set->from);
	err = check_room(db, caller.account_key, set->address.text);
	return err != ERR_OK ? err
			     : put_word(db, caller.account_key, set->address.text, set->state,
					op->now_ms);
}

static enum err count_entries(struct db *db, int64_t account_key, size_t *count_out)
{
	struct query query =
		query_begin(db, "SELECT count(*) FROM consent WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	if (query_row(&query))
		*count_out = (size_t)column_int(&query, 0);
	return query_end(&query);
}

static enum err load_entries(struct db *db, struct op_consent_get *get, int64_t account_key,
			     size_t capacity)
{
	struct query query = query_begin(db, "SELECT address, state, since_ms FROM consent"
					     " WHERE account_key = ?1 ORDER BY address");

	get->entries = arena_array(get->op.arena, struct consent_entry, capacity);
	query_int(&query, 1, account_key);
	while (get->count < capacity && query_row(&query))
		get->entries[get->count++] = (struct consent_entry){
			.address = column_text(&query, 0, get->op.arena),
			.state = (enum consent_state)column_int(&query, 1),
			.since_ms = column_int(&query, 2),
		};
	return query_end(&query);
}

enum err db_consent_get(struct db *db, struct store_op *op)
{
	struct op_consent_get *get = (struct op_consent_get *)op;
	struct db_caller caller;
	size_t count = 0;
	enum err err = db_caller_get(db, &get->caller, &caller);

	if (err == ERR_OK)
		err = count_entries(db, caller.account_key, &count);
	if (err == ERR_OK)
		err = load_entries(db, get, caller.account_key, count);
	return err;
}
