/* SPDX-License-Identifier: MIT
 *
 * A connection to the embedded store: opening, transactions, and which function does
 * which operation. Each connection belongs to the thread of its lane.
 */
#include "sqlite.h"

#include "fault.h"

#include "restante/clock.h"
#include "restante/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS	 5000
#define CHECKPOINT_PAGES 4000 /* 16 MiB of log, after which it is moved into the database */

struct backend_connection {
	struct sqlite sqlite;
	struct store_config config;
};

/* --- opening -------------------------------------------------------------------------- */

void sqlite_path(const struct store_config *config, char *path, size_t size)
{
	if (config->url[0] != '\0')
		snprintf(path, size, "%s", config->url);
	else
		snprintf(path, size, "%s/restante.db", config->data_dir);
}

/* Made here and not by SQLite so that nobody else can read it; the log and its index take
 * over the mode of the database. One that is there is not even opened: closing it would end
 * the locks of this process, and another one would take the log away from under it. */
static enum err create_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);

	if (fd < 0 && errno == EEXIST)
		return ERR_OK;
	if (fd < 0) {
		log_error(store_error, "at=open path=%s reason=%s", log_quote(path),
			  log_quote(strerror(errno)));
		return ERR_STORE;
	}
	close(fd);
	return ERR_OK;
}

static enum err find_file(const char *path)
{
	if (access(path, F_OK) == 0)
		return ERR_OK;
	log_error(store_error, "at=open path=%s reason=%s", log_quote(path),
		  log_quote(errno == ENOENT ? "no database yet; restante serve makes it"
					    : strerror(errno)));
	return ERR_STORE;
}

static enum err execute(sqlite3 *db, const char *at, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return ERR_OK;
	log_error(store_error, "at=%s reason=%s", at, log_quote(sqlite3_errmsg(db)));
	return ERR_STORE;
}

/* Not every file system can have a log: then SQLite keeps the mode it had, silently. */
static enum err use_log(struct sqlite *sqlite)
{
	struct query query = query_begin(&sqlite->db, "PRAGMA journal_mode = WAL");
	char mode[16] = "";

	if (query_row(&query))
		column_text_to(&query, 0, mode, sizeof mode);
	if (query_end(&query) != ERR_OK)
		return ERR_STORE;
	if (strcmp(mode, "wal") == 0)
		return ERR_OK;
	log_error(store_error, "at=open journal_mode=%s reason=%s", mode,
		  log_quote("the file system of the database cannot have a write-ahead log"));
	return ERR_STORE;
}

static int count_pages(void *context, sqlite3 *db, const char *name, int pages)
{
	struct sqlite *sqlite = context;

	(void)db;
	(void)name;
	sqlite->wal_pages = pages;
	return SQLITE_OK;
}

/* secure_delete FAST: what is deleted is zeroed where its page is written anyway. Zeroing
 * freed pages too (ON) would write every envelope once more to remove it, and still leave
 * copies in the log and under the flash controller; content is sealed by its sender.
 * synchronous FULL: a commit has reached the disk before anybody hears of it. */
static enum err set_up_writer(struct sqlite *sqlite)
{
	enum err err = use_log(sqlite);

	/* In place of automatic checkpoints: sqlite_idle() makes them when nobody waits for
	 * the commit. */
	sqlite3_wal_hook(sqlite->handle, count_pages, sqlite);
	return err != ERR_OK ? err
			     : execute(sqlite->handle, "open",
				       "PRAGMA synchronous = FULL;"
				       "PRAGMA secure_delete = FAST;"
				       "PRAGMA foreign_keys = ON;"
				       "PRAGMA cache_size = -65536;"
				       "PRAGMA journal_size_limit = 67108864;");
}

/* Before anything is read: then no index of the log is shared, and the whole file is locked.
 * Whoever has the database open holds a lock on it too. */
static enum err lock_out(const struct sqlite *sqlite)
{
	if (sqlite3_exec(sqlite->handle,
			 "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;", NULL,
			 NULL, NULL) == SQLITE_OK)
		return ERR_OK;
	log_error(store_error, "at=open path=%s reason=%s", log_quote(sqlite->db.config->url),
		  log_quote(sqlite3_errcode(sqlite->handle) == SQLITE_BUSY
				    ? "the database is in use: stop the node first"
				    : sqlite3_errmsg(sqlite->handle)));
	return ERR_STORE;
}

static enum err set_up(struct sqlite *sqlite)
{
	sqlite3_busy_timeout(sqlite->handle, BUSY_TIMEOUT_MS);
	if (sqlite->db.config->alone && lock_out(sqlite) != ERR_OK)
		return ERR_STORE;
	if (execute(sqlite->handle, "open",
		    "PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;") != ERR_OK)
		return ERR_STORE;
	return sqlite->db.lane == LANE_WRITE
		       ? set_up_writer(sqlite)
		       : execute(sqlite->handle, "open",
				 "PRAGMA query_only = ON; PRAGMA cache_size = -16384;");
}

static void sqlite_close(struct backend_connection **connection)
{
	struct sqlite *sqlite;

	if (*connection == NULL)
		return;
	sqlite = &(*connection)->sqlite;
	db_forget(&sqlite->db);
	statements_free(&sqlite->db);
	if (sqlite3_close(sqlite->handle) != SQLITE_OK)
		log_error(store_error, "at=close reason=%s",
			  log_quote(sqlite3_errmsg(sqlite->handle)));
	if (sqlite->db.lane == LANE_WRITE)
		sqlite_file_leave(&sqlite->db);
	free(*connection);
	*connection = NULL;
}

/* SQLite opens one that is not all the same, and makes a log that is as read-only, which stays
 * when the database is so no more. */
static enum err check_writable(sqlite3 *db, const char *path)
{
	if (sqlite3_db_readonly(db, "main") == 0)
		return ERR_OK;
	log_error(store_error, "at=open path=%s reason=%s", log_quote(path),
		  log_quote("the database may not be written"));
	return ERR_STORE;
}

static enum err sqlite_open(const struct store_config *config, enum store_lane lane,
			    struct backend_connection **connection_out)
{
	struct backend_connection *connection;
	char path[4096];
	enum err err;

	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	sqlite_path(config, path, sizeof path);
	err = config->must_exist ? find_file(path) : create_file(path);
	if (err != ERR_OK)
		return err;
	connection = calloc(1, sizeof *connection);
	if (connection == NULL)
		fatal("out of memory for a database connection");
	connection->config = *config;
	connection->sqlite.db.driver = &sqlite_driver;
	connection->sqlite.db.config = &connection->config;
	connection->sqlite.db.lane = lane;
	if (lane == LANE_WRITE)
		err = sqlite_file_find(&connection->sqlite.db);
	if (err == ERR_OK &&
	    sqlite3_open_v2(path, &connection->sqlite.handle,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		log_error(store_error, "at=open path=%s reason=%s", log_quote(path),
			  log_quote(sqlite3_errmsg(connection->sqlite.handle)));
		err = ERR_STORE;
	}
	if (err == ERR_OK)
		err = check_writable(connection->sqlite.handle, path);
	if (err == ERR_OK)
		err = set_up(&connection->sqlite);
	if (err == ERR_OK)
		*connection_out = connection;
	else
		sqlite_close(&connection);
	return err;
}

static enum err sqlite_migrate(struct backend_connection *connection)
{
	const struct sqlite *sqlite = &connection->sqlite;

	/* A node that was killed has left a log too. */
	return sqlite_schema_migrate(sqlite->handle,
				     sqlite->db.config->must_exist && sqlite->file.in_use);
}

/* --- transactions --------------------------------------------------------------------- */

static enum err sqlite_begin(struct backend_connection *connection)
{
	struct sqlite *sqlite = &connection->sqlite;
	struct query query =
		query_begin(&sqlite->db, sqlite->db.lane == LANE_WRITE ? "BEGIN IMMEDIATE"
								       : "BEGIN DEFERRED");

	return query_run(&query);
}

static enum commit sqlite_commit(struct backend_connection *connection)
{
	struct query query;

	if (fault_commit()) {
		log_error(store_error, "at=commit reason=fault");
		return COMMIT_FAILED;
	}
	query = query_begin(&connection->sqlite.db, "COMMIT");
	return query_run(&query) == ERR_OK ? COMMIT_DONE : COMMIT_FAILED;
}

static void sqlite_rollback(struct backend_connection *connection)
{
	struct sqlite *sqlite = &connection->sqlite;

	/* Some failures have rolled back already. */
	if (sqlite3_get_autocommit(sqlite->handle) == 0 &&
	    execute(sqlite->handle, "rollback", "ROLLBACK") != ERR_OK)
		fatal("cannot roll back: the state of the store is unknown");
	db_forget(&sqlite->db);
	restore_forget(&sqlite->db);
}

static enum err sqlite_run(struct backend_connection *connection, struct store_op *op)
{
	return db_run(&connection->sqlite.db, op);
}

static enum err sqlite_serve(struct backend_connection *connection)
{
	return restore_serve(&connection->sqlite.db, false);
}

static enum err sqlite_rest(struct backend_connection *connection)
{
	return restore_rest(&connection->sqlite.db);
}

/* Moves the log into the database while nobody waits for it. A reader may hold it back;
 * then it goes on after as many pages more. */
static void sqlite_idle(struct backend_connection *connection)
{
	struct sqlite *sqlite = &connection->sqlite;

	restore_write(&sqlite->db);
	if (sqlite->wal_pages < sqlite->checkpointed_pages)
		sqlite->checkpointed_pages = 0; /* the log began anew */
	if (sqlite->wal_pages - sqlite->checkpointed_pages < CHECKPOINT_PAGES)
		return;
	sqlite->checkpointed_pages = sqlite->wal_pages;
	if (sqlite3_wal_checkpoint_v2(sqlite->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
				      NULL) != SQLITE_OK)
		log_warn(store_error, "at=checkpoint reason=%s",
			 log_quote(sqlite3_errmsg(sqlite->handle)));
}

static struct db *sqlite_db(struct backend_connection *connection)
{
	return &connection->sqlite.db;
}

/* --- checking ------------------------------------------------------------------------- */

static void check_schema(sqlite3 *db, const char *path, struct text *problems)
{
	int number = 0;

	if (sqlite_schema_get(db, &number) != ERR_OK)
		text_printf(problems, "store: %s: %s\n", path, sqlite3_errmsg(db));
	else if (number > sqlite_schema_newest())
		text_printf(problems,
			    "store: %s: schema %d is newer than this program, which knows %d\n",
			    path, number, sqlite_schema_newest());
}

/* A reader of a database with a log needs files beside it. Without a log nobody has it
 * open, and it is read as it stands. */
static void check_file(const char *path, struct text *problems)
{
	char uri[3 * 4096];
	char log[4096 + 8];
	sqlite3 *db = NULL;
	size_t len = (size_t)snprintf(uri, sizeof uri, "file:");

	for (const char *c = path; *c != '\0'; c++)
		len += (size_t)snprintf(uri + len, sizeof uri - len,
					strchr("%?#", *c) != NULL ? "%%%02x" : "%c", *c);
	snprintf(log, sizeof log, "%s-wal", path);
	snprintf(uri + len, sizeof uri - len, "?mode=ro%s",
		 access(log, F_OK) == 0 ? "" : "&immutable=1");
	if (sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) ==
	    SQLITE_OK)
		check_schema(db, path, problems);
	else
		text_printf(problems, "store: %s: %s\n", path, sqlite3_errmsg(db));
	sqlite3_close(db);
}

static void check_folder(char *path, struct text *problems)
{
	char *slash = strrchr(path, '/');
	const char *folder = slash == NULL ? "." : slash == path ? "/" : path;

	if (slash != NULL && slash != path)
		*slash = '\0';
	if (access(folder, R_OK | W_OK | X_OK) != 0)
		text_printf(problems, "store: %s: %s\n", folder, strerror(errno));
}

static enum err sqlite_check(const struct store_config *config, struct text *problems)
{
	size_t before = problems->len;
	char path[4096];

	sqlite_path(config, path, sizeof path);
	if (access(path, F_OK) != 0) {
		check_folder(path, problems); /* it will be made here */
	} else if (access(path, R_OK | W_OK) != 0) {
		text_printf(problems, "store: %s: %s\n", path, strerror(errno));
	} else {
		check_file(path, problems);
		check_folder(path, problems);
	}
	return problems->len == before ? ERR_OK : ERR_STORE;
}

const struct backend sqlite_backend = {
	.name = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.migrate = sqlite_migrate,
	.check = sqlite_check,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.run = sqlite_run,
	.serve = sqlite_serve,
	.rest = sqlite_rest,
	.idle = sqlite_idle,
	.db = sqlite_db,
};
