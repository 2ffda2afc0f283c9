/* SPDX-License-Identifier: MIT
 *
 * How items of an outbox end: the other node has taken or refused them, or their time is
 * over. Senders hear of everything that did not arrive (docs/protocol.md section 2.7). On
 * the write lane.
 */
#include "mail.h"

#include "restante/crypto.h"

/* --- telling the sender ----------------------------------------------------------------- */

/* How an item ended otherwise than well, and who has to be told. */
struct outcome {
	const uint8_t *message_id; /* NULL: nobody */
	int64_t generation;
	const char *recipient;
	enum result_code code;
	struct bytes detail; /* as it goes to the sender */
};

/* Some devices without room is no failure of the message. */
static enum err sent_close(struct db *db, const struct outcome *outcome)
{
	struct query query;

	if (outcome->code == RESULT_OVER_QUOTA)
		return ERR_OK;
	query = query_begin(db, "UPDATE sent SET status = ?3, code = ?4"
				" WHERE message_id = ?1 AND generation = ?2");
	query_blob(&query, 1, bytes_of(outcome->message_id, MESSAGE_ID_SIZE));
	query_int(&query, 2, outcome->generation);
	if (outcome->code == RESULT_UNKNOWN) {
		query_int(&query, 3, MESSAGE_UNKNOWN);
		query_null(&query, 4);
	} else {
		query_int(&query, 3, MESSAGE_FAILED);
		query_int(&query, 4, outcome->code);
	}
	return query_run(&query);
}

static enum err device_exists(struct db *db, int64_t generation, bool *exists_out)
{
	struct query query = query_begin(db, "SELECT 1 FROM device WHERE generation = ?1");

	query_int(&query, 1, generation);
	*exists_out = query_row(&query);
	return query_end(&query);
}

static enum err send_result_put(struct db *db, struct store_op *op, struct effects *effects,
				const struct outcome *outcome)
{
	struct mailbox_put put = {
		.generation = outcome->generation,
		.kind = ITEM_SEND_RESULT,
		.expires_ms = op->now_ms + db->config->mailbox_life_ms,
	};
	char id_text[UUID_TEXT_SIZE];

	uuid7_format(outcome->message_id, id_text);
	put.body = send_result_item_encode(op->arena, id_text, outcome->recipient,
					   result_code_name(outcome->code), outcome->detail);
	return db_mailbox_put(db, op, effects, &put);
}

static enum err outcome_tell(struct db *db, struct store_op *op, struct effects *effects,
			     const struct outcome *outcome)
{
	bool exists = false;
	enum err err;

	if (outcome->message_id == NULL)
		return ERR_OK;
	err = sent_close(db, outcome);
	if (err == ERR_OK)
		err = device_exists(db, outcome->generation, &exists);
	return err == ERR_OK && exists ? send_result_put(db, op, effects, outcome) : err;
}

/* --- settled ---------------------------------------------------------------------------- */

/* Who sent what lies at a position; nobody for items that are no messages. */
static enum err sender_find(struct db *db, const struct destination_entry *entry,
			    int64_t position, struct arena *arena, struct outcome *outcome)
{
	struct query query =
		query_begin(db, "SELECT message_id, generation, recipient FROM outbox"
				" WHERE destination_key = ?1 AND position = ?2"
				" AND message_id IS NOT NULL");

	query_int(&query, 1, db_destination_key(entry));
	query_int(&query, 2, position);
	if (query_row(&query)) {
		outcome->message_id = column_blob(&query, 0, arena).data;
		outcome->generation = column_int(&query, 1);
		outcome->recipient = column_text(&query, 2, arena);
	}
	return query_end(&query);
}

/* The list is remembered, for the next message is checked against it; where it was left out
 * the one that was remembered is forgotten, unless it is this version. The sender is told
 * its version alone, and fetches it. */
static enum err stale_list_take(struct db *db, struct store_op *op, struct outcome *outcome)
{
	struct bytes detail = outcome->detail;
	struct device_list list;
	struct address address;

	outcome->detail = bytes_of_text("");
	if (address_parse(bytes_of_text(outcome->recipient), &address) != ERR_OK ||
	    stale_list_decode(op->arena, detail, &address, &list) != ERR_OK)
		return ERR_OK;
	outcome->detail = bytes_of_text(
		arena_printf(op->arena, "\"list_version\":%lld", (long long)list.list_version));
	if (list.devices == NULL)
		return db_remote_list_outdate(db, list.address.text, list.list_version);
	return db_remote_list_store(db, op->arena, &list, op->now_ms);
}

static enum err result_settle(struct db *db, struct op_outbox_settle *settle,
			      const struct destination_entry *entry,
			      const struct item_result *result)
{
	struct outcome outcome = {.code = result->code, .detail = result->detail};
	enum err err;

	if (result->code == RESULT_OK || result->code == RESULT_DUPLICATE)
		return ERR_OK;
	err = sender_find(db, entry, result->seq, settle->op.arena, &outcome);
	if (err == ERR_OK && outcome.message_id != NULL && outcome.code == RESULT_STALE_LIST)
		err = stale_list_take(db, &settle->op, &outcome);
	return err == ERR_OK ? outcome_tell(db, &settle->op, &settle->effects, &outcome) : err;
}

enum err db_outbox_settle(struct db *db, struct store_op *op)
{
	struct op_outbox_settle *settle = (struct op_outbox_settle *)op;
	struct destination_entry *entry;
	int64_t up_to = settle->up_to;
	enum err err = db_destination_find(db, settle->domain, &entry);

	if (err != ERR_OK || entry == NULL)
		return err;
	if (up_to > db_destination_last(entry))
		up_to = db_destination_last(entry);
	for (size_t i = 0; i < settle->n_results && err == ERR_OK; i++)
		if (settle->results[i].seq <= up_to)
			err = result_settle(db, settle, entry, &settle->results[i]);
	return err == ERR_OK ? db_outbox_remove(db, entry, up_to) : err;
}

/* --- expired ---------------------------------------------------------------------------- */

/* An item whose time may be over. */
struct waiting {
	int64_t position;
	enum fed_kind kind;
	int64_t expires_ms;
	int64_t bytes;
	struct outcome outcome;
};

struct expiry {
	struct db *db;
	struct op_outbox_expire *op;
	struct destination_entry *entry;
	struct waiting *waiting;
	size_t count;
};

static bool is_over(const struct expiry *expiry, const struct waiting *waiting)
{
	return waiting->expires_ms <= expiry->op->op.now_ms;
}

static void waiting_read(const struct query *query, struct arena *arena, struct waiting *out)
{
	*out = (struct waiting){
		.position = column_int(query, 0),
		.kind = (enum fed_kind)column_int(query, 1),
		.expires_ms = column_int(query, 2),
		.bytes = column_int(query, 3),
	};
	if (column_is_null(query, 4))
		return;
	out->outcome.message_id = column_blob(query, 4, arena).data;
	out->outcome.generation = column_int(query, 5);
	out->outcome.recipient = column_text(query, 6, arena);
}

#define WAITING_COLUMNS "position, kind, expires_ms, bytes, message_id, generation, recipient"

static size_t left(const struct expiry *expiry)
{
	return expiry->op->limit - (size_t)expiry->op->expired;
}

/* Items behind a position, up to the first that has time left: those behind it came later
 * and have more, save those that the index finds. */
static enum err front_collect(struct expiry *expiry, int64_t after, bool voids)
{
	struct query query = query_begin(
		expiry->db, "SELECT " WAITING_COLUMNS " FROM outbox"
			    " WHERE destination_key = ?1 AND position > ?2 AND kind != ?3"
			    " ORDER BY position LIMIT ?4");

	expiry->count = 0;
	query_int(&query, 1, db_destination_key(expiry->entry));
	query_int(&query, 2, after);
	query_int(&query, 3, voids ? 0 : FED_VOID);
	query_int(&query, 4, (int64_t)left(expiry));
	while (query_row(&query)) {
		struct waiting *waiting = &expiry->waiting[expiry->count];

		waiting_read(&query, expiry->op->op.arena, waiting);
		if (waiting->kind != FED_VOID && !is_over(expiry, waiting))
			break;
		expiry->count++;
	}
	return query_end(&query);
}

static enum err early_collect(struct expiry *expiry, int64_t after)
{
	struct query query = query_begin(
		expiry->db, "SELECT " WAITING_COLUMNS " FROM outbox WHERE destination_key = ?1"
			    " AND early = 1 AND expires_ms <= ?3 AND position > ?2 LIMIT ?4");

	expiry->count = 0;
	query_int(&query, 1, db_destination_key(expiry->entry));
	query_int(&query, 2, after);
	query_int(&query, 3, expiry->op->op.now_ms);
	query_int(&query, 4, (int64_t)left(expiry));
	while (query_row(&query))
		waiting_read(&query, expiry->op->op.arena, &expiry->waiting[expiry->count++]);
	return query_end(&query);
}

/* How an item ends that was never sent: by what has held it. */
static enum result_code unsent_code(const struct expiry *expiry)
{
	switch (expiry->op->destination.state) {
	case DESTINATION_KEY_CONFLICT:
		return RESULT_KEY_CONFLICT;
	case DESTINATION_BLOCKED:
		return RESULT_REFUSED;
	default:
		return RESULT_EXPIRED;
	}
}

static enum err item_end(struct expiry *expiry, struct waiting *waiting, enum result_code code)
{
	expiry->op->expired++;
	waiting->outcome.code = code;
	return outcome_tell(expiry->db, &expiry->op->op, &expiry->op->effects,
			    &waiting->outcome);
}

static enum err base_move(struct expiry *expiry, int64_t by)
{
	struct query query = query_begin(
		expiry->db,
		"UPDATE destination SET base = base + ?2 WHERE destination_key = ?1");

	query_int(&query, 1, db_destination_key(expiry->entry));
	query_int(&query, 2, by);
	return query_run(&query);
}

/* Takes items off the front: offered ones that are over, which breaks the stream; and with
 * nothing offered left before them, unsent ones. Those have no number on the wire yet, so
 * the base moves along with them. Gives the last position that is gone. */
static enum err front_expire(struct expiry *expiry, const struct destination *destination,
			     int64_t *gone_out)
{
	int64_t gone = destination->acked;
	size_t i = 0;
	enum err err = front_collect(expiry, gone, true);

	for (; i < expiry->count && err == ERR_OK; i++) {
		struct waiting *waiting = &expiry->waiting[i];
		bool offered = waiting->position <= destination->offered;

		if (offered ? !is_over(expiry, waiting) : gone < destination->offered)
			break;
		expiry->op->reset_needed |= offered;
		gone = waiting->position;
		err = item_end(expiry, waiting, offered ? RESULT_UNKNOWN : unsent_code(expiry));
	}
	if (err == ERR_OK && i > 0)
		err = db_outbox_remove(expiry->db, expiry->entry, gone);
	if (err == ERR_OK && i > 0 && !expiry->op->reset_needed)
		err = base_move(expiry, gone - destination->acked);
	*gone_out = gone;
	return err;
}

static enum err collected_void(struct expiry *expiry)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < expiry->count && err == ERR_OK; i++) {
		struct waiting *waiting = &expiry->waiting[i];

		err = item_end(expiry, waiting, unsent_code(expiry));
		if (err == ERR_OK)
			err = db_outbox_void(expiry->db, expiry->entry, &expiry->op->op,
					     waiting->position, waiting->bytes);
	}
	return err;
}

/* Unsent items behind something that stays: their places are kept by voids. */
static enum err rest_expire(struct expiry *expiry, int64_t after)
{
	enum err err = front_collect(expiry, after, false);

	if (err == ERR_OK)
		err = collected_void(expiry);
	if (err == ERR_OK)
		err = early_collect(expiry, after);
	return err == ERR_OK ? collected_void(expiry) : err;
}

enum err db_outbox_expire(struct db *db, struct store_op *op)
{
	struct op_outbox_expire *expire = (struct op_outbox_expire *)op;
	struct expiry expiry = {.db = db, .op = expire};
	int64_t gone;
	enum err err = db_destination_find(db, expire->domain, &expiry.entry);

	if (err != ERR_OK || expiry.entry == NULL)
		return err;
	expiry.waiting = arena_array(op->arena, struct waiting, expire->limit + 1);
	err = db_destination_get(db, expire->domain, &expire->destination);
	if (err == ERR_OK)
		err = front_expire(&expiry, &expire->destination, &gone);
	if (err == ERR_OK)
		err = rest_expire(&expiry, gone > expire->destination.offered
						   ? gone
						   : expire->destination.offered);
	return err == ERR_OK ? db_destination_get(db, expire->domain, &expire->destination)
			     : err;
}
