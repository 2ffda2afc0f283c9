/* SPDX-License-Identifier: MIT
 *
 * How full a mailbox or an outbox is, and its last number. The write lane remembers that of
 * each one that it has touched. Where several processes serve the database it is on rows too:
 * they are written at the end of a batch, and what is remembered from before the turn of
 * another process is loaded again. A process that is alone removes such rows instead. On the
 * write lane.
 */
#ifndef STORE_USAGE_H
#define STORE_USAGE_H

#include "share.h"

enum usage_queue { USAGE_MAILBOX = 1, USAGE_OUTBOX = 2 }; /* stored: never change them */

/* Begins as zero but for queue and key, ends with usage_forget(). */
struct usage {
	enum usage_queue queue;
	int64_t key; /* generation, or that of the destination */
	int64_t items;
	int64_t bytes;
	int64_t last;	      /* number given out */
	struct shares shares; /* of origins in a mailbox, of accounts in an outbox */
	int64_t turns;	      /* as db->turns was when it was loaded */
	bool on_row;	      /* has one */
	bool changed;	      /* its row is to be written: it is in this list of db->changed */
	struct usage *prev, *next;
};

/* Has no other process had a turn since? */
bool usage_is_fresh(const struct db *db, const struct usage *usage);
/* From its row or, where there is none, by counting: the SQL gives items, bytes and last number
 * of the queue ?1. */
enum err usage_load(struct db *db, struct usage *usage, const char *sql) MUST_CHECK;
/* Of a queue that is new: nothing. */
void usage_begin(const struct db *db, struct usage *usage);
/* So much has come, or gone. */
void usage_add(struct db *db, struct usage *usage, int64_t items, int64_t bytes);
/* The number that was given out last. */
void usage_number(struct db *db, struct usage *usage, int64_t last);
/* The same for one that is not remembered, or not fresh. */
enum err usage_add_to_row(struct db *db, enum usage_queue queue, int64_t key, int64_t items,
			  int64_t bytes) MUST_CHECK;
void usage_forget(struct db *db, struct usage *usage);
/* The queue is gone for good. */
enum err usage_remove_row(struct db *db, enum usage_queue queue, int64_t key) MUST_CHECK;

/* Has the rows of all that was changed be right. */
enum err usage_write(struct db *db) MUST_CHECK;
/* Rows were changed by other means: nothing that is remembered is fresh any more. */
enum err usage_renew(struct db *db) MUST_CHECK;

#endif
