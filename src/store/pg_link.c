/* SPDX-License-Identifier: MIT
 *
 * Sending and reading without ever blocking in libpq: a pipeline whose two ends both wait
 * for the other to read would stand still, so while anything is unsent the results that
 * come are taken too.
 */
#include "pg_link.h"

#include "restante/clock.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* A server that is silent for so long is gone; it ends its own statements before. */
#define ANSWER_MS 40000

static void fail(struct pg_link *link, const char *reason, const char *sqlstate)
{
	if (link->failed)
		return; /* the first reason counts */
	link->failed = true;
	snprintf(link->error, sizeof link->error, "%.*s", (int)strcspn(reason, "\n"), reason);
	snprintf(link->sqlstate, sizeof link->sqlstate, "%s", sqlstate != NULL ? sqlstate : "");
}

static bool is_alive(const struct pg_link *link)
{
	return link->conn != NULL && PQstatus(link->conn) == CONNECTION_OK;
}

static void lose(struct pg_link *link)
{
	fail(link, link->conn != NULL ? PQerrorMessage(link->conn) : "not connected", NULL);
	pg_disconnect(link);
}

/* --- connecting ----------------------------------------------------------------------- */

static void ignore_notice(void *context, const char *message)
{
	(void)context;
	(void)message;
}

/* What stands before the URL is for it to override. */
static PGconn *connect_to(const char *url)
{
	static const char *const names[] = {
		"connect_timeout",	"application_name",
		"target_session_attrs", "tcp_user_timeout",
		"keepalives_idle",	"keepalives_interval",
		"keepalives_count",	"dbname",
		"client_encoding",	NULL,
	};
	const char *const values[] = {
		"5", "restante", "read-write", "10000", "5", "5", "2", url, "UTF8", NULL,
	};

	return PQconnectdbParams(names, values, 1);
}

enum err pg_connect(struct pg_link *link, const char *url)
{
	*link = (struct pg_link){.conn = connect_to(url)};
	if (!is_alive(link) || PQsetnonblocking(link->conn, 1) != 0 ||
	    PQenterPipelineMode(link->conn) != 1) {
		lose(link);
		return ERR_STORE;
	}
	PQsetNoticeProcessor(link->conn, ignore_notice, NULL);
	return ERR_OK;
}

static void drop_copied(struct pg_link *link)
{
	if (link->copied != NULL)
		PQfreemem(link->copied);
	link->copied = NULL;
}

void pg_disconnect(struct pg_link *link)
{
	drop_copied(link);
	if (link->conn != NULL)
		PQfinish(link->conn);
	link->conn = NULL;
	link->unread = 0;
}

/* --- reading -------------------------------------------------------------------------- */

/* Sends what can be sent and takes what has come. False: the connection is lost. */
static bool turn(struct pg_link *link, int timeout_ms)
{
	int unsent = PQflush(link->conn);
	struct pollfd fd = {.fd = PQsocket(link->conn),
			    .events = (short)(unsent > 0 ? POLLIN | POLLOUT : POLLIN)};

	if (unsent < 0)
		return false;
	if (poll(&fd, 1, timeout_ms) <= 0)
		return timeout_ms == 0;
	return PQconsumeInput(link->conn) == 1;
}

static bool wait_for_result(struct pg_link *link)
{
	int64_t deadline = clock_monotonic_ms() + ANSWER_MS;

	while (PQflush(link->conn) > 0 || PQisBusy(link->conn)) {
		int64_t left = deadline - clock_monotonic_ms();

		if (left <= 0 || !turn(link, (int)left))
			return false;
	}
	return true;
}

static void check_result(struct pg_link *link, const PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_PIPELINE_SYNC:
	case PGRES_COPY_IN:
	case PGRES_COPY_OUT:
		return;
	default:
		fail(link, PQresultErrorMessage(result),
		     PQresultErrorField(result, PG_DIAG_SQLSTATE));
	}
}

/* The result of the oldest statement that has not been read; NULL: the connection is lost. */
static PGresult *read_one(struct pg_link *link)
{
	PGresult *result = NULL;

	if (is_alive(link) && wait_for_result(link))
		result = PQgetResult(link->conn);
	if (result == NULL) {
		lose(link);
		return NULL;
	}
	link->unread--;
	check_result(link, result);
	if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
		return result; /* nothing ends it */
	link->changes = atoll(PQcmdTuples(result));
	snprintf(link->tag, sizeof link->tag, "%s", PQcmdStatus(result));
	if (wait_for_result(link) && PQgetResult(link->conn) == NULL)
		return result;
	PQclear(result);
	lose(link);
	return NULL;
}

static bool read_up_to(struct pg_link *link, size_t left)
{
	while (link->unread > left) {
		PGresult *result = read_one(link);

		if (result == NULL)
			return false;
		PQclear(result);
	}
	return !link->failed;
}

int64_t pg_changes(struct pg_link *link)
{
	if (link->unread > 0 && PQsendFlushRequest(link->conn) != 1)
		lose(link);
	return read_up_to(link, 0) ? link->changes : 0;
}

/* --- sending -------------------------------------------------------------------------- */

static bool may_send(struct pg_link *link)
{
	if (!link->failed && !is_alive(link))
		lose(link);
	return !link->failed;
}

static void sent(struct pg_link *link, int accepted)
{
	if (accepted == 1)
		link->unread++;
	else
		lose(link);
}

void pg_prepare(struct pg_link *link, const char *name, const char *sql, int count,
		const Oid *types)
{
	if (may_send(link))
		sent(link, PQsendPrepare(link->conn, name, sql, count, types));
}

void pg_send(struct pg_link *link, const struct pg_call *call)
{
	if (may_send(link))
		sent(link, PQsendQueryPrepared(link->conn, call->name, call->count,
					       call->values, call->lengths, call->formats, 1));
}

void pg_send_text(struct pg_link *link, const char *sql)
{
	if (may_send(link))
		sent(link, PQsendQueryParams(link->conn, sql, 0, NULL, NULL, NULL, NULL, 1));
}

PGresult *pg_ask(struct pg_link *link, const struct pg_call *call)
{
	PGresult *result;

	pg_send(link, call);
	if (link->failed)
		return NULL;
	if (PQsendFlushRequest(link->conn) != 1) {
		lose(link);
		return NULL;
	}
	if (!read_up_to(link, 1))
		return NULL;
	result = read_one(link);
	if (result == NULL || !link->failed)
		return result;
	PQclear(result);
	return NULL;
}

/* Also after a failure, for that is what ends it: what was sent behind the failure comes
 * back as aborted. */
bool pg_sync(struct pg_link *link)
{
	if (!is_alive(link) || PQpipelineSync(link->conn) != 1) {
		lose(link);
		return false;
	}
	link->unread++;
	while (link->unread > 0) {
		PGresult *result = read_one(link);

		if (result == NULL)
			return false;
		PQclear(result);
	}
	return !link->failed;
}

static bool leave_pipeline(struct pg_link *link)
{
	if (link->failed)
		return false;
	(void)pg_sync(link);
	if (link->failed || PQexitPipelineMode(link->conn) != 1) {
		lose(link);
		return false;
	}
	return true;
}

static void enter_pipeline(struct pg_link *link)
{
	if (!is_alive(link) || PQenterPipelineMode(link->conn) != 1)
		lose(link);
}

static void execute(struct pg_link *link, const char *sql)
{
	PGresult *result = PQexec(link->conn, sql);

	check_result(link, result);
	link->copies_in = PQresultStatus(result) == PGRES_COPY_IN;
	PQclear(result);
}

bool pg_script(struct pg_link *link, const char *sql)
{
	if (!leave_pipeline(link))
		return false;
	execute(link, sql);
	enter_pipeline(link);
	return !link->failed;
}

/* --- COPY ------------------------------------------------------------------------------- */

/* Blocking, or what the server does not take yet would pile up here. */
bool pg_copy_begin(struct pg_link *link, const char *sql)
{
	if (!leave_pipeline(link))
		return false;
	if (PQsetnonblocking(link->conn, 0) == 0)
		execute(link, sql);
	else
		lose(link);
	return !link->failed;
}

bool pg_copy_put(struct pg_link *link, struct bytes data)
{
	if (!link->failed &&
	    PQputCopyData(link->conn, (const char *)data.data, (int)data.len) != 1)
		lose(link);
	return !link->failed;
}

/* What comes behind the data, also a failure, is for pg_copy_end(). */
bool pg_copy_get(struct pg_link *link, struct bytes *data_out)
{
	int len;

	drop_copied(link);
	if (link->failed)
		return false;
	len = PQgetCopyData(link->conn, &link->copied, 0);
	*data_out = bytes_of(link->copied, len > 0 ? (size_t)len : 0);
	return len > 0;
}

bool pg_copy_end(struct pg_link *link)
{
	PGresult *result;

	drop_copied(link);
	if (link->conn != NULL && link->copies_in && PQputCopyEnd(link->conn, NULL) != 1)
		lose(link);
	while (link->conn != NULL && (result = PQgetResult(link->conn)) != NULL) {
		check_result(link, result);
		PQclear(result);
	}
	if (link->conn == NULL || PQsetnonblocking(link->conn, 1) != 0)
		lose(link);
	enter_pipeline(link);
	return !link->failed;
}

void pg_clear(struct pg_link *link)
{
	link->failed = false;
	link->error[0] = '\0';
	link->sqlstate[0] = '\0';
}
