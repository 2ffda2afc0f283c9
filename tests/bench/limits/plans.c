/* SPDX-License-Identifier: MIT
 *
 * What operations on mailboxes and outboxes ask of the database of a node that is stopped: they
 * run on it as they do in a node, in a transaction that is not committed, and then the database
 * says how it does each of their statements. And housekeeping, which is committed.
 */
#include "limits.h"

#include "postgres.h"
#include "sqlite.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"

#include <stdio.h>
#include <string.h>

#define REMOTE	 "somebody@plans.test"
#define DOMAIN	 "plans.test"
#define QUEUE	 4 /* items that a queue holds: the third one is over the share of its sender */
#define MESSAGES 3

struct probe {
	struct store_config config;
	const struct backend *backend;
	struct backend_connection *connection;
	struct arena *arena;
	struct caller sender;
	struct caller recipient;
	uint16_t registration_id; /* of the recipient */
};

/* --- the store -------------------------------------------------------------------------- */

static struct probe probe_open(const char *data_dir, const char *url, const char *domain)
{
	struct probe probe = {
		.config = {.url = url,
			   .data_dir = data_dir,
			   .domain = domain,
			   .max_devices = 10,
			   .mailbox_items = QUEUE,
			   .mailbox_bytes = 1 << 20,
			   .mailbox_life_ms = 30 * DAYS_MS,
			   .outbox_items = QUEUE,
			   .outbox_bytes = 1 << 20,
			   .outbox_life_ms = 7 * DAYS_MS,
			   .must_exist = true},
		.arena = arena_create(),
	};

	probe.backend = backend_find(&probe.config);
	if (probe.backend == NULL ||
	    probe.backend->open(&probe.config, LANE_WRITE, &probe.connection) != ERR_OK ||
	    probe.backend->migrate(probe.connection) != ERR_OK ||
	    probe.backend->begin(probe.connection) != ERR_OK)
		fatal("no store");
	return probe;
}

static void probe_close(struct probe *probe)
{
	probe->backend->close(&probe->connection);
	arena_destroy(&probe->arena);
}

static void run(struct probe *probe, struct store_op *op, enum store_kind kind)
{
	op->kind = kind;
	op->arena = probe->arena;
	if (op->now_ms == 0)
		op->now_ms = clock_now_ms();
	if (probe->backend->run(probe->connection, op) != ERR_OK ||
	    (op->err != ERR_OK && op->err != ERR_OVER_QUOTA))
		fatal("operation %d: %s", (int)kind, err_code(op->err));
}
#define RUN(probe, kind, name) run((probe), &(name)->op, STORE_##kind)

/* --- operations ------------------------------------------------------------------------- */

static void caller_read(const struct query *query, struct caller *caller)
{
	caller->generation = column_int(query, 0);
	caller->device_id = (uint8_t)column_int(query, 1);
	column_text_to(query, 3, caller->user, sizeof caller->user);
	caller->issued_at_ms = clock_now_ms();
	caller->expires_at_ms = caller->issued_at_ms + MINUTES_MS;
}

/* Two accounts of this node, with one device each. */
static void callers_find(struct probe *probe)
{
	struct query query =
		query_begin(probe->backend->db(probe->connection),
			    "SELECT d.generation, d.device_id, d.registration_id, a.name"
			    " FROM device d JOIN account a ON a.account_key = d.account_key"
			    " ORDER BY d.generation LIMIT 2");

	if (query_row(&query))
		caller_read(&query, &probe->sender);
	if (query_row(&query)) {
		caller_read(&query, &probe->recipient);
		probe->registration_id = (uint16_t)column_int(&query, 2);
	}
	if (query_end(&query) != ERR_OK || probe->recipient.generation == 0)
		fatal("no two devices");
}

static void message_make(struct probe *probe, const char *to, struct message_request *message)
{
	*message = (struct message_request){.timestamp_ms = clock_now_ms(), .n_envelopes = 1};
	if (address_parse(bytes_of_text(to), &message->to) != ERR_OK)
		fatal("address");
	uuid7_create(message->timestamp_ms, message->id);
	uuid7_format(message->id, message->id_text);
	message->envelopes = arena_new(probe->arena, struct envelope);
	message->envelopes[0] = (struct envelope){.device_id = 1,
						  .registration_id = probe->registration_id,
						  .type = 3,
						  .content = bytes_of_text("c2VhbGVk")};
}

static const char *recipient_text(struct probe *probe)
{
	return arena_printf(probe->arena, "%s@%s", probe->recipient.user, probe->config.domain);
}

static void send_some(struct probe *probe, const char *to)
{
	for (int i = 0; i < MESSAGES; i++) {
		struct message_request message;
		struct op_send send = {
			.caller = probe->sender, .message = &message, .token = "token"};

		message_make(probe, to, &message);
		RUN(probe, SEND, &send);
	}
}

/* One item by its number, then all others. */
static void read_and_acknowledge(struct probe *probe)
{
	struct op_mailbox_read read = {
		.caller = probe->recipient, .limit = 100, .max_bytes = 1 << 20};
	struct ack_request request = {.n_seqs = 1};
	struct op_mailbox_ack ack = {.caller = probe->recipient, .ack = &request};

	RUN(probe, MAILBOX_READ, &read);
	request.seqs = &read.items[0].seq;
	RUN(probe, MAILBOX_ACK, &ack);
	request = (struct ack_request){.up_to = INT64_MAX};
	RUN(probe, MAILBOX_ACK, &ack);
}

/* The first item is refused, and the last one is too old at last. */
static void deliver(struct probe *probe)
{
	struct op_destinations_load load = {0};
	struct op_outbox_read read = {.domain = DOMAIN, .limit = 100, .max_bytes = 1 << 20};
	struct item_result result = {.code = RESULT_UNAVAILABLE};
	struct op_outbox_settle settle = {.domain = DOMAIN, .results = &result, .n_results = 1};
	struct op_outbox_expire expire = {.domain = DOMAIN, .limit = 100};

	RUN(probe, DESTINATIONS_LOAD, &load);
	RUN(probe, OUTBOX_READ, &read);
	result.seq = read.items[0].position;
	settle.up_to = result.seq;
	RUN(probe, OUTBOX_SETTLE, &settle);
	expire.op.now_ms = clock_now_ms() + 8 * DAYS_MS;
	RUN(probe, OUTBOX_EXPIRE, &expire);
}

/* Of another node. */
static void take(struct probe *probe)
{
	struct fed_item items[MESSAGES] = {0};
	struct transaction transaction = {.seq = 1, .items = items, .n_items = MESSAGES};
	struct op_transaction op = {.origin = DOMAIN, .transaction = &transaction};

	snprintf(transaction.stream, sizeof transaction.stream, "plans");
	for (size_t i = 0; i < MESSAGES; i++) {
		items[i] = (struct fed_item){.kind = FED_MESSAGE, .from_device = 1};
		message_make(probe, recipient_text(probe), &items[i].message);
		items[i].to = items[i].message.to;
		items[i].expires_at_ms = clock_now_ms() + DAYS_MS;
		items[i].token = "token";
		if (address_parse(bytes_of_text(REMOTE), &items[i].from) != ERR_OK)
			fatal("address");
	}
	RUN(probe, TRANSACTION, &op);
}

static int64_t expire(struct probe *probe, size_t limit)
{
	struct op_expire op = {.limit = limit};

	RUN(probe, EXPIRE, &op);
	return op.removed;
}

static void run_all(struct probe *probe)
{
	struct op_destination_remove idle = {0};
	struct op_account_delete delete = {.caller = probe->recipient};

	send_some(probe, recipient_text(probe));
	read_and_acknowledge(probe);
	send_some(probe, REMOTE);
	deliver(probe);
	take(probe);
	expire(probe, 100);
	RUN(probe, DESTINATION_REMOVE, &idle);
	RUN(probe, ACCOUNT_DELETE, &delete);
}

/* --- plans ------------------------------------------------------------------------------ */

static bool is_of_queues(const char *sql)
{
	return strstr(sql, "mailbox ") != NULL || strstr(sql, "outbox") != NULL;
}

static void sqlite_plan(sqlite3 *handle, const char *sql, struct arena *arena)
{
	sqlite3_stmt *plan;

	if (sqlite3_prepare_v2(handle, arena_printf(arena, "EXPLAIN QUERY PLAN %s", sql), -1,
			       &plan, NULL) != SQLITE_OK)
		fatal("%s: %s", sql, sqlite3_errmsg(handle));
	printf("%s\n", sql);
	while (sqlite3_step(plan) == SQLITE_ROW)
		printf("\t%s\n", (const char *)sqlite3_column_text(plan, 3));
	sqlite3_finalize(plan);
}

static void sqlite_plans(sqlite3 *handle, struct arena *arena)
{
	sqlite3_stmt *statement = NULL;

	while ((statement = sqlite3_next_stmt(handle, statement)) != NULL)
		if (is_of_queues(sqlite3_sql(statement)))
			sqlite_plan(handle, sqlite3_sql(statement), arena);
}

static PGresult *ask(PGconn *conn, const char *sql)
{
	PGresult *result = PQexec(conn, sql);

	if (PQresultStatus(result) != PGRES_TUPLES_OK &&
	    PQresultStatus(result) != PGRES_COMMAND_OK)
		fatal("%s: %s", sql, PQerrorMessage(conn));
	return result;
}

/* One for all values, as the server makes it when it has seen a few. */
static void postgres_plan(PGconn *conn, const char *call, const char *sql, struct arena *arena)
{
	PGresult *plan = ask(conn, arena_printf(arena, "EXPLAIN EXECUTE %s", call));

	printf("%s\n", sql);
	for (int i = 0; i < PQntuples(plan); i++)
		printf("\t%s\n", PQgetvalue(plan, i, 0));
	PQclear(plan);
}

static void postgres_plans(struct pg_link *link, struct arena *arena)
{
	PGresult *found;

	if (!pg_sync(link) || PQexitPipelineMode(link->conn) != 1)
		fatal("%s", link->error);
	PQclear(ask(link->conn, "SET plan_cache_mode = force_generic_plan"));
	found = ask(link->conn,
		    "SELECT name || coalesce('(' || nullif(concat_ws(',', VARIADIC array_fill("
		    "'NULL'::text, ARRAY[cardinality(parameter_types)])), '') || ')', ''),"
		    " statement FROM pg_prepared_statements");
	for (int i = 0; i < PQntuples(found); i++)
		if (is_of_queues(PQgetvalue(found, i, 1)))
			postgres_plan(link->conn, PQgetvalue(found, i, 0),
				      PQgetvalue(found, i, 1), arena);
	PQclear(found);
}

void limit_plans(const char *data_dir, const char *url, const char *domain)
{
	struct probe probe = probe_open(data_dir, url, domain);
	struct db *db = probe.backend->db(probe.connection);

	callers_find(&probe);
	run_all(&probe);
	if (db->driver == &sqlite_driver)
		sqlite_plans(sqlite_of(db)->handle, probe.arena);
	else
		postgres_plans(&postgres_of(db)->link, probe.arena);
	probe_close(&probe);
}

static void commit(struct probe *probe)
{
	if (probe->backend->commit(probe->connection) != COMMIT_DONE)
		fatal("not committed");
}

/* The first batch of a connection does more: it prepares, and counts outboxes. */
void limit_expire(const char *data_dir, const char *url, const char *domain, size_t limit)
{
	struct probe probe = probe_open(data_dir, url, domain);
	uint64_t began;
	int64_t removed;

	expire(&probe, limit);
	commit(&probe);
	began = wall_ns();
	if (probe.backend->begin(probe.connection) != ERR_OK)
		fatal("no transaction");
	removed = expire(&probe, limit);
	commit(&probe);
	printf("{\"rows\":%lld,\"ns\":%llu}\n", (long long)removed,
	       (unsigned long long)(wall_ns() - began));
	probe_close(&probe);
}
