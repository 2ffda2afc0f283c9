/* SPDX-License-Identifier: MIT
 *
 * A connection to a database, and what operations are made of. query.c has the queries; each
 * of the other files has the functions of some operations with their SQL beside them, which
 * is the same for every kind of database. driver.h says what a kind has to do.
 *
 * A query is a cached prepared statement: the text must be a string literal, for it is
 * found again by its address. Errors stick: binds and steps after one do nothing and
 * query_end() reports it, so code reads straight through.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include "backend.h"
#include "restore.h"
#include "restante/effects.h"
#include "restante/ops_federation.h"
#include "restante/ops_keys.h"
#include "restante/ops_messages.h"
#include "restante/ops_processes.h"

struct driver;
struct news;

struct db {
	const struct driver *driver;
	const struct store_config *config;
	enum store_lane lane;
	struct statement *statements; /* by address of the SQL */
	/* What the write lane remembers of committed state; forgotten when a transaction is
	 * rolled back. */
	struct mailbox_usage *usage; /* by generation: items, bytes, last seq */
	struct destination_entry
		*destinations; /* by domain: key, last position, items, bytes */
	struct known *known;   /* devices, recipients, consent (known.h) */
	int64_t batch;	       /* since the start (ahead.c) */
	bool outbox_counted;   /* the metric is right: no batch was rolled back since */
	struct usage *changed; /* of these, what has to be written to its row (usage.h) */
	int64_t next_seq;      /* 0: not loaded */
	int64_t reserved_seq;
	/* The device whose caller the running operation has checked; 0: none. */
	int64_t seen_generation;
	int64_t seen_ms;
	struct restore_watch watch;
	/* Several processes serve this database (PostgreSQL); else all of it is 0. As of the
	 * last turn. */
	int64_t process;   /* this one's key; 0: a command */
	int64_t processes; /* that serve */
	bool first;	   /* of them: does what is done once */
	int64_t turns; /* of others, so far: what is remembered from before is out of date */
	int64_t epoch; /* of what is known (known.h) */
	bool known_changed; /* in this batch: the epoch has to rise */
	struct news *news;  /* what the running transaction has to tell them; NULL: nothing */
	int64_t quiet_until_ms; /* a broken disk must not fill the log as well */
	int64_t errors_unlogged;
};

struct query {
	struct db *db;
	struct statement *statement;
	enum err err;
};

struct query query_begin(struct db *db, const char *sql);
void query_int(struct query *query, int index, int64_t value);	     /* indexes from 1 */
void query_text(struct query *query, int index, const char *text);   /* NULL: NULL */
void query_blob(struct query *query, int index, struct bytes bytes); /* data NULL: NULL */
void query_null(struct query *query, int index);
/* Bound bytes and text must live until query_end(). */

/* Steps to the next row; false at the end and on an error. */
bool query_row(struct query *query);
int64_t column_int(const struct query *query, int column); /* columns from 0; NULL: 0 */
bool column_is_null(const struct query *query, int column);
struct bytes column_bytes(const struct query *query, int column); /* until the next row */
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
int64_t query_changes(struct db *db); /* rows of the last statement */

/* --- shared by operations ------------------------------------------------------------ */

/* A caller's device, or ERR_UNAUTHORIZED. Takes device_id and user from the row. */
struct db_caller {
	int64_t account_key;
	int64_t generation;
	uint8_t device_id;
	bool receipts; /* the account sends them */
	char user[USER_SIZE];
	int64_t list_version;
};
enum err db_caller_get(struct db *db, const struct caller *caller,
		       struct db_caller *caller_out) MUST_CHECK;

struct db_account {
	int64_t account_key;
	int64_t list_version;
	enum strangers strangers;
	bool receipts;
};
/* ERR_NOT_FOUND: no such account, or deleted. (accounts.c) */
enum err db_account_find(struct db *db, const char *user,
			 struct db_account *account_out) MUST_CHECK;

/* Is there still a device of this generation? (sessions.c) */
enum err db_device_exists(struct db *db, int64_t generation, bool *exists_out) MUST_CHECK;

/* (consent.c) What the account has said about an address; itself it has accepted. */
enum err db_consent_get_state(struct db *db, int64_t account_key, const char *address,
			      enum consent_state *state_out) MUST_CHECK;

/* (consent.c) May `address` reach this account? ERR_OK or ERR_UNAVAILABLE; state_out
 * is what the account has said about it: itself it has accepted. */
enum err db_consent_check(struct db *db, const struct db_account *account, const char *address,
			  enum consent_state *state_out) MUST_CHECK;

/* May the account ?1 have an entry about the address ?2? So much it may have by its own doing;
 * requests come on top. */
#define CONSENT_ROOM                                                                           \
	"(EXISTS (SELECT 1 FROM consent WHERE account_key = ?1 AND address = ?2) OR"           \
	" (SELECT count(*) FROM (SELECT 1 FROM consent WHERE account_key = ?1 LIMIT 10000)"    \
	" AS entries) < 10000)"

/* (lists.c) Devices of an account in order of id, without prekeys; with generations. */
struct db_devices {
	struct device_keys *devices;
	int64_t *generations;
	size_t count;
};
enum err db_devices_load(struct db *db, int64_t account_key, struct arena *arena,
			 struct db_devices *devices_out) MUST_CHECK;

/* (lists.c) The list of an account has changed: raises its version and adds effects:
 * hints for its own devices and for accounts that have accepted it, devices_changed items
 * for subscribed domains. */
enum err db_list_changed(struct db *db, int64_t account_key, const char *user,
			 struct store_op *op, struct effects *effects,
			 int64_t *list_version_out) MUST_CHECK;

/* (mailbox.c) Appends an item and its delivery effect. ERR_OVER_QUOTA: no room, and
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
enum err db_mailbox_put(struct db *db, struct store_op *op, struct effects *effects,
			const struct mailbox_put *put) MUST_CHECK;

/* (mailbox.c) Forgets a device's mailbox and its usage. */
enum err db_mailbox_drop(struct db *db, int64_t generation) MUST_CHECK;

/* (mailbox.c) The numbers of items go on behind those of others. */
void db_mailbox_seqs_leave(struct db *db);

/* (outbox.c) Appends an item for a domain and its outbound effect. ERR_OVER_QUOTA
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
enum err db_outbox_put(struct db *db, struct store_op *op, struct effects *effects,
		       const struct outbox_put *put, int64_t *position_out) MUST_CHECK;

/* (news.c) What other processes have to hear of the running transaction: collected, then told
 * when it is about to be committed. */
void db_news_add(struct db *db, const struct effects *effects);
enum err db_news_tell(struct db *db) MUST_CHECK;

/* (processes.c) Has the device had another socket since? */
enum err db_socket_is_displaced(struct db *db, int64_t generation, int64_t socket_key,
				bool *displaced_out) MUST_CHECK;

/* (processes.c) This process begins to serve; `joins` others that do. ERR_STORE, logged, where
 * these are of another node. And one has ended: nothing is its any more; or it had before. */
enum err db_process_begin(struct db *db, bool *joins_out) MUST_CHECK;
enum err db_process_end(struct db *db, int64_t process, bool *ended_out) MUST_CHECK;

/* (known.c, outbox.c, mailbox.c, news.c) Drop what is remembered, after a rollback. */
void db_known_forget(struct db *db);
void db_mailbox_forget(struct db *db);
void db_outbox_forget(struct db *db);
void db_news_forget(struct db *db);

/* (ops.c) Does one operation; ERR_STORE: the database failed. */
enum err db_run(struct db *db, struct store_op *op) MUST_CHECK;
/* Drops what is remembered, after a rollback. */
void db_forget(struct db *db);

/* One function per operation. Returns its outcome, which goes into op->err (setting op->err
 * and returning ERR_OK is the same), or ERR_STORE when the database failed. The out members
 * are zero when it begins. An operation that is refused leaves nothing written: it checks
 * everything before its first write. Were it to break that rule it would be undone and end
 * as ERR_STORE. The one exception is SESSION_REFRESH, whose refusal ends sessions. */
typedef enum err db_op_fn(struct db *db, struct store_op *op);
#define OP(name) db_op_fn db_##name
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
OP(socket_open);
OP(socket_close);
OP(destinations_lease);
OP(process_bury);
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
