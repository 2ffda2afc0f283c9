/* SPDX-License-Identifier: MIT
 *
 * What a database has to do for the store. A connection belongs to one lane. run() does
 * one operation inside the transaction that begin() opened, from zeroed out members, and
 * sets op->err; it returns ERR_STORE when the database itself failed, after which the
 * batch is rolled back and replayed one by one.
 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include "restante/store.h"

struct backend_connection;

struct backend {
	const char *name;
	enum err (*open)(const struct store_config *config, enum store_lane lane,
			 struct backend_connection **connection_out);
	void (*close)(struct backend_connection **connection);
	enum err (*migrate)(struct backend_connection *connection);
	enum err (*check)(const struct store_config *config, struct text *problems);
	enum err (*begin)(struct backend_connection *connection);
	enum err (*commit)(struct backend_connection *connection);
	void (*rollback)(struct backend_connection *connection);
	enum err (*run)(struct backend_connection *connection, struct store_op *op);
	/* Write lane of a node, in a transaction: before anything else, and after it. The first
	 * looks whether the database was restored from a backup. */
	enum err (*serve)(struct backend_connection *connection);
	enum err (*rest)(struct backend_connection *connection);
	/* Write lane: a batch has been given back; upkeep that nobody should wait for. */
	void (*idle)(struct backend_connection *connection);
};

extern const struct backend sqlite_backend;

#endif
