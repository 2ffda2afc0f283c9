/* SPDX-License-Identifier: MIT
 *
 * Which function does which operation, and what is done around each.
 */
#include "backend.h"
#include "driver.h"
#include "known.h"

#include "restante/clock.h"
#include "restante/log.h"

#include <stddef.h>

#define SEEN_EVERY_MS (1 * HOURS_MS)

/* --- what does which operation -------------------------------------------------------- */

struct operation {
	db_op_fn *run;
	/* The out members: from here to the end of the struct. */
	size_t out, end;
	size_t effects; /* one of them; 0: it has none */
};

#define NO_OUT(name)                                                                           \
	{                                                                                      \
		db_##name, sizeof(struct op_##name), sizeof(struct op_##name), 0               \
	}
#define OUT_FROM(name, member)                                                                 \
	{                                                                                      \
		db_##name, offsetof(struct op_##name, member), sizeof(struct op_##name), 0     \
	}
#define WITH_EFFECTS(name, member)                                                             \
	{                                                                                      \
		db_##name, offsetof(struct op_##name, member), sizeof(struct op_##name),       \
			offsetof(struct op_##name, effects)                                    \
	}

static const struct operation operations[STORE_KIND_COUNT] = {
	[STORE_REGISTER] = OUT_FROM(register, device_id),
	[STORE_INVITE_CREATE] = NO_OUT(invite_create),
	[STORE_LOGIN_LOOKUP] = OUT_FROM(login_lookup, password_hash),
	[STORE_SESSION_OPEN] = OUT_FROM(session_open, list_version),
	[STORE_SESSION_REFRESH] = WITH_EFFECTS(session_refresh, user),
	[STORE_SESSION_END] = WITH_EFFECTS(session_end, effects),
	[STORE_CALLER_CHECK] = OUT_FROM(caller_check, one_time),
	[STORE_PASSWORD_SET] = WITH_EFFECTS(password_set, effects),
	[STORE_ACCOUNT_GET] = OUT_FROM(account_get, account),
	[STORE_ACCOUNT_PATCH] = OUT_FROM(account_patch, account),
	[STORE_ACCOUNT_DELETE] = WITH_EFFECTS(account_delete, effects),
	[STORE_DEVICES_GET] = OUT_FROM(devices_get, list_version),
	[STORE_DEVICE_RENAME] = NO_OUT(device_rename),
	[STORE_DEVICE_REMOVE] = WITH_EFFECTS(device_remove, list_version),
	[STORE_LINK_TOKEN_CREATE] = NO_OUT(link_token_create),
	[STORE_DEVICE_LINK] = WITH_EFFECTS(device_link, linked_user),
	[STORE_CONSENT_GET] = OUT_FROM(consent_get, entries),
	[STORE_CONSENT_SET] = NO_OUT(consent_set),
	[STORE_KEYS_PUT] = WITH_EFFECTS(keys_put, one_time),
	[STORE_KEYS_STATS] = OUT_FROM(keys_stats, stats),
	[STORE_CLAIM] = WITH_EFFECTS(claim, answer),
	[STORE_DEVICE_LIST] = OUT_FROM(device_list, list),
	[STORE_DEVICE_SUBSCRIBE] = OUT_FROM(device_subscribe, list),
	[STORE_REMOTE_LIST_PUT] = NO_OUT(remote_list_put),
	[STORE_SEND] = WITH_EFFECTS(send, status),
	[STORE_MESSAGE_GET] = OUT_FROM(message_get, info),
	[STORE_MAILBOX_READ] = OUT_FROM(mailbox_read, displaced),
	[STORE_MAILBOX_ACK] = WITH_EFFECTS(mailbox_ack, removed),
	[STORE_EXPIRE] = OUT_FROM(expire, removed),
	[STORE_RESTORE_MARK] = NO_OUT(restore_mark),
	[STORE_SOCKET_OPEN] = WITH_EFFECTS(socket_open, socket_key),
	[STORE_SOCKET_CLOSE] = NO_OUT(socket_close),
	[STORE_DESTINATIONS_LEASE] = OUT_FROM(destinations_lease, taken),
	[STORE_PROCESS_BURY] = WITH_EFFECTS(process_bury, effects),
	[STORE_TRANSACTION] = WITH_EFFECTS(transaction, replay),
	[STORE_DESTINATIONS_LOAD] = OUT_FROM(destinations_load, destinations),
	[STORE_DESTINATION_PUT] = NO_OUT(destination_put),
	[STORE_DESTINATION_REMOVE] = OUT_FROM(destination_remove, removed),
	[STORE_OUTBOX_READ] = OUT_FROM(outbox_read, items),
	[STORE_OUTBOX_SETTLE] = WITH_EFFECTS(outbox_settle, effects),
	[STORE_OUTBOX_RESET] = OUT_FROM(outbox_reset, destination),
	[STORE_OUTBOX_EXPIRE] = WITH_EFFECTS(outbox_expire, destination),
	[STORE_PEER_LOAD] = OUT_FROM(peer_load, document),
	[STORE_PEER_PUT] = NO_OUT(peer_put),
	[STORE_PEER_ORDER] = NO_OUT(peer_order),
	[STORE_PEER_ORDERS_READ] = OUT_FROM(peer_orders_read, newest),
	[STORE_PEERS_LIST] = OUT_FROM(peers_list, peers),
};

/* These write nothing that is known of devices, accounts and consent, or drop it themselves.
 * After all others it is forgotten. */
static const bool keeps_known[STORE_KIND_COUNT] = {
	[STORE_REGISTER] = true,
	[STORE_SESSION_OPEN] = true,
	[STORE_SESSION_REFRESH] = true,
	[STORE_SESSION_END] = true,
	[STORE_CONSENT_SET] = true,
	[STORE_CLAIM] = true,
	[STORE_DEVICE_SUBSCRIBE] = true,
	[STORE_REMOTE_LIST_PUT] = true,
	[STORE_SEND] = true,
	[STORE_MAILBOX_ACK] = true,
	[STORE_EXPIRE] = true,
	[STORE_SOCKET_OPEN] = true,
	[STORE_SOCKET_CLOSE] = true,
	[STORE_DESTINATIONS_LEASE] = true,
	[STORE_PROCESS_BURY] = true,
	[STORE_TRANSACTION] = true,
	[STORE_DESTINATION_PUT] = true,
	[STORE_DESTINATION_REMOVE] = true,
	[STORE_OUTBOX_SETTLE] = true,
	[STORE_OUTBOX_RESET] = true,
	[STORE_OUTBOX_EXPIRE] = true,
	[STORE_PEER_PUT] = true,
};

/* Callers are marked as seen by the operations that write, at most once an hour. */
static enum err mark_seen(struct db *db, int64_t now_ms)
{
	struct query query;

	if (db->lane != LANE_WRITE || db->seen_generation == 0 ||
	    now_ms - db->seen_ms < SEEN_EVERY_MS)
		return ERR_OK;
	known_drop(db, known_device(db->seen_generation));
	query = query_begin(db, "UPDATE device SET last_seen_ms = ?2 WHERE generation = ?1");
	query_int(&query, 1, db->seen_generation);
	query_int(&query, 2, now_ms);
	return query_run(&query);
}

/* A refusal has no effects, but for that of SESSION_REFRESH. */
struct effects *op_effects(struct store_op *op)
{
	size_t effects = operations[op->kind].effects;
	bool done = op->err == ERR_OK ||
		    (op->kind == STORE_SESSION_REFRESH && op->err != ERR_STORE);

	return done && effects != 0 ? (struct effects *)((char *)op + effects) : NULL;
}

enum err db_run(struct db *db, struct store_op *op)
{
	const struct operation *operation = &operations[op->kind];
	int64_t changes = db->driver->total_changes(db);
	const struct effects *effects;
	enum err err;

	memset((char *)op + operation->out, 0, operation->end - operation->out);
	op->err = ERR_OK;
	db->seen_generation = 0;
	err = operation->run(db, op);
	if (!keeps_known[op->kind])
		db_known_forget(db);
	if (err == ERR_STORE)
		return err;
	if (err != ERR_OK)
		op->err = err;
	effects = op_effects(op);
	if (effects != NULL)
		db_news_add(db, effects);
	if (op->err == ERR_OK) {
		db->known_changed |= !keeps_known[op->kind];
		return mark_seen(db, op->now_ms);
	}
	if (db->driver->total_changes(db) != changes && op->kind != STORE_SESSION_REFRESH) {
		log_error(store_error, "at=run kind=%d err=%s reason=%s", (int)op->kind,
			  err_code(op->err), log_quote("refused after it had written"));
		return ERR_STORE;
	}
	return ERR_OK;
}

void db_forget(struct db *db)
{
	db_known_forget(db);
	db->known_changed = false;
	db_mailbox_forget(db);
	db_outbox_forget(db);
	db->outbox_counted = false;
	db_news_forget(db);
}
