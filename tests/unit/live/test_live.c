/* SPDX-License-Identifier: MIT
 *
 * Sessions: order, flow control and displacement. The store is this file: operations are
 * caught in store_post() and answered by hand.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/live.h"

#include "restante/clock.h"
#include "restante/ops_messages.h"

#include <stdio.h>
#include <stdlib.h>

#define SOCKETS 4

static struct op_mailbox_read *asked; /* the read that is in the store */
static bool store_is_full;
static struct {
	char sent[65536];
	uint16_t closed;
	size_t queued;
} sockets[SOCKETS];

bool store_post(struct store *store, struct store_op *op)
{
	(void)store;
	assert_int_equal(op->kind, STORE_MAILBOX_READ);
	if (store_is_full)
		return false;
	assert_null(asked);
	asked = (struct op_mailbox_read *)op;
	return true;
}

static void *socket_of(int i)
{
	return &sockets[i];
}

static int index_of(const void *socket)
{
	for (int i = 0; i < SOCKETS; i++) {
		if (socket == &sockets[i])
			return i;
	}
	return -1;
}

static void fake_send(void *socket, struct bytes text)
{
	char *sent = sockets[index_of(socket)].sent;
	size_t len = strlen(sent);

	snprintf(sent + len, sizeof(sockets[0].sent) - len, "%.*s\n", (int)text.len, text.data);
}

static size_t fake_queued(const void *socket)
{
	return sockets[index_of(socket)].queued;
}

static void fake_close(void *socket, uint16_t code, const char *reason)
{
	(void)reason;
	sockets[index_of(socket)].closed = code;
}

static struct directory *directory;
static int threads[2]; /* whose sessions are in it */
static struct {
	void *former;
	int64_t number;
} displaced;

static void fake_displaces(void *former, int64_t generation, int64_t number)
{
	assert_int_equal(generation, 7);
	displaced.former = former;
	displaced.number = number;
}

static struct live *start_thread(int thread)
{
	return live_create(
		&(struct live_config){.store = (struct store *)&sockets, /* never looked at */
				      .send = fake_send,
				      .queued = fake_queued,
				      .close = fake_close,
				      .directory = directory,
				      .holder = &threads[thread],
				      .displaces = fake_displaces});
}

static struct live *start(void **state)
{
	(void)state;
	directory_destroy(&directory);
	directory = directory_create();
	memset(&displaced, 0, sizeof(displaced));
	memset(sockets, 0, sizeof(sockets));
	asked = NULL;
	store_is_full = false;
	return start_thread(0);
}

static struct session *connect_socket(struct live *live, int socket, int64_t generation,
				      int64_t socket_key)
{
	struct caller caller = {.user = "bob",
				.device_id = 1,
				.generation = generation,
				.expires_at_ms = clock_now_ms() + 60000};

	return session_open(live, &caller, socket_key, socket_of(socket));
}

static struct session *connect_device(struct live *live, int socket, int64_t generation)
{
	return connect_socket(live, socket, generation, 0);
}

static void item_set(struct mailbox_item *item, int64_t seq)
{
	item->seq = seq;
	item->kind = ITEM_ENVELOPE;
	item->body = bytes_of_text("{\"kind\":\"envelope\"}");
}

/* The store answers with count items from seq on. */
static void answer(int64_t seq, size_t count, bool more)
{
	struct op_mailbox_read *op = asked;

	assert_non_null(op);
	asked = NULL;
	op->items = arena_array(op->op.arena, struct mailbox_item, count + 1);
	for (size_t i = 0; i < count; i++)
		item_set(&op->items[i], seq + (int64_t)i);
	op->count = count;
	op->more = more;
	op->op.message.returned(&op->op.message);
}

static void deliver_after(struct live *live, int64_t generation, int64_t previous, int64_t seq)
{
	struct delivery delivery = {.generation = generation, .previous = previous};

	item_set(&delivery.item, seq);
	live_tell(live, &(struct effects){.deliveries = &delivery});
}

static void deliver(struct live *live, int64_t generation, int64_t seq)
{
	deliver_after(live, generation, 0, seq);
}

static void acknowledge(struct live *live, int64_t generation,
			const struct ack_request *request)
{
	struct acked acked = {.generation = generation, .request = request};

	live_tell(live, &(struct effects){.acked = &acked});
}

static size_t count_of(int socket, const char *what)
{
	size_t n = 0;

	for (const char *at = sockets[socket].sent; (at = strstr(at, what)) != NULL; at++)
		n++;
	return n;
}

static void finish(struct live **live, struct session *session)
{
	session_close(&session);
	if (asked != NULL)
		answer(0, 0, false); /* comes back after the socket has gone */
	live_destroy(live);
}

static void what_waits_is_sent_then_queue_empty_once(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7);

	assert_int_equal(asked->after, 0);
	answer(1, 2, true);
	assert_int_equal(asked->after, 2);
	assert_null(strstr(sockets[0].sent, "queue_empty"));
	answer(3, 1, false);
	assert_int_equal(count_of(0, "\"seq\":"), 3);
	assert_int_equal(count_of(0, "queue_empty"), 1);
	finish(&live, session);
}

static void level_session_gets_new_items_without_reading(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7);

	answer(0, 0, false);
	deliver(live, 7, 5);
	deliver(live, 8, 6); /* another device */
	assert_null(asked);
	assert_int_equal(count_of(0, "\"seq\":5"), 1);
	assert_int_equal(count_of(0, "\"seq\":6"), 0);
	finish(&live, session);
}

/* One more than the room that there is at first, twice. */
#define TOLD 17

static void what_is_told_together_goes_in_one_frame(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7), *other = NULL;
	struct arena *arena = arena_create();
	struct effects effects = {0};

	answer(0, 0, false);
	other = connect_device(live, 1, 8);
	answer(0, 0, false);
	for (int64_t seq = 1; seq <= 2 * TOLD; seq++) {
		struct mailbox_item item;

		item_set(&item, seq);
		effects_deliver(&effects, arena, 7 + seq % 2, seq > 2 ? seq - 2 : 0, &item);
	}
	live_tell(live, &effects);
	arena_destroy(&arena);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(count_of(i, "\"type\":\"envelope\""), 1);
		assert_int_equal(count_of(i, "\"seq\":"), TOLD);
	}
	assert_true(strstr(sockets[0].sent, "\"seq\":2,") <
		    strstr(sockets[0].sent, "\"seq\":34,"));
	session_close(&other);
	finish(&live, session);
}

static void what_is_too_much_for_a_socket_at_once_is_read_later(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7);
	struct arena *arena = arena_create();
	struct effects effects = {0};
	static char body[600 << 10];

	memset(body, ' ', sizeof(body));
	memcpy(body, "{\"kind\":\"envelope\"}", 19);
	answer(0, 0, false);
	for (int64_t seq = 1; seq <= 3; seq++) {
		struct mailbox_item item = {.seq = seq, .kind = ITEM_ENVELOPE};

		item.body = bytes_of((const uint8_t *)body, sizeof(body));
		effects_deliver(&effects, arena, 7, seq - 1, &item);
	}
	live_tell(live, &effects);
	assert_int_equal(asked->after, 2);
	arena_destroy(&arena);
	finish(&live, session);
}

static void item_that_arrives_during_a_read_is_sent_once_and_in_order(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7);

	deliver(live, 7, 2);
	assert_int_equal(count_of(0, "\"seq\""), 0);
	answer(1, 2, false); /* it was fast enough to see both */
	assert_int_equal(asked->after, 2);
	answer(0, 0, false);
	deliver(live, 7, 3);
	assert_int_equal(count_of(0, "\"seq\":2"), 1);
	assert_true(strstr(sockets[0].sent, "\"seq\":2") <
		    strstr(sockets[0].sent, "\"seq\":3"));
	finish(&live, session);
}

static void item_whose_predecessor_was_not_told_is_read_with_it(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7);

	answer(9, 1, false);
	deliver_after(live, 7, 10, 11);
	assert_int_equal(asked->after, 9);
	answer(10, 2, false);
	deliver_after(live, 7, 9, 10); /* late, and read */
	assert_null(asked);
	assert_int_equal(count_of(0, "\"seq\":10"), 1);
	assert_int_equal(count_of(0, "\"seq\":11"), 1);
	deliver_after(live, 7, 11, 12);
	assert_null(asked);
	assert_int_equal(count_of(0, "\"seq\":12"), 1);
	finish(&live, session);
}

static void session_at_another_thread_is_displaced_there(void **state)
{
	struct live *here = start(state), *there = start_thread(1);
	struct session *first = connect_device(here, 0, 7), *second;
	int64_t before;

	answer(0, 0, false);
	second = connect_device(there, 1, 7);
	answer(0, 0, false);
	assert_ptr_equal(displaced.former, &threads[0]);
	before = displaced.number - 1;
	live_displace(there, 7, before); /* meant for one before */
	assert_int_equal(sockets[1].closed, 0);
	live_displace(here, 7, displaced.number);
	assert_int_equal(sockets[0].closed, CLOSE_DISPLACED);
	session_close(&first);
	assert_ptr_equal(directory_find(directory, 7), &threads[1]);
	finish(&there, second);
	live_destroy(&here);
	assert_null(directory_find(directory, 7));
}

/* Answers of the store come to two threads in any order. */
static void session_that_comes_after_a_later_socket_displaces_nobody(void **state)
{
	struct live *here = start(state), *there = start_thread(1);
	struct session *later = connect_socket(there, 1, 7, 22), *earlier;

	answer(0, 0, false);
	earlier = connect_socket(here, 0, 7, 21);
	assert_null(asked);
	assert_int_equal(sockets[0].closed, CLOSE_DISPLACED);
	assert_null(displaced.former);
	session_close(&earlier);
	assert_ptr_equal(directory_find(directory, 7), &threads[1]);
	assert_int_equal(sockets[1].closed, 0);
	finish(&there, later);
	live_destroy(&here);
}

static void after_a_gap_in_what_is_told_sessions_read_or_go(void **state)
{
	struct live *here = start(state), *there = start_thread(1);
	struct session *first = connect_device(here, 0, 7), *second;

	answer(0, 0, false);
	second = connect_device(there, 1, 7);
	answer(0, 0, false);
	live_refresh(here);
	assert_int_equal(sockets[0].closed, CLOSE_DISPLACED);
	assert_null(asked);
	live_refresh(there);
	assert_non_null(asked);
	assert_int_equal(sockets[1].closed, 0);
	finish(&there, second);
	session_close(&first);
	live_destroy(&here);
}

static void no_more_than_the_limit_is_unacknowledged(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7);
	int64_t seq = 1;

	while (asked != NULL) {
		size_t n = asked->limit;

		answer(seq, n, true);
		seq += (int64_t)n;
	}
	assert_int_equal(count_of(0, "\"seq\""), LIVE_UNACKED_MAX);
	deliver(live, 7, seq);
	assert_null(asked);
	assert_int_equal(count_of(0, "\"seq\""), LIVE_UNACKED_MAX);

	acknowledge(live, 7, &(struct ack_request){.up_to = 10});
	assert_null(asked); /* waits until a read is worth it */
	acknowledge(live, 7, &(struct ack_request){.up_to = LIVE_UNACKED_MAX});
	assert_int_equal(asked->after, LIVE_UNACKED_MAX);
	finish(&live, session);
}

/* By way of another process, say. */
static void acknowledgements_that_are_not_told_are_found_by_looking(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7);
	int64_t now_ms = clock_now_ms();

	answer(1, 128, true);
	answer(129, 128, true);
	live_tick(live, now_ms);
	assert_null(asked);
	live_tick(live, now_ms + 5000);
	assert_int_equal(asked->after, 0);
	assert_int_equal(asked->limit, 1);
	answer(1, 1, true); /* nothing is gone */
	assert_null(asked);
	live_tick(live, now_ms + 10000);
	answer(201, 1, true);
	assert_int_equal(asked->after, LIVE_UNACKED_MAX);
	assert_int_equal(count_of(0, "\"seq\""), LIVE_UNACKED_MAX);
	answer(257, 128, true);
	live_tick(live, now_ms + 10000);
	live_tick(live, now_ms + 15000);
	assert_int_equal(asked->after, 200);
	answer(0, 0, false); /* all are gone */
	assert_int_equal(asked->after, 384);
	finish(&live, session);
}

static void acknowledging_single_items_makes_room_too(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7);
	int64_t seqs[LIVE_UNACKED_MAX];

	answer(1, 128, true);
	answer(129, 128, true);
	for (int i = 0; i < LIVE_UNACKED_MAX; i++)
		seqs[i] = i + 1;
	acknowledge(live, 7, &(struct ack_request){.seqs = seqs, .n_seqs = LIVE_UNACKED_MAX});
	assert_non_null(asked);
	finish(&live, session);
}

static void second_socket_of_a_device_displaces_the_first(void **state)
{
	struct live *live = start(state);
	struct session *first = connect_device(live, 0, 7);
	struct session *second;

	answer(0, 0, false);
	second = connect_device(live, 1, 7);
	answer(0, 0, false);
	assert_int_equal(sockets[0].closed, CLOSE_DISPLACED);
	assert_int_equal(sockets[1].closed, 0);
	session_close(&first);
	deliver(live, 7, 1);
	assert_int_equal(count_of(0, "\"seq\""), 0);
	assert_int_equal(count_of(1, "\"seq\""), 1);
	finish(&live, second);
}

static void slow_socket_is_not_flooded_and_catches_up(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7);

	answer(0, 0, false);
	sockets[0].queued = (size_t)8 << 20;
	deliver(live, 7, 1);
	assert_null(asked);
	assert_int_equal(count_of(0, "\"seq\""), 0);
	sockets[0].queued = 0;
	session_drained(session);
	answer(1, 1, false);
	assert_int_equal(count_of(0, "\"seq\":1"), 1);
	finish(&live, session);
}

static void full_store_is_asked_again_at_the_next_tick(void **state)
{
	struct live *live = start(state);
	struct session *session;

	store_is_full = true;
	session = connect_device(live, 0, 7);
	assert_null(asked);
	store_is_full = false;
	live_tick(live, clock_now_ms());
	assert_non_null(asked);
	finish(&live, session);
}

static void ended_and_expired_sessions_are_closed(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7);
	struct session_end end = {.generation = 7, .code = CLOSE_REMOVED};

	answer(0, 0, false);
	live_tell(live, &(struct effects){.ended = &end});
	assert_int_equal(sockets[0].closed, CLOSE_REMOVED);
	live_tick(live, clock_now_ms() + 120000);
	assert_int_equal(sockets[0].closed, CLOSE_UNAUTHORIZED);
	finish(&live, session);
}

static void news_of_an_item_is_read_from_the_mailbox(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7);
	struct delivery news = {.generation = 7, .previous = INT64_MAX, .item = {.seq = 3}};

	answer(0, 0, false);
	live_tell(live, &(struct effects){.deliveries = &news});
	assert_int_equal(asked->after, 0);
	answer(3, 1, false);
	assert_int_equal(count_of(0, "\"seq\":3"), 1);
	finish(&live, session);
}

static void refresh_lets_every_session_look_into_its_mailbox(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7);

	answer(4, 1, false);
	assert_null(asked);
	live_tell(live, &(struct effects){.refresh = true});
	assert_int_equal(asked->after, 4);
	answer(5, 1, false);
	assert_int_equal(count_of(0, "\"seq\":5"), 1);
	finish(&live, session);
}

static void end_of_another_socket_of_the_device_is_not_that_of_this_one(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_socket(live, 0, 7, 22);
	struct session_end end = {.generation = 7, .socket_key = 21, .code = CLOSE_DISPLACED};

	live_tell(live, &(struct effects){.ended = &end});
	assert_int_equal(sockets[0].closed, 0);
	end.socket_key = 22;
	live_tell(live, &(struct effects){.ended = &end});
	assert_int_equal(sockets[0].closed, CLOSE_DISPLACED);
	finish(&live, session);
}

/* Whatever order it is told in, and also where it is never told. */
static void socket_asks_whether_it_is_still_the_last_at_first_and_at_a_refresh(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_socket(live, 0, 7, 22);

	assert_int_equal(asked->socket_key, 22);
	answer(1, 1, true);
	assert_int_equal(asked->socket_key, 0); /* of others it would have been told */
	answer(0, 0, false);
	live_tell(live, &(struct effects){.refresh = true});
	assert_int_equal(asked->socket_key, 22);
	asked->displaced = true;
	answer(0, 0, false);
	assert_int_equal(sockets[0].closed, CLOSE_DISPLACED);
	finish(&live, session);
}

static void read_that_fails_says_nothing_about_the_socket(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_socket(live, 0, 7, 22);

	asked->op.err = ERR_STORE;
	asked->displaced = true;
	answer(0, 0, false);
	assert_int_equal(sockets[0].closed, 0);
	live_tick(live, clock_now_ms());
	assert_int_equal(asked->socket_key, 22);
	finish(&live, session);
}

static void answer_from_before_a_refresh_says_nothing_about_the_socket(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_socket(live, 0, 7, 22);

	live_tell(live, &(struct effects){.refresh = true});
	answer(0, 0, false);
	assert_int_equal(asked->socket_key, 22);
	finish(&live, session);
}

static void socket_that_goes_during_a_read_is_forgotten_after_it(void **state)
{
	struct live *live = start(state);
	struct session *session = connect_device(live, 0, 7);

	finish(&live, session); /* the address sanitizer watches */
	assert_int_equal(count_of(0, "{"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_waits_is_sent_then_queue_empty_once),
		cmocka_unit_test(level_session_gets_new_items_without_reading),
		cmocka_unit_test(what_is_told_together_goes_in_one_frame),
		cmocka_unit_test(what_is_too_much_for_a_socket_at_once_is_read_later),
		cmocka_unit_test(item_that_arrives_during_a_read_is_sent_once_and_in_order),
		cmocka_unit_test(item_whose_predecessor_was_not_told_is_read_with_it),
		cmocka_unit_test(session_at_another_thread_is_displaced_there),
		cmocka_unit_test(session_that_comes_after_a_later_socket_displaces_nobody),
		cmocka_unit_test(after_a_gap_in_what_is_told_sessions_read_or_go),
		cmocka_unit_test(no_more_than_the_limit_is_unacknowledged),
		cmocka_unit_test(acknowledgements_that_are_not_told_are_found_by_looking),
		cmocka_unit_test(acknowledging_single_items_makes_room_too),
		cmocka_unit_test(second_socket_of_a_device_displaces_the_first),
		cmocka_unit_test(slow_socket_is_not_flooded_and_catches_up),
		cmocka_unit_test(full_store_is_asked_again_at_the_next_tick),
		cmocka_unit_test(ended_and_expired_sessions_are_closed),
		cmocka_unit_test(news_of_an_item_is_read_from_the_mailbox),
		cmocka_unit_test(refresh_lets_every_session_look_into_its_mailbox),
		cmocka_unit_test(end_of_another_socket_of_the_device_is_not_that_of_this_one),
		cmocka_unit_test(
			socket_asks_whether_it_is_still_the_last_at_first_and_at_a_refresh),
		cmocka_unit_test(read_that_fails_says_nothing_about_the_socket),
		cmocka_unit_test(answer_from_before_a_refresh_says_nothing_about_the_socket),
		cmocka_unit_test(socket_that_goes_during_a_read_is_forgotten_after_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
