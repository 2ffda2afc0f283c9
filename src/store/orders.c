/* SPDX-License-Identifier: MIT
 *
 * What the operator says about other nodes, and what is to be told of them to the operator.
 * Orders mostly come from another process than the one that federates.
 */
#include "mail.h"

/* --- giving orders ---------------------------------------------------------------------- */

static enum err order_append(struct db *db, const struct op_peer_order *order)
{
	struct query query = query_begin(
		db, "INSERT INTO peer_order (domain, kind, at_ms) VALUES (?1, ?2, ?3)");

	query_text(&query, 1, order->domain);
	query_int(&query, 2, order->kind);
	query_int(&query, 3, order->op.now_ms);
	return query_run(&query);
}

static enum err policy_put(struct db *db, const char *domain, bool allowed)
{
	struct query query =
		query_begin(db, "INSERT INTO peer_policy (domain, allowed) VALUES (?1, ?2)"
				" ON CONFLICT (domain) DO UPDATE SET allowed = ?2");

	query_text(&query, 1, domain);
	query_int(&query, 2, allowed);
	return query_run(&query);
}

static enum err domain_check(struct db *db, const char *domain)
{
	struct query query =
		query_begin(db, "SELECT 1 FROM peer WHERE domain = ?1"
				" UNION ALL SELECT 1 FROM destination WHERE domain = ?1");
	bool known;
	enum err err;

	query_text(&query, 1, domain);
	known = query_row(&query);
	err = query_end(&query);
	return err == ERR_OK && !known ? ERR_NOT_FOUND : err;
}

static enum err pin_delete(struct db *db, const char *domain)
{
	struct query query = query_begin(db, "DELETE FROM peer WHERE domain = ?1");

	query_text(&query, 1, domain);
	return query_run(&query);
}

static enum err conflict_end(struct db *db, const char *domain)
{
	struct query query = query_begin(
		db, "UPDATE destination SET state = ?2, failures = 0, failing_since_ms = 0"
		    " WHERE domain = ?1 AND state = ?3");

	query_text(&query, 1, domain);
	query_int(&query, 2, DESTINATION_UP);
	query_int(&query, 3, DESTINATION_KEY_CONFLICT);
	return query_run(&query);
}

static enum err due_now(struct db *db, const char *domain)
{
	struct query query =
		query_begin(db, "UPDATE destination SET next_try_ms = 0 WHERE domain = ?1");

	query_text(&query, 1, domain);
	return query_run(&query);
}

static enum err repin(struct db *db, const char *domain)
{
	enum err err = pin_delete(db, domain);

	if (err == ERR_OK)
		err = conflict_end(db, domain);
	return err == ERR_OK ? due_now(db, domain) : err;
}

enum err db_peer_order(struct db *db, struct store_op *op)
{
	struct op_peer_order *order = (struct op_peer_order *)op;
	bool about_known = order->kind == PEER_ORDER_REPIN || order->kind == PEER_ORDER_FLUSH;
	enum err err = about_known ? domain_check(db, order->domain) : ERR_OK;

	if (err == ERR_OK)
		err = order_append(db, order);
	if (err != ERR_OK)
		return err;
	switch (order->kind) {
	case PEER_ORDER_BLOCK:
	case PEER_ORDER_ALLOW:
		return policy_put(db, order->domain, order->kind == PEER_ORDER_ALLOW);
	case PEER_ORDER_REPIN:
		return repin(db, order->domain);
	default:
		return due_now(db, order->domain);
	}
}

/* --- reading them ----------------------------------------------------------------------- */

static enum err newest_read(struct db *db, int64_t *newest_out)
{
	struct query query = query_begin(db, "SELECT max(order_key) FROM peer_order");

	while (query_row(&query))
		*newest_out = column_int(&query, 0);
	return query_end(&query);
}

static enum err policies_read(struct db *db, struct op_peer_orders_read *read)
{
	struct query query =
		query_begin(db, "SELECT domain, allowed, (SELECT count(*) FROM peer_policy)"
				" FROM peer_policy ORDER BY domain");

	while (query_row(&query)) {
		struct peer_policy *policy;

		if (read->policies == NULL)
			read->policies = arena_array(read->op.arena, struct peer_policy,
						     (size_t)column_int(&query, 2));
		policy = &read->policies[read->n_policies++];
		column_text_to(&query, 0, policy->domain, sizeof policy->domain);
		policy->allowed = column_int(&query, 1) != 0;
	}
	return query_end(&query);
}

static enum err orders_read(struct db *db, struct op_peer_orders_read *read)
{
	struct query query =
		query_begin(db, "SELECT order_key, domain, kind,"
				" (SELECT count(*) FROM peer_order WHERE order_key > ?1)"
				" FROM peer_order WHERE order_key > ?1 ORDER BY order_key");

	read->newest = read->after;
	query_int(&query, 1, read->after);
	while (query_row(&query)) {
		struct peer_order *order;

		if (read->orders == NULL)
			read->orders = arena_array(read->op.arena, struct peer_order,
						   (size_t)column_int(&query, 3));
		order = &read->orders[read->n_orders++];
		read->newest = column_int(&query, 0);
		column_text_to(&query, 1, order->domain, sizeof order->domain);
		order->kind = (enum peer_order_kind)column_int(&query, 2);
	}
	return query_end(&query);
}

enum err db_peer_orders_read(struct db *db, struct store_op *op)
{
	struct op_peer_orders_read *read = (struct op_peer_orders_read *)op;
	enum err err;

	if (!read->now)
		return orders_read(db, read);
	err = newest_read(db, &read->newest);
	return err == ERR_OK ? policies_read(db, read) : err;
}

/* --- what is known of peers -------------------------------------------------------------- */

#define DOMAINS                                                                                \
	" (SELECT domain FROM destination UNION SELECT domain FROM origin"                     \
	" UNION SELECT domain FROM peer UNION SELECT domain FROM peer_policy) AS domains"      \
	" WHERE ?1 IS NULL OR domain = ?1"

static enum err domains_count(struct db *db, const char *domain, size_t *count_out)
{
	struct query query = query_begin(db, "SELECT count(*) FROM" DOMAINS);

	query_text(&query, 1, domain);
	while (query_row(&query))
		*count_out = (size_t)column_int(&query, 0);
	return query_end(&query);
}

static enum err domains_read(struct db *db, struct op_peers_list *list, size_t most)
{
	struct query query = query_begin(db, "SELECT domain FROM" DOMAINS " ORDER BY domain");

	query_text(&query, 1, list->domain);
	list->peers = arena_array(list->op.arena, struct peer_status, most + 1);
	while (list->count < most && query_row(&query)) {
		struct peer_status *peer = &list->peers[list->count++];

		column_text_to(&query, 0, peer->domain, sizeof peer->domain);
	}
	return query_end(&query);
}

static enum err known_read(struct db *db, struct arena *arena, struct peer_status *peer)
{
	struct query query = query_begin(
		db, "SELECT (SELECT allowed FROM peer_policy WHERE domain = ?1),"
		    " EXISTS (SELECT 1 FROM origin WHERE domain = ?1),"
		    " (SELECT fetched_ms FROM peer WHERE domain = ?1 AND length(document) > 0),"
		    " (SELECT trust FROM peer WHERE domain = ?1)");

	query_text(&query, 1, peer->domain);
	while (query_row(&query)) {
		peer->has_policy = !column_is_null(&query, 0);
		peer->allowed = column_int(&query, 0) != 0;
		peer->has_origin = column_int(&query, 1) != 0;
		peer->fetched_ms = column_int(&query, 2);
		peer->trust = column_blob(&query, 3, arena);
	}
	return query_end(&query);
}

/* When an item came is not kept, but when a message was sent is, and the rest is given the
 * whole life of an outbox. */
static enum err oldest_read(struct db *db, struct peer_status *peer)
{
	struct query query = query_begin(
		db, "SELECT coalesce((SELECT s.sent_ms FROM sent s"
		    " WHERE s.message_id = o.message_id AND s.generation = o.generation),"
		    " o.expires_ms - ?2)"
		    " FROM destination d CROSS JOIN outbox o WHERE d.domain = ?1"
		    " AND o.destination_key = d.destination_key ORDER BY o.position LIMIT 1");

	query_text(&query, 1, peer->domain);
	query_int(&query, 2, db->config->outbox_life_ms);
	while (query_row(&query))
		peer->oldest_ms = column_int(&query, 0);
	return query_end(&query);
}

static enum err peer_read(struct db *db, struct arena *arena, struct peer_status *peer)
{
	enum err err = known_read(db, arena, peer);

	if (err == ERR_OK)
		err = db_destination_get(db, peer->domain, &peer->destination);
	peer->has_destination = peer->destination.domain[0] != '\0';
	if (err == ERR_OK && peer->has_destination)
		err = oldest_read(db, peer);
	return err;
}

enum err db_peers_list(struct db *db, struct store_op *op)
{
	struct op_peers_list *list = (struct op_peers_list *)op;
	size_t most = 0;
	enum err err = domains_count(db, list->domain, &most);

	if (err == ERR_OK)
		err = domains_read(db, list, most);
	for (size_t i = 0; i < list->count && err == ERR_OK; i++)
		err = peer_read(db, op->arena, &list->peers[i]);
	return err;
}
