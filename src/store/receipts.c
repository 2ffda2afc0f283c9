/* SPDX-License-Identifier: MIT
 *
 * Acknowledging mailbox items, and the receipts that come of it: into the mailbox of a
 * local sender, or by way of the outbox to the node of a remote one; and receipts that
 * other nodes send (docs/protocol.md sections 2.7 and 4.5). On the write lane.
 */
#include "mail.h"

#include "restante/crypto.h"

/* --- removing --------------------------------------------------------------------------- */

/* An acknowledged envelope whose sender may get a receipt. */
struct due {
	struct due *next;
	uint8_t message_id[MESSAGE_ID_SIZE];
	const char *sender;
	int64_t sender_generation; /* 0: remote */
	const char *token;
};

/* What was removed from a mailbox. */
struct removal {
	int64_t items;
	int64_t envelopes;
	int64_t bytes;
	struct due *due, *last_due;
};

static struct due *due_read(const struct query *query, struct arena *arena)
{
	struct due *due = arena_new(arena, struct due);
	struct bytes id = column_bytes(query, 1);

	memcpy(due->message_id, id.data, id.len < MESSAGE_ID_SIZE ? id.len : MESSAGE_ID_SIZE);
	due->sender = column_text(query, 2, arena);
	due->sender_generation = column_int(query, 3);
	due->token = column_text(query, 4, arena);
	return due;
}

static void due_add(struct removal *removal, struct due *due)
{
	if (removal->last_due != NULL)
		removal->last_due->next = due;
	else
		removal->due = due;
	removal->last_due = due;
}

static void row_count(const struct query *query, struct removal *removal)
{
	int64_t bytes = column_int(query, 0);

	removal->items++;
	removal->envelopes += bytes > 0;
	removal->bytes += bytes;
}

static const char *seqs_write(struct arena *arena, const struct ack_request *ack)
{
	struct text text;

	text_init(&text, arena, 16 * ack->n_seqs);
	for (size_t i = 0; i < ack->n_seqs; i++)
		text_printf(&text, "%s%lld", i == 0 ? "[" : ",", (long long)ack->seqs[i]);
	text_puts(&text, ack->n_seqs == 0 ? "[]" : "]");
	return text.data;
}

/* Everything in a mailbox up to a number, or the numbers of a JSON array. */
struct range {
	int64_t generation;
	int64_t up_to;
	const char *seqs; /* NULL: up_to */
};

/* One statement for each way of naming items, as two literals. */
static struct query range_query(struct db *db, const struct range *range, const char *up_to_sql,
				const char *seqs_sql)
{
	struct query query = query_begin(db, range->seqs == NULL ? up_to_sql : seqs_sql);

	query_int(&query, 1, range->generation);
	if (range->seqs == NULL)
		query_int(&query, 2, range->up_to);
	else
		query_text(&query, 2, range->seqs);
	return query;
}

/* Also what receipts may be due for, where the account has them on. */
static enum err items_read(struct db *db, struct arena *arena, const struct range *range,
			   bool receipts, struct removal *removal)
{
#define COLUMNS                                                                                \
	"SELECT bytes, message_id, sender, sender_generation, token FROM mailbox"              \
	" WHERE generation = ?1 AND seq "
	struct query query =
		range_query(db, range, COLUMNS "<= ?2 ORDER BY seq",
			    COLUMNS "IN (SELECT value FROM json_each(?2)) ORDER BY seq");
#undef COLUMNS

	while (query_row(&query)) {
		row_count(&query, removal);
		if (receipts && !column_is_null(&query, 1))
			due_add(removal, due_read(&query, arena));
	}
	return query_end(&query);
}

static enum err items_delete(struct db *db, const struct range *range)
{
	struct query query = range_query(
		db, range, "DELETE FROM mailbox WHERE generation = ?1 AND seq <= ?2",
		"DELETE FROM mailbox WHERE generation = ?1"
		" AND seq IN (SELECT value FROM json_each(?2))");

	return query_run(&query);
}

static enum err items_remove(struct db *db, struct op_mailbox_ack *ack, bool receipts,
			     struct removal *removal)
{
	struct range range = {.generation = ack->caller.generation, .up_to = ack->ack->up_to};
	enum err err;

	if (range.up_to == 0)
		range.seqs = seqs_write(ack->op.arena, ack->ack);
	err = items_read(db, ack->op.arena, &range, receipts, removal);
	if (err != ERR_OK || removal->items == 0)
		return err;
	err = db_usage_subtract(db, range.generation, removal->envelopes, removal->bytes);
	return err == ERR_OK ? items_delete(db, &range) : err;
}

/* --- receipts --------------------------------------------------------------------------- */

static enum err receipt_put(struct db *db, struct store_op *op, struct effects *effects,
			    int64_t generation, struct bytes body)
{
	struct mailbox_put put = {
		.generation = generation,
		.kind = ITEM_RECEIPT,
		.expires_ms = op->now_ms + db->config->mailbox_life_ms,
		.body = body,
	};

	return db_mailbox_put(db, op, effects, &put);
}

/* Ids of devices are ASCII, so that instr() finds them also where it takes blobs for text. */
static enum err taken_by_add(struct db *db, const struct due *due, uint8_t device_id)
{
	struct query query = query_begin(
		db, "UPDATE sent SET taken_by = CAST(coalesce(taken_by, ?4) || ?3 AS BLOB)"
		    " WHERE message_id = ?1 AND generation = ?2"
		    " AND instr(coalesce(taken_by, ?4), ?3) = 0");

	query_blob(&query, 1, bytes_of(due->message_id, MESSAGE_ID_SIZE));
	query_int(&query, 2, due->sender_generation);
	query_blob(&query, 3, bytes_of(&device_id, 1));
	query_blob(&query, 4, bytes_of("", 0));
	return query_run(&query);
}

static enum err receipt_local(struct db *db, struct op_mailbox_ack *ack, const struct due *due,
			      const char *from, uint8_t device_id)
{
	struct store_op *op = &ack->op;
	char id_text[UUID_TEXT_SIZE];
	enum err err;

	uuid7_format(due->message_id, id_text);
	err = receipt_put(
		db, op, &ack->effects, due->sender_generation,
		receipt_item_encode(op->arena, id_text, from, &device_id, 1, op->now_ms));
	return err == ERR_OK ? taken_by_add(db, due, device_id) : err;
}

static enum err receipt_remote(struct db *db, struct op_mailbox_ack *ack, const struct due *due,
			       const char *from, uint8_t device_id)
{
	struct store_op *op = &ack->op;
	struct outbox_put put = {
		.domain = strchr(due->sender, '@') + 1,
		.kind = FED_RECEIPT,
		.expires_ms = op->now_ms + db->config->outbox_life_ms,
	};
	char id_text[UUID_TEXT_SIZE];
	int64_t position;

	uuid7_format(due->message_id, id_text);
	put.body = fed_receipt_encode(op->arena, id_text, from, due->sender, &device_id, 1,
				      op->now_ms, due->token);
	return db_outbox_put(db, op, &ack->effects, &put, &position);
}

/* Is its sender accepted, and still there? */
static enum err due_check(struct db *db, const struct db_caller *caller, const struct due *due,
			  bool *due_out)
{
	enum consent_state state;
	enum err err = db_consent_get_state(db, caller->account_key, due->sender, &state);

	*due_out = state == CONSENT_ACCEPTED;
	if (err == ERR_OK && *due_out && due->token == NULL)
		err = db_device_exists(db, due->sender_generation, due_out);
	return err;
}

static enum err receipt_make(struct db *db, struct op_mailbox_ack *ack,
			     const struct db_caller *caller, const struct due *due)
{
	struct address from;

	address_make(caller->user, db->config->domain, &from);
	return due->token != NULL ? receipt_remote(db, ack, due, from.text, caller->device_id)
				  : receipt_local(db, ack, due, from.text, caller->device_id);
}

enum err db_mailbox_ack(struct db *db, struct store_op *op)
{
	struct op_mailbox_ack *ack = (struct op_mailbox_ack *)op;
	struct removal removal = {0};
	struct db_caller caller;
	bool is_due;
	enum err err = db_caller_get(db, &ack->caller, &caller);

	if (err == ERR_OK)
		err = items_remove(db, ack, caller.receipts, &removal);
	ack->removed = removal.items;
	for (struct due *due = removal.due; due != NULL && err == ERR_OK; due = due->next) {
		err = due_check(db, &caller, due, &is_due);
		if (err == ERR_OK && is_due)
			err = receipt_make(db, ack, &caller, due);
	}
	if (err == ERR_OK)
		effects_ack(&ack->effects, op->arena, ack->caller.generation, ack->ack);
	return err;
}

/* --- from another node ------------------------------------------------------------------ */

/* A device that sent the message and is still there, and who is known to have taken it. */
static enum err taken_by_get(struct db *db, struct arena *arena, const struct fed_item *item,
			     struct bytes *taken_by_out)
{
	struct query query = query_begin(
		db, "SELECT s.taken_by FROM sent s JOIN device d ON d.generation = s.generation"
		    " WHERE s.message_id = ?1 AND s.generation = ?2 AND s.recipient = ?3");
	enum err found = ERR_NOT_FOUND;
	enum err err;

	query_blob(&query, 1, bytes_of(item->message.id, MESSAGE_ID_SIZE));
	query_int(&query, 2, item->generation);
	query_text(&query, 3, item->from.text);
	if (query_row(&query)) {
		*taken_by_out = column_blob(&query, 0, arena);
		found = ERR_OK;
	}
	err = query_end(&query);
	return err != ERR_OK ? err : found;
}

static enum err taken_by_set(struct db *db, const struct fed_item *item, struct bytes taken_by)
{
	struct query query = query_begin(db, "UPDATE sent SET taken_by = ?3"
					     " WHERE message_id = ?1 AND generation = ?2");

	query_blob(&query, 1, bytes_of(item->message.id, MESSAGE_ID_SIZE));
	query_int(&query, 2, item->generation);
	query_blob(&query, 3, taken_by);
	return query_run(&query);
}

/* Only what is new makes an item: another node cannot fill a mailbox by repeating itself. */
enum err db_receipt_take(struct db *db, struct store_op *op, struct effects *effects,
			 const struct fed_item *item)
{
	uint8_t all[2 * DEVICES_MAX];
	struct bytes taken_by = {0};
	size_t known;
	size_t count;
	enum err err = taken_by_get(db, op->arena, item, &taken_by);

	if (err != ERR_OK)
		return err;
	known = count = taken_by.len < DEVICES_MAX ? taken_by.len : DEVICES_MAX;
	memcpy(all, taken_by.data, known);
	for (size_t i = 0; i < item->n_devices; i++)
		if (memchr(all, item->devices[i], count) == NULL)
			all[count++] = item->devices[i];
	if (count == known)
		return ERR_OK;
	err = taken_by_set(db, item, bytes_of(all, count));
	if (err != ERR_OK)
		return err;
	return receipt_put(db, op, effects, item->generation,
			   receipt_item_encode(op->arena, item->message.id_text,
					       item->from.text, all + known, count - known,
					       op->now_ms));
}
