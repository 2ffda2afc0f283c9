/* SPDX-License-Identifier: MIT
 *
 * Was the database restored from a backup? Then it has forgotten what was promised since:
 * which one-time keys were handed out, which numbers were used. A node that starts looks for
 * signs of that before it serves anybody:
 *
 *   - the database is another file than the one it was last served from, by inode and time
 *     of birth. Not by device: those may be numbered anew whenever a machine starts.
 *   - the generation in it and the one in the file beside it (generation.h) do not fit
 *   - it was changed between the last stop and this start
 *   - the operator says so (restante restored)
 *   - it was not served for an hour: the whole disk may have been set back. The node was
 *     much more likely down, so that this one only closes the one-time keys.
 *
 * The file is written after the commit, so the database may be ahead of it, but never behind.
 * `generation_written` in the database is what the file had when `generation` was committed.
 */
#include "sqlite.h"

#include "restante/clock.h"
#include "restante/log.h"
#include "restante/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE	4096
#define ALIVE_EVERY_MS	(50 * SECONDS_MS) /* housekeeping comes once a minute */
#define SILENT_MS	(1 * HOURS_MS)

/* After a restore numbers go on from the time, for nobody knows how far they had come:
 * neither is given out at such a rate. Times 1024 stays below 2^53 for two centuries. Where a
 * clock was wrong they go on from where they are. */
#define SEQ_PER_MS	1024
#define SEQ_JUMP	(INT64_C(1) << 36)
#define GENERATION_JUMP (INT64_C(1) << 20)

/* What the last run has said of itself in the database. */
struct record {
	int64_t generation; /* 0: no run has */
	int64_t generation_written;
	int64_t inode;
	int64_t birth_ns;
	int64_t alive_ms;
	int64_t marked;
};

/* --- the record ----------------------------------------------------------------------- */

static enum err meta_get(struct sqlite *sqlite, const char *name, int64_t *value_out)
{
	struct query query = query_begin(sqlite, "SELECT value FROM meta WHERE name = ?1");

	query_text(&query, 1, name);
	if (query_row(&query))
		*value_out = column_int(&query, 0);
	return query_end(&query);
}

static enum err meta_put(struct sqlite *sqlite, const char *name, int64_t value)
{
	struct query query =
		query_begin(sqlite, "INSERT INTO meta (name, value) VALUES (?1, ?2)"
				    " ON CONFLICT (name) DO UPDATE SET value = ?2");

	query_text(&query, 1, name);
	query_int(&query, 2, value);
	return query_run(&query);
}

static enum err record_get(struct sqlite *sqlite, struct record *record)
{
	enum err err = meta_get(sqlite, "generation", &record->generation);

	if (err == ERR_OK)
		err = meta_get(sqlite, "generation_written", &record->generation_written);
	if (err == ERR_OK)
		err = meta_get(sqlite, "file_inode", &record->inode);
	if (err == ERR_OK)
		err = meta_get(sqlite, "file_birth_ns", &record->birth_ns);
	if (err == ERR_OK)
		err = meta_get(sqlite, "alive_ms", &record->alive_ms);
	if (err == ERR_OK)
		err = meta_get(sqlite, "restore_mark", &record->marked);
	return err;
}

static enum err generation_put(struct sqlite *sqlite, int64_t number, int64_t now_ms)
{
	struct sqlite_watch *watch = &sqlite->watch;
	enum err err = meta_put(sqlite, "generation", number);

	if (err == ERR_OK)
		err = meta_put(sqlite, "generation_written", watch->generation.number);
	if (err == ERR_OK)
		err = meta_put(sqlite, "alive_ms", now_ms);
	watch->due = number;
	watch->alive_ms = now_ms;
	return err;
}

static enum err record_put(struct sqlite *sqlite, const struct record *last, int64_t now_ms)
{
	const struct sqlite_watch *watch = &sqlite->watch;
	int64_t number = last->generation > watch->generation.number ? last->generation
								     : watch->generation.number;
	enum err err = generation_put(sqlite, number + 1, now_ms);

	if (err == ERR_OK)
		err = meta_put(sqlite, "file_inode", watch->inode);
	if (err == ERR_OK)
		err = meta_put(sqlite, "file_birth_ns", watch->birth_ns);
	if (err == ERR_OK)
		err = meta_put(sqlite, "restore_mark", 0);
	return err;
}

enum err sqlite_restore_mark(struct sqlite *sqlite, struct store_op *op)
{
	(void)op;
	return meta_put(sqlite, "restore_mark", 1);
}

/* --- signs ---------------------------------------------------------------------------- */

static int64_t in_ns(const struct statx_timestamp *time)
{
	return time->tv_sec * 1000000000 + time->tv_nsec;
}

enum err sqlite_watch_find(struct sqlite *sqlite)
{
	struct sqlite_watch *watch = &sqlite->watch;
	struct statx file;
	char path[PATH_SIZE];

	sqlite_path(sqlite->config, path, sizeof path);
	if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS | STATX_BTIME, &file) != 0) {
		log_error(store_error, "at=open path=%s reason=%s", log_quote(path),
			  log_quote(strerror(errno)));
		return ERR_STORE;
	}
	watch->inode = (int64_t)file.stx_ino;
	watch->birth_ns = (file.stx_mask & STATX_BTIME) != 0 ? in_ns(&file.stx_btime) : 0;
	watch->changed_ns = in_ns(&file.stx_ctime);
	watch->generation = generation_read(sqlite->config->data_dir);
	watch->as_left = watch->generation.closed_ns == watch->changed_ns;
	return ERR_OK;
}

/* A sign of a restore, or NULL. */
static const char *find_sign(const struct sqlite_watch *watch, const struct record *last)
{
	int64_t beside = watch->generation.number;

	if (last->marked != 0)
		return "marked";
	if (last->generation == 0) /* never served, or by a program that kept no record */
		return beside > 0 ? "older_database" : NULL;
	if (watch->inode != last->inode || watch->birth_ns != last->birth_ns)
		return "other_file";
	if (beside > last->generation)
		return "older_database";
	if (beside < last->generation_written)
		return beside == 0 ? "no_generation_file" : "older_folder";
	if (beside == last->generation && watch->generation.closed_ns != 0 && !watch->as_left)
		return "changed_while_stopped";
	return NULL;
}

/* --- what is done --------------------------------------------------------------------- */

/* Devices are told that they are low when they connect, and upload new ones. */
static enum err prekeys_close(struct sqlite *sqlite, int64_t *closed_out)
{
	struct query query =
		query_begin(sqlite, "UPDATE prekey SET public_key = NULL, signature = NULL"
				    " WHERE public_key IS NOT NULL");
	enum err err = query_run(&query);

	*closed_out = query_changes(sqlite);
	return err;
}

static enum err seqs_jump(struct sqlite *sqlite, int64_t now_ms)
{
	struct query query = query_begin(
		sqlite, "INSERT INTO meta (name, value) VALUES ('mailbox_seq', ?1)"
			" ON CONFLICT (name) DO UPDATE"
			" SET value = CASE WHEN value < ?1 THEN ?1 ELSE value + ?2 END");

	query_int(&query, 1, now_ms * SEQ_PER_MS);
	query_int(&query, 2, SEQ_JUMP);
	return query_run(&query);
}

/* SQLite makes the row of a table with its first row. */
static enum err device_row_make(struct sqlite *sqlite)
{
	struct query query = query_begin(
		sqlite,
		"INSERT INTO sqlite_sequence (name, seq) SELECT 'device', 0"
		" WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'device')");

	return query_run(&query);
}

/* No token of a device that came after the backup fits one that comes from now on. */
static enum err devices_jump(struct sqlite *sqlite, int64_t now_ms)
{
	struct query query;
	enum err err = device_row_make(sqlite);

	if (err != ERR_OK)
		return err;
	query = query_begin(sqlite, "UPDATE sqlite_sequence"
				    " SET seq = CASE WHEN seq < ?1 THEN ?1 ELSE seq + ?2 END"
				    " WHERE name = 'device'");
	query_int(&query, 1, now_ms);
	query_int(&query, 2, GENERATION_JUMP);
	return query_run(&query);
}

/* Others may remember a list that came after the backup, and take none that is older. */
static enum err lists_raise(struct sqlite *sqlite, int64_t now_ms)
{
	struct query query = query_begin(
		sqlite, "UPDATE account SET list_version = max(list_version + 1, ?1)"
			" WHERE deleted_ms IS NULL");

	query_int(&query, 1, now_ms);
	return query_run(&query);
}

/* What waits is sent in new streams; who has it already will say so. */
static enum err streams_drop(struct sqlite *sqlite)
{
	struct query query = query_begin(
		sqlite, "UPDATE destination SET stream = '', base = acked, offered = acked");

	return query_run(&query);
}

/* Tokens that may have been used since; they live for ten minutes. */
static enum err link_tokens_drop(struct sqlite *sqlite)
{
	struct query query = query_begin(sqlite, "DELETE FROM link_token");

	return query_run(&query);
}

static enum err restore(struct sqlite *sqlite, const char *sign, int64_t now_ms)
{
	int64_t closed = 0;
	enum err err = prekeys_close(sqlite, &closed);

	if (err == ERR_OK)
		err = seqs_jump(sqlite, now_ms);
	if (err == ERR_OK)
		err = devices_jump(sqlite, now_ms);
	if (err == ERR_OK)
		err = lists_raise(sqlite, now_ms);
	if (err == ERR_OK)
		err = streams_drop(sqlite);
	if (err == ERR_OK)
		err = link_tokens_drop(sqlite);
	if (err != ERR_OK)
		return err;
	metric_inc(restores_total);
	log_warn(restored, "reason=%s keys_closed=%lld", sign, (long long)closed);
	return ERR_OK;
}

static enum err wake(struct sqlite *sqlite, int64_t silent_ms)
{
	int64_t closed = 0;
	enum err err = prekeys_close(sqlite, &closed);

	if (err == ERR_OK)
		log_info(restored, "reason=silent minutes=%lld keys_closed=%lld",
			 (long long)(silent_ms / MINUTES_MS), (long long)closed);
	return err;
}

enum err sqlite_watch_serve(struct sqlite *sqlite)
{
	struct record last = {0};
	int64_t now_ms = clock_now_ms();
	const char *sign;
	enum err err = record_get(sqlite, &last);

	if (err != ERR_OK)
		return err;
	sign = find_sign(&sqlite->watch, &last);
	if (sign != NULL)
		err = restore(sqlite, sign, now_ms);
	else if (last.alive_ms != 0 && now_ms - last.alive_ms > SILENT_MS)
		err = wake(sqlite, now_ms - last.alive_ms);
	return err == ERR_OK ? record_put(sqlite, &last, now_ms) : err;
}

/* --- while it is served --------------------------------------------------------------- */

static enum err generation_raise(struct sqlite *sqlite, int64_t now_ms)
{
	int64_t number = 0;
	enum err err = meta_get(sqlite, "generation", &number);

	return err == ERR_OK ? generation_put(sqlite, number + 1, now_ms) : err;
}

enum err sqlite_watch_rest(struct sqlite *sqlite)
{
	return generation_raise(sqlite, clock_now_ms());
}

enum err sqlite_watch_tick(struct sqlite *sqlite, int64_t now_ms)
{
	const struct sqlite_watch *watch = &sqlite->watch;

	return watch->serving && now_ms - watch->alive_ms >= ALIVE_EVERY_MS
		       ? generation_raise(sqlite, now_ms)
		       : ERR_OK;
}

void sqlite_watch_forget(struct sqlite *sqlite)
{
	sqlite->watch.due = 0;
	sqlite->watch.alive_ms = 0;
}

/* One that cannot be written is logged; the next one may be. */
void sqlite_watch_write(struct sqlite *sqlite)
{
	struct sqlite_watch *watch = &sqlite->watch;
	struct generation next = {.number = watch->due};

	if (watch->due == 0)
		return;
	watch->serving = true;
	watch->due = 0;
	if (generation_write(sqlite->config->data_dir, &next) == ERR_OK)
		watch->generation = next;
}

/* --- when it is left ------------------------------------------------------------------ */

/* Then somebody else has the database open still, and will change it. */
static bool has_log(const struct sqlite *sqlite)
{
	char path[PATH_SIZE];
	char log[PATH_SIZE + 8];

	sqlite_path(sqlite->config, path, sizeof path);
	snprintf(log, sizeof log, "%s-wal", path);
	return access(log, F_OK) == 0;
}

/* A command that has opened a database that was left in order leaves it so, unless a node
 * has begun to serve it meanwhile. */
void sqlite_watch_leave(struct sqlite *sqlite)
{
	struct sqlite_watch *watch = &sqlite->watch;
	struct generation last = watch->generation;
	bool known = watch->as_left || watch->serving;

	if (!known || has_log(sqlite) || sqlite_watch_find(sqlite) != ERR_OK ||
	    watch->generation.number != last.number ||
	    watch->generation.closed_ns != last.closed_ns)
		return;
	last.closed_ns = watch->changed_ns;
	if (generation_write(sqlite->config->data_dir, &last) != ERR_OK)
		log_warn(store_error, "at=close reason=%s",
			 log_quote("the next start will not know how the database was left"));
}
