/* SPDX-License-Identifier: MIT
 *
 * Housekeeping: removing what has aged, a bounded number of rows at a time, so that the
 * write lane is soon free again. What is appended in the order in which it ages is looked
 * for at the front of its table, without an index on times that every append would pay
 * for; outboxes have an operation of their own. On the write lane.
 */
#include "driver.h"
#include "mail.h"

#include "restante/clock.h"

/* docs/protocol.md section 2.6; a message that still waits in the outbox can have an end. */
#define SENT_LIFE_MS	 (7 * DAYS_MS)
#define SENT_SLACK_MS	 (1 * DAYS_MS)
/* Longer than any node may keep trying to send. */
#define RECEIVED_LIFE_MS (31 * DAYS_MS)
/* As long as the subscription that comes with fetching a list. */
#define LIST_LIFE_MS	 (30 * DAYS_MS)
/* Of a node that was heard of and no more. */
#define UNMET_LIFE_MS	 (1 * DAYS_MS)
/* A node that runs has seen an order long before. */
#define ORDER_LIFE_MS	 (1 * DAYS_MS)

/* The first rows of a table, at most ?2. As a range, not as a list of keys: PostgreSQL does not
 * know how few they are, and reads the whole table to compare it with a list. */
#define FRONT(table, key)                                                                      \
	key " BETWEEN (SELECT min(" key ") FROM " table ") AND (SELECT max(" key ")"           \
	    " FROM (SELECT " key " FROM " table " ORDER BY " key " LIMIT ?2) AS front)"

static void count_removed(struct op_expire *expire, int64_t removed)
{
	expire->removed += removed;
	expire->more |= removed >= (int64_t)expire->limit;
}

static enum err mailbox_sweep(struct db *db, struct op_expire *expire, const char *sql)
{
	struct query query = query_begin(db, sql);
	int64_t removed = 0;
	enum err err = ERR_OK;

	query_int(&query, 1, expire->op.now_ms);
	query_int(&query, 2, (int64_t)expire->limit);
	while (err == ERR_OK && query_row(&query)) {
		int64_t bytes = column_int(&query, 1);

		removed++;
		expire->envelopes_removed += bytes > 0;
		err = db_usage_subtract(db, column_int(&query, 0), bytes > 0, bytes);
	}
	count_removed(expire, removed);
	return query_end(&query) == ERR_OK ? err : ERR_STORE;
}

static enum err sweep(struct db *db, struct op_expire *expire, const char *sql, int64_t life_ms)
{
	struct query query = query_begin(db, sql);
	enum err err;

	query_int(&query, 1, expire->op.now_ms - life_ms);
	query_int(&query, 2, (int64_t)expire->limit);
	err = query_run(&query);
	if (err == ERR_OK)
		count_removed(expire, query_changes(db));
	return err;
}

static enum err mailboxes_sweep(struct db *db, struct op_expire *expire)
{
	enum err err = mailbox_sweep(db, expire,
				     "DELETE FROM mailbox WHERE expires_ms <= ?1 AND " FRONT(
					     "mailbox", "seq") " RETURNING generation, bytes");

	if (err == ERR_OK)
		err = mailbox_sweep(
			db, expire,
			"DELETE FROM mailbox WHERE seq IN (SELECT seq FROM mailbox"
			" WHERE early = 1 AND expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2)"
			" RETURNING generation, bytes");
	return err;
}

static int64_t sent_life(const struct store_config *config)
{
	int64_t longer =
		config->outbox_life_ms > SENT_LIFE_MS ? config->outbox_life_ms : SENT_LIFE_MS;

	return longer + SENT_SLACK_MS;
}

static enum err ids_sweep(struct db *db, struct op_expire *expire)
{
	enum err err =
		sweep(db, expire,
		      "DELETE FROM sent WHERE sent_ms <= ?1 AND " FRONT("sent", "sent_key"),
		      sent_life(db->config));

	if (err == ERR_OK)
		err = sweep(db, expire,
			    "DELETE FROM received WHERE received_ms <= ?1 AND " FRONT(
				    "received", "received_key"),
			    RECEIVED_LIFE_MS);
	return err;
}

/* Tables that are small, or whose rows are rare enough for an index on their times. */
static enum err others_sweep(struct db *db, struct op_expire *expire)
{
	static const struct {
		const char *sql;
		int64_t life_ms;
	} tables[] = {
		{"DELETE FROM refresh_token WHERE hash IN (SELECT hash FROM refresh_token"
		 " WHERE expires_ms <= ?1 LIMIT ?2)",
		 0},
		{"DELETE FROM link_token WHERE hash IN (SELECT hash FROM link_token"
		 " WHERE expires_ms <= ?1 LIMIT ?2)",
		 0},
		{"DELETE FROM invite WHERE hash IN (SELECT hash FROM invite"
		 " WHERE expires_ms <= ?1 LIMIT ?2)",
		 0},
		{"DELETE FROM used_nonce WHERE hash IN (SELECT hash FROM used_nonce"
		 " WHERE expires_ms <= ?1 LIMIT ?2)",
		 0},
		{"DELETE FROM claim WHERE (claimer, claim_id) IN (SELECT claimer, claim_id"
		 " FROM claim WHERE expires_ms <= ?1 LIMIT ?2)",
		 0},
		{"DELETE FROM subscription WHERE (account_key, domain) IN (SELECT account_key,"
		 " domain FROM subscription WHERE until_ms <= ?1 LIMIT ?2)",
		 0},
		{"DELETE FROM remote_list WHERE address IN (SELECT address FROM remote_list"
		 " WHERE seen_ms <= ?1 LIMIT ?2)",
		 LIST_LIFE_MS},
		{"DELETE FROM peer WHERE domain IN (SELECT domain FROM peer p"
		 " WHERE met = 0 AND fetched_ms <= ?1"
		 " AND NOT EXISTS (SELECT 1 FROM origin WHERE origin.domain = p.domain)"
		 " AND NOT EXISTS (SELECT 1 FROM destination d WHERE d.domain = p.domain)"
		 " AND NOT EXISTS (SELECT 1 FROM peer_policy o WHERE o.domain = p.domain)"
		 " LIMIT ?2)",
		 UNMET_LIFE_MS},
		{"DELETE FROM peer_order WHERE order_key IN (SELECT order_key FROM peer_order"
		 " WHERE at_ms <= ?1 LIMIT ?2)",
		 ORDER_LIFE_MS},
	};
	enum err err = ERR_OK;

	for (size_t i = 0; i < sizeof tables / sizeof tables[0] && err == ERR_OK; i++)
		err = sweep(db, expire, tables[i].sql, tables[i].life_ms);
	return err;
}

/* Of several processes the first does it for all. */
static enum err sweep_all(struct db *db, struct op_expire *expire)
{
	enum err err;

	if (db->process != 0 && !db->first)
		return ERR_OK;
	err = mailboxes_sweep(db, expire);

	if (err == ERR_OK)
		err = ids_sweep(db, expire);
	return err == ERR_OK ? others_sweep(db, expire) : err;
}

enum err db_expire(struct db *db, struct store_op *op)
{
	enum err err = sweep_all(db, (struct op_expire *)op);

	if (err == ERR_OK)
		err = restore_tick(db, op->now_ms);
	return err == ERR_OK && !db->outbox_counted ? db_outbox_count(db) : err;
}
