/* SPDX-License-Identifier: MIT
 *
 * The embedded store. sqlite.c has the connection and transactions, query.c the queries;
 * the sqlite_*.c files have one function per operation, with its SQL beside it.
 *
 * A query is a cached prepared statement: the text must be a string literal, for it is
 * found again by its address. Errors stick: binds and steps after one do nothing and
 * query_end() reports it, so code reads straight through.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "backend.h"
#include "generation.h"
#include "restante/effects.h"
#include "restante/ops_federation.h"
#include "restante/ops_keys.h"
#include "restante/ops_messages.h"

#include <sqlite3.h>

/* What tells whether the database was restored from a backup (sqlite_restore.c). */
struct sqlite_watch {
	struct generation generation;	     /* as the file beside the database has it */
	int64_t inode, birth_ns, changed_ns; /* of the database, as it was found */
	bool as_left;			     /* it is as the file says that it was left */
	bool serving;			     /* a node does, in this process */
	int64_t due;	  /* generation that is committed, but not in the file yet; 0: none */
	int64_t alive_ms; /* last said in the database */
};

struct sqlite {
	sqlite3 *db;
	const struct store_config *config;
	enum store_lane lane;
	struct statement *statements; /* by address of the SQL */
	/* What the write lane remembers of committed state; dropped by sqlite_forget()
	 * when a transaction is rolled back. */
	struct mailbox_usage *usage; /* by generation: items, bytes, last seq */
	struct destination_entry
		*destinations; /* by domain: key, last position, items, bytes */
	int64_t next_seq;      /* 0: not loaded */
	int64_t reserved_seq;
	/* The device whose caller the running operation has checked; 0: none. */
	int64_t seen_generation;
	int64_t seen_ms;
	int64_t wal_pages;	    /* in the log after the last commit */
	int64_t checkpointed_pages; /* of those, when last moved into the database */
	int64_t quiet_until_ms;	    /* a broken disk must not fill the log as well */
	int64_t errors_unlogged;
	struct sqlite_watch watch; /* write lane */
};

struct query {
	struct sqlite *sqlite;
	sqlite3_stmt *statement;
	enum err err;
};

struct query query_begin(struct sqlite *sqlite, const char *sql);
void query_int(struct query *query, int index, int64_t value);	     /* indexes from 1 */
void query_text(struct query *query, int index, const char *text);   /* NULL: NULL */
void query_blob(struct query *query, int index, struct bytes bytes); /* data NULL: NULL */
void query_null(struct query *query, int index);
/* Bound bytes and text must live until query_end(). */

/* Steps to the next row; false at the end and on an error. */
bool query_row(struct query *query);
int64_t column_int(const struct query *query, int column); /* columns from 0; NULL: 0 */
bool column_is_null(const struct query *query, int column);
struct bytes column_blob(const struct query *query, int column,
			 struct arena *arena); /* copied */
char *column_text(const struct query *query, int column,
		  struct arena *arena); /* copied; NULL: NULL */
void column_text_to(const struct query *query, int column, char *buffer,
		    size_t size); /* NULL: "" */

/* Makes the statement free for the next use. ERR_OK or ERR_STORE (logged). */
enum err query_end(struct query *query) MUST_CHECK;
/* For statements without rows: step and end. */
enum err query_run(struct query *query) MUST_CHECK;
int64_t query_changes(const struct sqlite *sqlite); /* rows of the last statement */

/* (migrate.c) The schema of a database, and the newest this program knows. */
enum err sqlite_schema_get(sqlite3 *db, int *number_out) MUST_CHECK;
int sqlite_schema_newest(void);
/* Applies what is lacking. ERR_STORE, logged, also for a database that is newer. */
enum err sqlite_schema_migrate(sqlite3 *db) MUST_CHECK;

/* (sqlite.c) Where the database is. */
void sqlite_path(const struct store_config *config, char *path, size_t size);

/* --- was the database restored from a backup? (sqlite_restore.c) ---------------------- */

/* Looks at the database before it is opened. */
enum err sqlite_watch_find(struct sqlite *sqlite) MUST_CHECK;
/* A node is about to serve: looks for signs of a restore and does what one calls for. In a
 * transaction, as the next two: it will rest; it is alive. */
enum err sqlite_watch_serve(struct sqlite *sqlite) MUST_CHECK;
enum err sqlite_watch_rest(struct sqlite *sqlite) MUST_CHECK;
enum err sqlite_watch_tick(struct sqlite *sqlite, int64_t now_ms) MUST_CHECK;
/* That transaction was committed, or rolled back. */
void sqlite_watch_write(struct sqlite *sqlite);
void sqlite_watch_forget(struct sqlite *sqlite);
/* The database was closed: remembers how it was left. */
void sqlite_watch_leave(struct sqlite *sqlite);

/* --- shared by operations ------------------------------------------------------------ */

/* A caller's device, or ERR_UNAUTHORIZED. Takes device_id and user from the row. */
struct sqlite_caller {
	int64_t account_key;
	int64_t generation;
	uint8_t device_id;
	char user[USER_SIZE];
	int64_t list_version;
};
enum err sqlite_caller_get(struct sqlite *sqlite, const struct caller *caller,
			   struct sqlite_caller *caller_out) MUST_CHECK;

struct sqlite_account {
	int64_t account_key;
	int64_t list_version;
	enum strangers strangers;
	bool receipts;
};
/* ERR_NOT_FOUND: no such account, or deleted. (sqlite_accounts.c) */
enum err sqlite_account_find(struct sqlite *sqlite, const char *user,
			     struct sqlite_account *account_out) MUST_CHECK;

/* (sqlite_consent.c) May `address` reach this account? ERR_OK or ERR_UNAVAILABLE; state_out
 * is what the account has said about it: itself it has accepted. */
enum err sqlite_consent_check(struct sqlite *sqlite, const struct sqlite_account *account,
			      const char *address, enum consent_state *state_out) MUST_CHECK;

/* (sqlite_keys.c) Devices of an account in order of id, without prekeys; with generations. */
struct sqlite_devices {
	struct device_keys *devices;
	int64_t *generations;
	size_t count;
};
enum err sqlite_devices_load(struct sqlite *sqlite, int64_t account_key, struct arena *arena,
			     struct sqlite_devices *devices_out) MUST_CHECK;

/* (sqlite_keys.c) The list of an account has changed: raises its version and adds effects:
 * hints for its own devices and for accounts that have accepted it, devices_changed items
 * for subscribed domains. */
enum err sqlite_list_changed(struct sqlite *sqlite, int64_t account_key, const char *user,
			     struct store_op *op, struct effects *effects,
			     int64_t *list_version_out) MUST_CHECK;

/* (sqlite_mailbox.c) Appends an item and its delivery effect. ERR_OVER_QUOTA: no room, and
 * nothing happened; receipts and results pass the limits. */
struct mailbox_put {
	int64_t generation;
	enum item_kind kind;
	int64_t expires_ms;
	struct bytes body;
	int64_t origin;		   /* hash of the other node's domain; 0: of this one */
	const uint8_t *message_id; /* these four for envelopes; else NULL and 0 */
	const char *sender;
	int64_t sender_generation;
	const char *token;
};
enum err sqlite_mailbox_put(struct sqlite *sqlite, struct store_op *op, struct effects *effects,
			    const struct mailbox_put *put) MUST_CHECK;

/* (sqlite_mailbox.c) Forgets a device's mailbox and its usage. */
enum err sqlite_mailbox_drop(struct sqlite *sqlite, int64_t generation) MUST_CHECK;

/* (sqlite_outbox.c) Appends an item for a domain and its outbound effect. ERR_OVER_QUOTA
 * for messages where the outbox is full, or the account has its share; other kinds pass. */
struct outbox_put {
	const char *domain;
	enum fed_kind kind;
	int64_t expires_ms;
	struct bytes body;
	const uint8_t *message_id; /* these four for messages: whom to tell how it ended */
	int64_t account_key;
	int64_t generation;
	const char *recipient;
};
enum err sqlite_outbox_put(struct sqlite *sqlite, struct store_op *op, struct effects *effects,
			   const struct outbox_put *put, int64_t *position_out) MUST_CHECK;

/* (sqlite_effects.c) previous: the item before in the same mailbox (effects.h). */
void effects_deliver(struct effects *effects, struct arena *arena, int64_t generation,
		     int64_t previous, const struct mailbox_item *item);
void effects_outbound(struct effects *effects, struct arena *arena, const char *domain,
		      int64_t position, struct bytes body);
void effects_end(struct effects *effects, struct arena *arena, int64_t generation,
		 uint16_t code);
void effects_hint(struct effects *effects, struct arena *arena, int64_t generation,
		  const char *address, int64_t list_version);
void effects_low(struct effects *effects, struct arena *arena, int64_t generation,
		 int64_t one_time, int64_t pq);

/* (sqlite_outbox.c, sqlite_mailbox.c) Drop what is remembered, after a rollback. */
void sqlite_mailbox_forget(struct sqlite *sqlite);
void sqlite_outbox_forget(struct sqlite *sqlite);

/* One function per operation. Returns its outcome, which goes into op->err (setting op->err
 * and returning ERR_OK is the same), or ERR_STORE when the database failed. The out members
 * are zero when it begins. An operation that is refused leaves nothing written: it checks
 * everything before its first write. Were it to break that rule it would be undone and end
 * as ERR_STORE. The one exception is SESSION_REFRESH, whose refusal ends sessions. */
typedef enum err sqlite_op_fn(struct sqlite *sqlite, struct store_op *op);
#define OP(name) sqlite_op_fn sqlite_##name
OP(register);
OP(invite_create);
OP(login_lookup);
OP(session_open);
OP(session_refresh);
OP(session_end);
OP(caller_check);
OP(password_set);
OP(account_get);
OP(account_patch);
OP(account_delete);
OP(devices_get);
OP(device_rename);
OP(device_remove);
OP(link_token_create);
OP(device_link);
OP(consent_get);
OP(consent_set);
OP(keys_put);
OP(keys_stats);
OP(claim);
OP(device_list);
OP(device_subscribe);
OP(remote_list_put);
OP(send);
OP(message_get);
OP(mailbox_read);
OP(mailbox_ack);
OP(expire);
OP(restore_mark);
OP(transaction);
OP(destinations_load);
OP(destination_put);
OP(destination_remove);
OP(outbox_read);
OP(outbox_settle);
OP(outbox_reset);
OP(outbox_expire);
OP(peer_load);
OP(peer_put);
OP(peer_order);
OP(peer_orders_read);
OP(peers_list);
#undef OP

#endif
