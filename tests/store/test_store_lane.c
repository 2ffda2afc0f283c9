/* SPDX-License-Identifier: MIT
 *
 * The lanes: batches, replay, faults, closing and opening, and being killed. What has come
 * back with ERR_OK is there; what has not is not.
 */
#include "contract.h"

#include "fault.h"

#include "restante/metrics.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int teardown_faults(void **state)
{
	fault_arm_statement(0);
	fault_arm_commits(0);
	fault_poison(NULL);
	fault_hold_lane(false);
	return contract_teardown(state);
}

static bool account_exists(struct contract *contract, const char *user)
{
	struct op_login_lookup op = {.user = user};

	return RUN(contract, LOGIN_LOOKUP, &op) == ERR_OK;
}

/* --- many operations at once ---------------------------------------------------------- */

#define CROWD 100

/* Registrations of user0, user1, … that are posted together. */
struct crowd {
	struct key_upload upload;
	struct op_register ops[CROWD];
	char users[CROWD][USER_SIZE];
};

static struct crowd *crowd_create(struct contract *contract, const char *prefix)
{
	struct crowd *crowd = arena_new(contract->arena, struct crowd);

	crowd->upload = contract_upload(contract, "phone", 0, 0);
	for (int i = 0; i < CROWD; i++) {
		struct op_register *op = &crowd->ops[i];

		snprintf(crowd->users[i], USER_SIZE, "%s%d", prefix, i);
		*op = (struct op_register){.user = crowd->users[i],
					   .device = &crowd->upload,
					   .session = contract_session()};
		contract_prepare(contract, &op->op, STORE_REGISTER);
		op->op.arena = arena_create();
	}
	return crowd;
}

/* Posts an operation that the write lane takes alone, and lets it wait with it. */
static void hold_lane(struct contract *contract, struct op_invite_create *first)
{
	contract_hash(first->invite_hash);
	contract_prepare(contract, &first->op, STORE_INVITE_CREATE);
	fault_hold_lane(true);
	assert_true(store_post(contract->store, &first->op));
	while (!fault_lane_is_held())
		sched_yield();
}

static void let_lane_go(struct contract *contract, const struct op_invite_create *first)
{
	fault_hold_lane(false);
	assert_ptr_equal(inbox_wait(contract->inbox, 1), &first->op.message);
}

/* Everything at once, so that it becomes one batch. */
static void crowd_post(struct contract *contract, struct crowd *crowd)
{
	struct op_invite_create first = {0};

	hold_lane(contract, &first);
	for (int i = 0; i < CROWD; i++)
		assert_true(store_post(contract->store, &crowd->ops[i].op));
	let_lane_go(contract, &first);
}

static void crowd_wait(struct contract *contract, struct crowd *crowd)
{
	for (int i = 0; i < CROWD; i++)
		assert_non_null(inbox_wait(contract->inbox, 1));
	for (int i = 0; i < CROWD; i++)
		arena_destroy(&crowd->ops[i].op.arena);
}

static void what_arrives_together_is_committed_together(void **state)
{
	struct contract *contract = *state;
	struct crowd *crowd = crowd_create(contract, "user");
	int64_t commits = metric_get(METRIC_store_commits_total);

	crowd_post(contract, crowd);
	crowd_wait(contract, crowd);
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(crowd->ops[i].op.err, ERR_OK);
	assert_int_equal(metric_get(METRIC_store_commits_total) - commits, 2);
}

static void operations_come_back_in_the_order_of_their_posting(void **state)
{
	struct contract *contract = *state;
	struct crowd *crowd = crowd_create(contract, "user");

	crowd_post(contract, crowd);
	for (int i = 0; i < CROWD; i++)
		assert_ptr_equal(inbox_wait(contract->inbox, 1), &crowd->ops[i].op.message);
	for (int i = 0; i < CROWD; i++)
		arena_destroy(&crowd->ops[i].op.arena);
}

static void one_poisoned_operation_fails_alone(void **state)
{
	struct contract *contract = *state;
	struct crowd *crowd = crowd_create(contract, "user");
	int64_t replays = metric_get(METRIC_store_replays_total);

	fault_poison(&crowd->ops[CROWD / 2].op);
	crowd_post(contract, crowd);
	crowd_wait(contract, crowd);
	fault_poison(NULL);
	assert_int_equal(metric_get(METRIC_store_replays_total) - replays, 1);
	for (int i = 0; i < CROWD; i++) {
		bool poisoned = i == CROWD / 2;

		assert_int_equal(crowd->ops[i].op.err, poisoned ? ERR_STORE : ERR_OK);
		assert_int_equal(account_exists(contract, crowd->users[i]), !poisoned);
	}
}

static void a_statement_that_fails_once_fails_nobody_in_a_batch(void **state)
{
	struct contract *contract = *state;
	struct crowd *crowd = crowd_create(contract, "user");

	/* Deep enough that the batch has begun. */
	fault_arm_statement(200);
	crowd_post(contract, crowd);
	crowd_wait(contract, crowd);
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(crowd->ops[i].op.err, ERR_OK);
		assert_true(account_exists(contract, crowd->users[i]));
	}
}

static void a_commit_that_fails_is_replayed_one_by_one(void **state)
{
	struct contract *contract = *state;
	struct crowd *crowd = crowd_create(contract, "user");
	int64_t commits = metric_get(METRIC_store_commits_total);

	/* One for the operation that goes before the batch. */
	fault_arm_commits(2);
	crowd_post(contract, crowd);
	crowd_wait(contract, crowd);
	assert_int_equal(metric_get(METRIC_store_commits_total) - commits, CROWD);
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(crowd->ops[i].op.err, ERR_OK);
		assert_true(account_exists(contract, crowd->users[i]));
	}
}

static void commits_that_go_on_failing_fail_those_they_hit(void **state)
{
	struct contract *contract = *state;
	struct crowd *crowd = crowd_create(contract, "user");

	fault_arm_commits(2 + 10);
	crowd_post(contract, crowd);
	crowd_wait(contract, crowd);
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(crowd->ops[i].op.err, i < 10 ? ERR_STORE : ERR_OK);
		assert_int_equal(account_exists(contract, crowd->users[i]), i >= 10);
	}
}

static void a_refusal_in_a_batch_is_its_own(void **state)
{
	struct contract *contract = *state;
	struct crowd *crowd = crowd_create(contract, "user");

	crowd->ops[7].user = crowd->users[6];
	crowd_post(contract, crowd);
	crowd_wait(contract, crowd);
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(crowd->ops[i].op.err, i == 7 ? ERR_USERNAME_TAKEN : ERR_OK);
}

static void a_commit_that_fails_alone_leaves_nothing(void **state)
{
	struct contract *contract = *state;
	struct key_upload upload = contract_upload(contract, "phone", 5, 5);
	struct op_register op = {
		.user = "alice", .device = &upload, .session = contract_session()};
	int64_t errors = metric_get(METRIC_store_errors_total);

	fault_arm_commits(1);
	assert_int_equal(RUN(contract, REGISTER, &op), ERR_STORE);
	assert_int_equal(metric_get(METRIC_store_errors_total) - errors, 1);
	assert_false(account_exists(contract, "alice"));
	RUN_OK(contract, REGISTER, &op);
	assert_true(account_exists(contract, "alice"));
}

/* --- whichever statement fails -------------------------------------------------------- */

/* Everything about alice that an operation could have changed, as one text. */
static const char *picture(struct contract *contract, const struct contract_device *alice)
{
	struct text text;
	struct op_devices_get devices = {.caller = alice->caller};
	struct op_keys_stats stats = {.caller = alice->caller};
	struct op_outbox_read outbox = {
		.domain = "b.example", .limit = 100, .max_bytes = 100000};

	text_init(&text, contract->arena, 1000);
	RUN_OK(contract, DEVICES_GET, &devices);
	text_printf(&text, "list %lld\n", (long long)devices.list_version);
	for (size_t i = 0; i < devices.count; i++)
		text_printf(&text, "device %d %d %s\n", devices.devices[i].device_id,
			    devices.devices[i].registration_id, devices.devices[i].name);
	RUN_OK(contract, KEYS_STATS, &stats);
	text_printf(&text, "keys %lld %lld %u %d\n", (long long)stats.stats.one_time,
		    (long long)stats.stats.pq, stats.stats.signed_prekey_id,
		    stats.identity_key.data[0]);
	RUN_OK(contract, OUTBOX_READ, &outbox);
	text_printf(&text, "outbox %zu\n", outbox.count);
	return text.data;
}

/* Fails the operation at its first statement, its second and so on, until it passes: each
 * time all is as before. Returns how often it failed. */
static int fail_everywhere(struct contract *contract, const struct contract_device *alice,
			   struct store_op *op, enum store_kind kind)
{
	const char *before = picture(contract, alice);
	int failed = 0;

	for (;;) {
		enum err err;

		fault_arm_statement(failed + 1);
		err = contract_run(contract, op, kind);
		fault_arm_statement(0);
		if (err == ERR_OK)
			return failed;
		assert_int_equal(err, ERR_STORE);
		assert_string_equal(picture(contract, alice), before);
		failed++;
	}
}

static struct contract_device alice_with_audience(struct contract *contract,
						  struct key_upload *upload_out)
{
	struct contract_device alice;
	struct op_device_subscribe subscribe = {.origin = "b.example",
						.until_ms = contract_now + DAYS_MS};

	*upload_out = contract_upload(contract, "phone", 3, 3);
	alice = contract_register_with(contract, "alice", upload_out, NULL);
	address_make("eve", "b.example", &subscribe.requester);
	subscribe.address = alice.address;
	RUN_OK(contract, DEVICE_SUBSCRIBE, &subscribe);
	return alice;
}

static void an_upload_of_keys_happens_whole_or_not_at_all(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = alice_with_audience(contract, &joined);
	struct key_upload fresh = contract_upload(contract, "reinstalled", 2, 2);
	struct op_keys_put op = {.caller = alice.caller,
				 .upload = &fresh,
				 .scheme = joined.scheme,
				 .identity_key = joined.identity_key};

	assert_true(fail_everywhere(contract, &alice, &op.op, STORE_KEYS_PUT) > 10);
	assert_true(effects_have_outbound(&op.effects, "b.example"));
	assert_null(op.effects.outbound->next);
}

static void linking_happens_whole_or_not_at_all(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = alice_with_audience(contract, &joined);
	struct key_upload upload = contract_upload(contract, "tablet", 2, 2);
	struct op_link_token_create token = {.caller = alice.caller,
					     .expires_ms = contract_now + 1000};
	struct op_device_link op = {.token_hash = token.token_hash,
				    .device = &upload,
				    .session = contract_session()};

	RUN_OK(contract, LINK_TOKEN_CREATE, &token);
	assert_true(fail_everywhere(contract, &alice, &op.op, STORE_DEVICE_LINK) > 10);
	assert_int_equal(op.device_id, 2);
}

static void removing_a_device_happens_whole_or_not_at_all(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = alice_with_audience(contract, &joined);
	struct op_device_remove op = {.caller = alice.caller, .device_id = 2};

	contract_link(contract, &alice, "tablet");
	assert_true(fail_everywhere(contract, &alice, &op.op, STORE_DEVICE_REMOVE) > 8);
}

static void a_claim_happens_whole_or_not_at_all(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = alice_with_audience(contract, &joined);
	struct claim_request claim = {.claim_id = "c1", .address = alice.address};
	struct op_claim op = {.claimer = "b.example", .claim = &claim};
	struct device_list list;

	address_make("bob", "b.example", &claim.requester);
	contract_consent(contract, &alice, claim.requester.text, CONSENT_ACCEPTED);
	assert_true(fail_everywhere(contract, &alice, &op.op, STORE_CLAIM) > 8);
	assert_int_equal(device_list_decode(contract->arena, op.answer, &list), ERR_OK);
	assert_int_equal(list.devices[0].one_time.id, 1);
	assert_int_equal(list.devices[0].pq.id, 1);
}

/* --- opening and closing -------------------------------------------------------------- */

static void closing_finishes_what_was_posted(void **state)
{
	struct contract *contract = *state;
	struct crowd *crowd = crowd_create(contract, "user");

	for (int i = 0; i < CROWD; i++)
		assert_true(store_post(contract->store, &crowd->ops[i].op));
	store_close(&contract->store);
	crowd_wait(contract, crowd);
	contract_open(contract);
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(crowd->ops[i].op.err, ERR_OK);
		assert_true(account_exists(contract, crowd->users[i]));
	}
}

static void a_full_lane_refuses(void **state)
{
	struct contract *contract = *state;
	struct op_invite_create first = {0}, second = {0}, third = {0};

	store_close(&contract->store);
	contract->config.inbox_capacity = 1;
	contract_open(contract);
	hold_lane(contract, &first);
	contract_hash(second.invite_hash);
	contract_prepare(contract, &second.op, STORE_INVITE_CREATE);
	contract_prepare(contract, &third.op, STORE_INVITE_CREATE);
	assert_true(store_post(contract->store, &second.op));
	assert_false(store_post(contract->store, &third.op));
	let_lane_go(contract, &first);
	assert_ptr_equal(inbox_wait(contract->inbox, 1), &second.op.message);
	RUN_OK(contract, INVITE_CREATE, &third);
}

static void everything_is_there_after_reopening(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = alice_with_audience(contract, &joined);
	const char *before = picture(contract, &alice);

	contract_reopen(contract);
	assert_string_equal(picture(contract, &alice), before);
}

/* --- being killed --------------------------------------------------------------------- */

#define ROUNDS	       4
#define KEYS_IN_ROUND  100
#define CHILD_IN_STORE 32 /* operations that the child keeps in the store */

/* What the child says over the pipe: an account that is there, or a key handed out. */
struct report {
	int32_t account;
	uint32_t key; /* 0: none */
};

struct child_work {
	struct op_register registers[CHILD_IN_STORE];
	struct op_claim claims[CHILD_IN_STORE];
	struct claim_request requests[CHILD_IN_STORE];
	char users[CHILD_IN_STORE][USER_SIZE];
};

static void child_claim(struct contract *contract, struct child_work *work, int slot,
			int number)
{
	struct claim_request *request = &work->requests[slot];
	struct op_claim *op = &work->claims[slot];

	*request = (struct claim_request){0};
	snprintf(request->claim_id, sizeof request->claim_id, "c%d", number);
	address_make("bob", "b.example", &request->requester);
	address_make("alice", CONTRACT_DOMAIN, &request->address);
	*op = (struct op_claim){.claimer = "b.example", .claim = request};
	contract_prepare(contract, &op->op, STORE_CLAIM);
	op->op.arena = arena_create();
	if (!store_post(contract->store, &op->op))
		abort();
}

static void child_register(struct contract *contract, struct child_work *work, int slot,
			   int number, const struct key_upload *upload)
{
	struct op_register *op = &work->registers[slot];

	snprintf(work->users[slot], USER_SIZE, "user%d", number);
	*op = (struct op_register){
		.user = work->users[slot], .device = upload, .session = contract_session()};
	contract_prepare(contract, &op->op, STORE_REGISTER);
	op->op.arena = arena_create();
	if (!store_post(contract->store, &op->op))
		abort();
}

static void child_report(struct store_op *op, int fd)
{
	struct report report = {.account = -1};
	struct device_list list;

	if (op->err != ERR_OK)
		abort();
	if (op->kind == STORE_REGISTER) {
		report.account = atoi(((struct op_register *)op)->user + strlen("user"));
	} else {
		struct op_claim *claim = (struct op_claim *)op;

		if (device_list_decode(op->arena, claim->answer, &list) != ERR_OK)
			abort();
		report.key = list.devices[0].one_time.present ? list.devices[0].one_time.id : 0;
	}
	arena_destroy(&op->arena);
	if (write(fd, &report, sizeof report) != sizeof report)
		_exit(2);
}

/* Works until it is killed. */
static _Noreturn void child_main(struct contract *contract, int fd, int first_number)
{
	struct child_work *work = arena_new(contract->arena, struct child_work);
	struct key_upload upload = contract_upload(contract, "phone", 0, 0);
	int number = first_number;

	contract->inbox = inbox_create(1, NULL, NULL);
	contract_open(contract);
	for (;; number += CHILD_IN_STORE) {
		for (int i = 0; i < CHILD_IN_STORE; i++) {
			child_register(contract, work, i, number + i, &upload);
			child_claim(contract, work, i, number + i);
		}
		for (int i = 0; i < 2 * CHILD_IN_STORE; i++)
			child_report((struct store_op *)inbox_wait(contract->inbox, 1), fd);
	}
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Forks a child, kills it after a while, and gives what it has reported. */
static size_t run_and_kill(struct contract *contract, int first_number, struct report *reports,
			   size_t capacity)
{
	int fds[2];
	size_t count = 0;
	pid_t child;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(fds[0]);
		child_main(contract, fds[1], first_number);
	}
	close(fds[1]);
	/* It is at work. */
	assert_int_equal(read(fds[0], &reports[count++], sizeof *reports), sizeof *reports);
	sleep_ms((long)crypto_random_u32_below(100));
	kill(child, SIGKILL);
	while (count < capacity &&
	       read(fds[0], &reports[count], sizeof *reports) == sizeof *reports)
		count++;
	close(fds[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	return count;
}

static void check_reports(struct contract *contract, const struct report *reports, size_t count,
			  bool *handed_out)
{
	for (size_t i = 0; i < count; i++) {
		if (reports[i].account >= 0)
			assert_true(
				account_exists(contract, arena_printf(contract->arena, "user%d",
								      reports[i].account)));
		if (reports[i].key == 0)
			continue;
		assert_in_range(reports[i].key, 1, ROUNDS * KEYS_IN_ROUND);
		assert_false(handed_out[reports[i].key]);
		handed_out[reports[i].key] = true;
	}
}

/* The rest of the keys is claimed by the parent: none was handed out before. */
static void claim_the_rest(struct contract *contract, bool *handed_out)
{
	struct claim_request claim = {0};
	struct op_claim op = {.claimer = "b.example", .claim = &claim};
	struct device_list list;

	address_make("bob", "b.example", &claim.requester);
	address_make("alice", CONTRACT_DOMAIN, &claim.address);
	for (int i = 0;; i++) {
		snprintf(claim.claim_id, sizeof claim.claim_id, "rest%d", i);
		RUN_OK(contract, CLAIM, &op);
		assert_int_equal(device_list_decode(contract->arena, op.answer, &list), ERR_OK);
		if (!list.devices[0].one_time.present)
			return;
		assert_false(handed_out[list.devices[0].one_time.id]);
		handed_out[list.devices[0].one_time.id] = true;
	}
}

#define REPORTS_MAX 200000

static void what_was_answered_survives_a_kill(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined = contract_upload(contract, "phone", 0, 0);
	struct contract_device alice = contract_register_with(contract, "alice", &joined, NULL);
	struct report *reports = arena_array(contract->arena, struct report, REPORTS_MAX);
	bool handed_out[ROUNDS * KEYS_IN_ROUND + 1] = {false};

	/* A child may be killed before it has used up its keys. */
	contract->config.prekeys_max = ROUNDS * KEYS_IN_ROUND;
	contract_reopen(contract);
	for (int round = 0; round < ROUNDS; round++) {
		struct key_upload more = {
			.one_time = contract_prekeys(contract, "more",
						     (uint32_t)(round * KEYS_IN_ROUND + 1),
						     KEYS_IN_ROUND, false)};
		struct op_keys_put put = {.caller = alice.caller,
					  .upload = &more,
					  .scheme = joined.scheme,
					  .identity_key = joined.identity_key};
		size_t count;

		RUN_OK(contract, KEYS_PUT, &put);
		/* The child opens the store itself: threads do not survive a fork. */
		store_close(&contract->store);
		count = run_and_kill(contract, round * 1000000, reports, REPORTS_MAX);
		contract_open(contract);
		check_reports(contract, reports, count, handed_out);
	}
	claim_the_rest(contract, handed_out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, contract_setup, teardown_faults)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_arrives_together_is_committed_together),
		TEST(operations_come_back_in_the_order_of_their_posting),
		TEST(one_poisoned_operation_fails_alone),
		TEST(a_statement_that_fails_once_fails_nobody_in_a_batch),
		TEST(a_commit_that_fails_is_replayed_one_by_one),
		TEST(commits_that_go_on_failing_fail_those_they_hit),
		TEST(a_refusal_in_a_batch_is_its_own),
		TEST(a_commit_that_fails_alone_leaves_nothing),
		TEST(an_upload_of_keys_happens_whole_or_not_at_all),
		TEST(linking_happens_whole_or_not_at_all),
		TEST(removing_a_device_happens_whole_or_not_at_all),
		TEST(a_claim_happens_whole_or_not_at_all),
		TEST(closing_finishes_what_was_posted),
		TEST(a_full_lane_refuses),
		TEST(everything_is_there_after_reopening),
		TEST(what_was_answered_survives_a_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
