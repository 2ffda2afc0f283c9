/* SPDX-License-Identifier: MIT
 *
 * Carries all that a database has over to another one, of either kind, while no node serves
 * them. On the caller's thread; nothing else has a store open.
 */
#ifndef RESTANTE_STORE_COPY_H
#define RESTANTE_STORE_COPY_H

#include "restante/crypto.h"
#include "restante/store.h"

struct copy_sum {
	int64_t rows;
	int64_t bytes;		     /* of the rows in the form of copy.h */
	uint8_t digest[SHA256_SIZE]; /* of each row with the digest of those before it */
};

struct copy_result {
	const char *table;
	struct copy_sum from, to;
	bool same;
};

struct copy_progress {
	const char *table;
	bool comparing; /* else copying */
	int64_t table_rows, table_total;
	int64_t rows, total, bytes; /* of all tables, each read twice */
};

struct store_copy {
	struct store_config from, to;
	struct arena *arena;
	/* At the beginning of each table and now and then. */
	void (*progress)(void *context, const struct copy_progress *progress);
	void *context;
	/* Once everything has been compared: */
	const struct copy_result *results;
	size_t n_results;
	bool differs;
	const char *sign; /* that `from`, and so `to`, was restored from a backup; NULL: none */
};

/* `to` is empty or holds a copy that was not finished: store_open() refuses that. A copy is
 * finished when each table has the same rows on both sides. ERR_STORE, logged unless they
 * differ. */
enum err store_copy(struct store_copy *copy) MUST_CHECK;

#endif
