/* SPDX-License-Identifier: MIT
 *
 * What each holder has of a mailbox or an outbox that is more than half full. On the write
 * lane.
 */
#ifndef STORE_SHARE_H
#define STORE_SHARE_H

#include "db.h"

/* Of one queue. Begins as zero, ends with db_shares_forget(). */
struct shares {
	struct share *held; /* by holder */
	bool counted;
	bool doubtful; /* others have put something in */
	int64_t counted_ms;
};

struct share_queue {
	const char *sql; /* literal; holder and bytes of each item in the queue ?1 */
	int64_t key;
	int64_t items, bytes; /* of all */
	int64_t items_max, bytes_max;
};

/* One more item for a holder: ERR_OVER_QUOTA where the queue would be more than half full,
 * and this holder have more than half of it. */
enum err db_share_take(struct db *db, struct shares *shares, const struct share_queue *queue,
		       int64_t holder, int64_t bytes, int64_t now_ms) MUST_CHECK;
void db_shares_forget(struct shares *shares);
/* Another process has put something into the queue: counted again, as soon as it may be. */
void db_shares_doubt(struct shares *shares);

#endif
