/* SPDX-License-Identifier: MIT
 *
 * Outboxes against a store and a network in the hand of the test.
 */
#include "outbox_fake.h"

#define B "b.test"

static const char ok1[] = "{\"acked\":1,\"results\":[]}";

static struct outbox *b_outbox(void)
{
	struct outbox *outbox;

	HASH_FIND_STR(fake->all->by_domain, B, outbox);
	assert_non_null(outbox);
	return outbox;
}

/* `{"stream":"…","seq":N,"items":[…]}` without the random part. */
static const char *tail_of(const char *body)
{
	const char *tail = strstr(body, "\"seq\"");

	return tail != NULL ? tail : body;
}

static void items_go_in_order_and_are_settled(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	assert_int_equal(fake->resets, 1);
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[1]]}");
	put(B, "[2]", true);
	put(B, "[3]", true);
	pump();
	assert_int_equal(fake->n_calls, 1);
	answer(ERR_OK, 200, ok1);
	assert_int_equal(fake_outbox(B)->row.acked, 1);
	assert_string_equal(tail_of(sent()), "\"seq\":2,\"items\":[[2],[3]]}");
	answer(ERR_OK, 200, "{\"acked\":3,\"results\":[]}");
	assert_int_equal(fake_outbox(B)->row.acked, 3);
	assert_int_equal(fake->n_calls, 0);
	assert_int_equal(fake->reads, 0);
	assert_int_equal(fake->all->window_bytes, 0);
	assert_int_equal(fake->puts, 0);
}

static void what_another_process_has_taken_is_read_from_the_store(void **state)
{
	(void)state;
	put(B, "[1]", false);
	outboxes_submit(fake->all, window_item_create(B, 1, bytes_of(NULL, 0)));
	pump();
	assert_int_equal(fake->reads, 1);
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[1]]}");
	put(B, "[2]", false);
	outboxes_submit(fake->all, window_item_create(B, 2, bytes_of(NULL, 0)));
	put(B, "[3]", true);
	pump();
	answer(ERR_OK, 200, ok1);
	assert_string_equal(tail_of(sent()), "\"seq\":2,\"items\":[[2],[3]]}");
}

static void destinations_of_a_shared_store_are_leased_before_they_are_loaded(void **state)
{
	(void)state;
	assert_int_equal(fake->leases, 0);
	fake->shared = true;
	put(B, "[1]", false);
	outboxes_load(fake->all);
	pump();
	assert_int_equal(fake->leases, 1);
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[1]]}");
}

static void results_are_settled_by_position(void **state)
{
	(void)state;
	fake_outbox(B)->row.acked = fake_outbox(B)->row.last = 100;
	for (int i = 0; i < 4; i++)
		put(B, "[]", true);
	pump();
	(void)sent();
	answer(ERR_OK, 200,
	       "{\"acked\":4,\"results\":[{\"seq\":1,\"code\":\"duplicate\"},"
	       "{\"seq\":3,\"code\":\"unavailable\"}]}");
	assert_int_equal(fake_outbox(B)->row.acked, 104);
	assert_int_equal(fake->n_settled, 1);
	assert_int_equal(fake->settled[0].position, 103);
	assert_int_equal(fake->settled[0].code, RESULT_UNAVAILABLE);
}

static void results_for_other_items_are_no_verdict(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	answer(ERR_OK, 200, "{\"acked\":1,\"results\":[{\"seq\":2,\"code\":\"bad\"}]}");
	assert_int_equal(fake_outbox(B)->row.acked, 0);
	assert_int_equal(b_outbox()->row.state, DESTINATION_BACKOFF);
}

static void an_unsigned_answer_is_no_verdict(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	answer(ERR_PEER_INVALID, 200, ok1);
	assert_int_equal(fake_outbox(B)->row.acked, 0);
	assert_int_equal(fake_outbox(B)->row.state, DESTINATION_BACKOFF);
}

static void a_repeat_has_the_same_bytes(void **state)
{
	char *first;

	(void)state;
	put(B, "[1]", true);
	put(B, "[2]", true);
	pump();
	first = strdup(sent());
	answer(ERR_PEER_TIMEOUT, 0, "");
	assert_int_equal(fake->n_calls, 0);
	assert_int_equal(fake->all->window_bytes, 0);
	assert_int_equal(fake_outbox(B)->row.offered, 2);
	put(B, "[3]", true);
	pump();
	assert_int_equal(fake->n_calls, 0);
	outboxes_heard(fake->all, B);
	pump();
	assert_string_equal(sent(), first);
	answer(ERR_OK, 200, "{\"acked\":2,\"results\":[]}");
	assert_int_equal(b_outbox()->row.state, DESTINATION_UP);
	assert_string_equal(tail_of(sent()), "\"seq\":3,\"items\":[[3]]}");
	free(first);
}

static void being_heard_of_counts_once_in_a_while(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	answer(ERR_PEER_TIMEOUT, 0, "");
	for (int i = 0; i < 3; i++) {
		outboxes_heard(fake->all, B);
		pump();
		if (fake->n_calls > 0)
			answer(ERR_PEER_UNREACHABLE, 0, "");
	}
	assert_int_equal(fake->n_calls_ever, 2);
}

static void what_never_left_was_not_offered(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	answer(ERR_PEER_UNREACHABLE, 0, "");
	assert_int_equal(fake_outbox(B)->row.state, DESTINATION_BACKOFF);
	assert_int_equal(fake_outbox(B)->row.offered, 0);
}

static void a_refused_stream_is_begun_anew(void **state)
{
	static const char refusal[] = "{\"success\":false,\"error\":{\"code\":\"STREAM_RESET\","
				      "\"message\":\"\",\"details\":{}}}";
	char *first;

	(void)state;
	put(B, "[1]", true);
	pump();
	answer(ERR_OK, 200, ok1);
	put(B, "[2]", true);
	pump();
	first = strdup(sent());
	answer(ERR_OK, 409, refusal);
	assert_int_equal(fake->resets, 2);
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[2]]}");
	assert_memory_not_equal(sent(), first, 30);
	/* One that refuses every stream is left alone for a while. */
	answer(ERR_OK, 409, refusal);
	assert_int_equal(b_outbox()->row.state, DESTINATION_BACKOFF);
	assert_int_equal(fake->n_calls, 0);
	free(first);
}

/* A node that refuses whole transactions because of one item. */
static void answer_unless(const char *bad, int status)
{
	char body[64];
	long long seq = 0;
	int count = 0;

	assert_int_equal(sscanf(tail_of(sent()), "\"seq\":%lld", &seq), 1);
	for (const char *c = sent(); (c = strchr(c, '<')) != NULL; c++)
		count++;
	snprintf(body, sizeof body, "{\"acked\":%lld,\"results\":[]}", seq + count - 1);
	if (strstr(sent(), bad) != NULL)
		answer(ERR_OK, status, "{\"success\":false,\"error\":{\"code\":\"X\"}}");
	else
		answer(ERR_OK, 200, body);
}

static void one_bad_item_ends_alone(void **state)
{
	char text[32];
	int calls = 0;

	(void)state;
	for (int i = 1; i <= 37; i++) {
		snprintf(text, sizeof text, "<%d>", i);
		put(B, text, true);
	}
	pump();
	for (; fake->n_calls > 0 && calls < 50; calls++)
		answer_unless("<23>", 413);
	assert_int_equal(fake_outbox(B)->row.acked, 37);
	assert_int_equal(fake->n_settled, 1);
	assert_int_equal(fake->settled[0].position, 23);
	assert_int_equal(fake->settled[0].code, RESULT_TOO_LARGE);
	assert_in_range(calls, 5, 25);
	assert_int_equal(fake->resets, 2);
	assert_int_equal(b_outbox()->row.state, DESTINATION_UP);
}

static void an_unsigned_413_only_makes_batches_smaller(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		put(B, "[]", true);
	pump();
	answer(ERR_PEER_INVALID, 413, "");
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[],[]]}");
	answer(ERR_PEER_INVALID, 413, "");
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[]]}");
	assert_int_equal(b_outbox()->row.state, DESTINATION_UP);
	answer(ERR_PEER_INVALID, 413, "");
	assert_int_equal(b_outbox()->row.state, DESTINATION_BACKOFF);
	assert_int_equal(fake->n_settled, 0);
}

static void the_limits_of_the_peer_hold(void **state)
{
	(void)state;
	fake->peer.document.transaction_items = 2;
	for (int i = 0; i < 3; i++)
		put(B, "[12345678]", true);
	pump();
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[12345678],[12345678]]}");
	answer(ERR_OK, 200, "{\"acked\":2,\"results\":[]}");
	/* What it would never take ends here. */
	fake->peer.document.transaction_bytes = TRANSACTION_FRAME + 5;
	assert_string_equal(sent(), "");
	answer(ERR_VALIDATION, 0, "");
	assert_int_equal(fake->settled[0].position, 3);
	assert_int_equal(fake->settled[0].code, RESULT_TOO_LARGE);
}

static void what_was_missed_is_read(void **state)
{
	(void)state;
	put(B, "[1]", true);
	put(B, "[2]", false);
	put(B, "[3]", true);
	pump();
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[1]]}");
	answer(ERR_OK, 200, ok1);
	assert_string_equal(tail_of(sent()), "\"seq\":2,\"items\":[[2],[3]]}");
	answer(ERR_OK, 200, "{\"acked\":3,\"results\":[]}");
	put(B, "[4]", false);
	outboxes_load(fake->all);
	pump();
	assert_string_equal(tail_of(sent()), "\"seq\":4,\"items\":[[4]]}");
}

static void a_long_backlog_passes_through_the_window(void **state)
{
	char body[64];
	int64_t acked = 0;
	int calls = 0;

	(void)state;
	for (int i = 0; i < 2900; i++)
		put(B, "[]", i == 2899);
	for (pump(); fake->n_calls > 0; calls++) {
		(void)sent();
		assert_in_range(b_outbox()->window.count, 1, WINDOW_ITEMS_MAX);
		acked += (int64_t)b_outbox()->batch.count;
		snprintf(body, sizeof body, "{\"acked\":%lld,\"results\":[]}",
			 (long long)acked);
		answer(ERR_OK, 200, body);
	}
	assert_int_equal(fake_outbox(B)->row.acked, 2900);
	assert_in_range(calls, 3, 8);
}

static void a_restart_repeats_what_may_have_been_taken(void **state)
{
	struct destination *row = &fake_outbox(B)->row;

	(void)state;
	outboxes_destroy(&fake->all);
	for (int i = 0; i < 5; i++)
		put(B, "[]", false);
	snprintf(row->stream, sizeof row->stream, "%s", "0123456789abcdefghijkl");
	row->acked = row->base = 1;
	row->offered = 3;
	row->state = DESTINATION_BACKOFF;
	row->next_try_ms = 1;
	fake_start();
	assert_int_equal(fake->n_calls, 0); /* it is spread */
	outboxes_heard(fake->all, B);
	pump();
	assert_string_equal(sent(), "{\"stream\":\"0123456789abcdefghijkl\",\"seq\":1,"
				    "\"items\":[[],[]]}");
	assert_int_equal(b_outbox()->row.offered, 5);
}

static void what_is_abandoned_at_the_end_is_repeated_after_the_start(void **state)
{
	char *first;

	(void)state;
	put(B, "[1]", true);
	put(B, "[2]", true);
	pump();
	first = strdup(sent());
	put(B, "[3]", true);
	outboxes_stop(fake->all);
	answer(ERR_BUSY, 0, "");
	assert_true(outboxes_are_idle(fake->all));
	outboxes_destroy(&fake->all);
	fake_start();
	assert_string_equal(sent(), first);
	free(first);
}

static void keys_in_conflict_hold_what_waits(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	answer_call(&(struct call_answer){.err = ERR_KEY_CONFLICT});
	assert_int_equal(fake_outbox(B)->row.state, DESTINATION_KEY_CONFLICT);
	outboxes_heard(fake->all, B);
	put(B, "[2]", true);
	pump();
	assert_int_equal(fake->n_calls, 0);
	b_outbox()->row.next_try_ms = 0;
	outboxes_tick(fake->all);
	pump();
	assert_string_not_equal(sent(), "");
	assert_int_equal(b_outbox()->row.state, DESTINATION_UP);
}

/* It was sent, and the answer was signed by a key that turned out to be no good. */
static void what_was_sent_before_a_conflict_is_repeated(void **state)
{
	char *first;

	(void)state;
	put(B, "[1]", true);
	pump();
	first = strdup(sent());
	answer_call(&(struct call_answer){.err = ERR_KEY_CONFLICT, .status = 200});
	put(B, "[2]", true);
	outboxes_agree(fake->all, B);
	pump();
	assert_string_equal(sent(), first);
	free(first);
}

static void policy_blocks_and_unblocks(void **state)
{
	static const char *const denied[] = {B, NULL};

	(void)state;
	fake->config.federation_deny = (struct config_list){denied, 1};
	put(B, "[1]", true);
	pump();
	assert_int_equal(fake->n_calls, 0);
	assert_int_equal(fake_outbox(B)->row.state, DESTINATION_BLOCKED);
	outboxes_destroy(&fake->all);
	fake->config.federation_deny.count = 0;
	fake_start();
	assert_int_equal(fake_outbox(B)->row.state, DESTINATION_UP);
	assert_int_equal(fake->n_calls, 1);
}

static void the_operator_blocks_and_allows(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	answer(ERR_OK, 200, ok1);
	policy_say(fake->federation.policy, B, false);
	outboxes_policy_changed(fake->all, B);
	put(B, "[2]", true);
	pump();
	assert_int_equal(fake->n_calls, 0);
	assert_int_equal(fake_outbox(B)->row.state, DESTINATION_BLOCKED);
	outboxes_flush(fake->all, B);
	pump();
	assert_int_equal(fake->n_calls, 0);
	policy_say(fake->federation.policy, B, true);
	outboxes_policy_changed(fake->all, B);
	pump();
	assert_string_equal(tail_of(sent()), "\"seq\":2,\"items\":[[2]]}");
	assert_int_equal(fake_outbox(B)->row.state, DESTINATION_UP);
	outboxes_policy_changed(fake->all, "nobody.test");
}

static void a_flush_tries_at_once_and_is_a_try_like_others(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	answer(ERR_PEER_UNREACHABLE, 0, "");
	assert_int_equal(fake->n_calls, 0);
	outboxes_flush(fake->all, B);
	pump();
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[1]]}");
	answer(ERR_PEER_UNREACHABLE, 0, "");
	assert_int_equal(fake_outbox(B)->row.failures, 2);
	assert_int_equal(fake->n_calls, 0);
}

static void a_flush_finds_what_only_the_store_knows(void **state)
{
	(void)state;
	put(B, "[1]", false);
	pump();
	assert_int_equal(fake->n_calls, 0);
	outboxes_flush(fake->all, B);
	pump();
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[1]]}");
}

static void a_repin_ends_the_wait_in_a_conflict(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	answer_call(&(struct call_answer){.err = ERR_KEY_CONFLICT});
	put(B, "[2]", true);
	outboxes_agree(fake->all, B);
	pump();
	assert_int_equal(fake_outbox(B)->row.state, DESTINATION_UP);
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[1],[2]]}");
	answer_call(&(struct call_answer){.err = ERR_KEY_CONFLICT});
	assert_int_equal(fake_outbox(B)->row.state, DESTINATION_KEY_CONFLICT);
}

static void a_full_store_is_tried_again(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	(void)sent();
	fake->full = true;
	answer(ERR_OK, 200, ok1);
	assert_int_equal(fake_outbox(B)->row.acked, 0);
	assert_true(stored_ops_wait(&fake->all->ops));
	fake->full = false;
	pump();
	assert_int_equal(fake_outbox(B)->row.acked, 1);
	assert_false(stored_ops_wait(&fake->all->ops));
}

static void fail_again(void)
{
	fake->all->ops.unposted.first->not_before_ms = 0;
	pump();
}

/* It may fail for days: what a try has read must not stay until the last one. */
static void each_try_of_an_operation_begins_with_an_empty_arena(void **state)
{
	struct arena *before;

	(void)state;
	fake->broken = true;
	put(B, "[1]", true);
	pump();
	before = fake->failed_in;
	fail_again();
	assert_ptr_not_equal(fake->failed_in, before);
	fake->broken = false;
	fail_again();
	(void)sent();
	/* But results that are to be settled are kept. */
	fake->broken = true;
	answer(ERR_OK, 200, "{\"acked\":1,\"results\":[{\"seq\":1,\"code\":\"unavailable\"}]}");
	before = fake->failed_in;
	fail_again();
	assert_ptr_equal(fake->failed_in, before);
	fake->broken = false;
	fail_again();
	assert_int_equal(fake->n_settled, 1);
	assert_int_equal(fake->settled[0].code, RESULT_UNAVAILABLE);
}

static void items_whose_time_is_over_are_given_up(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	(void)sent();
	answer(ERR_PEER_TIMEOUT, 0, "");
	put(B, "[2]", true);
	fake->expire_reset = true;
	for (int i = 0; i < 2; i++) {
		fake->all->next_expire_ms = 0;
		outboxes_tick(fake->all);
		pump();
	}
	assert_int_equal(fake->expires, 1);
	assert_int_equal(fake->resets, 2);
	assert_int_equal(b_outbox()->row.acked, 1);
	outboxes_heard(fake->all, B);
	pump();
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[2]]}");
}

static void submit_ephemeral(const char *body)
{
	outboxes_submit(fake->all, window_item_create(B, 0, bytes_of_text(body)));
}

static void ephemeral_items_go_at_once_or_never(void **state)
{
	(void)state;
	submit_ephemeral("[1]");
	assert_int_equal(fake->n_calls, 1);
	assert_string_equal(sent(), "{\"ephemeral\":[[1]]}");
	submit_ephemeral("[2]");
	submit_ephemeral("[3]");
	assert_int_equal(fake->n_calls, 1);
	answer(ERR_OK, 200, "{\"acked\":0,\"results\":[]}");
	assert_string_equal(sent(), "{\"ephemeral\":[[2],[3]]}");
	for (int i = 0; i < 150; i++)
		submit_ephemeral("[]");
	answer(ERR_PEER_TIMEOUT, 0, "");
	assert_int_equal(fake->n_calls, 0);
	assert_int_equal(fake->all->ephemeral_bytes, 0);
	assert_int_equal(fake->resets, 0);
	/* A domain that is not written to is not kept in memory. */
	outboxes_tick(fake->all);
	assert_null(fake->all->by_domain);
}

static void be_idle(void)
{
	b_outbox()->busy_ms -= 10 * MINUTES_MS;
	outboxes_tick(fake->all);
}

static void an_idle_outbox_is_dropped_and_so_is_its_row(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	be_idle();
	answer(ERR_OK, 200, ok1);
	outboxes_tick(fake->all);
	assert_int_equal(fake->removed, 0); /* it was busy until now */
	be_idle();
	pump();
	assert_int_equal(fake->removed, 1);
	assert_null(fake->all->by_domain);
	put(B, "[2]", true);
	pump();
	assert_int_equal(fake->resets, 2);
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[2]]}");
	answer(ERR_OK, 200, ok1);
	assert_int_equal(fake_outbox(B)->row.acked, fake_outbox(B)->row.last);
}

static void what_comes_behind_the_removal_of_the_row_is_sent(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	answer(ERR_OK, 200, ok1);
	be_idle();
	assert_int_equal(fake->removed, 1);
	put(B, "[2]", true);
	pump();
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[2]]}");
	answer(ERR_OK, 200, ok1);
	assert_int_equal(fake_outbox(B)->row.acked, fake_outbox(B)->row.last);
}

static void what_comes_before_the_removal_of_the_row_keeps_it(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	answer(ERR_OK, 200, ok1);
	put(B, "[2]", false);
	be_idle();
	assert_int_equal(fake->removed, 0);
	outboxes_submit(fake->all, window_item_create(B, 2, bytes_of_text("[2]")));
	pump();
	assert_string_equal(tail_of(sent()), "\"seq\":1,\"items\":[[2]]}");
	answer(ERR_OK, 200, ok1);
	assert_int_equal(fake_outbox(B)->row.acked, 2);
}

static void rows_without_anything_waiting_go_at_the_start(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	answer(ERR_OK, 200, ok1);
	outboxes_destroy(&fake->all);
	put("c.test", "[1]", false);
	fake_start();
	assert_int_equal(fake->removed, 1);
	assert_string_equal(fake->calls[0].request.domain, "c.test");
}

static void a_destination_that_fails_is_not_dropped(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	answer(ERR_PEER_TIMEOUT, 0, "");
	b_outbox()->busy_ms -= 10 * MINUTES_MS;
	outboxes_tick(fake->all);
	assert_int_equal(b_outbox()->row.state, DESTINATION_BACKOFF);
}

/* As with the names that users mistype: all that waited has had its time. */
static void a_destination_that_fails_is_dropped_once_nothing_waits(void **state)
{
	(void)state;
	put(B, "[1]", true);
	pump();
	answer(ERR_PEER_TIMEOUT, 0, "");
	assert_int_equal(fake_outbox(B)->row.state, DESTINATION_BACKOFF);
	fake->expire_reset = true;
	b_outbox()->expire_due = true;
	outboxes_tick(fake->all);
	pump();
	be_idle();
	pump();
	assert_int_equal(fake_outbox(B)->row.state, DESTINATION_UP);
	be_idle();
	pump();
	assert_int_equal(fake->removed, 1);
	assert_null(fake->all->by_domain);
}

static void dead_destinations_leave_room(void **state)
{
	char domain[32];

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(domain, sizeof domain, "d%d.test", i);
		put(domain, "[]", true);
	}
	pump();
	assert_int_equal(fake->n_calls, FLIGHTS_UNPROVEN_MAX);
	for (int i = 0; i < 500; i++) {
		snprintf(domain, sizeof domain, "d%d.test", i);
		assert_string_equal(fake->calls[0].request.domain, domain);
		answer(ERR_PEER_UNREACHABLE, 0, "");
	}
	assert_int_equal(fake->n_calls_ever, 500);
	assert_int_equal(fake->all->window_bytes, 0);
}

#define OUTBOX_TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OUTBOX_TEST(items_go_in_order_and_are_settled),
		OUTBOX_TEST(what_another_process_has_taken_is_read_from_the_store),
		OUTBOX_TEST(destinations_of_a_shared_store_are_leased_before_they_are_loaded),
		OUTBOX_TEST(results_are_settled_by_position),
		OUTBOX_TEST(results_for_other_items_are_no_verdict),
		OUTBOX_TEST(an_unsigned_answer_is_no_verdict),
		OUTBOX_TEST(a_repeat_has_the_same_bytes),
		OUTBOX_TEST(being_heard_of_counts_once_in_a_while),
		OUTBOX_TEST(what_never_left_was_not_offered),
		OUTBOX_TEST(a_refused_stream_is_begun_anew),
		OUTBOX_TEST(one_bad_item_ends_alone),
		OUTBOX_TEST(an_unsigned_413_only_makes_batches_smaller),
		OUTBOX_TEST(the_limits_of_the_peer_hold),
		OUTBOX_TEST(what_was_missed_is_read),
		OUTBOX_TEST(a_long_backlog_passes_through_the_window),
		OUTBOX_TEST(a_restart_repeats_what_may_have_been_taken),
		OUTBOX_TEST(what_is_abandoned_at_the_end_is_repeated_after_the_start),
		OUTBOX_TEST(keys_in_conflict_hold_what_waits),
		OUTBOX_TEST(what_was_sent_before_a_conflict_is_repeated),
		OUTBOX_TEST(policy_blocks_and_unblocks),
		OUTBOX_TEST(the_operator_blocks_and_allows),
		OUTBOX_TEST(a_flush_tries_at_once_and_is_a_try_like_others),
		OUTBOX_TEST(a_flush_finds_what_only_the_store_knows),
		OUTBOX_TEST(a_repin_ends_the_wait_in_a_conflict),
		OUTBOX_TEST(a_full_store_is_tried_again),
		OUTBOX_TEST(each_try_of_an_operation_begins_with_an_empty_arena),
		OUTBOX_TEST(items_whose_time_is_over_are_given_up),
		OUTBOX_TEST(ephemeral_items_go_at_once_or_never),
		OUTBOX_TEST(an_idle_outbox_is_dropped_and_so_is_its_row),
		OUTBOX_TEST(what_comes_behind_the_removal_of_the_row_is_sent),
		OUTBOX_TEST(what_comes_before_the_removal_of_the_row_keeps_it),
		OUTBOX_TEST(rows_without_anything_waiting_go_at_the_start),
		OUTBOX_TEST(a_destination_that_fails_is_not_dropped),
		OUTBOX_TEST(a_destination_that_fails_is_dropped_once_nothing_waits),
		OUTBOX_TEST(dead_destinations_leave_room),
	};

	return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
