/* SPDX-License-Identifier: MIT
 *
 * First messages of strangers and the requests that wait for an account (docs/protocol.md
 * section 2.5). How many there are is bounded, for they are what others do. On the write
 * lane.
 */
#include "known.h"
#include "mail.h"

#include "restante/clock.h"
#include "restante/crypto.h"

#define REQUESTS_MAX	    1000 /* waiting, of one account */
#define REQUESTS_DOMAIN_MAX 50	 /* of those from one other domain */
#define REQUEST_LIFE_MS	    (30 * DAYS_MS)

static enum err count_all(struct db *db, int64_t account_key, int64_t after_ms,
			  int64_t *count_out)
{
	struct query query = query_begin(
		db,
		"SELECT count(*) FROM (SELECT 1 FROM consent INDEXED BY consent_requests"
		" WHERE account_key = ?1 AND state = 1 AND since_ms > ?2 LIMIT ?3) AS waiting");

	query_int(&query, 1, account_key);
	query_int(&query, 2, after_ms);
	query_int(&query, 3, REQUESTS_MAX);
	if (query_row(&query))
		*count_out = column_int(&query, 0);
	return query_end(&query);
}

static enum err count_domain(struct db *db, int64_t account_key, const char *domain,
			     int64_t after_ms, int64_t *count_out)
{
	struct query query = query_begin(
		db,
		"SELECT count(*) FROM (SELECT 1 FROM consent INDEXED BY consent_requests_domain"
		" WHERE account_key = ?1 AND state = 1"
		" AND substr(address, instr(address, '@') + 1) = ?2"
		" AND since_ms > ?3 LIMIT ?4) AS waiting");

	query_int(&query, 1, account_key);
	query_text(&query, 2, domain);
	query_int(&query, 3, after_ms);
	query_int(&query, 4, REQUESTS_DOMAIN_MAX);
	if (query_row(&query))
		*count_out = column_int(&query, 0);
	return query_end(&query);
}

/* Would one more from this address be within the bounds, if only those from after that
 * time count? */
static enum err has_room(struct db *db, int64_t account_key, const char *address,
			 int64_t after_ms, bool *room_out)
{
	const char *domain = strchr(address, '@') + 1;
	int64_t of_domain = 0;
	int64_t all = 0;
	enum err err = ERR_OK;

	if (strcmp(domain, db->config->domain) != 0)
		err = count_domain(db, account_key, domain, after_ms, &of_domain);
	if (err == ERR_OK && of_domain < REQUESTS_DOMAIN_MAX)
		err = count_all(db, account_key, after_ms, &all);
	*room_out = of_domain < REQUESTS_DOMAIN_MAX && all < REQUESTS_MAX;
	return err;
}

static enum err drop_old(struct db *db, int64_t account_key, int64_t now_ms)
{
	struct query query = query_begin(db, "DELETE FROM consent WHERE account_key = ?1"
					     " AND state = 1 AND since_ms <= ?2");

	known_change_all(db);
	query_int(&query, 1, account_key);
	query_int(&query, 2, now_ms - REQUEST_LIFE_MS);
	return query_run(&query);
}

static enum err put(struct db *db, int64_t account_key, const char *address, int64_t now_ms)
{
	struct query query = query_begin(db, "INSERT INTO consent (account_key, address, state,"
					     " since_ms) VALUES (?1, ?2, 1, ?3)");

	known_change(db, known_consent(account_key, address));
	query_int(&query, 1, account_key);
	query_text(&query, 2, address);
	query_int(&query, 3, now_ms);
	return query_run(&query);
}

enum err db_request_put(struct db *db, int64_t account_key, const char *address, int64_t now_ms)
{
	bool room = false;
	enum err err = has_room(db, account_key, address, 0, &room);

	if (err == ERR_OK && !room)
		err = drop_old(db, account_key, now_ms);
	if (err == ERR_OK && !room)
		err = has_room(db, account_key, address, 0, &room);
	return err == ERR_OK && room ? put(db, account_key, address, now_ms) : err;
}

static bool is_small(const struct db *db, const struct message_request *message)
{
	for (size_t i = 0; i < message->n_envelopes; i++) {
		size_t len;

		if (!base64_is_valid(message->envelopes[i].content, &len) ||
		    len > (size_t)db->config->first_contact)
			return false;
	}
	return true;
}

enum err db_contact_check(struct db *db, const struct recipient *recipient, const char *sender,
			  const struct message_request *message, int64_t now_ms)
{
	bool room = false;
	enum err err;

	if (recipient->state == CONSENT_ACCEPTED ||
	    recipient->account.strangers == STRANGERS_ACCEPT)
		return ERR_OK;
	if (recipient->state == CONSENT_REQUESTED)
		return ERR_REQUEST_WAITING;
	err = has_room(db, recipient->account.account_key, sender, now_ms - REQUEST_LIFE_MS,
		       &room);
	if (err != ERR_OK)
		return err;
	if (!room)
		return ERR_UNAVAILABLE;
	return is_small(db, message) ? ERR_OK : ERR_TOO_LARGE;
}
