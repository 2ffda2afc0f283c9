/* SPDX-License-Identifier: MIT
 *
 * Sending and reading without blocking in libpq: a pipeline whose two ends both wait for the
 * other to read would stand still, so while anything is unsent the results that come are
 * taken too. Only connecting, scripts and COPY block; they are outside of the pipeline.
 */
#include "pg_link.h"

#include "restante/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* A server that is silent for so long is gone; it ends its own statements before. */
#define ANSWER_MS 10000

/* Of the server only the first line: those below it may show what is in the database. */
static void fail(struct pg_link *link, const char *reason, const char *sqlstate)
{
	if (link->failed)
		return; /* the first reason counts */
	link->failed = true;
	snprintf(link->error, sizeof link->error, "%.*s", (int)strcspn(reason, "\n"), reason);
	snprintf(link->sqlstate, sizeof link->sqlstate, "%s", sqlstate != NULL ? sqlstate : "");
}

/* One line for each host that was tried. */
static void fail_to_connect(struct pg_link *link, const char *reason)
{
	size_t len;

	fail(link, "", NULL);
	snprintf(link->error, sizeof link->error, "%s", reason);
	for (len = strlen(link->error); len > 0 && link->error[len - 1] == '\n'; len--)
		link->error[len - 1] = '\0';
	for (char *c = link->error; *c != '\0'; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
}

static bool is_alive(const struct pg_link *link)
{
	return link->conn != NULL && PQstatus(link->conn) == CONNECTION_OK;
}

static void lose(struct pg_link *link)
{
	const char *reason = link->conn != NULL ? PQerrorMessage(link->conn) : "not connected";

	fail(link, link->silent ? "the server does not answer" : reason, NULL);
	pg_disconnect(link);
}

/* --- connecting ----------------------------------------------------------------------- */

/* A commit that waits for a standby can be told not to. It is then said to be done, with a
 * warning. All other notices are ignored. */
static void take_notice(void *context, const PGresult *notice)
{
	const char *function = PQresultErrorField(notice, PG_DIAG_SOURCE_FUNCTION);

	if (function != NULL && strcmp(function, "SyncRepWaitForLSN") == 0)
		((struct pg_link *)context)->unreplicated = true;
}

static bool is_clear(const PQconninfoOption *option)
{
	if (option->val == NULL)
		return true;
	if (strcmp(option->keyword, "port") == 0)
		return strspn(option->val, "0123456789,") == strlen(option->val);
	return (strncmp(option->keyword, "host", 4) != 0 &&
		strcmp(option->keyword, "dbname") != 0) ||
	       strchr(option->val, '@') == NULL;
}

/* libpq says what it does not understand, which may be a piece of the password. */
static bool is_sound(const char *url)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	bool sound = options != NULL;

	for (size_t i = 0; sound && options[i].keyword != NULL; i++)
		sound = is_clear(&options[i]);
	PQconninfoFree(options);
	return sound;
}

/* One that does not say so is no server itself, but a pool. */
static bool is_utf8(const PGconn *conn)
{
	const char *encoding = PQparameterStatus(conn, "server_encoding");

	return encoding == NULL || strcmp(encoding, "UTF8") == 0;
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
	*link = (struct pg_link){0};
	if (!is_sound(url)) {
		fail(link,
		     "store.url cannot be read; in a password write %40 for @, %2F for /, "
		     "%25 for %",
		     NULL);
		return ERR_STORE;
	}
	link->conn = connect_to(url);
	if (!is_alive(link))
		fail_to_connect(link, PQerrorMessage(link->conn));
	else if (!is_utf8(link->conn))
		fail(link, "the encoding of the database is not UTF8", NULL);
	else if (PQsetnonblocking(link->conn, 1) != 0 || PQenterPipelineMode(link->conn) != 1)
		fail(link, PQerrorMessage(link->conn), NULL);
	else
		PQsetNoticeReceiver(link->conn, take_notice, link);
	if (link->failed)
		pg_disconnect(link);
	return link->failed ? ERR_STORE : ERR_OK;
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

/* Nothing was asked, so what can be read is the end, perhaps after a word about it. */
bool pg_is_lost(struct pg_link *link)
{
	struct pollfd fd = {.events = POLLIN};

	if (link->conn == NULL)
		return true;
	fd.fd = PQsocket(link->conn);
	while (poll(&fd, 1, 0) > 0)
		if (PQconsumeInput(link->conn) != 1) {
			pg_disconnect(link);
			return true;
		}
	return false;
}

/* --- reading -------------------------------------------------------------------------- */

/* Sends what can be sent and takes what has come. False: the connection is lost. */
static bool turn(struct pg_link *link, int timeout_ms)
{
	int unsent = PQflush(link->conn);
	struct pollfd fd = {.fd = PQsocket(link->conn),
			    .events = (short)(unsent > 0 ? POLLIN | POLLOUT : POLLIN)};
	int ready;

	if (unsent < 0)
		return false;
	ready = poll(&fd, 1, timeout_ms);
	if (ready < 0)
		return errno == EINTR;
	link->silent = ready == 0;
	return ready > 0 && PQconsumeInput(link->conn) == 1;
}

static bool wait_for_result(struct pg_link *link)
{
	int64_t deadline = clock_monotonic_ms() + ANSWER_MS;

	while (PQflush(link->conn) > 0 || PQisBusy(link->conn)) {
		int64_t left = deadline - clock_monotonic_ms();

		if (!turn(link, link->patient ? -1 : left > 0 ? (int)left : 0))
			return false;
	}
	return true;
}

/* A server that stops says so at any place in the pipeline, also behind a commit that it has
 * done: what it says is no refusal, and the connection is as one that was cut. So is what libpq
 * itself has to say. */
static bool is_farewell(const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return PQresultStatus(result) == PGRES_FATAL_ERROR &&
	       (severity == NULL || strcmp(severity, "ERROR") != 0);
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
	if (is_farewell(result))
		pg_disconnect(link);
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
	if (link->conn != NULL && wait_for_result(link) && PQgetResult(link->conn) == NULL)
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
