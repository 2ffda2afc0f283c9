/* SPDX-License-Identifier: MIT
 *
 * Device lists of local accounts, and who is told when they change.
 */
#include "devices.h"

/* --- reading -------------------------------------------------------------------------- */

enum err db_devices_load(struct db *db, int64_t account_key, struct arena *arena,
			 struct db_devices *devices_out)
{
	struct query query = query_begin(
		db, "SELECT generation, device_id, registration_id, scheme, identity_key"
		    " FROM device WHERE account_key = ?1 ORDER BY device_id");
	struct db_devices all = {
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

enum err db_reachable_find(struct db *db, const struct address *address, const char *requester,
			   struct db_account *account_out, enum consent_state *state_out)
{
	enum err err = ERR_NOT_FOUND;

	if (strcmp(address->domain, db->config->domain) == 0)
		err = db_account_find(db, address->user, account_out);
	if (err == ERR_NOT_FOUND)
		return ERR_UNAVAILABLE;
	if (err == ERR_OK)
		err = db_consent_check(db, account_out, requester, state_out);
	return err;
}

static enum err load_list(struct db *db, const struct address *address,
			  const struct db_account *account, struct arena *arena,
			  struct device_list *list)
{
	struct db_devices all;
	enum err err = db_devices_load(db, account->account_key, arena, &all);

	if (err == ERR_OK)
		*list = (struct device_list){.address = *address,
					     .list_version = account->list_version,
					     .devices = all.devices,
					     .count = all.count};
	return err;
}

enum err db_device_list(struct db *db, struct store_op *op)
{
	struct op_device_list *get = (struct op_device_list *)op;
	const char *requester = get->requester.text;
	struct db_account account;
	enum consent_state state;
	struct db_caller caller = {0};
	enum err err = ERR_OK;

	if (get->caller != NULL) {
		err = db_caller_get(db, get->caller, &caller);
		requester = arena_printf(op->arena, "%s@%s", caller.user, db->config->domain);
	}
	if (err == ERR_OK)
		err = db_reachable_find(db, &get->address, requester, &account, &state);
	if (err == ERR_OK)
		err = load_list(db, &get->address, &account, op->arena, &get->list);
	return err;
}

static enum err put_subscription(struct db *db, int64_t account_key, const char *domain,
				 int64_t until_ms)
{
	struct query query = query_begin(
		db, "INSERT INTO subscription (account_key, domain, until_ms)"
		    " VALUES (?1, ?2, ?3) ON CONFLICT (account_key, domain) DO UPDATE"
		    " SET until_ms = max(subscription.until_ms, excluded.until_ms)");

	query_int(&query, 1, account_key);
	query_text(&query, 2, domain);
	query_int(&query, 3, until_ms);
	return query_run(&query);
}

enum err db_device_subscribe(struct db *db, struct store_op *op)
{
	struct op_device_subscribe *subscribe = (struct op_device_subscribe *)op;
	struct db_account account;
	enum consent_state state;
	enum err err = db_reachable_find(db, &subscribe->address, subscribe->requester.text,
					 &account, &state);

	if (err == ERR_OK)
		err = put_subscription(db, account.account_key, subscribe->origin,
				       subscribe->until_ms);
	if (err == ERR_OK)
		err = load_list(db, &subscribe->address, &account, op->arena, &subscribe->list);
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

static enum err raise_version(struct db *db, struct change *change)
{
	struct query query =
		query_begin(db, "UPDATE account SET list_version = max(list_version + 1, ?2)"
				" WHERE account_key = ?1 RETURNING list_version, strangers");

	query_int(&query, 1, change->account_key);
	query_int(&query, 2, change->op->now_ms);
	if (query_row(&query)) {
		change->list_version = column_int(&query, 0);
		change->strangers = (enum strangers)column_int(&query, 1);
	}
	return query_end(&query);
}

static enum err hint_own_devices(struct db *db, const struct change *change)
{
	struct generations own;
	enum err err = db_generations_load(db, change->account_key, change->op->arena, &own);

	for (size_t i = 0; i < own.count && err == ERR_OK; i++)
		effects_hint(change->effects, change->op->arena, own.generations[i],
			     change->address, change->list_version);
	return err;
}

/* Devices of accounts that have accepted this one, save those that it does not let reach
 * it: to them there is no such account. */
static enum err hint_acquaintances(struct db *db, const struct change *change)
{
	struct query query = query_begin(
		db, "SELECT device.generation FROM consent AS theirs"
		    " JOIN account USING (account_key) JOIN device USING (account_key)"
		    " LEFT JOIN consent AS ours ON ours.account_key = ?2"
		    " AND ours.address = account.name || '@' || ?3"
		    " WHERE theirs.address = ?1 AND theirs.state = 2"
		    " AND theirs.account_key <> ?2"
		    " AND CASE ours.state WHEN 2 THEN 1 WHEN 3 THEN 0 ELSE ?4 END = 1");

	query_text(&query, 1, change->address);
	query_int(&query, 2, change->account_key);
	query_text(&query, 3, db->config->domain);
	query_int(&query, 4, change->strangers != STRANGERS_REFUSE);
	while (query_row(&query))
		effects_hint(change->effects, change->op->arena, column_int(&query, 0),
			     change->address, change->list_version);
	return query_end(&query);
}

/* As far as one can say of a domain, the same. */
static enum err tell_domains(struct db *db, const struct change *change)
{
	struct query query = query_begin(
		db,
		"SELECT domain FROM subscription"
		" WHERE account_key = ?1 AND until_ms > ?2"
		" AND (?3 <> 0 OR domain IN (SELECT substr(address, instr(address, '@') + 1)"
		" FROM consent WHERE account_key = ?1 AND state = 2)) ORDER BY domain");
	struct outbox_put item = {
		.kind = FED_DEVICES_CHANGED,
		.expires_ms = change->op->now_ms + db->config->outbox_life_ms,
		.body = fed_devices_changed_encode(change->op->arena, change->address,
						   change->list_version),
	};
	enum err err = ERR_OK;
	int64_t position;

	query_int(&query, 1, change->account_key);
	query_int(&query, 2, change->op->now_ms);
	query_int(&query, 3, change->strangers != STRANGERS_REFUSE);
	while (err == ERR_OK && query_row(&query)) {
		item.domain = column_text(&query, 0, change->op->arena);
		err = db_outbox_put(db, change->op, change->effects, &item, &position);
	}
	return query_end(&query) == ERR_OK ? err : ERR_STORE;
}

enum err db_list_changed(struct db *db, int64_t account_key, const char *user,
			 struct store_op *op, struct effects *effects,
			 int64_t *list_version_out)
{
	struct change change = {
		.op = op,
		.effects = effects,
		.account_key = account_key,
		.address = arena_printf(op->arena, "%s@%s", user, db->config->domain),
	};
	enum err err = raise_version(db, &change);

	if (err == ERR_OK)
		err = hint_own_devices(db, &change);
	if (err == ERR_OK)
		err = hint_acquaintances(db, &change);
	if (err == ERR_OK)
		err = tell_domains(db, &change);
	*list_version_out = change.list_version;
	return err;
}
