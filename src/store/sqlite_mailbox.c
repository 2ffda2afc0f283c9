/* SPDX-License-Identifier: MIT
 *
 * Mailboxes: appending, reading, and how much each one holds. The write lane remembers
 * the usage and the last number of every mailbox that it has appended to since the start,
 * and a block of numbers that it has reserved, so that an append is one statement.
 */
#include "sqlite_messages.h"
#include "sqlite_share.h"

#include "restante/clock.h"
#include "restante/log.h"

#include <stdlib.h>

#define uthash_fatal(reason) fatal("mailboxes: %s", reason)
#include <uthash.h>

/* Numbers that are lost when the process ends. */
#define SEQ_BLOCK 4096
/* How much sooner than its neighbours an item has to expire for the index. Items of other
 * nodes are a little late and should not all be in it. */
#define EARLY_MS  (1 * DAYS_MS)

/* Envelopes alone count. */
struct mailbox_usage {
	int64_t generation;
	int64_t items;
	int64_t bytes;
	int64_t last_seq;     /* of any kind; 0: none was there when this was loaded */
	struct shares shares; /* of origins */
	UT_hash_handle hh;
};

static void usage_free(struct sqlite *sqlite, struct mailbox_usage *usage)
{
	HASH_DEL(sqlite->usage, usage);
	sqlite_shares_forget(&usage->shares);
	free(usage);
}

void sqlite_mailbox_forget(struct sqlite *sqlite)
{
	struct mailbox_usage *usage;
	struct mailbox_usage *next;

	HASH_ITER(hh, sqlite->usage, usage, next)
	{
		usage_free(sqlite, usage);
	}
	sqlite->next_seq = 0;
	sqlite->reserved_seq = 0;
}

static struct mailbox_usage *usage_find(struct sqlite *sqlite, int64_t generation)
{
	struct mailbox_usage *usage;

	HASH_FIND(hh, sqlite->usage, &generation, sizeof generation, usage);
	return usage;
}

/* From the index alone, however large the mailbox is. Items that are gone by now need not
 * be told before those that come. */
static enum err usage_load(struct sqlite *sqlite, int64_t generation,
			   struct mailbox_usage **usage_out)
{
	struct mailbox_usage *usage = calloc(1, sizeof *usage);
	struct query query =
		query_begin(sqlite, "SELECT count(*), coalesce(sum(bytes), 0),"
				    " (SELECT max(seq) FROM mailbox WHERE generation = ?1)"
				    " FROM mailbox WHERE generation = ?1 AND bytes > 0");
	enum err err;

	if (usage == NULL)
		fatal("out of memory for the usage of a mailbox");
	query_int(&query, 1, generation);
	if (query_row(&query)) {
		usage->generation = generation;
		usage->items = column_int(&query, 0);
		usage->bytes = column_int(&query, 1);
		usage->last_seq = column_int(&query, 2);
	}
	err = query_end(&query);
	if (err != ERR_OK) {
		free(usage);
		return err;
	}
	HASH_ADD(hh, sqlite->usage, generation, sizeof usage->generation, usage);
	*usage_out = usage;
	return ERR_OK;
}

void sqlite_usage_subtract(struct sqlite *sqlite, int64_t generation, int64_t items,
			   int64_t bytes)
{
	struct mailbox_usage *usage = usage_find(sqlite, generation);

	if (usage == NULL)
		return;
	usage->items -= items;
	usage->bytes -= bytes;
}

/* Reserves the next block of numbers: also at the first use after a start, for what was
 * left of the last block is unknown then. */
static enum err seq_reserve(struct sqlite *sqlite)
{
	struct query query =
		query_begin(sqlite, "INSERT INTO meta (name, value) VALUES ('mailbox_seq', ?1)"
				    " ON CONFLICT (name) DO UPDATE SET value = value + ?1"
				    " RETURNING value");

	query_int(&query, 1, SEQ_BLOCK);
	while (query_row(&query)) {
		sqlite->reserved_seq = column_int(&query, 0);
		sqlite->next_seq = sqlite->reserved_seq - SEQ_BLOCK + 1;
	}
	return query_end(&query);
}

static enum err seq_take(struct sqlite *sqlite, int64_t *seq_out)
{
	enum err err = ERR_OK;

	if (sqlite->next_seq == 0 || sqlite->next_seq > sqlite->reserved_seq)
		err = seq_reserve(sqlite);
	if (err == ERR_OK)
		*seq_out = sqlite->next_seq++;
	return err;
}

static void bind_number_or_null(struct query *query, int index, int64_t number)
{
	if (number > 0)
		query_int(query, index, number);
	else
		query_null(query, index);
}

static enum err row_insert(struct sqlite *sqlite, const struct store_op *op,
			   const struct mailbox_put *put, int64_t seq)
{
	int64_t usual_ms = op->now_ms + sqlite->config->mailbox_life_ms;
	struct query query = query_begin(
		sqlite, "INSERT INTO mailbox (seq, generation, kind, bytes, expires_ms, early,"
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

static enum err usage_get(struct sqlite *sqlite, int64_t generation,
			  struct mailbox_usage **usage_out)
{
	*usage_out = usage_find(sqlite, generation);
	return *usage_out != NULL ? ERR_OK : usage_load(sqlite, generation, usage_out);
}

static enum err share_take(struct sqlite *sqlite, struct mailbox_usage *usage,
			   const struct mailbox_put *put, int64_t now_ms)
{
	struct share_queue queue = {
		.sql = "SELECT origin, bytes FROM mailbox"
		       " WHERE generation = ?1 AND origin IS NOT NULL",
		.key = put->generation,
		.items = usage->items,
		.bytes = usage->bytes,
		.items_max = sqlite->config->mailbox_items,
		.bytes_max = sqlite->config->mailbox_bytes,
	};

	return sqlite_share_take(sqlite, &usage->shares, &queue, put->origin,
				 (int64_t)put->body.len, now_ms);
}

/* Counts an envelope, or ERR_OVER_QUOTA. */
static enum err usage_add(struct sqlite *sqlite, struct mailbox_usage *usage,
			  const struct mailbox_put *put, int64_t now_ms)
{
	const struct store_config *config = sqlite->config;
	enum err err = ERR_OK;

	if (usage->items >= config->mailbox_items ||
	    usage->bytes + (int64_t)put->body.len > config->mailbox_bytes)
		return ERR_OVER_QUOTA;
	if (put->origin != 0)
		err = share_take(sqlite, usage, put, now_ms);
	if (err != ERR_OK)
		return err;
	usage->items++;
	usage->bytes += (int64_t)put->body.len;
	return ERR_OK;
}

enum err sqlite_mailbox_put(struct sqlite *sqlite, struct store_op *op, struct effects *effects,
			    const struct mailbox_put *put)
{
	struct mailbox_item item = {.kind = put->kind, .body = put->body};
	struct mailbox_usage *usage;
	enum err err = usage_get(sqlite, put->generation, &usage);

	if (err == ERR_OK && put->kind == ITEM_ENVELOPE)
		err = usage_add(sqlite, usage, put, op->now_ms);
	if (err == ERR_OK)
		err = seq_take(sqlite, &item.seq);
	if (err == ERR_OK)
		err = row_insert(sqlite, op, put, item.seq);
	if (err != ERR_OK)
		return err;
	effects_deliver(effects, op->arena, put->generation, usage->last_seq, &item);
	usage->last_seq = item.seq;
	return ERR_OK;
}

enum err sqlite_mailbox_drop(struct sqlite *sqlite, int64_t generation)
{
	struct mailbox_usage *usage = usage_find(sqlite, generation);
	struct query query = query_begin(sqlite, "DELETE FROM mailbox WHERE generation = ?1");

	if (usage != NULL)
		usage_free(sqlite, usage);
	query_int(&query, 1, generation);
	return query_run(&query);
}

/* Takes rows until one of the limits; a row beyond it says that there is more. */
static void items_take(struct query *query, struct op_mailbox_read *read)
{
	size_t bytes = 0;

	while (query_row(query)) {
		size_t len = (size_t)column_int(query, 2);

		if (read->count > 0 &&
		    (read->count >= read->limit || bytes + len > read->max_bytes)) {
			read->more = true;
			return;
		}
		read->items[read->count++] = (struct mailbox_item){
			.seq = column_int(query, 0),
			.kind = (enum item_kind)column_int(query, 1),
			.body = column_blob(query, 3, read->op.arena),
		};
		bytes += len;
	}
}

enum err sqlite_mailbox_read(struct sqlite *sqlite, struct store_op *op)
{
	struct op_mailbox_read *read = (struct op_mailbox_read *)op;
	struct sqlite_caller caller;
	struct query query;
	enum err err = sqlite_caller_get(sqlite, &read->caller, &caller);

	if (err != ERR_OK)
		return err;
	read->items = arena_array(op->arena, struct mailbox_item, read->limit + 1);
	query = query_begin(sqlite, "SELECT seq, kind, length(body), body FROM mailbox"
				    " WHERE generation = ?1 AND seq > ?2 AND expires_ms > ?3"
				    " ORDER BY seq LIMIT ?4");
	query_int(&query, 1, caller.generation);
	query_int(&query, 2, read->after);
	query_int(&query, 3, op->now_ms);
	query_int(&query, 4, (int64_t)read->limit + 1);
	items_take(&query, read);
	return query_end(&query);
}
