/* SPDX-License-Identifier: MIT
 *
 * Sessions and what they are told. See live.h for the rule that makes this correct: an item
 * is pushed directly only to a session that has sent everything before it; all others find
 * it by reading their mailbox.
 */
#include "restante/live.h"

#include "restante/clock.h"
#include "restante/log.h"
#include "restante/metrics.h"
#include "restante/ops_messages.h"

#include <stdlib.h>
#include <uthash.h>

/* Room for items that are out begins with so many. */
#define LEAST_UNACKED  8
#define LEAST_DUE      8
/* A session that fell behind reads on when this many of its items are acknowledged. */
#define ROOM_TO_READ   (LIVE_UNACKED_MAX / 2)
#define READ_ITEMS_MAX 128
#define READ_BYTES_MAX ((size_t)1 << 20)
/* How often a session that waits for acknowledgements asks whether it has missed them. */
#define LOOK_EVERY_MS  (5 * SECONDS_MS)
/* A socket that holds more than this gets nothing more until it has drained. */
#define QUEUED_MAX     ((size_t)1 << 20)

struct live {
	struct live_config config;
	struct session *sessions; /* by generation */
	struct due *due;	  /* while telling */
};

/* Items for one session, which are sent once all has been told. */
struct due {
	struct due *next;
	struct session *session;
	struct mailbox_item *items; /* room for LEAST_DUE, or for the next power of two */
	size_t count;
	size_t bytes;
};

struct session {
	UT_hash_handle hh;
	struct live *live;
	struct caller caller;
	int64_t number;	    /* in the directory; 0: it came too late for that */
	int64_t socket_key; /* 0: there is no other process that could have one */
	void *socket;	    /* NULL once closed */
	int64_t cursor;	    /* last seq sent */
	int64_t *unacked; /* seqs that are out, ascending; room for them while there are any */
	size_t n_unacked;
	size_t unacked_room;
	int64_t look_ms; /* while it waits for them: when to look; 0: it does not wait */
	struct due *due; /* while telling, if it has any */
	bool level;	 /* everything in the mailbox up to now has been sent */
	bool reading;	 /* a read is in the store */
	bool missed;	 /* something arrived while it was */
	bool greeted;	 /* queue_empty has been said */
	bool sure; /* since it began, and since news may have been missed, a read has shown
		    * that its socket is the device's last one: of others it is told */
};

struct live *live_create(const struct live_config *config)
{
	struct live *live = calloc(1, sizeof(*live));

	if (live == NULL)
		fatal("out of memory");
	live->config = *config;
	return live;
}

void live_destroy(struct live **live)
{
	if (*live == NULL)
		return;
	free(*live);
	*live = NULL;
}

void live_stop(struct live *live)
{
	live->config.store = NULL;
}

static struct session *session_find(struct live *live, int64_t generation)
{
	struct session *session;

	HASH_FIND(hh, live->sessions, &generation, sizeof(generation), session);
	return session;
}

static void session_free(struct session *session)
{
	free(session->unacked);
	free(session);
}

/* --- sending ------------------------------------------------------------------------ */

static void session_send(struct session *session, const struct text *frame)
{
	session->live->config.send(session->socket, text_bytes(frame));
}

/* Sends items as frames, each with a run of one kind. */
static void session_send_items(struct session *session, struct arena *arena,
			       const struct mailbox_item *items, size_t count)
{
	while (count > 0) {
		size_t taken;

		session->live->config.send(session->socket,
					   items_frame_encode(arena, items, count, &taken));
		items += taken;
		count -= taken;
		metric_add(METRIC_envelopes_pushed_total, (int64_t)taken);
	}
}

static void session_make_room(struct session *session)
{
	size_t room = session->unacked_room > 0 ? 2 * session->unacked_room : LEAST_UNACKED;

	session->unacked = realloc(session->unacked, room * sizeof(*session->unacked));
	if (session->unacked == NULL)
		fatal("out of memory");
	session->unacked_room = room;
}

static void session_count(struct session *session, int64_t seq)
{
	if (session->n_unacked == session->unacked_room)
		session_make_room(session);
	session->unacked[session->n_unacked++] = seq;
	session->cursor = seq;
}

static void session_say_empty(struct session *session)
{
	static const char frame[] = "{\"type\":\"queue_empty\"}";

	if (session->greeted)
		return;
	session->greeted = true;
	session->live->config.send(session->socket, bytes_of_text(frame));
}

/* --- reading the mailbox ------------------------------------------------------------ */

static void session_pump(struct session *session);

static void mailbox_read(struct message *message)
{
	struct op_mailbox_read *op = (struct op_mailbox_read *)message;
	struct session *session = op->op.context;
	struct arena *arena = op->op.arena;

	session->reading = false;
	if (session->socket == NULL) {
		session_free(session);
	} else if (op->op.err == ERR_UNAUTHORIZED) {
		session->live->config.close(session->socket, CLOSE_UNAUTHORIZED,
					    "session ended");
	} else if (op->op.err == ERR_OK && op->displaced) {
		session->live->config.close(session->socket, CLOSE_DISPLACED,
					    "connected elsewhere");
	} else if (op->op.err == ERR_OK) {
		session->sure |= op->socket_key != 0 && !session->missed;
		session_send_items(session, arena, op->items, op->count);
		for (size_t i = 0; i < op->count; i++)
			session_count(session, op->items[i].seq);
		session->level = !op->more && !session->missed;
		if (session->level)
			session_say_empty(session);
		else
			session_pump(session);
	} /* else the next tick tries again */
	arena_destroy(&arena);
}

static void session_ask(struct session *session, void (*returned)(struct message *message),
			int64_t after, size_t limit)
{
	struct arena *arena;
	struct op_mailbox_read *op;

	if (session->live->config.store == NULL)
		return;
	arena = arena_create();
	op = arena_new(arena, struct op_mailbox_read);
	op->op.kind = STORE_MAILBOX_READ;
	op->op.arena = arena;
	op->op.now_ms = clock_now_ms();
	op->op.context = session;
	op->op.message.reply_to = session->live->config.inbox;
	op->op.message.returned = returned;
	op->caller = session->caller;
	op->socket_key = session->sure ? 0 : session->socket_key;
	op->after = after;
	op->limit = limit;
	op->max_bytes = READ_BYTES_MAX;
	session->reading = store_post(session->live->config.store, &op->op);
	if (!session->reading)
		arena_destroy(&arena);
}

static size_t session_room(const struct session *session)
{
	return LIVE_UNACKED_MAX - session->n_unacked;
}

/* Reads on, if there may be something to read and room to send it. */
static void session_pump(struct session *session)
{
	size_t room = session_room(session);

	if (session->level || session->reading || room < ROOM_TO_READ ||
	    session->live->config.queued(session->socket) > QUEUED_MAX)
		return;
	session->missed = false;
	session_ask(session, mailbox_read, session->cursor,
		    room < READ_ITEMS_MAX ? room : READ_ITEMS_MAX);
}

/* --- opening and closing ------------------------------------------------------------ */

static void session_refuse(struct session *session)
{
	session->live->config.close(session->socket, CLOSE_DISPLACED, "connected elsewhere");
}

static void session_displace(struct session *session)
{
	HASH_DEL(session->live->sessions, session);
	session_refuse(session);
}

/* What another thread has is displaced there, a little later. False: it has a later one. */
static bool session_enter(struct session *session)
{
	const struct live_config *config = &session->live->config;
	int64_t generation = session->caller.generation;
	void *former;

	session->number = directory_enter(config->directory, generation, session->socket_key,
					  config->holder, &former);
	if (former != NULL && former != config->holder)
		config->displaces(former, generation, session->number);
	return session->number > 0;
}

struct session *session_open(struct live *live, const struct caller *caller, int64_t socket_key,
			     void *socket)
{
	struct session *former = session_find(live, caller->generation);
	struct session *session = calloc(1, sizeof(*session));

	if (session == NULL)
		fatal("out of memory");
	session->live = live;
	session->caller = *caller;
	session->socket_key = socket_key;
	session->socket = socket;
	if (!session_enter(session)) {
		session_refuse(session);
		return session;
	}
	if (former != NULL)
		session_displace(former);
	HASH_ADD(hh, live->sessions, caller.generation, sizeof(caller->generation), session);
	session_pump(session);
	return session;
}

void live_displace(struct live *live, int64_t generation, int64_t number)
{
	struct session *session = session_find(live, generation);

	if (session != NULL && session->number < number)
		session_displace(session);
}

void session_close(struct session **session_p)
{
	struct session *session = *session_p;

	*session_p = NULL;
	directory_leave(session->live->config.directory, session->caller.generation,
			session->number);
	if (session_find(session->live, session->caller.generation) == session)
		HASH_DEL(session->live->sessions, session);
	session->socket = NULL;
	if (!session->reading)
		session_free(session);
}

const struct caller *session_caller(const struct session *session)
{
	return &session->caller;
}

int64_t session_socket_key(const struct session *session)
{
	return session->socket_key;
}

void session_renew(struct session *session, const struct caller *caller)
{
	session->caller = *caller;
}

/* --- acknowledgements --------------------------------------------------------------- */

static bool is_acked(const struct ack_request *ack, int64_t seq)
{
	if (ack->up_to > 0)
		return seq <= ack->up_to;
	for (size_t i = 0; i < ack->n_seqs; i++) {
		if (ack->seqs[i] == seq)
			return true;
	}
	return false;
}

static void session_acked(struct session *session, const struct ack_request *ack)
{
	size_t kept = 0;

	for (size_t i = 0; i < session->n_unacked; i++) {
		if (!is_acked(ack, session->unacked[i]))
			session->unacked[kept++] = session->unacked[i];
	}
	session->n_unacked = kept;
	if (kept == 0) {
		free(session->unacked);
		session->unacked = NULL;
		session->unacked_room = 0;
	}
	session_pump(session);
}

/* What is before the first item that is left in the mailbox has been acknowledged. */
static void mailbox_looked(struct message *message)
{
	struct op_mailbox_read *op = (struct op_mailbox_read *)message;
	struct session *session = op->op.context;
	struct arena *arena = op->op.arena;
	int64_t gone = op->count > 0 ? op->items[0].seq - 1 : session->cursor;

	session->reading = false;
	if (session->socket == NULL)
		session_free(session);
	else if (op->op.err == ERR_OK && !op->displaced)
		session_acked(session, &(struct ack_request){.up_to = gone});
	arena_destroy(&arena);
}

/* Of what is acknowledged by way of another process a session is not told, nor when there is
 * too much to tell. */
static void session_look(struct session *session, int64_t now_ms)
{
	if (session->level || session_room(session) >= ROOM_TO_READ) {
		session->look_ms = 0;
	} else if (session->look_ms == 0) {
		session->look_ms = now_ms + LOOK_EVERY_MS;
	} else if (session->look_ms <= now_ms && !session->reading) {
		session->look_ms = now_ms + LOOK_EVERY_MS;
		session_ask(session, mailbox_looked, session->unacked[0] - 1, 1);
	}
}

void session_drained(struct session *session)
{
	session_pump(session);
}

/* --- telling ------------------------------------------------------------------------ */

/* Everything for a device in one frame: its client can take it, and acknowledge it, at once. */
static struct due *session_due(struct session *session, struct arena *arena)
{
	struct live *live = session->live;

	if (session->due == NULL) {
		session->due = arena_new(arena, struct due);
		session->due->session = session;
		session->due->items = arena_array(arena, struct mailbox_item, LEAST_DUE);
		session->due->next = live->due;
		live->due = session->due;
	}
	return session->due;
}

static void due_add(struct due *due, struct arena *arena, const struct mailbox_item *item)
{
	bool is_power = (due->count & (due->count - 1)) == 0;
	struct mailbox_item *items = due->items;

	if (due->count >= LEAST_DUE && is_power) {
		due->items = arena_array(arena, struct mailbox_item, 2 * due->count);
		memcpy(due->items, items, due->count * sizeof(*items));
	}
	due->items[due->count++] = *item;
	due->bytes += item->body.len;
}

static void send_due(struct live *live, struct arena *arena)
{
	struct due *due = live->due;

	live->due = NULL;
	for (; due != NULL; due = due->next) {
		due->session->due = NULL;
		session_send_items(due->session, arena, due->items, due->count);
	}
}

static bool has_drained(const struct session *session)
{
	size_t queued = session->live->config.queued(session->socket);

	return queued + (session->due != NULL ? session->due->bytes : 0) <= QUEUED_MAX;
}

static void tell_ephemeral(struct session *session, struct arena *arena,
			   const struct mailbox_item *item)
{
	if (has_drained(session))
		due_add(session_due(session, arena), arena, item);
}

/* May an item go straight to the socket? */
static bool is_open(const struct session *session)
{
	return session->level && session->n_unacked < LIVE_UNACKED_MAX && has_drained(session);
}

static void session_fall_behind(struct session *session)
{
	session->level = false;
	session->missed = true;
	session_pump(session);
}

static void tell_delivery(struct live *live, struct arena *arena,
			  const struct delivery *delivery)
{
	struct session *session = session_find(live, delivery->generation);
	const struct mailbox_item *item = &delivery->item;

	if (session == NULL)
		return;
	if (item->seq == 0) {
		tell_ephemeral(session, arena, item);
	} else if (item->seq <= session->cursor) {
		return; /* a read has been faster */
	} else if (is_open(session) && delivery->previous <= session->cursor) {
		due_add(session_due(session, arena), arena, item);
		session_count(session, item->seq);
	} else {
		session_fall_behind(session);
	}
}

static void tell_acked(struct live *live, const struct acked *acked)
{
	struct session *session = session_find(live, acked->generation);

	if (session != NULL)
		session_acked(session, acked->request);
}

static void tell_hint(struct live *live, struct arena *arena, const struct list_hint *hint)
{
	struct session *session = session_find(live, hint->generation);
	struct text frame;

	if (session == NULL)
		return;
	text_init(&frame, arena, 128);
	text_puts(&frame, "{\"type\":\"devices_changed\",\"address\":");
	text_json_string(&frame, bytes_of_text(hint->address));
	text_printf(&frame, ",\"list_version\":%lld}", (long long)hint->list_version);
	session_send(session, &frame);
}

static void tell_low(struct live *live, struct arena *arena, const struct prekeys_low *low)
{
	struct session *session = session_find(live, low->generation);
	struct text frame;

	if (session == NULL)
		return;
	text_init(&frame, arena, 128);
	text_printf(&frame,
		    "{\"type\":\"prekeys_low\",\"one_time_prekeys\":%lld,\"pq_prekeys\":%lld}",
		    (long long)low->one_time, (long long)low->pq);
	session_send(session, &frame);
}

static void tell_end(struct live *live, const struct session_end *end)
{
	struct session *session = session_find(live, end->generation);

	if (session != NULL && (end->socket_key == 0 || end->socket_key == session->socket_key))
		live->config.close(session->socket, end->code,
				   end->code == CLOSE_DISPLACED ? "connected elsewhere"
								: "session ended");
}

void live_tell(struct live *live, const struct effects *effects)
{
	struct arena *arena = arena_create();

	for (const struct acked *a = effects->acked; a != NULL; a = a->next)
		tell_acked(live, a);
	for (const struct delivery *d = effects->deliveries; d != NULL; d = d->next)
		tell_delivery(live, arena, d);
	send_due(live, arena);
	for (const struct list_hint *h = effects->list_hints; h != NULL; h = h->next)
		tell_hint(live, arena, h);
	for (const struct prekeys_low *l = effects->low; l != NULL; l = l->next)
		tell_low(live, arena, l);
	for (const struct session_end *e = effects->ended; e != NULL; e = e->next)
		tell_end(live, e);
	if (effects->refresh)
		live_refresh(live);
	arena_destroy(&arena);
}

void live_refresh(struct live *live)
{
	struct session *session, *next;

	HASH_ITER(hh, live->sessions, session, next)
	{
		if (!directory_has(live->config.directory, session->caller.generation,
				   session->number)) {
			session_displace(session);
			continue;
		}
		session->sure = false;
		session_fall_behind(session);
	}
}

void live_tick(struct live *live, int64_t now_ms)
{
	struct session *session, *next;

	HASH_ITER(hh, live->sessions, session, next)
	{
		if (session->caller.expires_at_ms <= now_ms)
			live->config.close(session->socket, CLOSE_UNAUTHORIZED,
					   "token expired");
		else
			session_pump(session);
		session_look(session, now_ms);
	}
}
