/* SPDX-License-Identifier: MIT
 *
 * Many outboxes at once, some of whose destinations hang: against a store, a network and a
 * clock in the hand of the test.
 */
#include "outbox_fake.h"

#define HANGING	 300
#define GOOD	 700
#define HANGS_MS (30 * SECONDS_MS)
#define TURN_MS	 250
#define START_MS (1000 * DAYS_MS)

static int64_t passed_ms;

int64_t clock_monotonic_ms(void)
{
	return START_MS + passed_ms;
}

int64_t clock_now_ms(void)
{
	return START_MS + passed_ms;
}

static bool hangs(const struct fake_call *call)
{
	return call->request.domain[0] == 'h';
}

/* Where the call of a destination that hangs does so. */
enum where { IN_DISCOVERY, IN_ANSWER };

static int64_t begun_ms[HANGING];

static int64_t *begun(const struct fake_call *call)
{
	return &begun_ms[atoi(call->request.domain + 1)];
}

static void take_all(size_t i)
{
	struct outbox *outbox = fake->calls[i].request.context;
	char body[64];

	(void)prepare(&fake->calls[i]);
	snprintf(body, sizeof body, "{\"acked\":%lld,\"results\":[]}",
		 (long long)(outbox->batch.last - outbox->row.base));
	answer_at(i, &(struct call_answer){.status = 200, .body = bytes_of_text(body)});
}

/* Good ones answer at once, the others never: their time runs out. */
static void network_turn(enum where where)
{
	for (size_t i = 0; i < fake->n_calls;) {
		struct fake_call *call = &fake->calls[i];

		if (!hangs(call)) {
			take_all(i);
			continue;
		}
		if (where == IN_ANSWER)
			(void)prepare(call);
		if (*begun(call) == 0)
			*begun(call) = passed_ms + 1;
		if (passed_ms - *begun(call) < HANGS_MS) {
			i++;
			continue;
		}
		*begun(call) = 0;
		answer_at(i, &(struct call_answer){.err = ERR_PEER_TIMEOUT});
	}
}

static void time_passes(int64_t ms, enum where where)
{
	for (int64_t until = passed_ms + ms; passed_ms < until; passed_ms += TURN_MS) {
		if (passed_ms % SECONDS_MS == 0)
			outboxes_tick(fake->all);
		pump();
		network_turn(where);
	}
}

static void put_many(const char *kind, int count, const char *body, bool submit)
{
	char domain[32];

	for (int i = 0; i < count; i++) {
		snprintf(domain, sizeof domain, "%s%d.test", kind, i);
		put(domain, body, submit);
	}
}

static int count_delivered(const char *kind, int count)
{
	char domain[32];
	int delivered = 0;

	for (int i = 0; i < count; i++) {
		snprintf(domain, sizeof domain, "%s%d.test", kind, i);
		delivered += fake_outbox(domain)->row.acked == fake_outbox(domain)->row.last;
	}
	return delivered;
}

static int clock_setup(void **state)
{
	passed_ms = 0;
	memset(begun_ms, 0, sizeof begun_ms);
	return fake_setup(state);
}

static void check_nothing_is_held(void)
{
	for (size_t class = 0; class < FLIGHT_CLASS_COUNT; class ++)
		assert_int_equal(fake->all->flights[class], 0);
	assert_int_equal(fake->all->slow_bytes, 0);
	assert_int_equal(fake->all->window_bytes, 0);
	assert_int_equal(fake->all->reading_bytes, 0);
}

/* At first contact, when nobody is proven. */
static void hang(enum where where)
{
	put_many("h", HANGING, "<>", true);
	put_many("g", GOOD, "<>", true);
	time_passes(5 * SECONDS_MS, where);
	assert_int_equal(count_delivered("g", GOOD), GOOD);
	assert_int_equal(count_delivered("h", HANGING), 0);
	/* Those that are proven by now wait for nothing at all. */
	put_many("g", GOOD, "<>", true);
	time_passes(TURN_MS, where);
	assert_int_equal(count_delivered("g", GOOD), GOOD);
	time_passes(2 * HANGS_MS, where);
	check_nothing_is_held();
}

static void those_that_cannot_be_found_do_not_delay_the_others(void **state)
{
	(void)state;
	hang(IN_DISCOVERY);
}

static void those_that_do_not_answer_do_not_delay_the_others(void **state)
{
	(void)state;
	hang(IN_ANSWER);
}

/* From the store. */
static void nor_do_they_after_a_start(void **state)
{
	(void)state;
	outboxes_destroy(&fake->all);
	put_many("h", HANGING, "<>", false);
	put_many("g", GOOD, "<>", false);
	fake_start();
	time_passes(5 * SECONDS_MS, IN_DISCOVERY);
	assert_int_equal(count_delivered("g", GOOD), GOOD);
	time_passes(2 * HANGS_MS, IN_DISCOVERY);
	check_nothing_is_held();
}

static void set_state(const char *kind, int count, enum destination_state state,
		      int64_t next_try_ms)
{
	char domain[32];

	put_many(kind, count, "<>", false);
	for (int i = 0; i < count; i++) {
		snprintf(domain, sizeof domain, "%s%d.test", kind, i);
		fake_outbox(domain)->row.state = state;
		fake_outbox(domain)->row.next_try_ms = next_try_ms;
	}
}

static void a_start_resumes_everything_at_its_time(void **state)
{
	int64_t now = clock_now_ms();

	(void)state;
	outboxes_destroy(&fake->all);
	fake->config.federation_backoff_first = 10 * SECONDS_MS;
	set_state("up", 50, DESTINATION_UP, 0);
	set_state("due", 100, DESTINATION_BACKOFF, now - HOURS_MS);
	set_state("later", 50, DESTINATION_BACKOFF, now + 20 * MINUTES_MS);
	set_state("parked", 50, DESTINATION_PARKED, now + 3 * HOURS_MS);
	fake_start();
	time_passes(SECONDS_MS, IN_ANSWER);
	assert_int_equal(count_delivered("up", 50), 50);
	/* What is due does not all come at once. */
	assert_in_range(count_delivered("due", 100), 0, 50);
	time_passes(11 * SECONDS_MS, IN_ANSWER);
	assert_int_equal(count_delivered("due", 100), 100);
	assert_int_equal(fake->n_calls_ever, 150);
	time_passes(20 * MINUTES_MS, IN_ANSWER);
	assert_int_equal(count_delivered("later", 50), 50);
	assert_int_equal(fake->n_calls_ever, 200);
	time_passes(3 * HOURS_MS, IN_ANSWER);
	assert_int_equal(count_delivered("parked", 50), 50);
	assert_int_equal(fake->n_calls_ever, 250);
	check_nothing_is_held();
}

/* Reading what has to be repeated takes room for a whole transaction each. */
static void all_get_room_to_read(void **state)
{
	char domain[32];

	(void)state;
	outboxes_destroy(&fake->all);
	put_many("g", 200, "<>", false);
	for (int i = 0; i < 200; i++) {
		snprintf(domain, sizeof domain, "g%d.test", i);
		fake_outbox(domain)->row.offered = 1;
		memcpy(fake_outbox(domain)->row.stream, "stream", 7);
	}
	fake_start();
	time_passes(SECONDS_MS, IN_ANSWER);
	assert_int_equal(count_delivered("g", 200), 200);
	check_nothing_is_held();
}

#define OUTBOX_TEST(name) cmocka_unit_test_setup_teardown(name, clock_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OUTBOX_TEST(those_that_cannot_be_found_do_not_delay_the_others),
		OUTBOX_TEST(those_that_do_not_answer_do_not_delay_the_others),
		OUTBOX_TEST(nor_do_they_after_a_start),
		OUTBOX_TEST(all_get_room_to_read),
		OUTBOX_TEST(a_start_resumes_everything_at_its_time),
	};

	return cmocka_run_group_tests_name("outbox_many", tests, NULL, NULL);
}
