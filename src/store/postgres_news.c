/* SPDX-License-Identifier: MIT
 *
 * Hearing what other processes tell, on a thread and a connection of its own. As long as this
 * connection stands, so does an advisory lock that says that this process lives; who has none
 * for a few looks in a row is buried. Whenever the connection has been lost something may have
 * been missed, so everybody is told to look for what there is.
 */
#include "news.h"
#include "postgres.h"

#include "restante/clock.h"
#include "restante/log.h"
#include "restante/thread.h"

#include <assert.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define uthash_fatal(reason) fatal("news: %s", reason)
#include <uthash.h>

#define LOOK_EVERY_MS (2 * SECONDS_MS)
#define LOOKS_DEAD    3
#define WAIT_FIRST_MS 100
#define WAIT_MOST_MS  (2 * SECONDS_MS)
/* More than this at once is not told one by one. */
#define PENDING_MAX   ((size_t)4 << 20)

/* Another process. */
struct other {
	int64_t process_key;
	unsigned missed; /* looks in a row at which it had no lock */
	bool seen;
	UT_hash_handle hh;
};

struct hearing {
	struct postgres postgres; /* its own connection */
	struct store *store;
	int64_t process;
	struct inbox *inbox; /* what comes back */
	int wake;	     /* eventfd */
	atomic_bool stopping;
	pthread_t thread;
	int64_t wait_ms;
	int64_t next_ms; /* monotonic: the next look, or try to connect */
	struct other *others;
	int processes;
	struct op_process_bury bury;
	bool burying;
	/* What has come, and is told at the end of a turn. */
	struct effects pending;
	struct arena *pending_arena;
	size_t pending_bytes;
	bool is_pending;
};

/* --- what has come ----------------------------------------------------------------------- */

static void drop_pending(struct hearing *hearing)
{
	arena_destroy(&hearing->pending_arena);
	hearing->pending_arena = arena_create();
	hearing->pending = (struct effects){0};
	hearing->pending_bytes = 0;
	hearing->is_pending = false;
}

static void look_everywhere(struct hearing *hearing)
{
	drop_pending(hearing);
	hearing->pending.refresh = true;
	hearing->pending.processes = hearing->processes;
	hearing->is_pending = true;
}

static void take(struct hearing *hearing, struct bytes payload)
{
	hearing->pending_bytes += payload.len;
	if (hearing->pending_bytes > PENDING_MAX) {
		look_everywhere(hearing);
		return;
	}
	if (news_read(hearing->pending_arena, payload, &hearing->pending) != ERR_OK)
		log_warn(store_error, "at=news reason=%s",
			 log_quote("a word that is not understood"));
	hearing->is_pending = true;
}

static void tell(struct hearing *hearing)
{
	const struct store_config *config = hearing->postgres.db.config;

	if (!hearing->is_pending)
		return;
	inbox_return_all(config->told(config->told_context, &hearing->pending));
	drop_pending(hearing);
}

/* --- the connection ---------------------------------------------------------------------- */

static void disconnect(struct hearing *hearing)
{
	pg_disconnect(&hearing->postgres.link);
	statements_free(&hearing->postgres.db);
}

/* Shared, for the server may not have noticed yet that the connection before has ended. */
static enum err lock(struct hearing *hearing)
{
	struct query query = query_begin(&hearing->postgres.db,
					 "SELECT pg_advisory_lock_shared("
					 "'process'::REGCLASS::OID::INTEGER, ?1::INTEGER)");

	query_int(&query, 1, hearing->process);
	return query_run(&query);
}

static enum err listen(struct hearing *hearing)
{
	struct query query =
		query_begin(&hearing->postgres.db, "SELECT 'LISTEN ' || news_channel(?1)");
	char sql[128] = "";
	enum err err;

	query_int(&query, 1, hearing->process);
	if (query_row(&query))
		column_text_to(&query, 0, sql, sizeof sql);
	err = query_end(&query);
	pg_send_text(&hearing->postgres.link, sql);
	return err;
}

static enum err set_up(struct hearing *hearing)
{
	struct pg_link *link = &hearing->postgres.link;
	enum err err;

	pg_send_text(link, "SET statement_timeout = '8s'");
	pg_send_text(link, "SET tcp_keepalives_idle = 5");
	pg_send_text(link, "SET tcp_keepalives_interval = 5");
	pg_send_text(link, "SET tcp_keepalives_count = 2");
	err = lock(hearing);
	if (err == ERR_OK)
		err = listen(hearing);
	return err == ERR_OK && pg_sync(link) ? ERR_OK : ERR_STORE;
}

static void forget_others(struct hearing *hearing)
{
	struct other *other, *next;

	HASH_ITER(hh, hearing->others, other, next)
	{
		HASH_DEL(hearing->others, other);
		free(other);
	}
}

static enum err connect_anew(struct hearing *hearing)
{
	struct postgres *postgres = &hearing->postgres;

	disconnect(hearing);
	if (pg_connect(&postgres->link, postgres->db.config->url) != ERR_OK ||
	    set_up(hearing) != ERR_OK) {
		postgres_log(postgres, "news");
		disconnect(hearing);
		return ERR_STORE;
	}
	forget_others(hearing);
	look_everywhere(hearing);
	return ERR_OK;
}

static void wait_longer(struct hearing *hearing)
{
	hearing->wait_ms = hearing->wait_ms == 0 ? WAIT_FIRST_MS : 2 * hearing->wait_ms;
	if (hearing->wait_ms > WAIT_MOST_MS)
		hearing->wait_ms = WAIT_MOST_MS;
	hearing->next_ms = clock_monotonic_ms() + hearing->wait_ms;
}

static void lose(struct hearing *hearing)
{
	log_error(store_error, "at=news reason=%s", log_quote("the connection was lost"));
	disconnect(hearing);
	hearing->wait_ms = 0;
	hearing->next_ms = clock_monotonic_ms();
}

/* --- who lives --------------------------------------------------------------------------- */

static void buried(struct message *message)
{
	struct hearing *hearing =
		(struct hearing *)(void *)((char *)message - offsetof(struct hearing, bury));

	hearing->burying = false;
	arena_destroy(&hearing->bury.op.arena);
}

/* Where it fails the next look tries again. */
static void bury(struct hearing *hearing, int64_t process)
{
	struct store_op *op = &hearing->bury.op;

	if (hearing->burying)
		return;
	log_warn(process, "what=gone process=%lld", (long long)process);
	hearing->bury = (struct op_process_bury){.process_key = process};
	op->kind = STORE_PROCESS_BURY;
	op->arena = arena_create();
	op->now_ms = clock_now_ms();
	op->message.reply_to = hearing->inbox;
	op->message.returned = buried;
	hearing->burying = store_post(hearing->store, op);
	if (!hearing->burying)
		arena_destroy(&op->arena);
}

static struct other *other_get(struct hearing *hearing, int64_t process)
{
	struct other *other;

	HASH_FIND(hh, hearing->others, &process, sizeof process, other);
	if (other != NULL)
		return other;
	other = calloc(1, sizeof *other);
	if (other == NULL)
		fatal("out of memory for a process");
	other->process_key = process;
	HASH_ADD(hh, hearing->others, process_key, sizeof other->process_key, other);
	return other;
}

static void look_at(struct hearing *hearing, int64_t process, bool lives)
{
	struct other *other = other_get(hearing, process);

	other->seen = true;
	other->missed = lives ? 0 : other->missed + 1;
	if (other->missed >= LOOKS_DEAD)
		bury(hearing, process);
}

static void drop_unseen(struct hearing *hearing)
{
	struct other *other, *next;

	HASH_ITER(hh, hearing->others, other, next)
	{
		if (!other->seen) {
			HASH_DEL(hearing->others, other);
			free(other);
		} else {
			other->seen = false;
		}
	}
}

static void count(struct hearing *hearing, int processes)
{
	if (processes == hearing->processes)
		return;
	log_info(process, "what=count processes=%d", processes);
	hearing->processes = processes;
	hearing->pending.processes = processes;
	hearing->is_pending = true;
}

/* One that others have buried must not go on as if it lived, nor one whose database has been
 * replaced beneath it. */
static enum err look(struct hearing *hearing)
{
	struct query query =
		query_begin(&hearing->postgres.db,
			    "SELECT p.process_key, EXISTS (SELECT 1 FROM pg_locks l"
			    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2"
			    " AND l.database = (SELECT oid FROM pg_database"
			    " WHERE datname = current_database())"
			    " AND l.classid IN ('process'::REGCLASS, 'writer'::REGCLASS)"
			    " AND l.objid = p.process_key::OID) FROM process p");
	bool own = false;
	int processes = 0;
	enum err err;

	while (query_row(&query)) {
		int64_t process = column_int(&query, 0);

		processes++;
		if (process == hearing->process)
			own = true;
		else
			look_at(hearing, process, column_int(&query, 1) != 0);
	}
	err = query_end(&query);
	if (err != ERR_OK || !pg_sync(&hearing->postgres.link))
		return ERR_STORE;
	if (!own)
		fatal("the database does not know this process any more: another one has "
		      "taken over, or a backup was put back");
	drop_unseen(hearing);
	count(hearing, processes);
	return ERR_OK;
}

/* --- the thread -------------------------------------------------------------------------- */

static bool is_connected(const struct hearing *hearing)
{
	return hearing->postgres.link.conn != NULL;
}

static void wake(void *context)
{
	struct hearing *hearing = context;
	uint64_t one = 1;

	(void)!write(hearing->wake, &one, sizeof one);
}

/* For news, for what comes back, or for the time of the next look. */
static void await(struct hearing *hearing)
{
	struct pollfd fds[2] = {{.fd = hearing->wake, .events = POLLIN},
				{.fd = -1, .events = POLLIN}};
	int64_t left = hearing->next_ms - clock_monotonic_ms();
	uint64_t times;

	if (is_connected(hearing))
		fds[1].fd = PQsocket(hearing->postgres.link.conn);
	(void)poll(fds, 2, left > 0 ? (int)left : 0);
	(void)!read(hearing->wake, &times, sizeof times);
}

static void hear(struct hearing *hearing)
{
	PGnotify *notify;

	if (pg_is_lost(&hearing->postgres.link)) {
		lose(hearing);
		return;
	}
	while ((notify = PQnotifies(hearing->postgres.link.conn)) != NULL) {
		take(hearing, bytes_of_text(notify->extra));
		PQfreemem(notify);
	}
}

static void try_to_connect(struct hearing *hearing)
{
	if (clock_monotonic_ms() < hearing->next_ms)
		return;
	if (connect_anew(hearing) == ERR_OK)
		hearing->next_ms = clock_monotonic_ms();
	else
		wait_longer(hearing);
}

static void look_if_due(struct hearing *hearing)
{
	if (clock_monotonic_ms() < hearing->next_ms)
		return;
	hearing->next_ms = clock_monotonic_ms() + LOOK_EVERY_MS;
	if (look(hearing) != ERR_OK)
		lose(hearing);
}

static void *hearing_main(void *context)
{
	struct hearing *hearing = context;

	while (!atomic_load(&hearing->stopping)) {
		await(hearing);
		inbox_dispatch(hearing->inbox, hearing);
		if (!is_connected(hearing))
			try_to_connect(hearing);
		if (is_connected(hearing))
			look_if_due(hearing);
		if (is_connected(hearing)) /* also what came with the look */
			hear(hearing);
		tell(hearing);
	}
	return NULL;
}

static void hearing_free(struct hearing *hearing)
{
	inbox_dispatch(hearing->inbox, hearing);
	assert(!hearing->burying);
	disconnect(hearing);
	forget_others(hearing);
	arena_destroy(&hearing->pending_arena);
	inbox_destroy(&hearing->inbox);
	close(hearing->wake);
	free(hearing);
}

enum err postgres_news_start(struct store *store, struct db *writer,
			     struct hearing **hearing_out)
{
	struct hearing *hearing = calloc(1, sizeof *hearing);

	if (hearing == NULL)
		fatal("out of memory for news");
	hearing->postgres.db.driver = &postgres_driver;
	hearing->postgres.db.config = writer->config;
	hearing->store = store;
	hearing->process = writer->process;
	hearing->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	hearing->inbox = inbox_create(1, wake, hearing);
	hearing->pending_arena = arena_create();
	if (hearing->wake < 0 || connect_anew(hearing) != ERR_OK) {
		hearing_free(hearing);
		return ERR_STORE;
	}
	thread_start(&hearing->thread, "store-news", hearing_main, hearing);
	*hearing_out = hearing;
	return ERR_OK;
}

void postgres_news_stop(struct hearing *hearing)
{
	atomic_store(&hearing->stopping, true);
	wake(hearing);
	pthread_join(hearing->thread, NULL);
}

void postgres_news_free(struct hearing **hearing)
{
	if (*hearing != NULL)
		hearing_free(*hearing);
	*hearing = NULL;
}
