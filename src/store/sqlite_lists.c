/* SPDX-License-Identifier: MIT
 *
 * Device lists of local accounts, and who is told when they change.
 */
#include "sqlite_devices.h"

/* --- reading -------------------------------------------------------------------------- */

enum err sqlite_devices_load(struct sqlite *sqlite, int64_t account_key, struct arena *arena,
			     struct sqlite_devices *devices_out)
{
	struct query query = query_begin(
		sqlite, "SELECT generation, device_id, registration_id, scheme, identity_key"
			" FROM device WHERE account_key = ?1 ORDER BY device_id");
	struct sqlite_devices all = {
		.devices = arena_array(arena, struct device_keys, DEVICES_MAX),
		.generations = arena_array(arena, int64_t, DEVICES_MAX),
	};

	query_int(&query, 1, account_key);
	while (all.count < DEVICES_MAX && query_row(&query)) {
		all.generations[all.count] = column_int(&query, 0);
		all.devices[all.count] = (struct device_keys){
			.device_id = (uint8_t)column_int(&query, 1),
			.registration_id = (uint16_t)column_int(&query, 2),
			.scheme = (enum key_scheme)column_int(&query, 3),
			.identity_key = column_blob(&query, 4, arena),
		};
		all.count++;
	}
	*devices_out = all;
	return query_end(&query);
}

enum err sqlite_reachable_find(struct sqlite *sqlite, const struct address *address,
			       const char *requester, struct sqlite_account *account_out,
			       enum consent_state *state_out)
{
	enum err err = ERR_NOT_FOUND;

	if (strcmp(address->domain, sqlite->config->domain) == 0)
		err = sqlite_account_find(sqlite, address->user, account_out);
	if (err == ERR_NOT_FOUND)
		return ERR_UNAVAILABLE;
	if (err == ERR_OK)
		err = sqlite_consent_check(sqlite, account_out, requester, state_out);
	return err;
}

static enum err load_list(struct sqlite *sqlite, const struct address *address,
			  const struct sqlite_account *account, struct arena *arena,
			  struct device_list *list)
{
	struct sqlite_devices all;
	enum err err = sqlite_devices_load(sqlite, account->account_key, arena, &all);

	if (err == ERR_OK)
		*list = (struct device_list){.address = *address,
					     .list_version = account->list_version,
					     .devices = all.devices,
					     .count = all.count};
	return err;
}

enum err sqlite_device_list(struct sqlite *sqlite, struct store_op *op)
{
	struct op_device_list *get = (struct op_device_list *)op;
	const char *requester = get->requester.text;
	struct sqlite_account account;
	enum consent_state state;
	struct sqlite_caller caller = {0};
	enum err err = ERR_OK;

	if (get->caller != NULL) {
		err = sqlite_caller_get(sqlite, get->caller, &caller);
		requester =
			arena_printf(op->arena, "%s@%s", caller.user, sqlite->config->domain);
	}
	if (err == ERR_OK)
		err = sqlite_reachable_find(sqlite, &get->address, requester, &account, &state);
	if (err == ERR_OK)
		err = load_list(sqlite, &get->address, &account, op->arena, &get->list);
	return err;
}

static enum err put_subscription(struct sqlite *sqlite, int64_t account_key, const char *domain,
				 int64_t until_ms)
{
	struct query query =
		query_begin(sqlite, "INSERT INTO subscription (account_key, domain, until_ms)"
				    " VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE"
				    " SET until_ms = max(until_ms, excluded.until_ms)");

	query_int(&query, 1, account_key);
	query_text(&query, 2, domain);
	query_int(&query, 3, until_ms);
	return query_run(&query);
}

enum err sqlite_device_subscribe(struct sqlite *sqlite, struct store_op *op)
{
	struct op_device_subscribe *subscribe = (struct op_device_subscribe *)op;
	struct sqlite_account account;
	enum consent_state state;
	enum err err = sqlite_reachable_find(sqlite, &subscribe->address,
					     subscribe->requester.text, &account, &state);

	if (err == ERR_OK)
		err = put_subscription(sqlite, account.account_key, subscribe->origin,
				       subscribe->until_ms);
	if (err == ERR_OK)
		err = load_list(sqlite, &subscribe->address, &account, op->arena,
				&subscribe->list);
	return err;
}

/* --- changing ------------------------------------------------------------------------- */

struct change {
	struct store_op *op;
	struct effects *effects;
	int64_t account_key;
	int64_t list_version;
	enum strangers strangers;
	const char *address; /* in the arena: hints keep it */
};

static enum err raise_version(struct sqlite *sqlite, struct change *change)
{
	struct query query = query_begin(
		sqlite, "UPDATE account SET list_version = max(list_version + 1, ?2)"
			" WHERE account_key = ?1 RETURNING list_version, strangers");

	query_int(&query, 1, change->account_key);
	query_int(&query, 2, change->op->now_ms);
	if (query_row(&query)) {
		change->list_version = column_int(&query, 0);
		change->strangers = (enum strangers)column_int(&query, 1);
	}
	return query_end(&query);
}

static enum err hint_own_devices(struct sqlite *sqlite, const struct change *change)
{
	struct generations own;
	enum err err =
		sqlite_generations_load(sqlite, change->account_key, change->op->arena, &own);

	for (size_t i = 0; i < own.count && err == ERR_OK; i++)
		effects_hint(change->effects, change->op->arena, own.generations[i],
			     change->address, change->list_version);
	return err;
}

/* Devices of accounts that have accepted this one, save those that it does not let reach
 * it: to them there is no such account. */
static enum err hint_acquaintances(struct sqlite *sqlite, const struct change *change)
{
	struct query query = query_begin(
		sqlite, "SELECT device.generation FROM consent AS theirs"
			" JOIN account USING (account_key) JOIN device USING (account_key)"
			" LEFT JOIN consent AS ours ON ours.account_key = ?2"
			" AND ours.address = account.user || '@' || ?3"
			" WHERE theirs.address = ?1 AND theirs.state = 2"
			" AND theirs.account_key <> ?2"
			" AND CASE ours.state WHEN 2 THEN 1 WHEN 3 THEN 0 ELSE ?4 END");

	query_text(&query, 1, change->address);
	query_int(&query, 2, change->account_key);
	query_text(&query, 3, sqlite->config->domain);
	query_int(&query, 4, change->strangers != STRANGERS_REFUSE);
	while (query_row(&query))
		effects_hint(change->effects, change->op->arena, column_int(&query, 0),
			     change->address, change->list_version);
	return query_end(&query);
}

static enum err tell_domains(struct sqlite *sqlite, const struct change *change)
{
	struct query query = query_begin(
		sqlite, "SELECT domain FROM subscription"
			" WHERE account_key = ?1 AND until_ms > ?2 ORDER BY domain");
	struct outbox_put item = {
		.kind = FED_DEVICES_CHANGED,
		.expires_ms = change->op->now_ms + sqlite->config->outbox_life_ms,
		.body = fed_devices_changed_encode(change->op->arena, change->address,
						   change->list_version),
	};
	enum err err = ERR_OK;
	int64_t position;

	query_int(&query, 1, change->account_key);
	query_int(&query, 2, change->op->now_ms);
	while (err == ERR_OK && query_row(&query)) {
		item.domain = column_text(&query, 0, change->op->arena);
		err = sqlite_outbox_put(sqlite, change->op, change->effects, &item, &position);
	}
	return query_end(&query) == ERR_OK ? err : ERR_STORE;
}

enum err sqlite_list_changed(struct sqlite *sqlite, int64_t account_key, const char *user,
			     struct store_op *op, struct effects *effects,
			     int64_t *list_version_out)
{
	struct change change = {
		.op = op,
		.effects = effects,
		.account_key = account_key,
		.address = arena_printf(op->arena, "%s@%s", user, sqlite->config->domain),
	};
	enum err err = raise_version(sqlite, &change);

	if (err == ERR_OK)
		err = hint_own_devices(sqlite, &change);
	if (err == ERR_OK)
		err = hint_acquaintances(sqlite, &change);
	if (err == ERR_OK)
		err = tell_domains(sqlite, &change);
	*list_version_out = change.list_version;
	return err;
}
