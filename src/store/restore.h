/* SPDX-License-Identifier: MIT
 *
 * Noticing that a backup was put back, and what is done then. On the write lane.
 */
#ifndef STORE_RESTORE_H
#define STORE_RESTORE_H

#include "generation.h"

#include <stdbool.h>

struct db;

/* In struct db. */
struct restore_watch {
	struct generation generation; /* as the file beside the database has it */
	bool serving;		      /* a node does, in this process */
	int64_t due;	  /* generation that is committed, but not in the file yet; 0: none */
	int64_t alive_ms; /* last said in the database */
};

/* What the last run has said of itself in the database. */
struct restore_record {
	int64_t generation; /* 0: no run has */
	int64_t generation_written;
	int64_t alive_ms;
	int64_t marked;
};

/* A node is about to serve: looks for signs of a restore and does what one calls for, or joins
 * processes that serve the database already. In a transaction, as the next two: it will rest;
 * it is alive. */
enum err restore_serve(struct db *db, bool joins) MUST_CHECK;
enum err restore_rest(struct db *db) MUST_CHECK;
enum err restore_tick(struct db *db, int64_t now_ms) MUST_CHECK;
/* That transaction was committed, or rolled back. */
void restore_write(struct db *db);
void restore_forget(struct db *db);

/* `to` has become a copy of `from` (copy.c): it goes on where that one ended, which from now on
 * counts as older. The sign that `from` was restored holds for it too; NULL: there is none. In
 * a transaction on both. */
enum err restore_carry(struct db *from, struct db *to, const char **sign_out) MUST_CHECK;
/* In `meta` while a copy is not finished: what it is a copy of. Only copying opens it. */
#define META_UNFINISHED "copy_unfinished"
/* ERR_STORE, which is logged. In a transaction that reads. */
enum err restore_refuse_unfinished(struct db *db) MUST_CHECK;

/* Numbers that the database keeps about itself. One that is not there is left alone. */
enum err meta_get(struct db *db, const char *name, int64_t *value_out) MUST_CHECK;
enum err meta_put(struct db *db, const char *name, int64_t value) MUST_CHECK;

/* Generations of devices go on behind the time, or from where they are by so much. */
#define GENERATION_JUMP (INT64_C(1) << 20)

#endif
