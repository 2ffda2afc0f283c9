/* SPDX-License-Identifier: MIT
 *
 * Consent: what accounts have said about addresses.
 */
#include "sqlite.h"

#define REQUESTS_MAX 1000 /* waiting, of one account */

/* Whoever is blocked, unknown to a closed account, or asks for one that is not there gets
 * the same answer. */
enum err sqlite_consent_check(struct sqlite *sqlite, const struct sqlite_account *account,
			      const char *address, enum consent_state *state_out)
{
	struct query query = query_begin(
		sqlite, "SELECT user || '@' || ?3 = ?2,"
			" (SELECT state FROM consent WHERE account_key = ?1 AND address = ?2)"
			" FROM account WHERE account_key = ?1");
	bool own = false;

	*state_out = CONSENT_NONE;
	query_int(&query, 1, account->account_key);
	query_text(&query, 2, address);
	query_text(&query, 3, sqlite->config->domain);
	if (query_row(&query)) {
		own = column_int(&query, 0) != 0;
		*state_out = (enum consent_state)column_int(&query, 1);
	}
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	if (own || *state_out == CONSENT_ACCEPTED)
		return ERR_OK;
	if (*state_out == CONSENT_BLOCKED || !account->open_to_strangers)
		return ERR_UNAVAILABLE;
	return ERR_OK;
}

static enum err put_word(struct sqlite *sqlite, int64_t account_key, const char *address,
			 enum consent_state state, int64_t now_ms)
{
	struct query query = query_begin(
		sqlite, "INSERT INTO consent (account_key, address, state, since_ms)"
			" VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE"
			" SET state = excluded.state, since_ms = excluded.since_ms"
			" WHERE excluded.state <> state");

	query_int(&query, 1, account_key);
	query_text(&query, 2, address);
	query_int(&query, 3, state);
	query_int(&query, 4, now_ms);
	return query_run(&query);
}

/* Changes nothing that has been said. Where too many are waiting a stranger's message comes
 * without a request: the list must not grow by what others do. */
static enum err put_request(struct sqlite *sqlite, int64_t account_key, const char *address,
			    int64_t now_ms)
{
	struct query query = query_begin(
		sqlite,
		"INSERT INTO consent (account_key, address, state, since_ms)"
		" SELECT ?1, ?2, 1, ?3 WHERE (SELECT count(*) FROM (SELECT 1 FROM consent"
		" WHERE account_key = ?1 AND state = 1 LIMIT ?4)) < ?4"
		" ON CONFLICT DO NOTHING");

	query_int(&query, 1, account_key);
	query_text(&query, 2, address);
	query_int(&query, 3, now_ms);
	query_int(&query, 4, REQUESTS_MAX);
	return query_run(&query);
}

/* The time stays that of the first word. */
enum err sqlite_consent_put(struct sqlite *sqlite, int64_t account_key, const char *address,
			    enum consent_state state, int64_t now_ms)
{
	return state == CONSENT_REQUESTED
		       ? put_request(sqlite, account_key, address, now_ms)
		       : put_word(sqlite, account_key, address, state, now_ms);
}

static enum err forget(struct sqlite *sqlite, int64_t account_key, const char *address,
		       enum consent_state from)
{
	struct query query = query_begin(
		sqlite, from == CONSENT_BLOCKED
				? "DELETE FROM consent"
				  " WHERE account_key = ?1 AND address = ?2 AND state = 3"
				: "DELETE FROM consent"
				  " WHERE account_key = ?1 AND address = ?2 AND state <> 3");

	query_int(&query, 1, account_key);
	query_text(&query, 2, address);
	return query_run(&query);
}

enum err sqlite_consent_set(struct sqlite *sqlite, struct store_op *op)
{
	struct op_consent_set *set = (struct op_consent_set *)op;
	struct sqlite_caller caller;
	enum err err = sqlite_caller_get(sqlite, &set->caller, &caller);

	if (err != ERR_OK)
		return err;
	if (set->state == CONSENT_NONE)
		return forget(sqlite, caller.account_key, set->address.text, set->from);
	return sqlite_consent_put(sqlite, caller.account_key, set->address.text, set->state,
				  op->now_ms);
}

static enum err count_entries(struct sqlite *sqlite, int64_t account_key, size_t *count_out)
{
	struct query query =
		query_begin(sqlite, "SELECT count(*) FROM consent WHERE account_key = ?1");

	query_int(&query, 1, account_key);
	if (query_row(&query))
		*count_out = (size_t)column_int(&query, 0);
	return query_end(&query);
}

static enum err load_entries(struct sqlite *sqlite, struct op_consent_get *get,
			     int64_t account_key, size_t capacity)
{
	struct query query = query_begin(sqlite, "SELECT address, state, since_ms FROM consent"
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

enum err sqlite_consent_get(struct sqlite *sqlite, struct store_op *op)
{
	struct op_consent_get *get = (struct op_consent_get *)op;
	struct sqlite_caller caller;
	size_t count = 0;
	enum err err = sqlite_caller_get(sqlite, &get->caller, &caller);

	if (err == ERR_OK)
		err = count_entries(sqlite, caller.account_key, &count);
	if (err == ERR_OK)
		err = load_entries(sqlite, get, caller.account_key, count);
	return err;
}
