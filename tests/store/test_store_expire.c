/* SPDX-License-Identifier: MIT
 *
 * Housekeeping: what has aged goes, what has not stays, a bounded number at a time.
 */
#include "fault.h"
#include "mail.h"

#include "restante/metrics.h"

static struct op_expire expire(struct contract *contract, size_t limit)
{
	struct op_expire op = {.limit = limit};

	RUN_OK(contract, EXPIRE, &op);
	return op;
}

/* What the tables themselves say is seen by going back in time: reading passes over what
 * has expired, but not over what has yet to. */
static size_t count_before(struct contract *contract, const struct contract_device *device,
			   int64_t ms)
{
	size_t count;

	contract_now -= ms;
	count = mail_count(contract, device);
	contract_now += ms;
	return count;
}

static void envelopes_expire_after_their_life(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct op_expire op;

	mail_send_ok(*state, &ann, MAIL_TO(*state, &bob));
	contract_now += 1;
	mail_send_ok(*state, &ann, MAIL_TO(*state, &bob));
	contract_now += 30 * DAYS_MS - 2;
	op = expire(*state, 100);
	assert_int_equal(op.envelopes_removed, 0);
	contract_now += 1;
	op = expire(*state, 100);
	assert_int_equal(op.envelopes_removed, 1);
	assert_false(op.more);
	assert_int_equal(mail_count(*state, &bob), 1);
	contract_now += 1;
	assert_int_equal(expire(*state, 100).envelopes_removed, 1);
	assert_int_equal(count_before(*state, &bob, 1), 0);
}

static void short_lived_envelopes_do_not_wait_for_those_in_front(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);

	mail_send_ok(*state, &ann, MAIL_TO(*state, &bob));
	message->expires_in_ms = 1 * HOURS_MS;
	mail_send_ok(*state, &ann, message);
	contract_now += 1 * HOURS_MS;
	assert_int_equal(expire(*state, 1).envelopes_removed, 1);
	assert_int_equal(count_before(*state, &bob, 1), 1);
}

static void what_expired_no_longer_counts(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct contract_device bob = contract_register(contract, "bob");

	contract->config.mailbox_items = 1;
	contract_reopen(contract);
	mail_send_ok(contract, &ann, MAIL_TO(contract, &bob));
	contract_now += 30 * DAYS_MS;
	assert_int_equal(mail_send(contract, &ann, MAIL_TO(contract, &bob)).op.err,
			 ERR_OVER_QUOTA);
	expire(contract, 100);
	mail_send_ok(contract, &ann, MAIL_TO(contract, &bob));
	assert_int_equal(mail_send(contract, &ann, MAIL_TO(contract, &bob)).op.err,
			 ERR_OVER_QUOTA);
}

static void much_is_removed_in_steps(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct op_expire op;

	for (int i = 0; i < 3; i++)
		mail_send_ok(*state, &ann, MAIL_TO(*state, &bob));
	contract_now += 30 * DAYS_MS;
	op = expire(*state, 2);
	assert_int_equal(op.envelopes_removed, 2);
	assert_true(op.more);
	op = expire(*state, 2);
	assert_int_equal(op.envelopes_removed, 1);
	assert_false(op.more);
	assert_int_equal(expire(*state, 2).removed, 0);
}

static void receipts_expire_but_are_no_envelopes(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct op_expire op;

	contract_consent(*state, &bob, "ann@a.example", CONSENT_ACCEPTED);
	mail_send_ok(*state, &ann, MAIL_TO(*state, &bob));
	mail_ack_all(*state, &bob);
	contract_now += 30 * DAYS_MS;
	op = expire(*state, 100);
	assert_int_equal(op.envelopes_removed, 0);
	assert_true(op.removed > 0);
	assert_int_equal(count_before(*state, &ann, 1), 0);
}

static void sent_messages_are_remembered_for_seven_days(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);

	mail_send_ok(*state, &ann, message);
	contract_now += 7 * DAYS_MS;
	expire(*state, 100);
	assert_true(mail_send(*state, &ann, message).duplicate);
	contract_now += 1 * DAYS_MS;
	expire(*state, 100);
	assert_false(mail_send(*state, &ann, message).duplicate);
}

static void a_message_that_waits_long_is_remembered_to_its_end(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct message_request *message = mail_to_remote(contract, REMOTE);
	struct op_outbox_expire op = {.domain = "b.example", .limit = 100};

	contract->config.outbox_life_ms = 20 * DAYS_MS;
	contract_reopen(contract);
	mail_send_ok(contract, &ann, message);
	contract_now += 20 * DAYS_MS;
	expire(contract, 100);
	RUN_OK(contract, OUTBOX_EXPIRE, &op);
	assert_int_equal(mail_status(contract, &ann, message).status, MESSAGE_FAILED);
	assert_true(mail_has(mail_only(contract, &ann).body, REMOTE));
}

static void received_messages_are_remembered_for_longer(void **state)
{
	struct contract_device bob = contract_register(*state, "bob");
	struct fed_item item = fed_message(MAIL_TO(*state, &bob), REMOTE);

	fed_take(*state, "s", 1, 1, &item, 1);
	contract_now += 31 * DAYS_MS - 1;
	expire(*state, 100);
	fed_take(*state, "t", 1, 1, &item, 1);
	assert_int_equal(count_before(*state, &bob, 31 * DAYS_MS - 1), 0);
	contract_now += 1;
	expire(*state, 100);
	item.expires_at_ms = contract_now + 1 * DAYS_MS;
	fed_take(*state, "u", 1, 1, &item, 1);
	assert_int_equal(mail_count(*state, &bob), 1);
}

static void lists_and_tokens_age_too(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct device_keys device = {.device_id = 1, .registration_id = 1};
	struct device_list list = {.list_version = 1, .devices = &device, .count = 1};
	struct op_remote_list_put put = {.list = &list};
	struct op_invite_create invite = {.expires_ms = contract_now + 1 * DAYS_MS};
	struct op_link_token_create token = {.caller = ann.caller,
					     .expires_ms = contract_now + 1 * DAYS_MS};

	assert_int_equal(address_parse(bytes_of_text(REMOTE), &list.address), ERR_OK);
	RUN_OK(*state, REMOTE_LIST_PUT, &put);
	RUN_OK(*state, INVITE_CREATE, &invite);
	RUN_OK(*state, LINK_TOKEN_CREATE, &token);
	assert_int_equal(expire(*state, 100).removed, 0);
	contract_now += 1 * DAYS_MS;
	assert_int_equal(expire(*state, 100).removed, 2);
	contract_now += 29 * DAYS_MS;
	assert_int_equal(expire(*state, 100).removed, 2); /* ann's refresh token as well */
	assert_int_equal(mail_send(*state, &ann, mail_to_remote(*state, REMOTE)).op.err,
			 ERR_OK);
}

static void hear_of(struct contract *contract, const char *domain)
{
	struct op_peer_put put = {.domain = domain,
				  .document = bytes_of_text("document"),
				  .fetched_ms = contract_now};

	RUN_OK(contract, PEER_PUT, &put);
}

static enum err is_remembered(struct contract *contract, const char *domain)
{
	struct op_peer_load load = {.domain = domain};

	return RUN(contract, PEER_LOAD, &load);
}

static void nodes_that_were_only_heard_of_are_forgotten(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct op_destination_remove idle = {.domain = "b.example"};

	hear_of(*state, "b.example");
	hear_of(*state, "c.example");
	mail_send_ok(*state, &ann, mail_to_remote(*state, REMOTE));
	outbox_settle(*state, "b.example", 1, NULL, 0);
	RUN_OK(*state, DESTINATION_REMOVE, &idle);
	assert_int_equal(idle.removed, 1);
	contract_now += 1 * DAYS_MS - 1;
	expire(*state, 100);
	assert_int_equal(is_remembered(*state, "c.example"), ERR_OK);
	contract_now += 1;
	expire(*state, 100);
	assert_int_equal(is_remembered(*state, "c.example"), ERR_NOT_FOUND);
	assert_int_equal(is_remembered(*state, "b.example"), ERR_OK);
}

/* A batch that is rolled back has counted too. Otherwise nobody counts all of them again. */
static void the_gauge_of_the_outboxes_is_put_right_after_a_rollback(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct op_expire failing = {.limit = 100};

	mail_send_ok(*state, &ann, mail_to_remote(*state, REMOTE));
	expire(*state, 100);
	metric_set(METRIC_outbox_items, 99);
	expire(*state, 100);
	assert_int_equal(metric_get(METRIC_outbox_items), 99);
	fault_arm_commits(1);
	assert_int_equal(RUN(*state, EXPIRE, &failing), ERR_STORE);
	expire(*state, 100);
	assert_int_equal(metric_get(METRIC_outbox_items), 1);
	outbox_settle(*state, "b.example", 1, NULL, 0);
	assert_int_equal(metric_get(METRIC_outbox_items), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(envelopes_expire_after_their_life),
		T(short_lived_envelopes_do_not_wait_for_those_in_front),
		T(what_expired_no_longer_counts),
		T(much_is_removed_in_steps),
		T(receipts_expire_but_are_no_envelopes),
		T(sent_messages_are_remembered_for_seven_days),
		T(a_message_that_waits_long_is_remembered_to_its_end),
		T(received_messages_are_remembered_for_longer),
		T(lists_and_tokens_age_too),
		T(nodes_that_were_only_heard_of_are_forgotten),
		T(the_gauge_of_the_outboxes_is_put_right_after_a_rollback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
