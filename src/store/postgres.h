/* SPDX-License-Identifier: MIT
 *
 * PostgreSQL. postgres.c has the connection and transactions, postgres_turn.c what several
 * processes need of both, postgres_query.c the queries, postgres_schema.c the migrations,
 * postgres_restore.c tells whether a backup was put back, pg_link.c has what goes over the
 * wire.
 */
#ifndef STORE_POSTGRES_H
#define STORE_POSTGRES_H

#include "driver.h"
#include "pg_link.h"

struct postgres {
	struct db db; /* first */
	struct pg_link link;
	unsigned statements_made;
	int64_t next_try_ms; /* monotonic: until then nothing begins */
	int64_t wait_ms;
	/* Write lane (migrations/postgres: writer). */
	int64_t writer;	   /* key of its row, or of that of the connection before; 0: none */
	bool enlisted;	   /* it is of this connection */
	int64_t batch;	   /* the transaction that runs, or ran last */
	int64_t committed; /* the last one that is known to have been committed */
	int64_t found;	   /* the last one in the row of the connection before */
};

static inline struct postgres *postgres_of(struct db *db)
{
	return (struct postgres *)db;
}

extern const struct driver postgres_driver;
extern const struct copier postgres_copier; /* (postgres_copy.c) */

/* (postgres.c) Logs what went wrong with the link. ERR_STORE. */
enum err postgres_log(const struct postgres *postgres, const char *at);

#define LOCK_NOT_AVAILABLE "55P03"

/* (postgres_turn.c) Begins and ends what a transaction writes: waits for the turn; has what
 * others need to know on rows. */
enum err postgres_turn_take(struct postgres *postgres) MUST_CHECK;
enum err postgres_turn_end(struct postgres *postgres) MUST_CHECK;
/* Locks of a connection that writes: as a node that serves, or alone; and as this process,
 * which lives. */
enum err postgres_serve_lock(struct postgres *postgres) MUST_CHECK;
enum err postgres_process_lock(struct postgres *postgres) MUST_CHECK;

/* (postgres_schema.c) The schema of a database, 0: there is none yet, and the newest this
 * program knows. Applies what is lacking, in a transaction. ERR_STORE, logged, also for a
 * database that is newer. */
enum err postgres_schema_get(struct postgres *postgres, int *number_out) MUST_CHECK;
int postgres_schema_newest(void);
enum err postgres_schema_migrate(struct postgres *postgres) MUST_CHECK;

/* (postgres_restore.c) For the driver. */
enum err postgres_restore_sign(struct db *db, const struct restore_record *last,
			       const char **sign_out) MUST_CHECK;
enum err postgres_restore_place(struct db *db) MUST_CHECK;
enum err postgres_devices_jump(struct db *db, int64_t now_ms) MUST_CHECK;

/* (postgres_news.c) For the backend. */
enum err postgres_news_start(struct store *store, struct db *writer,
			     struct hearing **hearing_out) MUST_CHECK;
void postgres_news_stop(struct hearing *hearing);
void postgres_news_free(struct hearing **hearing);

#endif
