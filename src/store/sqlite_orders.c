/* SPDX-License-Identifier: MIT
 *
 * What the operator says about other nodes, and what is to be told of them to the operator.
 * Orders mostly come from another process than the one that federates.
 */
#include "sqlite_messages.h"

/* --- giving orders ---------------------------------------------------------------------- */

static enum err order_append(struct sqlite *sqlite, const struct op_peer_order *order)
{
	struct query query = query_begin(
		sqlite, "INSERT INTO peer_order (domain, kind, at_ms) VALUES (?1, ?2, ?3)");

	query_text(&query, 1, order->domain);
	query_int(&query, 2, order->kind);
	query_int(&query, 3, order->op.now_ms);
	return query_run(&query);
}

static enum err policy_put(struct sqlite *sqlite, const char *domain, bool allowed)
{
	struct query query =
		query_begin(sqlite, "INSERT INTO peer_policy (domain, allowed) VALUES (?1, ?2)"
				    " ON CONFLICT (domain) DO UPDATE SET allowed = ?2");

	query_text(&query, 1, domain);
	query_int(&query, 2, allowed);
	return query_run(&query);
}

static enum err domain_check(struct sqlite *sqlite, const char *domain)
{
	struct query query =
		query_begin(sqlite, "SELECT 1 FROM peer WHERE domain = ?1"
				    " UNION ALL SELECT 1 FROM destination WHERE domain = ?1");
	bool known;
	enum err err;

	query_text(&query, 1, domain);
	known = query_row(&query);
	err = query_end(&query);
	return err == ERR_OK && !known ? ERR_NOT_FOUND : err;
}

static enum err pin_delete(struct sqlite *sqlite, const char *domain)
{
	struct query query = query_begin(sqlite, "DELETE FROM peer WHERE domain = ?1");

	query_text(&query, 1, domain);
	return query_run(&query);
}

static enum err conflict_end(struct sqlite *sqlite, const char *domain)
{
	struct query query = query_begin(
		sqlite, "UPDATE destination SET state = ?2, failures = 0, failing_since_ms = 0"
			" WHERE domain = ?1 AND state = ?3");

	query_text(&query, 1, domain);
	query_int(&query, 2, DESTINATION_UP);
	query_int(&query, 3, DESTINATION_KEY_CONFLICT);
	return query_run(&query);
}

static enum err due_now(struct sqlite *sqlite, const char *domain)
{
	struct query query =
		query_begin(sqlite, "UPDATE destination SET next_try_ms = 0 WHERE domain = ?1");

	query_text(&query, 1, domain);
	return query_run(&query);
}

static enum err repin(struct sqlite *sqlite, const char *domain)
{
	enum err err = pin_delete(sqlite, domain);

	if (err == ERR_OK)
		err = conflict_end(sqlite, domain);
	return err == ERR_OK ? due_now(sqlite, domain) : err;
}

enum err sqlite_peer_order(struct sqlite *sqlite, struct store_op *op)
{
	struct op_peer_order *order = (struct op_peer_order *)op;
	bool about_known = order->kind == PEER_ORDER_REPIN || order->kind == PEER_ORDER_FLUSH;
	enum err err = about_known ? domain_check(sqlite, order->domain) : ERR_OK;

	if (err == ERR_OK)
		err = order_append(sqlite, order);
	if (err != ERR_OK)
		return err;
	switch (order->kind) {
	case PEER_ORDER_BLOCK:
	case PEER_ORDER_ALLOW:
		return policy_put(sqlite, order->domain, order->kind == PEER_ORDER_ALLOW);
	case PEER_ORDER_REPIN:
		return repin(sqlite, order->domain);
	default:
		return due_now(sqlite, order->domain);
	}
}

/* --- reading them ----------------------------------------------------------------------- */

static enum err newest_read(struct sqlite *sqlite, int64_t *newest_out)
{
	struct query query = query_begin(sqlite, "SELECT max(order_key) FROM peer_order");

	while (query_row(&query))
		*newest_out = column_int(&query, 0);
	return query_end(&query);
}

static enum err policies_read(struct sqlite *sqlite, struct op_peer_orders_read *read)
{
	struct query query =
		query_begin(sqlite, "SELECT domain, allowed, (SELECT count(*) FROM peer_policy)"
				    " FROM peer_policy");

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

static enum err orders_read(struct sqlite *sqlite, struct op_peer_orders_read *read)
{
	struct query query =
		query_begin(sqlite, "SELECT order_key, domain, kind,"
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

enum err sqlite_peer_orders_read(struct sqlite *sqlite, struct store_op *op)
{
	struct op_peer_orders_read *read = (struct op_peer_orders_read *)op;
	enum err err;

	if (!read->now)
		return orders_read(sqlite, read);
	err = newest_read(sqlite, &read->newest);
	return err == ERR_OK ? policies_read(sqlite, read) : err;
}

/* --- what is known of peers -------------------------------------------------------------- */

#define DOMAINS                                                                                \
	" (SELECT domain FROM destination UNION SELECT domain FROM origin"                     \
	" UNION SELECT domain FROM peer UNION SELECT domain FROM peer_policy)"                 \
	" WHERE ?1 IS NULL OR domain = ?1"

static enum err domains_count(struct sqlite *sqlite, const char *domain, size_t *count_out)
{
	struct query query = query_begin(sqlite, "SELECT count(*) FROM" DOMAINS);

	query_text(&query, 1, domain);
	while (query_row(&query))
		*count_out = (size_t)column_int(&query, 0);
	return query_end(&query);
}

static enum err domains_read(struct sqlite *sqlite, struct op_peers_list *list, size_t most)
{
	struct query query =
		query_begin(sqlite, "SELECT domain FROM" DOMAINS " ORDER BY domain");

	query_text(&query, 1, list->domain);
	list->peers = arena_array(list->op.arena, struct peer_status, most + 1);
	while (list->count < most && query_row(&query)) {
		struct peer_status *peer = &list->peers[list->count++];

		column_text_to(&query, 0, peer->domain, sizeof peer->domain);
	}
	return query_end(&query);
}

static enum err known_read(struct sqlite *sqlite, struct arena *arena, struct peer_status *peer)
{
	struct query query = query_begin(
		sqlite, "SELECT (SELECT allowed FROM peer_policy WHERE domain = ?1),"
			" EXISTS (SELECT 1 FROM origin WHERE domain = ?1),"
			" (SELECT fetched_ms FROM peer WHERE domain = ?1 AND document != x''),"
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
static enum err oldest_read(struct sqlite *sqlite, struct peer_status *peer)
{
	struct query query = query_begin(
		sqlite,
		"SELECT coalesce((SELECT s.sent_ms FROM sent s"
		" WHERE s.message_id = o.message_id AND s.generation = o.generation),"
		" o.expires_ms - ?2)"
		" FROM destination d CROSS JOIN outbox o WHERE d.domain = ?1"
		" AND o.destination_key = d.destination_key ORDER BY o.position LIMIT 1");

	query_text(&query, 1, peer->domain);
	query_int(&query, 2, sqlite->config->outbox_life_ms);
	while (query_row(&query))
		peer->oldest_ms = column_int(&query, 0);
	return query_end(&query);
}

static enum err peer_read(struct sqlite *sqlite, struct arena *arena, struct peer_status *peer)
{
	enum err err = known_read(sqlite, arena, peer);

	if (err == ERR_OK)
		err = sqlite_destination_get(sqlite, peer->domain, &peer->destination);
	peer->has_destination = peer->destination.domain[0] != '\0';
	if (err == ERR_OK && peer->has_destination)
		err = oldest_read(sqlite, peer);
	return err;
}

enum err sqlite_peers_list(struct sqlite *sqlite, struct store_op *op)
{
	struct op_peers_list *list = (struct op_peers_list *)op;
	size_t most = 0;
	enum err err = domains_count(sqlite, list->domain, &most);

	if (err == ERR_OK)
		err = domains_read(sqlite, list, most);
	for (size_t i = 0; i < list->count && err == ERR_OK; i++)
		err = peer_read(sqlite, op->arena, &list->peers[i]);
	return err;
}
