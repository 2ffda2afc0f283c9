/* SPDX-License-Identifier: MIT
 *
 * Mailboxes: appending, reading, and how much each one holds. The write lane remembers
 * the usage and the last number of every mailbox that it has appended to since the start
 * (usage.h), and a block of numbers that it has reserved, so that an append is one statement.
 */
#include "mail.h"
#include "usage.h"

#include "restante/clock.h"
#include "restante/log.h"

#include <stdlib.h>

#define uthash_fatal(reason) fatal("mailboxes: %s", reason)
#include <uthash.h>

/* Numbers that are lost when the process ends. */
#define SEQ_BLOCK	 4096
/* Where others take turns: what is left is lost whenever one has had its turn. */
#define SEQ_BLOCK_SHARED 256
/* How much sooner than its neighbours an item has to expire for the index. Items of other
 * nodes are a little late and should not all be in it. */
#define EARLY_MS	 (1 * DAYS_MS)

/* Envelopes alone count. The last number is of an item of any kind; 0: none was there when this
 * was counted. */
struct mailbox_usage {
	struct usage usage;
	UT_hash_handle hh;
};

static void mailbox_free(struct db *db, struct mailbox_usage *mailbox)
{
	HASH_DEL(db->usage, mailbox);
	usage_forget(db, &mailbox->usage);
	free(mailbox);
}

void db_mailbox_forget(struct db *db)
{
	struct mailbox_usage *mailbox;
	struct mailbox_usage *next;

	HASH_ITER(hh, db->usage, mailbox, next)
	{
		mailbox_free(db, mailbox);
	}
	db_mailbox_seqs_leave(db);
}

void db_mailbox_seqs_leave(struct db *db)
{
	db->next_seq = 0;
	db->reserved_seq = 0;
}

static struct mailbox_usage *mailbox_find(struct db *db, int64_t generation)
{
	struct mailbox_usage *mailbox;

	HASH_FIND(hh, db->usage, &generation, sizeof generation, mailbox);
	return mailbox;
}

static struct mailbox_usage *mailbox_add(struct db *db, int64_t generation)
{
	struct mailbox_usage *mailbox = calloc(1, sizeof *mailbox);

	if (mailbox == NULL)
		fatal("out of memory for the usage of a mailbox");
	mailbox->usage.queue = USAGE_MAILBOX;
	mailbox->usage.key = generation;
	HASH_ADD(hh, db->usage, usage.key, sizeof generation, mailbox);
	return mailbox;
}

/* Counted from the index alone, however large the mailbox is. Items that are gone by now need
 * not be told before those that come. */
static enum err usage_get(struct db *db, int64_t generation, struct usage **usage_out)
{
	struct mailbox_usage *mailbox = mailbox_find(db, generation);
	bool fresh = mailbox != NULL && usage_is_fresh(db, &mailbox->usage);

	if (mailbox == NULL)
		mailbox = mailbox_add(db, generation);
	*usage_out = &mailbox->usage;
	return fresh ? ERR_OK
		     : usage_load(db, &mailbox->usage,
				  "SELECT count(*), CAST(coalesce(sum(bytes), 0) AS BIGINT),"
				  " (SELECT max(seq) FROM mailbox WHERE generation = ?1)"
				  " FROM mailbox WHERE generation = ?1 AND bytes > 0");
}

enum err db_usage_subtract(struct db *db, int64_t generation, int64_t items, int64_t bytes)
{
	struct mailbox_usage *mailbox = mailbox_find(db, generation);

	if (mailbox == NULL || !usage_is_fresh(db, &mailbox->usage))
		return usage_add_to_row(db, USAGE_MAILBOX, generation, -items, -bytes);
	usage_add(db, &mailbox->usage, -items, -bytes);
	return ERR_OK;
}

/* Reserves the next block of numbers: also at the first use after a start, for what was
 * left of the last block is unknown then. */
static enum err seq_reserve(struct db *db)
{
	struct query query =
		query_begin(db, "INSERT INTO meta (name, value) VALUES ('mailbox_seq', ?1)"
				" ON CONFLICT (name) DO UPDATE SET value = meta.value + ?1"
				" RETURNING value");
	int64_t block = db->processes > 1 ? SEQ_BLOCK_SHARED : SEQ_BLOCK;

	query_int(&query, 1, block);
	while (query_row(&query)) {
		db->reserved_seq = column_int(&query, 0);
		db->next_seq = db->reserved_seq - block + 1;
	}
	return query_end(&query);
}

static enum err seq_take(struct db *db, int64_t *seq_out)
{
	enum err err = ERR_OK;

	if (db->next_seq == 0 || db->next_seq > db->reserved_seq)
		err = seq_reserve(db);
	if (err == ERR_OK)
		*seq_out = db->next_seq++;
	return err;
}

static void bind_number_or_null(struct query *query, int index, int64_t number)
{
	if (number > 0)
		query_int(query, index, number);
	else
		query_null(query, index);
}

static enum err row_insert(struct db *db, const struct store_op *op,
			   const struct mailbox_put *put, int64_t seq)
{
	int64_t usual_ms = op->now_ms + db->config->mailbox_life_ms;
	struct query query = query_begin(
		db, "INSERT INTO mailbox (seq, generation, kind, bytes, expires_ms, early,"
		    " origin, message_id, sender, sender_generation, token, body)"
		    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");

	query_int(&query, 1, seq);
	query_int(&query, 2, put->generation);
	query_int(&query, 3, put->kind);
	query_int(&query, 4, put->kind == ITEM_ENVELOPE ? (int64_t)put->body.len : 0);
	query_int(&query, 5, put->expires_ms);
	bind_number_or_null(&query, 6, put->expires_ms < usual_ms - EARLY_MS);
	bind_number_or_null(&query, 7, put->origin);
	query_blob(&query, 8,
		   bytes_of(put->message_id, put->message_id != NULL ? MESSAGE_ID_SIZE : 0));
	query_text(&query, 9, put->sender);
	bind_number_or_null(&query, 10, put->sender_generation);
	query_text(&query, 11, put->token);
	query_blob(&query, 12, put->body);
	return query_run(&query);
}

static enum err share_take(struct db *db, struct usage *usage, const struct mailbox_put *put,
			   int64_t now_ms)
{
	struct share_queue queue = {
		.sql = "SELECT origin, bytes FROM mailbox"
		       " WHERE generation = ?1 AND origin IS NOT NULL",
		.key = put->generation,
		.items = usage->items,
		.bytes = usage->bytes,
		.items_max = db->config->mailbox_items,
		.bytes_max = db->config->mailbox_bytes,
	};

	return db_share_take(db, &usage->shares, &queue, put->origin, (int64_t)put->body.len,
			     now_ms);
}

/* Counts an envelope, or ERR_OVER_QUOTA. */
static enum err room_take(struct db *db, struct usage *usage, const struct mailbox_put *put,
			  int64_t now_ms)
{
	const struct store_config *config = db->config;
	enum err err = ERR_OK;

	if (usage->items >= config->mailbox_items ||
	    usage->bytes + (int64_t)put->body.len > config->mailbox_bytes)
		return ERR_OVER_QUOTA;
	if (put->origin != 0)
		err = share_take(db, usage, put, now_ms);
	if (err != ERR_OK)
		return err;
	usage_add(db, usage, 1, (int64_t)put->body.len);
	return ERR_OK;
}

enum err db_mailbox_put(struct db *db, struct store_op *op, struct effects *effects,
			const struct mailbox_put *put)
{
	struct mailbox_item item = {.kind = put->kind, .body = put->body};
	struct usage *usage;
	enum err err = usage_get(db, put->generation, &usage);

	if (err == ERR_OK && put->kind == ITEM_ENVELOPE)
		err = room_take(db, usage, put, op->now_ms);
	if (err == ERR_OK)
		err = seq_take(db, &item.seq);
	if (err == ERR_OK)
		err = row_insert(db, op, put, item.seq);
	if (err != ERR_OK)
		return err;
	effects_deliver(effects, op->arena, put->generation, usage->last, &item);
	usage_number(db, usage, item.seq);
	return ERR_OK;
}

enum err db_mailbox_drop(struct db *db, int64_t generation)
{
	struct mailbox_usage *mailbox = mailbox_find(db, generation);
	struct query query = query_begin(db, "DELETE FROM mailbox WHERE generation = ?1");
	enum err err;

	if (mailbox != NULL)
		mailbox_free(db, mailbox);
	query_int(&query, 1, generation);
	err = query_run(&query);
	return err == ERR_OK ? usage_remove_row(db, USAGE_MAILBOX, generation) : err;
}

/* Takes rows until one of the limits; a row beyond it says that there is more. */
static void items_take(struct query *query, struct op_mailbox_read *read)
{
	size_t bytes = 0;

	while (query_row(query)) {
		size_t len = column_bytes(query, 2).len;

		if (read->count > 0 &&
		    (read->count >= read->limit || bytes + len > read->max_bytes)) {
			read->more = true;
			return;
		}
		read->items[read->count++] = (struct mailbox_item){
			.seq = column_int(query, 0),
			.kind = (enum item_kind)column_int(query, 1),
			.body = column_blob(query, 2, read->op.arena),
		};
		bytes += len;
	}
}

enum err db_mailbox_read(struct db *db, struct store_op *op)
{
	struct op_mailbox_read *read = (struct op_mailbox_read *)op;
	struct db_caller caller;
	struct query query;
	enum err err = db_caller_get(db, &read->caller, &caller);

	if (err != ERR_OK)
		return err;
	if (read->socket_key != 0)
		err = db_socket_is_displaced(db, caller.generation, read->socket_key,
					     &read->displaced);
	if (err != ERR_OK || read->displaced)
		return err;
	read->items = arena_array(op->arena, struct mailbox_item, read->limit + 1);
	/* Bodies only of those that are taken, and of one or two more: a database may send all
	 * rows before the first one is looked at. `ahead` leaves out the row before, so that
	 * there are two rows at least, and the second tells that there is more. */
	query = query_begin(db, "SELECT seq, kind,"
				" (SELECT body FROM mailbox m WHERE m.seq = sized.seq) FROM"
				" (SELECT seq, kind, sum(bytes) OVER (ORDER BY seq ROWS BETWEEN"
				" UNBOUNDED PRECEDING AND 2 PRECEDING) AS ahead FROM"
				" (SELECT seq, kind, bytes FROM mailbox"
				" WHERE generation = ?1 AND seq > ?2 AND expires_ms > ?3"
				" ORDER BY seq LIMIT ?4) AS front) AS sized"
				" WHERE coalesce(ahead, 0) <= ?5 ORDER BY seq");
	query_int(&query, 1, caller.generation);
	query_int(&query, 2, read->after);
	query_int(&query, 3, op->now_ms);
	query_int(&query, 4, (int64_t)read->limit + 1);
	query_int(&query, 5, (int64_t)read->max_bytes);
	items_take(&query, read);
	return query_end(&query);
}
