/* SPDX-License-Identifier: MIT
 *
 * SQLite alone: the tables of a store, its settings, and batches as large as those of the write
 * lane, with nothing but appending to mailboxes and deleting from them.
 */
#include "limits.h"

#include "restante/crypto.h"
#include "restante/log.h"
#include "restante/store.h"

#include <sqlite3.h>
#include <stdio.h>

#define BATCH	  256 /* operations of one transaction */
#define BODY_SIZE 500
#define DEVICES	  16

struct mailboxes {
	sqlite3 *db;
	sqlite3_stmt *append;
	sqlite3_stmt *delete;
};

static void must(int result, int wanted, sqlite3 *db)
{
	if (result != wanted)
		fatal("SQLite: %s", sqlite3_errmsg(db));
}

static void execute(sqlite3 *db, const char *sql)
{
	must(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, db);
}

static void make_tables(const char *folder)
{
	struct store_config config = {
		.url = "",
		.data_dir = folder,
		.domain = "limit.test",
		.inbox_capacity = 1,
	};
	struct store *store;

	if (store_open(&config, &store) != ERR_OK)
		fatal("no store in %s", folder);
	store_close(&store);
}

/* As in src/store/sqlite.c. */
static struct mailboxes mailboxes_open(const char *folder)
{
	struct mailboxes m = {0};
	char path[4096];

	snprintf(path, sizeof path, "%s/restante.db", folder);
	if (sqlite3_open(path, &m.db) != SQLITE_OK)
		fatal("SQLite: %s", path);
	execute(m.db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
		      "PRAGMA secure_delete = FAST; PRAGMA cache_size = -65536;"
		      "PRAGMA wal_autocheckpoint = 4000;");
	must(sqlite3_prepare_v2(m.db,
				"INSERT INTO mailbox (seq, generation, kind, bytes, expires_ms,"
				" message_id, sender, sender_generation, body)"
				" VALUES (?1, ?2, 1, 500, 4000000000000, ?3,"
				" 'sender@limit.test', 1, ?4)",
				-1, &m.append, NULL),
	     SQLITE_OK, m.db);
	must(sqlite3_prepare_v2(m.db, "DELETE FROM mailbox WHERE seq = ?1", -1, &m.delete,
				NULL),
	     SQLITE_OK, m.db);
	return m;
}

static void step(const struct mailboxes *m, sqlite3_stmt *statement)
{
	must(sqlite3_step(statement), SQLITE_DONE, m->db);
	sqlite3_reset(statement);
}

static void append(const struct mailboxes *m, int64_t seq)
{
	uint8_t id[UUID_SIZE];
	uint8_t body[BODY_SIZE];

	uuid7_create(seq, id);
	crypto_random(body, sizeof body);
	sqlite3_bind_int64(m->append, 1, seq);
	sqlite3_bind_int64(m->append, 2, seq % DEVICES);
	sqlite3_bind_blob(m->append, 3, id, sizeof id, SQLITE_STATIC);
	sqlite3_bind_blob(m->append, 4, body, sizeof body, SQLITE_STATIC);
	step(m, m->append);
}

/* Each batch deletes what the one before has appended. */
static void batch_run(const struct mailboxes *m, int64_t first)
{
	execute(m->db, "BEGIN IMMEDIATE");
	for (int64_t seq = first; seq < first + BATCH / 2; seq++) {
		append(m, seq);
		sqlite3_bind_int64(m->delete, 1, seq - BATCH / 2);
		step(m, m->delete);
	}
	execute(m->db, "COMMIT");
}

void limit_store(const char *folder, size_t rows)
{
	struct mailboxes m;
	uint64_t wall;
	uint64_t cpu;
	size_t done = 0;

	make_tables(folder);
	m = mailboxes_open(folder);
	wall = wall_ns();
	cpu = cpu_ns();
	for (; done < rows; done += BATCH / 2)
		batch_run(&m, 1 + (int64_t)done);
	wall = wall_ns() - wall;
	cpu = cpu_ns() - cpu;
	printf("{\"per_second\":%.0f,\"cpu_us\":%.2f}\n", (double)done * 1e9 / (double)wall,
	       (double)cpu / 1e3 / (double)done);
	sqlite3_finalize(m.append);
	sqlite3_finalize(m.delete);
	sqlite3_close(m.db);
}
