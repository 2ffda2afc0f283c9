/* SPDX-License-Identifier: MIT
 *
 * What the file of a database tells about a restore, besides restore.c: it is another file
 * than the one it was last served from, by inode and time of birth (not by device: those may
 * be numbered anew whenever a machine starts), or it was changed between the last stop and
 * this start.
 */
#include "sqlite.h"

#include "restante/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 4096

static int64_t in_ns(const struct statx_timestamp *time)
{
	return time->tv_sec * 1000000000 + time->tv_nsec;
}

/* Then somebody has the database open, or had it when killed. */
static bool has_log(const struct db *db)
{
	char path[PATH_SIZE];
	char log[PATH_SIZE + 8];

	sqlite_path(db->config, path, sizeof path);
	snprintf(log, sizeof log, "%s-wal", path);
	return access(log, F_OK) == 0;
}

enum err sqlite_file_find(struct db *db)
{
	struct sqlite_file *file = &sqlite_of(db)->file;
	struct statx status;
	char path[PATH_SIZE];

	file->in_use = has_log(db); /* first: the end of it changes the rest */
	sqlite_path(db->config, path, sizeof path);
	if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS | STATX_BTIME, &status) != 0) {
		log_error(store_error, "at=open path=%s reason=%s", log_quote(path),
			  log_quote(strerror(errno)));
		return ERR_STORE;
	}
	file->inode = (int64_t)status.stx_ino;
	file->birth_ns = (status.stx_mask & STATX_BTIME) != 0 ? in_ns(&status.stx_btime) : 0;
	file->changed_ns = in_ns(&status.stx_ctime);
	db->watch.generation = generation_read(db->config->data_dir);
	file->as_left = db->watch.generation.closed_ns == file->changed_ns;
	return ERR_OK;
}

enum err sqlite_restore_sign(struct db *db, const struct restore_record *last,
			     const char **sign_out)
{
	const struct sqlite_file *file = &sqlite_of(db)->file;
	const struct generation *beside = &db->watch.generation;
	int64_t inode = 0, birth_ns = 0;
	enum err err = meta_get(db, "file_inode", &inode);

	if (err == ERR_OK)
		err = meta_get(db, "file_birth_ns", &birth_ns);
	if (err != ERR_OK)
		return err;
	if (file->inode != inode || file->birth_ns != birth_ns)
		*sign_out = "other_file";
	else if (beside->number < last->generation_written)
		*sign_out = beside->number == 0 ? "no_generation_file" : "older_folder";
	else if (beside->number == last->generation && beside->closed_ns != 0 && !file->as_left)
		*sign_out = "changed_while_stopped";
	return ERR_OK;
}

enum err sqlite_restore_place(struct db *db)
{
	const struct sqlite_file *file = &sqlite_of(db)->file;
	enum err err = meta_put(db, "file_inode", file->inode);

	return err == ERR_OK ? meta_put(db, "file_birth_ns", file->birth_ns) : err;
}

/* --- when it is left ------------------------------------------------------------------ */

/* A command that has opened a database that was left in order leaves it so, unless a node
 * has begun to serve it meanwhile. */
void sqlite_file_leave(struct db *db)
{
	const struct sqlite_file *file = &sqlite_of(db)->file;
	const struct restore_watch *watch = &db->watch;
	struct generation last = watch->generation;
	bool known = file->as_left || watch->serving;

	/* One that is in use still will be changed. */
	if (!known || sqlite_file_find(db) != ERR_OK || file->in_use ||
	    watch->generation.number != last.number ||
	    watch->generation.closed_ns != last.closed_ns)
		return;
	last.closed_ns = file->changed_ns;
	if (generation_write(db->config->data_dir, &last) != ERR_OK)
		log_warn(store_error, "at=close reason=%s",
			 log_quote("the next start will not know how the database was left"));
}
