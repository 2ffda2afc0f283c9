/* SPDX-License-Identifier: MIT
 *
 * Acknowledging mailbox items, and the receipts that come of it: into the mailbox of a
 * local sender, or by way of the outbox to the node of a remote one; and receipts that
 * other nodes send (docs/protocol.md sections 2.7 and 4.5). On the write lane.
 */
#include "mail.h"

#include "restante/crypto.h"

/* --- who has to hear of it -------------------------------------------------------------- */

/* One acknowledged envelope whose sender gets a receipt. */
struct due {
	struct due *next;
	uint8_t message_id[MESSAGE_ID_SIZE];
	char id_text[UUID_TEXT_SIZE];
	const char *sender;
	int64_t sender_generation; /* 0: remote */
	const char *token;
};

static struct due *due_read(const struct query *query, struct arena *arena)
{
	struct due *due = arena_new(arena, struct due);
	struct bytes id = column_blob(query, 0, arena);

	memcpy(due->message_id, id.data, id.len < MESSAGE_ID_SIZE ? id.len : MESSAGE_ID_SIZE);
	uuid7_format(due->message_id, due->id_text);
	due->sender = column_text(query, 1, arena);
	due->sender_generation = column_int(query, 2);
	due->token = column_text(query, 3, arena);
	return due;
}

/* What an acknowledgement names: a mailbox, and in it all up to a number or a JSON array
 * of numbers. */
struct range {
	int64_t generation;
	int64_t up_to;
	const char *seqs; /* NULL: up_to */
};

static void range_bind(struct query *query, const struct range *range)
{
	query_int(query, 1, range->generation);
	if (range->seqs != NULL)
		query_text(query, 2, range->seqs);
	else
		query_int(query, 2, range->up_to);
}

/* The same statement for both ways of naming items, as two literals. */
#define RANGE_QUERY(db, range, before, after)                                                  \
	query_begin((db), (range)->seqs != NULL ? before                                       \
				  "seq IN (SELECT value FROM json_each(?2))" after             \
						: before "seq <= ?2" after)

#define DUE_BEGINS                                                                             \
	"SELECT m.message_id, m.sender, m.sender_generation, m.token"                          \
	" FROM account a CROSS JOIN mailbox m CROSS JOIN consent c"                            \
	" LEFT JOIN device d ON d.generation = m.sender_generation"                            \
	" WHERE a.account_key = ?3 AND a.receipts = 1 AND m.generation = ?1 AND m."
#define DUE_ENDS                                                                               \
	" AND m.message_id IS NOT NULL"                                                        \
	" AND c.account_key = ?3 AND c.address = m.sender AND c.state = 2"                     \
	" AND (m.token IS NOT NULL OR d.generation IS NOT NULL) ORDER BY m.seq"

/* The joins ask everything at once: receipts on, sender accepted, sender still there. The
 * state is a literal: a bound one could be that of a partial index, and so would have the
 * statement prepared anew every time. */
static enum err due_collect(struct db *db, struct arena *arena, const struct range *range,
			    int64_t account_key, struct due **due_out)
{
	struct query query = RANGE_QUERY(db, range, DUE_BEGINS, DUE_ENDS);
	struct due **last = due_out;

	range_bind(&query, range);
	query_int(&query, 3, account_key);
	while (query_row(&query)) {
		*last = due_read(&query, arena);
		last = &(*last)->next;
	}
	return query_end(&query);
}

/* --- removing --------------------------------------------------------------------------- */

struct removal {
	int64_t items;
	int64_t envelopes;
	int64_t bytes;
};

static enum err range_measure(struct db *db, const struct range *range, struct removal *removal)
{
	struct query query = RANGE_QUERY(
		db, range,
		"SELECT count(*), coalesce(sum(CASE WHEN bytes > 0 THEN 1 ELSE 0 END), 0),"
		" CAST(coalesce(sum(bytes), 0) AS BIGINT)"
		" FROM mailbox WHERE generation = ?1 AND ",
		"");

	range_bind(&query, range);
	while (query_row(&query)) {
		removal->items = column_int(&query, 0);
		removal->envelopes = column_int(&query, 1);
		removal->bytes = column_int(&query, 2);
	}
	return query_end(&query);
}

static enum err range_delete(struct db *db, const struct range *range, int64_t *removed_out)
{
	struct removal removal = {0};
	struct query query;
	enum err err = range_measure(db, range, &removal);

	*removed_out = removal.items;
	if (err != ERR_OK || removal.items == 0)
		return err;
	query = RANGE_QUERY(db, range, "DELETE FROM mailbox WHERE generation = ?1 AND ", "");
	range_bind(&query, range);
	err = query_run(&query);
	if (err == ERR_OK)
		db_usage_subtract(db, range->generation, removal.envelopes, removal.bytes);
	return err;
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
	struct bytes body =
		receipt_item_encode(op->arena, due->id_text, from, &device_id, 1, op->now_ms);
	enum err err = receipt_put(db, op, &ack->effects, due->sender_generation, body);

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
		.body = fed_receipt_encode(op->arena, due->id_text, from, due->sender,
					   &device_id, 1, op->now_ms, due->token),
	};
	int64_t position;

	return db_outbox_put(db, op, &ack->effects, &put, &position);
}

static enum err receipts_make(struct db *db, struct op_mailbox_ack *ack,
			      const struct db_caller *caller, const struct due *due)
{
	struct address from;
	enum err err = ERR_OK;

	address_make(caller->user, db->config->domain, &from);
	for (; due != NULL && err == ERR_OK; due = due->next) {
		if (due->token != NULL)
			err = receipt_remote(db, ack, due, from.text, caller->device_id);
		else
			err = receipt_local(db, ack, due, from.text, caller->device_id);
	}
	return err;
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

enum err db_mailbox_ack(struct db *db, struct store_op *op)
{
	struct op_mailbox_ack *ack = (struct op_mailbox_ack *)op;
	struct range range = {.up_to = ack->ack->up_to};
	struct db_caller caller;
	struct due *due = NULL;
	enum err err = db_caller_get(db, &ack->caller, &caller);

	if (err != ERR_OK)
		return err;
	range.generation = caller.generation;
	if (range.up_to == 0)
		range.seqs = seqs_write(op->arena, ack->ack);
	err = due_collect(db, op->arena, &range, caller.account_key, &due);
	if (err == ERR_OK)
		err = range_delete(db, &range, &ack->removed);
	if (err == ERR_OK)
		err = receipts_make(db, ack, &caller, due);
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
