/* SPDX-License-Identifier: MIT
 *
 * Telling sessions, wherever they are. Two net threads, without servers: what is on its way is
 * dispatched by hand. There is no store, so only what needs no mailbox is told.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "node.h"

#include "restante/clock.h"

#include <stdio.h>

#define THREADS 2
#define DEVICE	7

static struct shared shared;
static struct node nodes[THREADS];
static struct socket {
	char sent[4096];
	uint16_t closed;
} sockets[THREADS];
static struct session *sessions[THREADS];

static void fake_send(void *socket, struct bytes text)
{
	struct socket *own = socket;
	size_t len = strlen(own->sent);

	snprintf(own->sent + len, sizeof(own->sent) - len, "%.*s\n", (int)text.len, text.data);
}

static size_t fake_queued(const void *socket)
{
	(void)socket;
	return 0;
}

static void fake_close(void *socket, uint16_t code, const char *reason)
{
	(void)reason;
	((struct socket *)socket)->closed = code;
}

static int start(void **state)
{
	(void)state;
	memset(&shared, 0, sizeof(shared));
	memset(nodes, 0, sizeof(nodes));
	memset(sockets, 0, sizeof(sockets));
	shared.directory = directory_create();
	shared.n_nodes = THREADS;
	for (size_t i = 0; i < THREADS; i++) {
		shared.nodes[i] = &nodes[i];
		nodes[i].shared = &shared;
		nodes[i].index = i;
		nodes[i].inbox = inbox_create(4, NULL, NULL);
		nodes[i].live = live_create(&(struct live_config){.inbox = nodes[i].inbox,
								  .send = fake_send,
								  .queued = fake_queued,
								  .close = fake_close,
								  .directory = shared.directory,
								  .holder = &nodes[i],
								  .displaces = node_displaces});
	}
	return 0;
}

static int stop(void **state)
{
	(void)state;
	for (size_t i = 0; i < THREADS; i++) {
		if (sessions[i] != NULL)
			session_close(&sessions[i]);
		live_destroy(&nodes[i].live);
		inbox_destroy(&nodes[i].inbox);
	}
	directory_destroy(&shared.directory);
	return 0;
}

static void connect_at(size_t i)
{
	struct caller caller = {.generation = DEVICE,
				.expires_at_ms = clock_now_ms() + MINUTES_MS};

	sessions[i] = session_open(nodes[i].live, &caller, 0, &sockets[i]);
}

/* As the store does: what is told goes back in one go. */
static void tell(const struct effects *effects)
{
	inbox_return_all(node_told(&shared, effects));
}

static size_t dispatch(size_t i)
{
	return inbox_dispatch(nodes[i].inbox, &nodes[i]);
}

static struct effects ephemeral(struct arena *arena)
{
	struct effects effects = {0};
	char body[] = "{\"kind\":\"envelope\",\"content\":\"hello\"}";
	struct mailbox_item item = {.kind = ITEM_ENVELOPE,
				    .body = arena_bytes(arena, bytes_of_text(body))};

	effects_deliver(&effects, arena, DEVICE, 0, &item);
	return effects;
}

static void a_session_is_told_by_its_thread(void **state)
{
	struct arena *arena = arena_create();
	struct effects effects = ephemeral(arena);

	(void)state;
	connect_at(1);
	effects_hint(&effects, arena, DEVICE, "bob@b.example", 5);
	effects_hint(&effects, arena, DEVICE, "bob@b.example", 6);
	effects_low(&effects, arena, DEVICE, 3, 4);
	effects_end(&effects, arena, DEVICE, 0, CLOSE_REMOVED);
	tell(&effects);
	arena_destroy(&arena); /* what is on its way does not need it */
	assert_string_equal(sockets[1].sent, "");
	assert_true(nodes[1].told_bytes >= 8192); /* an arena is on its way */
	assert_int_equal(dispatch(0), 0);
	assert_int_equal(dispatch(1), 1);
	assert_non_null(strstr(sockets[1].sent, "hello"));
	assert_non_null(strstr(sockets[1].sent, "\"list_version\":5"));
	assert_true(strstr(sockets[1].sent, "\"list_version\":5") <
		    strstr(sockets[1].sent, "\"list_version\":6"));
	assert_non_null(strstr(sockets[1].sent, "\"pq_prekeys\":4"));
	assert_int_equal(sockets[1].closed, CLOSE_REMOVED);
	assert_true(nodes[1].told_bytes == 0);
}

static void a_device_that_is_not_connected_wakes_nobody(void **state)
{
	struct arena *arena = arena_create();
	struct effects effects = ephemeral(arena);

	(void)state;
	assert_null(node_told(&shared, &effects));
	arena_destroy(&arena);
}

/* However many operations there were, a thread gets one message. */
static void a_batch_is_told_in_order(void **state)
{
	struct arena *arena = arena_create();
	struct effects first = ephemeral(arena), second = ephemeral(arena);

	(void)state;
	connect_at(1);
	second.deliveries->item.body =
		bytes_of_text("{\"kind\":\"envelope\",\"content\":\"again\"}");
	first.next = &second;
	tell(&first);
	arena_destroy(&arena);
	assert_int_equal(dispatch(1), 1);
	assert_non_null(strstr(sockets[1].sent, "hello"));
	assert_true(strstr(sockets[1].sent, "hello") < strstr(sockets[1].sent, "again"));
}

static void a_session_that_begins_elsewhere_displaces_the_first(void **state)
{
	(void)state;
	connect_at(1);
	connect_at(0);
	assert_int_equal(sockets[1].closed, 0);
	assert_int_equal(dispatch(1), 1);
	assert_int_equal(sockets[1].closed, CLOSE_DISPLACED);
	assert_int_equal(sockets[0].closed, 0);
}

/* The device is back at the first thread before that hears of the second. */
static void a_session_that_came_back_is_not_displaced(void **state)
{
	(void)state;
	connect_at(1);
	connect_at(0);
	session_close(&sessions[1]);
	connect_at(1);
	assert_int_equal(dispatch(1), 1); /* about the first one */
	assert_int_equal(sockets[1].closed, 0);
	assert_int_equal(dispatch(0), 1);
	assert_int_equal(sockets[0].closed, CLOSE_DISPLACED);
}

static void when_something_was_missed_every_thread_looks(void **state)
{
	(void)state;
	tell(&(struct effects){.refresh = true});
	assert_int_equal(dispatch(0), 1);
	assert_int_equal(dispatch(1), 1);
}

static void what_has_no_room_is_found_by_looking(void **state)
{
	struct arena *arena = arena_create();
	struct effects effects = ephemeral(arena);

	(void)state;
	connect_at(1);
	nodes[1].told_bytes = SIZE_MAX / 2;
	assert_null(node_told(&shared, &effects));
	assert_true(nodes[1].missed);
	assert_true(nodes[1].told_bytes == SIZE_MAX / 2);
	arena_destroy(&arena);
}

static void a_displacement_that_has_no_room_is_found_by_looking(void **state)
{
	(void)state;
	inbox_close(nodes[1].inbox);
	connect_at(1);
	connect_at(0);
	assert_int_equal(dispatch(1), 0);
	assert_int_equal(sockets[1].closed, 0);
	node_catch_up(&nodes[1]);
	assert_int_equal(sockets[1].closed, CLOSE_DISPLACED);
}

#define EFFECTS_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EFFECTS_TEST(a_session_is_told_by_its_thread),
		EFFECTS_TEST(a_device_that_is_not_connected_wakes_nobody),
		EFFECTS_TEST(a_batch_is_told_in_order),
		EFFECTS_TEST(a_session_that_begins_elsewhere_displaces_the_first),
		EFFECTS_TEST(a_session_that_came_back_is_not_displaced),
		EFFECTS_TEST(when_something_was_missed_every_thread_looks),
		EFFECTS_TEST(what_has_no_room_is_found_by_looking),
		EFFECTS_TEST(a_displacement_that_has_no_room_is_found_by_looking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
