/* SPDX-License-Identifier: MIT
 *
 * Outboxes: one per destination, in order of positions that count up for ever. The write
 * lane remembers the last position and the usage of each outbox that it has touched, so
 * that an append is one statement.
 */
#include "mail.h"
#include "usage.h"

#include "restante/log.h"
#include "restante/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#define uthash_fatal(reason) fatal("outboxes: %s", reason)
#include <uthash.h>

/* More entries than this are not kept: all are dropped, and loaded again as they are needed. */
#define ENTRIES_MAX 10000

struct destination_entry {
	char domain[DOMAIN_SIZE];
	struct usage usage; /* key 0: no row yet; last: position given out */
	int64_t holder;	    /* the process that sends there; 0: none */
	UT_hash_handle hh;
};

/* --- what is remembered ----------------------------------------------------------------- */

static void entry_free(struct db *db, struct destination_entry *entry)
{
	HASH_DEL(db->destinations, entry);
	usage_forget(db, &entry->usage);
	free(entry);
}

void db_outbox_forget(struct db *db)
{
	struct destination_entry *entry;
	struct destination_entry *next;

	HASH_ITER(hh, db->destinations, entry, next)
	{
		entry_free(db, entry);
	}
}

static void entry_forget(struct db *db, const char *domain)
{
	struct destination_entry *entry;

	HASH_FIND_STR(db->destinations, domain, entry);
	if (entry != NULL)
		entry_free(db, entry);
}

static enum err destination_find(struct db *db, struct destination_entry *entry)
{
	struct query query = query_begin(
		db, "SELECT destination_key, holder FROM destination WHERE domain = ?1");
	bool found;

	query_text(&query, 1, entry->domain);
	found = query_row(&query);
	entry->usage.key = found ? column_int(&query, 0) : 0;
	entry->holder = found ? column_int(&query, 1) : 0;
	return query_end(&query);
}

static enum err entry_load(struct db *db, struct destination_entry *entry)
{
	enum err err = destination_find(db, entry);

	if (err != ERR_OK)
		return err;
	if (entry->usage.key == 0) {
		usage_begin(db, &entry->usage);
		return ERR_OK;
	}
	return usage_load(
		db, &entry->usage,
		"SELECT count(*), CAST(coalesce(sum(bytes), 0) AS BIGINT),"
		" max(coalesce(max(position), 0), (SELECT acked FROM destination"
		" WHERE destination_key = ?1)) FROM outbox WHERE destination_key = ?1");
}

/* What was changed goes to its row first. */
static enum err entries_drop(struct db *db)
{
	enum err err = usage_write(db);

	db_outbox_forget(db);
	return err;
}

/* An operation has one entry at a time, so none is in use where another is added. */
static enum err entry_add(struct db *db, const char *domain,
			  struct destination_entry **entry_out)
{
	struct destination_entry *entry = calloc(1, sizeof *entry);
	enum err err = ERR_OK;

	if (entry == NULL)
		fatal("out of memory for an outbox");
	if (HASH_COUNT(db->destinations) >= ENTRIES_MAX)
		err = entries_drop(db);
	snprintf(entry->domain, sizeof entry->domain, "%s", domain);
	entry->usage.queue = USAGE_OUTBOX;
	HASH_ADD_STR(db->destinations, domain, entry);
	*entry_out = entry;
	return err == ERR_OK ? entry_load(db, entry) : err;
}

static enum err entry_get(struct db *db, const char *domain,
			  struct destination_entry **entry_out)
{
	struct destination_entry *entry;

	HASH_FIND_STR(db->destinations, domain, entry);
	if (entry == NULL)
		return entry_add(db, domain, entry_out);
	*entry_out = entry;
	return usage_is_fresh(db, &entry->usage) ? ERR_OK : entry_load(db, entry);
}

/* The first time that anything is written about a domain, or the first time since it was
 * removed: positions must not repeat, for messages that were sent are known by them. */
static enum err entry_insert(struct db *db, struct destination_entry *entry)
{
	struct query query = query_begin(
		db,
		"INSERT INTO destination (domain, base, acked, offered) SELECT ?1, "
		"last, last, last"
		" FROM (SELECT coalesce(max(value), 0) AS last FROM meta"
		" WHERE name = 'outbox_position') AS meta RETURNING destination_key, acked");

	query_text(&query, 1, entry->domain);
	while (query_row(&query)) {
		entry->usage.key = column_int(&query, 0);
		usage_number(db, &entry->usage, column_int(&query, 1));
	}
	return query_end(&query);
}

static enum err entry_get_or_insert(struct db *db, const char *domain,
				    struct destination_entry **entry_out)
{
	enum err err = entry_get(db, domain, entry_out);

	return err == ERR_OK && (*entry_out)->usage.key == 0 ? entry_insert(db, *entry_out)
							     : err;
}

enum err db_destination_find(struct db *db, const char *domain,
			     struct destination_entry **entry_out)
{
	struct destination_entry *entry;
	enum err err = entry_get(db, domain, &entry);

	if (err == ERR_OK)
		*entry_out = entry->usage.key != 0 ? entry : NULL;
	return err;
}

int64_t db_destination_key(const struct destination_entry *entry)
{
	return entry->usage.key;
}

int64_t db_destination_last(const struct destination_entry *entry)
{
	return entry->usage.last;
}

/* --- items ------------------------------------------------------------------------------ */

/* For a message: ERR_OVER_QUOTA where the outbox is full, or its account has its share. */
static enum err room_take(struct db *db, const struct store_op *op,
			  struct destination_entry *entry, const struct outbox_put *put)
{
	struct share_queue queue = {
		.sql = "SELECT account_key, bytes FROM outbox"
		       " WHERE destination_key = ?1 AND account_key IS NOT NULL",
		.key = entry->usage.key,
		.items = entry->usage.items,
		.bytes = entry->usage.bytes,
		.items_max = db->config->outbox_items,
		.bytes_max = db->config->outbox_bytes,
	};
	int64_t bytes = (int64_t)put->body.len;

	if (queue.items >= queue.items_max || queue.bytes + bytes > queue.bytes_max)
		return ERR_OVER_QUOTA;
	return db_share_take(db, &entry->usage.shares, &queue, put->account_key, bytes,
			     op->now_ms);
}

static enum err row_insert(struct db *db, const struct store_op *op,
			   const struct outbox_put *put, const struct destination_entry *entry)
{
	struct query query = query_begin(
		db, "INSERT INTO outbox (destination_key, position, kind, bytes, expires_ms,"
		    " early, account_key, message_id, generation, recipient, body)"
		    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");

	query_int(&query, 1, entry->usage.key);
	query_int(&query, 2, entry->usage.last + 1);
	query_int(&query, 3, put->kind);
	query_int(&query, 4, (int64_t)put->body.len);
	query_int(&query, 5, put->expires_ms);
	if (put->expires_ms < op->now_ms + db->config->outbox_life_ms)
		query_int(&query, 6, 1);
	else
		query_null(&query, 6);
	if (put->kind == FED_MESSAGE)
		query_int(&query, 7, put->account_key);
	else
		query_null(&query, 7);
	query_blob(&query, 8,
		   bytes_of(put->message_id, put->message_id != NULL ? MESSAGE_ID_SIZE : 0));
	query_int(&query, 9, put->generation);
	query_text(&query, 10, put->recipient);
	query_blob(&query, 11, put->body);
	return query_run(&query);
}

/* Nobody sends there yet: this process will. */
static enum err holder_take(struct db *db, struct destination_entry *entry)
{
	struct query query;

	if (entry->holder != 0 || db->process == 0)
		return ERR_OK;
	entry->holder = db->process;
	query = query_begin(db,
			    "UPDATE destination SET holder = ?2 WHERE destination_key = ?1");
	query_int(&query, 1, entry->usage.key);
	query_int(&query, 2, entry->holder);
	return query_run(&query);
}

enum err db_outbox_put(struct db *db, struct store_op *op, struct effects *effects,
		       const struct outbox_put *put, int64_t *position_out)
{
	struct destination_entry *entry;
	enum err err = entry_get(db, put->domain, &entry);

	if (err == ERR_OK && put->kind == FED_MESSAGE)
		err = room_take(db, op, entry, put);
	if (err != ERR_OK)
		return err;
	if (entry->usage.key == 0)
		err = entry_insert(db, entry);
	if (err == ERR_OK)
		err = holder_take(db, entry);
	if (err == ERR_OK)
		err = row_insert(db, op, put, entry);
	if (err != ERR_OK)
		return err;
	usage_add(db, &entry->usage, 1, (int64_t)put->body.len);
	usage_number(db, &entry->usage, entry->usage.last + 1);
	metric_inc(outbox_items);
	effects_outbound(effects, op->arena, put->domain,
			 entry->holder != db->process ? entry->holder : 0, entry->usage.last,
			 put->body);
	*position_out = entry->usage.last;
	return ERR_OK;
}

static enum err range_measure(struct db *db, const struct destination_entry *entry,
			      int64_t up_to, int64_t *items_out, int64_t *bytes_out)
{
	struct query query = query_begin(
		db, "SELECT count(*), CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM outbox"
		    " WHERE destination_key = ?1 AND position <= ?2");

	query_int(&query, 1, entry->usage.key);
	query_int(&query, 2, up_to);
	while (query_row(&query)) {
		*items_out = column_int(&query, 0);
		*bytes_out = column_int(&query, 1);
	}
	return query_end(&query);
}

static enum err range_delete(struct db *db, const struct destination_entry *entry,
			     int64_t up_to)
{
	struct query query = query_begin(
		db, "DELETE FROM outbox WHERE destination_key = ?1 AND position <= ?2");

	query_int(&query, 1, entry->usage.key);
	query_int(&query, 2, up_to);
	return query_run(&query);
}

static enum err acked_advance(struct db *db, const struct destination_entry *entry,
			      int64_t up_to)
{
	struct query query =
		query_begin(db, "UPDATE destination SET acked = max(acked, ?2),"
				" offered = max(offered, ?2) WHERE destination_key = ?1");

	query_int(&query, 1, entry->usage.key);
	query_int(&query, 2, up_to);
	return query_run(&query);
}

enum err db_outbox_remove(struct db *db, struct destination_entry *entry, int64_t up_to)
{
	int64_t items = 0;
	int64_t bytes = 0;
	enum err err = range_measure(db, entry, up_to, &items, &bytes);

	if (err != ERR_OK || items == 0)
		return err;
	err = range_delete(db, entry, up_to);
	if (err == ERR_OK)
		err = acked_advance(db, entry, up_to);
	if (err != ERR_OK)
		return err;
	usage_add(db, &entry->usage, -items, -bytes);
	metric_add(METRIC_outbox_items, -items);
	return ERR_OK;
}

/* It gets a new time, for it is to be sent. */
enum err db_outbox_void(struct db *db, struct destination_entry *entry,
			const struct store_op *op, int64_t position, int64_t bytes)
{
	struct bytes body = fed_void_encode();
	struct query query = query_begin(
		db,
		"UPDATE outbox SET kind = ?3, bytes = ?4, expires_ms = ?5, early = NULL,"
		" account_key = NULL, message_id = NULL, generation = NULL, recipient = NULL, "
		"body = ?6"
		" WHERE destination_key = ?1 AND position = ?2");

	query_int(&query, 1, entry->usage.key);
	query_int(&query, 2, position);
	query_int(&query, 3, FED_VOID);
	query_int(&query, 4, (int64_t)body.len);
	query_int(&query, 5, op->now_ms + db->config->outbox_life_ms);
	query_blob(&query, 6, body);
	usage_add(db, &entry->usage, 0, (int64_t)body.len - bytes);
	return query_run(&query);
}

enum err db_outbox_count(struct db *db)
{
	struct query query = query_begin(db, "SELECT count(*) FROM outbox");

	while (query_row(&query))
		metric_set(METRIC_outbox_items, column_int(&query, 0));
	db->outbox_counted = query_end(&query) == ERR_OK;
	return query.err;
}

/* Takes rows until one of the limits; a row beyond it says that there is more. */
static void items_take(struct query *query, struct op_outbox_read *read)
{
	size_t bytes = 0;

	while (query_row(query)) {
		size_t len = (size_t)column_int(query, 3);

		if (read->count > 0 &&
		    (read->count >= read->limit || bytes + len > read->max_bytes)) {
			read->more = true;
			return;
		}
		read->items[read->count++] = (struct outbox_item){
			.position = column_int(query, 0),
			.expires_ms = column_int(query, 1),
			.kind = (enum fed_kind)column_int(query, 2),
			.body = column_blob(query, 4, read->op.arena),
		};
		bytes += len;
	}
}

enum err db_outbox_read(struct db *db, struct store_op *op)
{
	struct op_outbox_read *read = (struct op_outbox_read *)op;
	/* Bodies only of those that are taken, and of the next: a database may send all rows
	 * before the first one is looked at. */
	struct query query =
		query_begin(db, "SELECT o.position, o.expires_ms, o.kind, o.bytes, o.body FROM"
				" (SELECT item_key, row_number() OVER by_position AS number,"
				" sum(bytes) OVER by_position - bytes AS ahead FROM"
				" (SELECT o.item_key, o.position, o.bytes"
				" FROM destination d CROSS JOIN outbox o"
				" WHERE d.domain = ?1 AND o.destination_key = d.destination_key"
				" AND o.position > ?2 ORDER BY o.position LIMIT ?3) AS front"
				" WINDOW by_position AS (ORDER BY position)) AS sized"
				" CROSS JOIN outbox o WHERE o.item_key = sized.item_key"
				" AND (ahead <= ?4 OR number <= 2) ORDER BY o.position");

	read->items = arena_array(op->arena, struct outbox_item, read->limit + 1);
	query_text(&query, 1, read->domain);
	query_int(&query, 2, read->after);
	query_int(&query, 3, (int64_t)read->limit + 1);
	query_int(&query, 4, (int64_t)read->max_bytes);
	items_take(&query, read);
	return query_end(&query);
}

/* --- destinations ----------------------------------------------------------------------- */

#define DESTINATION_COLUMNS                                                                    \
	"domain, state, stream, base, acked, offered, failures, failing_since_ms, next_try_ms" \
	", max(acked, coalesce((SELECT max(position) FROM outbox o"                            \
	" WHERE o.destination_key = destination.destination_key), 0))"

static void destination_read(const struct query *query, struct destination *out)
{
	column_text_to(query, 0, out->domain, sizeof out->domain);
	out->state = (enum destination_state)column_int(query, 1);
	column_text_to(query, 2, out->stream, sizeof out->stream);
	out->base = column_int(query, 3);
	out->acked = column_int(query, 4);
	out->offered = column_int(query, 5);
	out->failures = column_int(query, 6);
	out->failing_since_ms = column_int(query, 7);
	out->next_try_ms = column_int(query, 8);
	out->last = column_int(query, 9);
}

enum err db_destination_get(struct db *db, const char *domain,
			    struct destination *destination_out)
{
	struct query query = query_begin(db, "SELECT " DESTINATION_COLUMNS
					     " FROM destination WHERE domain = ?1");

	query_text(&query, 1, domain);
	if (query_row(&query))
		destination_read(&query, destination_out);
	return query_end(&query);
}

static enum err destinations_count(struct db *db, size_t *count_out)
{
	struct query query = query_begin(db, "SELECT count(*) FROM destination");

	while (query_row(&query))
		*count_out = (size_t)column_int(&query, 0);
	return query_end(&query);
}

enum err db_destinations_load(struct db *db, struct store_op *op)
{
	struct op_destinations_load *load = (struct op_destinations_load *)op;
	struct query query;
	size_t most = 0;
	enum err err = destinations_count(db, &most);

	if (err == ERR_OK)
		err = db_outbox_count(db);
	if (err != ERR_OK)
		return err;
	load->destinations = arena_array(op->arena, struct destination, most + 1);
	query = query_begin(db, "SELECT " DESTINATION_COLUMNS " FROM destination"
				" WHERE (?2 = 0 OR holder = ?2)"
				" AND (state != ?1 OR EXISTS (SELECT 1 FROM outbox o"
				" WHERE o.destination_key = destination.destination_key))");
	query_int(&query, 1, DESTINATION_UP);
	query_int(&query, 2, db->process);
	while (load->count < most && query_row(&query))
		destination_read(&query, &load->destinations[load->count++]);
	return query_end(&query);
}

enum err db_destination_put(struct db *db, struct store_op *op)
{
	const struct destination *put = &((struct op_destination_put *)op)->destination;
	struct destination_entry *entry;
	struct query query;
	enum err err = entry_get_or_insert(db, put->domain, &entry);

	if (err != ERR_OK)
		return err;
	query = query_begin(
		db,
		"UPDATE destination SET state = ?2, offered = max(offered, ?3), failures = ?4,"
		" failing_since_ms = ?5, next_try_ms = ?6 WHERE destination_key = ?1");
	query_int(&query, 1, entry->usage.key);
	query_int(&query, 2, put->state);
	query_int(&query, 3,
		  put->offered < entry->usage.last ? put->offered : entry->usage.last);
	query_int(&query, 4, put->failures);
	query_int(&query, 5, put->failing_since_ms);
	query_int(&query, 6, put->next_try_ms);
	return query_run(&query);
}

/* What goes has been sent to, or was to be: its keys are remembered from now on. */
static enum err peers_meet(struct db *db, const char *domain)
{
	struct query query = query_begin(
		db, domain != NULL ? "UPDATE peer SET met = 1 WHERE met = 0 AND domain = ?1"
				   : "UPDATE peer SET met = 1 WHERE met = 0 AND domain IN"
				     " (SELECT domain FROM destination)");

	if (domain != NULL)
		query_text(&query, 1, domain);
	return query_run(&query);
}

static enum err idle_delete(struct db *db, struct op_destination_remove *remove,
			    int64_t *position_out)
{
#define IDLE                                                                                   \
	"state = 0 AND (?1 = 0 OR holder IS NULL OR holder = ?1) AND NOT EXISTS (SELECT 1 "    \
	"FROM outbox o"                                                                        \
	" WHERE o.destination_key = destination.destination_key)"                              \
	" RETURNING acked, destination_key"
	struct query query =
		query_begin(db, remove->domain != NULL
					? "DELETE FROM destination WHERE domain = ?2 AND " IDLE
					: "DELETE FROM destination WHERE " IDLE);
	enum err err = ERR_OK;

	query_int(&query, 1, db->process);
	if (remove->domain != NULL)
		query_text(&query, 2, remove->domain);
	while (err == ERR_OK && query_row(&query)) {
		int64_t acked = column_int(&query, 0);

		remove->removed++;
		if (acked > *position_out)
			*position_out = acked;
		err = usage_remove_row(db, USAGE_OUTBOX, column_int(&query, 1));
	}
	return query_end(&query) == ERR_OK ? err : ERR_STORE;
#undef IDLE
}

static enum err position_keep(struct db *db, int64_t position)
{
	struct query query = query_begin(
		db, "INSERT INTO meta (name, value) VALUES ('outbox_position', ?1)"
		    " ON CONFLICT (name) DO UPDATE SET value = max(meta.value, ?1)");

	query_int(&query, 1, position);
	return query_run(&query);
}

enum err db_destination_remove(struct db *db, struct store_op *op)
{
	struct op_destination_remove *remove = (struct op_destination_remove *)op;
	int64_t position = 0;
	enum err err = remove->domain == NULL ? entries_drop(db) : ERR_OK;

	if (err == ERR_OK)
		err = peers_meet(db, remove->domain);
	if (err == ERR_OK)
		err = idle_delete(db, remove, &position);
	if (err != ERR_OK || remove->removed == 0)
		return err;
	if (remove->domain != NULL)
		entry_forget(db, remove->domain);
	return position_keep(db, position);
}

enum err db_outbox_reset(struct db *db, struct store_op *op)
{
	struct op_outbox_reset *reset = (struct op_outbox_reset *)op;
	struct destination_entry *entry;
	struct query query;
	enum err err = entry_get_or_insert(db, reset->domain, &entry);

	if (err != ERR_OK)
		return err;
	query = query_begin(db, "UPDATE destination SET stream = ?2, base = acked,"
				" offered = acked WHERE destination_key = ?1");
	query_int(&query, 1, entry->usage.key);
	query_text(&query, 2, reset->stream);
	err = query_run(&query);
	return err == ERR_OK ? db_destination_get(db, reset->domain, &reset->destination) : err;
}
