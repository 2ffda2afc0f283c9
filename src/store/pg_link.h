/* SPDX-License-Identifier: MIT
 *
 * A connection to PostgreSQL in pipeline mode (libpq, chapter 34.5). Statements are sent as
 * they come and their results are read when somebody needs one, or at the end of the
 * transaction: what only writes costs no round trip of its own. Errors stick: after one,
 * statements are not sent until the transaction has been rolled back. On the thread of the
 * lane.
 */
#ifndef STORE_PG_LINK_H
#define STORE_PG_LINK_H

#include "restante/bytes.h"
#include "restante/err.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg_link {
	PGconn *conn;	   /* NULL: not connected */
	size_t unread;	   /* statements whose results nobody has read yet */
	int64_t changes;   /* rows that the statement that was read last has changed */
	char tag[32];	   /* what it answered: "COMMIT" */
	bool failed;	   /* within this transaction */
	bool unreplicated; /* a commit is on this server alone, for somebody ended its wait */
	bool patient;	   /* waits for as long as a statement takes */
	bool silent;	   /* was given up, for no answer came */
	char error[512];
	char sqlstate[6]; /* of the failure; "" where the connection itself failed */
	bool copies_in;	  /* a COPY that takes data */
	char *copied;	  /* the data that pg_copy_get() has given last */
};

/* One statement with its values in binary form. */
struct pg_call {
	const char *name; /* of the prepared statement */
	int count;
	const char *const *values;
	const int *lengths;
	const int *formats;
};

/* ERR_STORE; the reason is in link->error. */
enum err pg_connect(struct pg_link *link, const char *url) MUST_CHECK;
void pg_disconnect(struct pg_link *link);
/* Between transactions: is there no connection any more? */
bool pg_is_lost(struct pg_link *link);

void pg_prepare(struct pg_link *link, const char *name, const char *sql, int count,
		const Oid *types);
/* Nobody waits for it: a failure shows later. */
void pg_send(struct pg_link *link, const struct pg_call *call);
/* Waits for its result, and those before it. NULL: failed. */
PGresult *pg_ask(struct pg_link *link, const struct pg_call *call);
/* Rows that the statement that was sent last has changed. Waits for it. */
int64_t pg_changes(struct pg_link *link);
/* A statement without values, which is not prepared. */
void pg_send_text(struct pg_link *link, const char *sql);
/* The end of the pipeline: reads everything that was sent. True: none of it failed. */
bool pg_sync(struct pg_link *link);
/* Statements without values, one after the other; waits for them. */
bool pg_script(struct pg_link *link, const char *sql);
/* COPY, outside of the pipeline; these wait for as long as it takes. In between there is
 * nothing else on the link. pg_copy_get(): false at the end; the data live until the next call.
 */
bool pg_copy_begin(struct pg_link *link, const char *sql);
bool pg_copy_put(struct pg_link *link, struct bytes data);
bool pg_copy_get(struct pg_link *link, struct bytes *data_out);
bool pg_copy_end(struct pg_link *link);
/* After a rollback: the failure no longer counts. */
void pg_clear(struct pg_link *link);

#endif
