/* SPDX-License-Identifier: MIT
 *
 * Words of news: what is written of effects says the same when it is read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "news.h"

#define CLOSE_DISPLACED 4409
#define CLOSE_REMOVED	4410

static struct arena *arena;

static const char *written(const struct effects *effects)
{
	struct text out;

	text_init(&out, arena, 0);
	news_write(&out, effects);
	return out.data;
}

static struct effects *read_all(const char *payload)
{
	struct effects *effects = arena_new(arena, struct effects);

	assert_int_equal(news_read(arena, bytes_of_text(payload), effects), ERR_OK);
	return effects;
}

static void item_is_told_without_its_body(void **state)
{
	struct delivery delivery = {
		.generation = 7,
		.previous = 8,
		.item = {.seq = 9, .kind = ITEM_ENVELOPE, .body = bytes_of_text("{}")},
	};
	const struct delivery *read;

	(void)state;
	assert_string_equal(written(&(struct effects){.deliveries = &delivery}),
			    "[7,null,\"d 7 9\"]");
	read = read_all("d 7 9")->deliveries;
	assert_int_equal(read->generation, 7);
	assert_int_equal(read->item.seq, 9);
	assert_int_equal(read->item.body.len, 0);
	assert_true(read->previous == INT64_MAX);
}

static void ephemeral_item_is_told_with_its_body(void **state)
{
	struct delivery delivery = {
		.generation = 7,
		.item = {.kind = ITEM_ENVELOPE, .body = bytes_of_text("{\"a\":\"b c\"}")},
	};
	const struct delivery *read;

	(void)state;
	assert_string_equal(written(&(struct effects){.deliveries = &delivery}),
			    "[7,null,\"e 7 1 {\\\"a\\\":\\\"b c\\\"}\"]");
	read = read_all("e 7 1 {\"a\":\"b c\"}")->deliveries;
	assert_int_equal(read->generation, 7);
	assert_int_equal(read->item.seq, 0);
	assert_int_equal(read->item.kind, ITEM_ENVELOPE);
	assert_true(bytes_equal(read->item.body, delivery.item.body));
}

static void ephemeral_item_that_is_too_large_is_left_out(void **state)
{
	static char body[8000];
	struct delivery delivery = {.generation = 7, .item = {.kind = ITEM_ENVELOPE}};

	(void)state;
	memset(body, 'x', sizeof body);
	delivery.item.body = bytes_of(body, 7000);
	assert_true(strlen(written(&(struct effects){.deliveries = &delivery})) > 7000);
	delivery.item.body = bytes_of(body, 7995);
	assert_string_equal(written(&(struct effects){.deliveries = &delivery}), "");
}

static void outbox_is_told_to_its_holder_alone(void **state)
{
	struct outbound other = {.domain = "b.example", .position = 3, .holder = 5};
	struct outbound own = {.next = &other, .domain = "c.example", .position = 1};
	const struct outbound *read;

	(void)state;
	assert_string_equal(written(&(struct effects){.outbound = &own}),
			    "[null,5,\"o 3 b.example\"]");
	read = read_all("o 3 b.example")->outbound;
	assert_string_equal(read->domain, "b.example");
	assert_int_equal(read->position, 3);
	assert_int_equal(read->holder, 0);
	assert_int_equal(read->body.len, 0);
}

static void end_of_a_socket_is_told_where_it_is(void **state)
{
	struct session_end displaced = {
		.generation = 7, .socket_key = 21, .process = 5, .code = CLOSE_DISPLACED};
	struct session_end removed = {
		.next = &displaced, .generation = 7, .code = CLOSE_REMOVED};
	const struct session_end *read;

	(void)state;
	assert_string_equal(written(&(struct effects){.ended = &removed}),
			    "[7,null,\"x 7 4410 0\"],[null,5,\"x 7 4409 21\"]");
	read = read_all("x 7 4409 21")->ended;
	assert_int_equal(read->generation, 7);
	assert_int_equal(read->code, CLOSE_DISPLACED);
	assert_int_equal(read->socket_key, 21);
}

static void hints_and_low_prekeys_are_told_to_the_device(void **state)
{
	struct list_hint hint = {.generation = 7, .address = "al@b.example", .list_version = 4};
	struct prekeys_low low = {.generation = 8, .one_time = 2, .pq = 0};
	const struct effects *read;

	(void)state;
	assert_string_equal(written(&(struct effects){.list_hints = &hint, .low = &low}),
			    "[7,null,\"h 7 4 al@b.example\"],[8,null,\"k 8 2 0\"]");
	read = read_all("h 7 4 al@b.example\nk 8 2 0");
	assert_int_equal(read->list_hints->generation, 7);
	assert_int_equal(read->list_hints->list_version, 4);
	assert_string_equal(read->list_hints->address, "al@b.example");
	assert_int_equal(read->low->generation, 8);
	assert_int_equal(read->low->one_time, 2);
	assert_int_equal(read->low->pq, 0);
}

static void peers_and_leases_are_told_to_all(void **state)
{
	struct named changed = {.domain = "b.example"};
	struct named heard = {.domain = "c.example"};
	const struct effects *read;

	(void)state;
	assert_string_equal(
		written(&(struct effects){.changed = &changed, .heard = &heard, .lease = true}),
		"[null,null,\"p b.example\"],[null,null,\"c c.example\"],[null,null,\"l\"]");
	read = read_all("p b.example\nc c.example\nl");
	assert_string_equal(read->changed->domain, "b.example");
	assert_string_equal(read->heard->domain, "c.example");
	assert_true(read->lease);
}

static void deliveries_of_a_payload_stay_in_order(void **state)
{
	const struct delivery *read = read_all("d 7 1\nd 8 2\nd 7 3")->deliveries;

	(void)state;
	assert_int_equal(read->item.seq, 1);
	assert_int_equal(read->next->item.seq, 2);
	assert_int_equal(read->next->next->item.seq, 3);
	assert_null(read->next->next->next);
}

static void word_that_is_wrong_is_passed_over(void **state)
{
	static const char *const wrong[] = {
		"",	  "z",		 "d",	     "d 7",    "d 7 9 ",
		"d 7  9", "d x 9",	 "d -7 9",   "d 7 9x", "d 7 99999999999999999999",
		"ll",	  "x 7 70000 0", "e 7 4 {}", "e 7 1",  "h 7 4",
		"k 7 1",  "o 3",
	};

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		struct effects effects = {0};
		const char *payload = arena_printf(arena, "%s\nd 7 9", wrong[i]);

		assert_int_equal(news_read(arena, bytes_of_text(payload), &effects),
				 ERR_VALIDATION);
		assert_non_null(effects.deliveries);
		assert_null(effects.deliveries->next);
		effects.deliveries = effects.last_delivery = NULL;
		assert_memory_equal(&effects, &(struct effects){0}, sizeof effects);
	}
}

static int setup(void **state)
{
	(void)state;
	arena = arena_create();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_destroy(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(item_is_told_without_its_body),
		cmocka_unit_test(ephemeral_item_is_told_with_its_body),
		cmocka_unit_test(ephemeral_item_that_is_too_large_is_left_out),
		cmocka_unit_test(outbox_is_told_to_its_holder_alone),
		cmocka_unit_test(end_of_a_socket_is_told_where_it_is),
		cmocka_unit_test(hints_and_low_prekeys_are_told_to_the_device),
		cmocka_unit_test(peers_and_leases_are_told_to_all),
		cmocka_unit_test(deliveries_of_a_payload_stay_in_order),
		cmocka_unit_test(word_that_is_wrong_is_passed_over),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
