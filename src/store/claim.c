/* SPDX-License-Identifier: MIT
 *
 * Claims: bundles for opening sessions with every device of an account. The answer is kept
 * as the bytes that went out, so that asking again takes nothing.
 */
#include "devices.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/metrics.h"

#define CLAIM_LIFE_MS (24 * HOURS_MS)
#define RESERVE_PART  4 /* of prekeys_max: kept for those who have been accepted */

/* Which devices: a bit for each id. */
struct device_set {
	uint8_t bits[DEVICES_MAX / 8 + 1];
};

static void set_add(struct device_set *set, uint8_t device_id)
{
	set->bits[device_id / 8] |= (uint8_t)(1u << device_id % 8);
}

static bool set_has(const struct device_set *set, uint8_t device_id)
{
	return (set->bits[device_id / 8] >> device_id % 8 & 1) != 0;
}

/* One claim on its way. */
struct claiming {
	struct op_claim *op;
	const char *requester;
	int64_t own_generation; /* left out; 0: none */
	struct db_account account;
	enum consent_state state; /* what the account has said about the requester */
	struct device_set wanted;
	uint8_t request_hash[SHA256_SIZE];
	struct device_list list;
	int64_t *generations;
	int64_t taken;
};

/* --- asking again --------------------------------------------------------------------- */

/* What was asked, whatever the order of the devices. */
static void hash_request(struct claiming *claiming)
{
	const struct claim_request *claim = claiming->op->claim;
	struct text text;

	for (size_t i = 0; i < claim->n_devices; i++)
		set_add(&claiming->wanted, claim->devices[i] % (DEVICES_MAX + 1));
	text_init(&text, claiming->op->op.arena, 2 * ADDRESS_SIZE + sizeof claiming->wanted);
	text_printf(&text, "%s\n%s\n", claiming->requester, claim->address.text);
	text_add(&text, bytes_of(&claiming->wanted, sizeof claiming->wanted));
	crypto_sha256(text_bytes(&text), claiming->request_hash);
	if (claim->n_devices == 0)
		memset(&claiming->wanted, 0xff, sizeof claiming->wanted);
}

/* ERR_NOT_FOUND: not answered before. */
static enum err find_answer(struct db *db, struct claiming *claiming)
{
	struct op_claim *op = claiming->op;
	struct query query =
		query_begin(db, "SELECT request = ?4, answer FROM claim"
				" WHERE claimer = ?1 AND claim_id = ?2 AND expires_ms > ?3");
	enum err err = ERR_NOT_FOUND;

	query_text(&query, 1, op->claimer);
	query_text(&query, 2, op->claim->claim_id);
	query_int(&query, 3, op->op.now_ms);
	query_blob(&query, 4, bytes_of(claiming->request_hash, SHA256_SIZE));
	if (query_row(&query)) {
		err = column_int(&query, 0) != 0 ? ERR_OK : ERR_VALIDATION;
		if (err == ERR_OK)
			op->answer = column_blob(&query, 1, op->op.arena);
	}
	return query_end(&query) == ERR_OK ? err : ERR_STORE;
}

static enum err keep_answer(struct db *db, const struct claiming *claiming)
{
	const struct op_claim *op = claiming->op;
	struct query query = query_begin(db, "INSERT INTO claim"
					     " (claimer, claim_id, request, answer, expires_ms)"
					     " VALUES (?1, ?2, ?3, ?4, ?5)"
					     " ON CONFLICT (claimer, claim_id) DO UPDATE SET"
					     " request = ?3, answer = ?4, expires_ms = ?5");

	query_text(&query, 1, op->claimer);
	query_text(&query, 2, op->claim->claim_id);
	query_blob(&query, 3, bytes_of(claiming->request_hash, SHA256_SIZE));
	query_blob(&query, 4, op->answer);
	query_int(&query, 5, op->op.now_ms + CLAIM_LIFE_MS);
	return query_run(&query);
}

/* --- bundles -------------------------------------------------------------------------- */

static struct prekey read_prekey(const struct query *query, int column, struct arena *arena)
{
	return (struct prekey){
		.present = !column_is_null(query, column),
		.id = (uint32_t)column_int(query, column),
		.public_key = column_blob(query, column + 1, arena),
		.signature = column_blob(query, column + 2, arena),
	};
}

/* The devices, with the last resort as PQ prekey for now. */
static enum err load_devices(struct db *db, struct claiming *claiming)
{
	struct arena *arena = claiming->op->op.arena;
	struct device_list *list = &claiming->list;
	struct query query = query_begin(
		db, "SELECT generation, device_id, registration_id, scheme, identity_key,"
		    " signed_prekey_id, signed_prekey, signed_prekey_signature,"
		    " last_resort_id, last_resort, last_resort_signature"
		    " FROM device WHERE account_key = ?1 ORDER BY device_id");

	list->devices = arena_array(arena, struct device_keys, DEVICES_MAX);
	claiming->generations = arena_array(arena, int64_t, DEVICES_MAX);
	query_int(&query, 1, claiming->account.account_key);
	while (list->count < DEVICES_MAX && query_row(&query)) {
		int64_t generation = column_int(&query, 0);
		uint8_t device_id = (uint8_t)column_int(&query, 1);

		if (generation == claiming->own_generation ||
		    !set_has(&claiming->wanted, device_id))
			continue;
		claiming->generations[list->count] = generation;
		list->devices[list->count++] = (struct device_keys){
			.device_id = device_id,
			.registration_id = (uint16_t)column_int(&query, 2),
			.scheme = (enum key_scheme)column_int(&query, 3),
			.identity_key = column_blob(&query, 4, arena),
			.signed_prekey = read_prekey(&query, 5, arena),
			.pq = read_prekey(&query, 8, arena),
		};
	}
	return query_end(&query);
}

/* A device hears of it when a kind that was taken from now is running out. */
static enum err warn_if_low(struct db *db, struct claiming *claiming, int64_t generation,
			    bool took_ec, bool took_pq)
{
	int64_t one_time = 0;
	int64_t pq = 0;
	enum err err = db_prekeys_count(db, generation, PREKEY_EC, &one_time);

	if (err == ERR_OK)
		err = db_prekeys_count(db, generation, PREKEY_PQ, &pq);
	if (err == ERR_OK &&
	    ((took_ec && one_time < PREKEYS_LOW) || (took_pq && pq < PREKEYS_LOW)))
		effects_low(&claiming->op->effects, claiming->op->op.arena, generation,
			    one_time, pq);
	return err;
}

/* One-time keys of a kind: to those whom the account has not accepted only as long as more
 * than the reserve is waiting, so that they cannot use up all. */
static enum err take_kind(struct db *db, const struct claiming *claiming, int64_t generation,
			  enum prekey_kind kind, struct prekey *prekey)
{
	int64_t waiting = INT64_MAX;
	enum err err = ERR_OK;

	if (claiming->state != CONSENT_ACCEPTED)
		err = db_prekeys_count(db, generation, kind, &waiting);
	if (err != ERR_OK || waiting <= db->config->prekeys_max / RESERVE_PART)
		return err;
	return db_prekey_take(db, generation, kind, claiming->op->op.arena, prekey);
}

static enum err take_one_time(struct db *db, struct claiming *claiming, size_t index)
{
	struct device_keys *device = &claiming->list.devices[index];
	int64_t generation = claiming->generations[index];
	struct prekey pq = {0};
	enum err err = take_kind(db, claiming, generation, PREKEY_EC, &device->one_time);

	if (err == ERR_OK)
		err = take_kind(db, claiming, generation, PREKEY_PQ, &pq);
	if (err != ERR_OK)
		return err;
	if (pq.present)
		device->pq = pq;
	claiming->taken += device->one_time.present + pq.present;
	if (device->one_time.present || pq.present)
		err = warn_if_low(db, claiming, generation, device->one_time.present,
				  pq.present);
	return err;
}

static enum err take_bundles(struct db *db, struct claiming *claiming)
{
	enum err err = load_devices(db, claiming);

	for (size_t i = 0; i < claiming->list.count && err == ERR_OK; i++)
		err = take_one_time(db, claiming, i);
	if (err != ERR_OK)
		return err;
	claiming->list.address = claiming->op->claim->address;
	claiming->list.list_version = claiming->account.list_version;
	claiming->op->answer = bundles_encode(claiming->op->op.arena, &claiming->list);
	err = keep_answer(db, claiming);
	if (err == ERR_OK)
		metric_add(METRIC_prekeys_claimed_total, claiming->taken);
	return err;
}

enum err db_claim(struct db *db, struct store_op *op)
{
	struct op_claim *claim = (struct op_claim *)op;
	struct claiming *claiming = arena_new(op->arena, struct claiming);
	struct db_caller caller = {0};
	enum err err = ERR_OK;

	claiming->op = claim;
	claiming->requester = claim->claim->requester.text;
	if (claim->caller != NULL) {
		err = db_caller_get(db, claim->caller, &caller);
		claiming->own_generation = caller.generation;
		claiming->requester =
			arena_printf(op->arena, "%s@%s", caller.user, db->config->domain);
	}
	hash_request(claiming);
	if (err == ERR_OK)
		err = db_reachable_find(db, &claim->claim->address, claiming->requester,
					&claiming->account, &claiming->state);
	if (err == ERR_OK)
		err = find_answer(db, claiming);
	return err == ERR_NOT_FOUND ? take_bundles(db, claiming) : err;
}
