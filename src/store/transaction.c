/* SPDX-License-Identifier: MIT
 *
 * Transactions from other nodes (docs/protocol.md sections 4.5 and 4.6): which are to be
 * taken, and what becomes of each item. Items and the stream's row are one step. On the
 * write lane.
 */
#include "known.h"
#include "mail.h"

#include "restante/clock.h"
#include "restante/crypto.h"

#define HEARD_EVERY_MS	(30 * SECONDS_MS)
/* Devices that hear of changed lists because of one transaction. Hints may be left out. */
#define HINTS_MAX	10000
/* Device lists in one answer, about. The sender reads 4 MiB of it at most: without its
 * answer a transaction would be repeated until its items expire. */
#define LISTS_BYTES_MAX ((size_t)1 << 20)
/* How long a signed request can be repeated, and a little more (docs/protocol.md section 4.4).
 */
#define SIGNED_LIFE_MS	(11 * MINUTES_MS)

struct intake {
	struct db *db;
	struct op_transaction *op;
	struct effects *effects;
	int64_t origin; /* a hash of its domain */
	/* The recipient of the item before, for the next is often from and to the same. */
	const struct fed_item *before;
	struct recipient recipient;
	enum err recipient_err;
	size_t hints;
	int64_t *listed_accounts; /* whose lists the answer has: one is enough */
	size_t n_listed_accounts;
	size_t lists_bytes;
};

/* --- messages --------------------------------------------------------------------------- */

/* The recipient into the intake, or ERR_UNAVAILABLE. */
static enum err recipient_get(struct intake *intake, const struct fed_item *item)
{
	const struct fed_item *before = intake->before;

	if (strcmp(item->to.domain, intake->db->config->domain) != 0)
		return ERR_UNAVAILABLE;
	if (before != NULL && strcmp(before->to.text, item->to.text) == 0 &&
	    strcmp(before->from.text, item->from.text) == 0)
		return intake->recipient_err;
	intake->recipient_err = db_recipient_get(intake->db, item->to.user, item->from.text,
						 &intake->recipient);
	intake->before = item;
	return intake->recipient_err;
}

static struct letter letter_of(const struct intake *intake, const struct fed_item *item)
{
	struct letter letter = {
		.message = &item->message,
		.sender = item->from.text,
		.sender_device = item->from_device,
		.origin = intake->origin,
		.token = intake->db->config->no_remote_receipts ? NULL : item->token,
		.expires_ms = intake->op->op.now_ms + intake->db->config->mailbox_life_ms,
	};

	if (item->expires_at_ms > 0 && item->expires_at_ms < letter.expires_ms)
		letter.expires_ms = item->expires_at_ms;
	return letter;
}

static const char *device_address(const struct intake *intake, const struct fed_item *item)
{
	struct text text;

	text_init(&text, intake->op->op.arena, ADDRESS_SIZE + 4);
	text_printf(&text, "%s/%u", item->from.text, item->from_device);
	return text.data;
}

/* Also the devices that it did not reach then. */
static enum err received_find(struct intake *intake, const struct fed_item *item,
			      const char *sender, bool *found_out,
			      struct device_ids *over_quota)
{
	struct query query =
		query_begin(intake->db, "SELECT over_quota FROM received WHERE message_id = ?1"
					" AND sender = ?2 AND recipient = ?3");

	query_blob(&query, 1, bytes_of(item->message.id, MESSAGE_ID_SIZE));
	query_text(&query, 2, sender);
	query_text(&query, 3, item->to.text);
	*found_out = query_row(&query);
	if (*found_out) {
		struct bytes ids = column_blob(&query, 0, intake->op->op.arena);

		over_quota->count = ids.len < DEVICES_MAX ? ids.len : DEVICES_MAX;
		memcpy(over_quota->ids, ids.data, over_quota->count);
	}
	return query_end(&query);
}

static enum err received_put(struct intake *intake, const struct fed_item *item,
			     const char *sender, const struct device_ids *over_quota)
{
	struct query query = query_begin(
		intake->db, "INSERT INTO received (received_ms, message_id, sender, recipient,"
			    " over_quota) VALUES (?1, ?2, ?3, ?4, ?5)");

	known_drop(intake->db, known_message(KNOWN_UNRECEIVED, item->message.id));
	query_int(&query, 1, intake->op->op.now_ms);
	query_blob(&query, 2, bytes_of(item->message.id, MESSAGE_ID_SIZE));
	query_text(&query, 3, sender);
	query_text(&query, 4, item->to.text);
	query_blob(&query, 5,
		   bytes_of(over_quota->count > 0 ? over_quota->ids : NULL, over_quota->count));
	return query_run(&query);
}

static bool is_listed(const struct intake *intake, int64_t account_key)
{
	for (size_t i = 0; i < intake->n_listed_accounts; i++)
		if (intake->listed_accounts[i] == account_key)
			return true;
	return false;
}

static enum err list_write(struct intake *intake, struct text *detail)
{
	int64_t account_key = intake->recipient.account.account_key;
	struct db_devices devices;
	struct device_list list;
	enum err err = db_devices_load(intake->db, account_key, intake->op->op.arena, &devices);

	if (err != ERR_OK)
		return err;
	list = (struct device_list){.devices = devices.devices, .count = devices.count};
	text_puts(detail, ",");
	device_entries_write(detail, &list);
	intake->listed_accounts[intake->n_listed_accounts++] = account_key;
	intake->lists_bytes += detail->len;
	return ERR_OK;
}

/* The list comes with the first result for its account, as long as there is room. */
static enum err stale_list_detail(struct intake *intake, struct bytes *detail_out)
{
	const struct db_account *account = &intake->recipient.account;
	struct text detail;
	enum err err = ERR_OK;

	text_init(&detail, intake->op->op.arena, 256);
	text_printf(&detail, "\"list_version\":%lld", (long long)account->list_version);
	if (intake->lists_bytes < LISTS_BYTES_MAX && !is_listed(intake, account->account_key))
		err = list_write(intake, &detail);
	*detail_out = text_bytes(&detail);
	return err;
}

static void over_quota_tell(struct arena *arena, const struct device_ids *devices,
			    struct item_result *result)
{
	struct text detail;

	text_init(&detail, arena, 16 + 4 * devices->count);
	text_puts(&detail, "\"devices\":");
	for (size_t i = 0; i < devices->count; i++)
		text_printf(&detail, "%s%u", i == 0 ? "[" : ",", devices->ids[i]);
	text_puts(&detail, "]");
	result->code = RESULT_OVER_QUOTA;
	result->detail = text_bytes(&detail);
}

/* The recipient is in the intake. */
static enum err message_store(struct intake *intake, const struct fed_item *item,
			      const char *sender, struct item_result *result)
{
	struct letter letter = letter_of(intake, item);
	struct list_mismatch mismatch = {0};
	struct device_ids over_quota;
	enum err err;

	err = db_listed_compare(&intake->recipient.listed, &item->message, &mismatch);
	if (err != ERR_OK) {
		result->code = RESULT_STALE_LIST;
		return stale_list_detail(intake, &result->detail);
	}
	err = db_letter_put(intake->db, &intake->op->op, intake->effects, &letter,
			    &intake->recipient, &over_quota);
	if (err == ERR_STORE)
		return err;
	if (over_quota.count > 0)
		over_quota_tell(intake->op->op.arena, &over_quota, result);
	/* What nobody had room for has not been received. */
	return err == ERR_OK ? received_put(intake, item, sender, &over_quota) : ERR_OK;
}

/* Why the recipient does not take a message. */
static enum err refusal_tell(enum err err, struct item_result *result)
{
	if (err == ERR_UNAVAILABLE)
		result->code = RESULT_UNAVAILABLE;
	else if (err == ERR_REQUEST_WAITING)
		result->code = RESULT_REQUEST_WAITING;
	else if (err == ERR_TOO_LARGE)
		result->code = RESULT_TOO_LARGE;
	else
		return err;
	return ERR_OK;
}

static enum err message_take(struct intake *intake, const struct fed_item *item,
			     struct item_result *result)
{
	const char *sender = device_address(intake, item);
	struct device_ids over_quota = {0};
	bool found = false;
	enum err err = ERR_OK;

	if (!db_is_new(intake->db, KNOWN_UNRECEIVED, item->message.id))
		err = received_find(intake, item, sender, &found, &over_quota);
	if (err != ERR_OK)
		return err;
	if (found) {
		result->code = RESULT_DUPLICATE;
		if (over_quota.count > 0)
			over_quota_tell(intake->op->op.arena, &over_quota, result);
		return ERR_OK;
	}
	err = recipient_get(intake, item);
	if (err == ERR_OK)
		err = db_contact_check(intake->db, &intake->recipient, item->from.text,
				       &item->message, intake->op->op.now_ms);
	if (err == ERR_OK)
		return message_store(intake, item, sender, result);
	return refusal_tell(err, result);
}

/* --- other items ------------------------------------------------------------------------ */

static enum err receipt_take(struct intake *intake, const struct fed_item *item,
			     struct item_result *result)
{
	enum err err = db_receipt_take(intake->db, &intake->op->op, intake->effects, item);

	if (err != ERR_NOT_FOUND)
		return err;
	result->code = RESULT_BAD;
	return ERR_OK;
}

static enum err devices_changed_take(struct intake *intake, const struct fed_item *item)
{
	struct query query;
	enum err err = db_remote_list_outdate(intake->db, item->from.text, item->list_version);

	if (err != ERR_OK)
		return err;
	query = query_begin(intake->db, "SELECT d.generation FROM consent c JOIN device d"
					" ON d.account_key = c.account_key"
					" WHERE c.address = ?1 AND c.state = 2 LIMIT ?2");
	query_text(&query, 1, item->from.text);
	query_int(&query, 2, (int64_t)(HINTS_MAX - intake->hints));
	while (query_row(&query)) {
		intake->hints++;
		effects_hint(intake->effects, intake->op->op.arena, column_int(&query, 0),
			     item->from.text, item->list_version);
	}
	return query_end(&query);
}

static enum err item_take(struct intake *intake, const struct fed_item *item,
			  struct item_result *result)
{
	if (item->bad || item->too_large) {
		result->code = item->bad ? RESULT_BAD : RESULT_TOO_LARGE;
		return ERR_OK;
	}
	switch (item->kind) {
	case FED_MESSAGE:
		return message_take(intake, item, result);
	case FED_RECEIPT:
		return receipt_take(intake, item, result);
	case FED_DEVICES_CHANGED:
		return devices_changed_take(intake, item);
	case FED_VOID:
		break;
	}
	return ERR_OK;
}

/* --- ephemeral items -------------------------------------------------------------------- */

/* Strangers are not heard: there would be no trace of them, and no request to answer. */
static enum err item_relay(struct intake *intake, const struct fed_item *item)
{
	struct list_mismatch mismatch = {0};
	struct letter letter = letter_of(intake, item);
	enum err err;

	if (item->bad || item->too_large || item->kind != FED_MESSAGE)
		return ERR_OK;
	err = recipient_get(intake, item);
	if (err == ERR_OK && intake->recipient.state == CONSENT_ACCEPTED &&
	    db_listed_compare(&intake->recipient.listed, &item->message, &mismatch) == ERR_OK)
		db_letter_relay(&intake->op->op, intake->effects, &letter, &intake->recipient);
	return err == ERR_STORE ? err : ERR_OK;
}

/* There is no stream that would show a repeat, and which nonces of signatures another process
 * has seen nobody knows here. */
static enum err replay_check(struct intake *intake)
{
	struct op_transaction *op = intake->op;
	uint8_t hash[SHA256_SIZE];
	struct query query;
	struct text text;

	if (intake->db->process == 0)
		return ERR_OK;
	text_init(&text, op->op.arena, HASH_SIZE + DOMAIN_SIZE);
	text_add(&text, bytes_of(op->digest, HASH_SIZE));
	text_puts(&text, op->origin);
	crypto_sha256(text_bytes(&text), hash);
	query = query_begin(intake->db, "INSERT INTO used_nonce (hash, expires_ms)"
					" VALUES (?1, ?2) ON CONFLICT (hash) DO NOTHING"
					" RETURNING expires_ms");
	query_blob(&query, 1, bytes_of(hash, sizeof hash));
	query_int(&query, 2, op->op.now_ms + SIGNED_LIFE_MS);
	op->replay = !query_row(&query);
	return query_end(&query);
}

static enum err ephemeral_take(struct intake *intake)
{
	const struct transaction *transaction = intake->op->transaction;
	size_t count = transaction->n_ephemeral;
	enum err err = replay_check(intake);

	for (size_t i = 0; i < count && err == ERR_OK && !intake->op->replay; i++)
		err = item_relay(intake, &transaction->ephemeral[i]);
	intake->op->answer = results_encode(intake->op->op.arena, 0, NULL, 0);
	return err;
}

/* --- streams ---------------------------------------------------------------------------- */

enum verdict { STREAM_NEXT, STREAM_REPEATED, STREAM_BROKEN };

static int64_t last_seq(const struct transaction *transaction)
{
	return transaction->seq + (int64_t)transaction->n_items - 1;
}

/* Against the origin's row, whose columns are those of stream_check(). */
static enum verdict row_compare(const struct query *row, const struct op_transaction *op)
{
	const struct transaction *transaction = op->transaction;
	struct bytes digest = column_bytes(row, 3);

	if (!bytes_equal(column_bytes(row, 0), bytes_of_text(transaction->stream)))
		return transaction->seq == 1 ? STREAM_NEXT : STREAM_BROKEN;
	if (transaction->seq == column_int(row, 2) + 1)
		return STREAM_NEXT;
	if (transaction->seq == column_int(row, 1) &&
	    last_seq(transaction) == column_int(row, 2) &&
	    bytes_equal(digest, bytes_of(op->digest, HASH_SIZE)))
		return STREAM_REPEATED;
	return STREAM_BROKEN;
}

/* Also gives the answer to a repeated one. */
static enum err stream_check(struct db *db, struct op_transaction *op,
			     enum verdict *verdict_out)
{
	struct query query =
		query_begin(db, "SELECT stream, first_seq, last_seq, digest, answer FROM origin"
				" WHERE domain = ?1");

	query_text(&query, 1, op->origin);
	if (query_row(&query)) {
		*verdict_out = row_compare(&query, op);
		if (*verdict_out == STREAM_REPEATED)
			op->answer = column_blob(&query, 4, op->op.arena);
	} else {
		*verdict_out = op->transaction->seq == 1 ? STREAM_NEXT : STREAM_BROKEN;
	}
	return query_end(&query);
}

static enum err stream_advance(struct db *db, const struct op_transaction *op)
{
	struct query query = query_begin(
		db, "INSERT INTO origin (domain, stream, first_seq, last_seq, digest, answer)"
		    " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (domain) DO UPDATE SET"
		    " stream = ?2, first_seq = ?3, last_seq = ?4, digest = ?5, answer = ?6");

	query_text(&query, 1, op->origin);
	query_text(&query, 2, op->transaction->stream);
	query_int(&query, 3, op->transaction->seq);
	query_int(&query, 4, last_seq(op->transaction));
	query_blob(&query, 5, bytes_of(op->digest, HASH_SIZE));
	query_blob(&query, 6, op->answer);
	return query_run(&query);
}

static enum err items_take(struct intake *intake)
{
	struct op_transaction *op = intake->op;
	const struct transaction *transaction = op->transaction;
	struct item_result *results =
		arena_array(op->op.arena, struct item_result, transaction->n_items);
	size_t count = 0;
	enum err err = ERR_OK;

	intake->listed_accounts = arena_array(op->op.arena, int64_t, transaction->n_items);
	for (size_t i = 0; i < transaction->n_items && err == ERR_OK; i++) {
		results[count] = (struct item_result){.seq = transaction->seq + (int64_t)i};
		err = item_take(intake, &transaction->items[i], &results[count]);
		if (results[count].code != RESULT_OK)
			count++;
	}
	op->answer = results_encode(op->op.arena, last_seq(transaction), results, count);
	return err == ERR_OK ? stream_advance(intake->db, op) : err;
}

/* What waits for its domain may be another process's to send, which does not see it call. */
static void heard_tell(struct db *db, struct op_transaction *op)
{
	struct known_key key = known_heard(op->origin);
	int64_t told_ms = 0;

	if (db->processes < 2 ||
	    (known_get(db, key, &told_ms) && op->op.now_ms - told_ms < HEARD_EVERY_MS))
		return;
	known_drop(db, key);
	known_put(db, key, &op->op.now_ms, sizeof op->op.now_ms);
	effects_name(&op->effects.heard, op->op.arena, op->origin);
}

/* 63 bits: no two domains that matter have the same. */
static int64_t origin_hash(const char *domain)
{
	uint8_t hash[SHA256_SIZE];
	int64_t number = 0;

	crypto_sha256(bytes_of_text(domain), hash);
	for (size_t i = 0; i < sizeof number; i++)
		number = number << 8 | (i == 0 ? hash[i] & 0x7f : hash[i]);
	return number;
}

enum err db_transaction(struct db *db, struct store_op *op)
{
	struct op_transaction *taken = (struct op_transaction *)op;
	struct intake intake = {.db = db,
				.op = taken,
				.effects = &taken->effects,
				.origin = origin_hash(taken->origin)};
	enum verdict verdict = STREAM_BROKEN;
	enum err err;

	if (taken->transaction->n_ephemeral > 0)
		return ephemeral_take(&intake);
	err = stream_check(db, taken, &verdict);
	if (err != ERR_OK)
		return err;
	if (verdict == STREAM_BROKEN)
		return ERR_STREAM_RESET;
	heard_tell(db, taken);
	taken->replay = verdict == STREAM_REPEATED;
	return verdict == STREAM_NEXT ? items_take(&intake) : ERR_OK;
}
