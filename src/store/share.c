/* SPDX-License-Identifier: MIT
 *
 * Shares: when a queue is more than half full, nobody may hold more than half of it, so
 * that one cannot shut out all others. Below that nothing is computed. Above it what each
 * holder has is counted once and then raised with every item; what is removed is not
 * followed, so these are upper bounds, and who seems to have too much is counted again
 * before being refused. On the write lane.
 */
#include "share.h"

#include "restante/clock.h"
#include "restante/log.h"

#include <stdlib.h>

#define uthash_fatal(reason) fatal("shares: %s", reason)
#include <uthash.h>

/* Counting takes a few milliseconds for so many items: that is done once a second at most. */
#define ITEMS_A_SECOND 10000

struct share {
	int64_t holder;
	int64_t items; /* at most */
	int64_t bytes;
	UT_hash_handle hh;
};

void db_shares_forget(struct shares *shares)
{
	struct share *share;
	struct share *next;

	HASH_ITER(hh, shares->held, share, next)
	{
		HASH_DEL(shares->held, share);
		free(share);
	}
	shares->counted = false;
	shares->doubtful = false;
}

void db_shares_doubt(struct shares *shares)
{
	shares->doubtful = shares->counted;
}

static struct share *share_get(struct shares *shares, int64_t holder)
{
	struct share *share;

	HASH_FIND(hh, shares->held, &holder, sizeof holder, share);
	if (share != NULL)
		return share;
	share = calloc(1, sizeof *share);
	if (share == NULL)
		fatal("out of memory for a share");
	share->holder = holder;
	HASH_ADD(hh, shares->held, holder, sizeof share->holder, share);
	return share;
}

static void share_raise(struct shares *shares, int64_t holder, int64_t bytes)
{
	struct share *share = share_get(shares, holder);

	share->items++;
	share->bytes += bytes;
}

static enum err shares_count(struct db *db, struct shares *shares,
			     const struct share_queue *queue, int64_t now_ms)
{
	struct query query = query_begin(db, queue->sql);

	db_shares_forget(shares);
	query_int(&query, 1, queue->key);
	while (query_row(&query))
		share_raise(shares, column_int(&query, 0), column_int(&query, 1));
	shares->counted = true;
	shares->counted_ms = now_ms;
	return query_end(&query);
}

/* Long enough ago to count again; or the clock was set back. */
static bool is_outdated(const struct shares *shares, const struct share_queue *queue,
			int64_t now_ms)
{
	int64_t wait_ms = SECONDS_MS * (1 + queue->items / ITEMS_A_SECOND);

	return now_ms < shares->counted_ms || now_ms - shares->counted_ms >= wait_ms;
}

/* Would one more item be within half of the queue, on top of so many? */
static bool is_within_half(const struct share_queue *queue, int64_t items, int64_t bytes,
			   int64_t more)
{
	return items + 1 <= (queue->items_max + 1) / 2 && bytes + more <= queue->bytes_max / 2;
}

static bool has_room(struct shares *shares, const struct share_queue *queue, int64_t holder,
		     int64_t bytes)
{
	const struct share *share = share_get(shares, holder);

	return is_within_half(queue, share->items, share->bytes, bytes);
}

enum err db_share_take(struct db *db, struct shares *shares, const struct share_queue *queue,
		       int64_t holder, int64_t bytes, int64_t now_ms)
{
	enum err err = ERR_OK;

	if (is_within_half(queue, queue->items, queue->bytes, bytes)) {
		db_shares_forget(shares);
		return ERR_OK;
	}
	if (!shares->counted)
		err = shares_count(db, shares, queue, now_ms);
	if (err == ERR_OK && (shares->doubtful || !has_room(shares, queue, holder, bytes)) &&
	    is_outdated(shares, queue, now_ms))
		err = shares_count(db, shares, queue, now_ms);
	if (err != ERR_OK)
		return err;
	if (!has_room(shares, queue, holder, bytes))
		return ERR_OVER_QUOTA;
	share_raise(shares, holder, bytes);
	return ERR_OK;
}
