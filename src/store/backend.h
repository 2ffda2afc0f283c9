/* SPDX-License-Identifier: MIT
 *
 * What a database has to do for the store. A connection belongs to one lane. run() does
 * one operation inside the transaction that begin() opened, from zeroed out members, and
 * sets op->err; it returns ERR_STORE when the database itself failed, after which the
 * batch is rolled back and replayed one by one.
 *
 * A commit whose answer was lost may have happened. Until outcome() has found out, nothing
 * else begins: to do the batch again, or to say that it failed, could both be wrong.
 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include "restante/store.h"

struct backend_connection;
struct db;
struct hearing;

enum commit { COMMIT_DONE, COMMIT_FAILED, COMMIT_UNKNOWN };

struct backend {
	const char *name;
	bool shared; /* several processes may serve a database */
	enum err (*open)(const struct store_config *config, enum store_lane lane,
			 struct backend_connection **connection_out);
	void (*close)(struct backend_connection **connection);
	enum err (*migrate)(struct backend_connection *connection);
	enum err (*check)(const struct store_config *config, struct text *problems);
	enum err (*begin)(struct backend_connection *connection);
	enum commit (*commit)(struct backend_connection *connection);
	/* Of the commit that was unknown, and still is if the database is out of reach. NULL:
	 * there is no such commit. */
	enum commit (*outcome)(struct backend_connection *connection);
	void (*rollback)(struct backend_connection *connection);
	enum err (*run)(struct backend_connection *connection, struct store_op *op);
	/* Write lane of a node, in a transaction: before anything else, and after it. The first
	 * looks whether the database was restored from a backup. */
	enum err (*serve)(struct backend_connection *connection);
	enum err (*rest)(struct backend_connection *connection);
	/* Write lane: a batch has been given back; upkeep that nobody should wait for. */
	void (*idle)(struct backend_connection *connection);
	/* Where it is shared, and NULL elsewhere: hears what other processes tell, and tells it
	 * (store.h). Stopped while the lanes still run; freed when whatever it has posted has
	 * come back. */
	enum err (*news_start)(struct store *store, struct db *writer,
			       struct hearing **hearing_out);
	void (*news_stop)(struct hearing *hearing);
	void (*news_free)(struct hearing **hearing);
	/* For queries outside of operations. */
	struct db *(*db)(struct backend_connection *connection);
};

extern const struct backend sqlite_backend;
extern const struct backend postgres_backend;

/* (ops.c) What has to be told once this is committed; NULL: nothing. */
struct effects *op_effects(struct store_op *op);

/* (ahead.c) On the write lane, before the operations of a batch. */
enum err db_ask_ahead(struct db *db, const struct store_op *first) MUST_CHECK;

/* (store.c) The one that store.url names; NULL: it is not built in, which is logged. */
const struct backend *backend_find(const struct store_config *config);

#endif
