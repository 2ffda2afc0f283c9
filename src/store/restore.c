/* SPDX-License-Identifier: MIT
 *
 * Was the database restored from a backup? Then it has forgotten what was promised since:
 * which one-time keys were handed out, which numbers were used. A node that starts looks for
 * signs of that before it serves anybody:
 *
 *   - the operator says so (restante restored)
 *   - the generation in it and the one in the file beside it (generation.h) do not fit
 *   - what else its kind of database knows (sqlite_restore.c, postgres_restore.c)
 *   - it was not served for an hour: the whole disk may have been set back. The node was
 *     much more likely down, so that this one only closes the one-time keys.
 *
 * The file is written after the commit, so the database may be ahead of it, but never behind.
 * `generation_written` in the database is what the file had when `generation` was committed.
 */
#include "restore.h"

#include "driver.h"

#include "restante/clock.h"
#include "restante/log.h"
#include "restante/metrics.h"

/* After a restore numbers go on from the time, for nobody knows how far they had come:
 * neither is given out at such a rate. Times 1024 stays below 2^53 for two centuries. Where a
 * clock was wrong they go on from where they are. */
#define SEQ_PER_MS     1024
#define SEQ_JUMP       (INT64_C(1) << 36)
#define SILENT_MS      (1 * HOURS_MS)
#define ALIVE_EVERY_MS (50 * SECONDS_MS) /* housekeeping comes once a minute */

/* --- what the database says of itself --------------------------------------------------- */

enum err meta_get(struct db *db, const char *name, int64_t *value_out)
{
	struct query query = query_begin(db, "SELECT value FROM meta WHERE name = ?1");

	query_text(&query, 1, name);
	if (query_row(&query))
		*value_out = column_int(&query, 0);
	return query_end(&query);
}

enum err meta_put(struct db *db, const char *name, int64_t value)
{
	struct query query = query_begin(db, "INSERT INTO meta (name, value) VALUES (?1, ?2)"
					     " ON CONFLICT (name) DO UPDATE SET value = ?2");

	query_text(&query, 1, name);
	query_int(&query, 2, value);
	return query_run(&query);
}

static enum err record_get(struct db *db, struct restore_record *record)
{
	enum err err = meta_get(db, "generation", &record->generation);

	if (err == ERR_OK)
		err = meta_get(db, "generation_written", &record->generation_written);
	if (err == ERR_OK)
		err = meta_get(db, "alive_ms", &record->alive_ms);
	if (err == ERR_OK)
		err = meta_get(db, "restore_mark", &record->marked);
	return err;
}

static enum err generation_put(struct db *db, int64_t number, int64_t now_ms)
{
	enum err err = meta_put(db, "generation", number);

	if (err == ERR_OK)
		err = meta_put(db, "generation_written", db->watch.generation.number);
	if (err == ERR_OK)
		err = meta_put(db, "alive_ms", now_ms);
	db->watch.due = number;
	db->watch.alive_ms = now_ms;
	return err;
}

static enum err start_put(struct db *db, const struct restore_record *last, int64_t now_ms)
{
	int64_t beside = db->watch.generation.number;
	int64_t number = last->generation > beside ? last->generation : beside;

	return generation_put(db, number + 1, now_ms);
}

static enum err record_put(struct db *db, const struct restore_record *last, int64_t now_ms)
{
	enum err err = start_put(db, last, now_ms);

	if (err == ERR_OK)
		err = db->driver->restore_place(db);
	if (err == ERR_OK)
		err = meta_put(db, "restore_mark", 0);
	return err;
}

enum err db_restore_mark(struct db *db, struct store_op *op)
{
	(void)op;
	return meta_put(db, "restore_mark", 1);
}

/* --- what is done ------------------------------------------------------------------------ */

/* Devices are told that they are low when they connect, and upload new ones. */
static enum err prekeys_close(struct db *db, int64_t *closed_out)
{
	struct query query =
		query_begin(db, "UPDATE prekey SET public_key = NULL, signature = NULL"
				" WHERE public_key IS NOT NULL");
	enum err err = query_run(&query);

	*closed_out = query_changes(db);
	return err;
}

static enum err seqs_jump(struct db *db, int64_t now_ms)
{
	struct query query = query_begin(
		db, "INSERT INTO meta (name, value) VALUES ('mailbox_seq', ?1)"
		    " ON CONFLICT (name) DO UPDATE"
		    " SET value = CASE WHEN meta.value < ?1 THEN ?1 ELSE meta.value + ?2 END");

	query_int(&query, 1, now_ms * SEQ_PER_MS);
	query_int(&query, 2, SEQ_JUMP);
	return query_run(&query);
}

/* Others may remember a list that came after the backup, and take none that is older. */
static enum err lists_raise(struct db *db, int64_t now_ms)
{
	struct query query =
		query_begin(db, "UPDATE account SET list_version = max(list_version + 1, ?1)"
				" WHERE deleted_ms IS NULL");

	query_int(&query, 1, now_ms);
	return query_run(&query);
}

/* What waits is sent in new streams; who has it already will say so. */
static enum err streams_drop(struct db *db)
{
	struct query query = query_begin(
		db, "UPDATE destination SET stream = '', base = acked, offered = acked");

	return query_run(&query);
}

/* Tokens that may have been used since; they live for ten minutes. */
static enum err link_tokens_drop(struct db *db)
{
	struct query query = query_begin(db, "DELETE FROM link_token");

	return query_run(&query);
}

static enum err forget_promises(struct db *db, const char *sign, int64_t now_ms)
{
	int64_t closed = 0;
	enum err err = prekeys_close(db, &closed);

	if (err == ERR_OK)
		err = seqs_jump(db, now_ms);
	if (err == ERR_OK)
		err = db->driver->devices_jump(db, now_ms);
	if (err == ERR_OK)
		err = lists_raise(db, now_ms);
	if (err == ERR_OK)
		err = streams_drop(db);
	if (err == ERR_OK)
		err = link_tokens_drop(db);
	if (err != ERR_OK)
		return err;
	metric_inc(restores_total);
	log_warn(restored, "reason=%s keys_closed=%lld", sign, (long long)closed);
	return ERR_OK;
}

static enum err wake(struct db *db, int64_t silent_ms)
{
	int64_t closed = 0;
	enum err err = prekeys_close(db, &closed);

	if (err == ERR_OK)
		log_info(restored, "reason=silent minutes=%lld keys_closed=%lld",
			 (long long)(silent_ms / MINUTES_MS), (long long)closed);
	return err;
}

/* --- starting --------------------------------------------------------------------------- */

static enum err find_sign(struct db *db, const struct restore_record *last,
			  const char **sign_out)
{
	enum err err = ERR_OK;

	*sign_out = last->marked != 0 ? "marked" : NULL;
	if (*sign_out == NULL && last->generation > 0) /* else no run has kept a record */
		err = db->driver->restore_sign(db, last, sign_out);
	if (*sign_out == NULL && db->watch.generation.number > last->generation)
		*sign_out = "older_database";
	return err;
}

enum err restore_refuse_unfinished(struct db *db)
{
	int64_t unfinished = 0;
	enum err err = meta_get(db, META_UNFINISHED, &unfinished);

	if (err != ERR_OK || unfinished == 0)
		return err;
	log_error(store_error, "at=open reason=%s",
		  log_quote("a copy that is not finished: run restante store copy again"));
	return ERR_STORE;
}

static enum err serve_first(struct db *db, const struct restore_record *last, int64_t now_ms)
{
	const char *sign;
	enum err err = find_sign(db, last, &sign);

	if (err != ERR_OK)
		return err;
	if (sign != NULL)
		err = forget_promises(db, sign, now_ms);
	else if (last->alive_ms != 0 && now_ms - last->alive_ms > SILENT_MS)
		err = wake(db, now_ms - last->alive_ms);
	return err == ERR_OK ? record_put(db, last, now_ms) : err;
}

/* Of several processes the one that comes first has looked. */
enum err restore_serve(struct db *db, bool joins)
{
	struct restore_record last = {0};
	int64_t now_ms = clock_now_ms();
	enum err err = restore_refuse_unfinished(db);

	if (err == ERR_OK)
		err = record_get(db, &last);
	if (err != ERR_OK)
		return err;
	return joins ? start_put(db, &last, now_ms) : serve_first(db, &last, now_ms);
}

/* --- when it has been copied ------------------------------------------------------------- */

static enum err finish_copy(struct db *to)
{
	struct query query = query_begin(to, "DELETE FROM meta WHERE name = ?1");

	query_text(&query, 1, META_UNFINISHED);
	return query_run(&query);
}

/* The file first: where all ends before the commit, the copy is made again, beyond it. The time
 * stays that of the last run, so that a long silence shows. */
enum err restore_carry(struct db *from, struct db *to, const char **sign_out)
{
	struct restore_record last = {0};
	struct generation next = from->watch.generation;
	enum err err = record_get(from, &last);

	if (err == ERR_OK)
		err = find_sign(from, &last, sign_out);
	if (err != ERR_OK)
		return err;
	next.number = 1 + (last.generation > next.number ? last.generation : next.number);
	next.closed_ns = 0;
	err = generation_write(from->config->data_dir, &next);
	if (err == ERR_OK)
		err = meta_put(to, "generation", next.number);
	if (err == ERR_OK)
		err = meta_put(to, "generation_written", next.number);
	if (err == ERR_OK)
		err = meta_put(to, "restore_mark", *sign_out != NULL);
	if (err == ERR_OK)
		err = to->driver->restore_place(to);
	return err == ERR_OK ? finish_copy(to) : err;
}

/* --- while it is served ------------------------------------------------------------------ */

static enum err generation_raise(struct db *db, int64_t now_ms)
{
	int64_t number = 0;
	enum err err = meta_get(db, "generation", &number);

	return err == ERR_OK ? generation_put(db, number + 1, now_ms) : err;
}

enum err restore_rest(struct db *db)
{
	return generation_raise(db, clock_now_ms());
}

enum err restore_tick(struct db *db, int64_t now_ms)
{
	return db->watch.serving && now_ms - db->watch.alive_ms >= ALIVE_EVERY_MS
		       ? generation_raise(db, now_ms)
		       : ERR_OK;
}

void restore_forget(struct db *db)
{
	db->watch.due = 0;
	db->watch.alive_ms = 0;
}

/* One that cannot be written is logged; the next one may be. */
void restore_write(struct db *db)
{
	struct generation next = {.number = db->watch.due};

	if (db->watch.due == 0)
		return;
	db->watch.serving = true;
	db->watch.due = 0;
	if (generation_write(db->config->data_dir, &next) == ERR_OK)
		db->watch.generation = next;
}
