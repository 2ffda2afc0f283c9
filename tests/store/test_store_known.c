/* SPDX-License-Identifier: MIT
 *
 * What the write lane remembers of devices, recipients and consent is never older than what
 * was written: each test sends a message, so that all of it is remembered, changes something,
 * and sends another one.
 */
#include "fault.h"
#include "mail.h"

#include "restante/metrics.h"

#include <sched.h>

/* Two who have written to each other. */
struct pair {
	struct contract_device ann;
	struct contract_device bob;
};

static enum err write_to(struct contract *contract, const struct contract_device *from,
			 const struct contract_device *to)
{
	return mail_send(contract, from, MAIL_TO(contract, to)).op.err;
}

static struct pair make_pair(struct contract *contract)
{
	struct pair pair = {.ann = contract_register(contract, "ann"),
			    .bob = contract_register(contract, "bob")};

	assert_int_equal(write_to(contract, &pair.ann, &pair.bob), ERR_OK);
	assert_int_equal(write_to(contract, &pair.bob, &pair.ann), ERR_OK);
	assert_int_equal(write_to(contract, &pair.ann, &pair.bob), ERR_OK);
	return pair;
}

static void consent_counts_from_the_next_message_on(void **state)
{
	struct pair pair = make_pair(*state);
	struct op_consent_set lift = {.caller = pair.bob.caller, .from = CONSENT_BLOCKED};

	lift.address = pair.ann.address;
	contract_consent(*state, &pair.bob, pair.ann.address.text, CONSENT_BLOCKED);
	assert_int_equal(write_to(*state, &pair.ann, &pair.bob), ERR_UNAVAILABLE);
	RUN_OK(*state, CONSENT_SET, &lift);
	assert_int_equal(write_to(*state, &pair.ann, &pair.bob), ERR_OK);
}

static void who_has_forgotten_somebody_accepts_again_by_writing(void **state)
{
	struct pair pair = make_pair(*state);
	struct op_consent_set forget = {.caller = pair.bob.caller};

	forget.address = pair.ann.address;
	RUN_OK(*state, CONSENT_SET, &forget);
	assert_int_equal(write_to(*state, &pair.bob, &pair.ann), ERR_OK);
	contract_close_to_strangers(*state, &pair.bob);
	assert_int_equal(write_to(*state, &pair.ann, &pair.bob), ERR_OK);
}

static void a_closed_account_is_closed_to_whom_it_has_not_accepted(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");

	assert_int_equal(write_to(*state, &ann, &bob), ERR_OK);
	contract_close_to_strangers(*state, &bob);
	assert_int_equal(write_to(*state, &ann, &bob), ERR_UNAVAILABLE);
}

static void a_block_counts_for_messages_of_other_nodes(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");

	assert_string_equal(fed_take_one(*state, 1, fed_message(MAIL_TO(*state, &ann), REMOTE)),
			    "{\"acked\":1,\"results\":[]}");
	contract_consent(*state, &ann, REMOTE, CONSENT_BLOCKED);
	assert_non_null(
		strstr(fed_take_one(*state, 2, fed_message(MAIL_TO(*state, &ann), REMOTE)),
		       "unavailable"));
}

static void a_new_device_is_missing_and_a_removed_one_is_too_many(void **state)
{
	struct pair pair = make_pair(*state);
	struct contract_device tablet = contract_link(*state, &pair.bob, "tablet");
	struct op_send send;

	assert_int_equal(write_to(*state, &pair.ann, &pair.bob), ERR_DEVICES_MISMATCH);
	send = mail_send(*state, &pair.ann, MAIL_TO(*state, &pair.bob, &tablet));
	assert_int_equal(send.op.err, ERR_OK);
	assert_int_equal(contract_remove(*state, &pair.bob, 2), ERR_OK);
	send = mail_send(*state, &pair.ann, MAIL_TO(*state, &pair.bob, &tablet));
	assert_int_equal(send.op.err, ERR_DEVICES_MISMATCH);
	assert_int_equal(write_to(*state, &tablet, &pair.ann), ERR_UNAUTHORIZED);
}

static void an_ended_session_sends_nothing_more(void **state)
{
	struct pair pair = make_pair(*state);
	struct op_session_end end = {.caller = pair.ann.caller};

	RUN_OK(*state, SESSION_END, &end);
	assert_int_equal(write_to(*state, &pair.ann, &pair.bob), ERR_UNAUTHORIZED);
}

static void a_deleted_account_neither_sends_nor_receives(void **state)
{
	struct pair pair = make_pair(*state);
	struct op_account_delete end = {.caller = pair.bob.caller};

	RUN_OK(*state, ACCOUNT_DELETE, &end);
	assert_int_equal(write_to(*state, &pair.ann, &pair.bob), ERR_UNAVAILABLE);
	assert_int_equal(write_to(*state, &pair.bob, &pair.ann), ERR_UNAUTHORIZED);
}

static void receipts_end_when_they_are_turned_off(void **state)
{
	struct pair pair = make_pair(*state);
	struct op_account_patch off = {.caller = pair.bob.caller,
				       .patch = {.has_receipts = true}};

	mail_ack_all(*state, &pair.ann);
	assert_non_null(mail_ack(*state, &pair.bob, INT64_MAX).effects.deliveries);
	assert_int_equal(write_to(*state, &pair.ann, &pair.bob), ERR_OK);
	RUN_OK(*state, ACCOUNT_PATCH, &off);
	assert_null(mail_ack(*state, &pair.bob, INT64_MAX).effects.deliveries);
}

/* One batch: an account that is not committed in the end, and a message that has found it. */
static void what_was_rolled_back_is_not_remembered(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct key_upload upload = contract_upload(contract, "phone", 0, 0);
	struct message_request *message = mail_new(contract, "bob@a.example");
	struct op_invite_create first = {0};
	struct op_register bob = {
		.user = "bob", .device = &upload, .session = contract_session()};
	struct op_send send = {.caller = ann.caller, .message = message};

	mail_add(message, 1, upload.registration_id);
	contract_prepare(contract, &first.op, STORE_INVITE_CREATE);
	contract_prepare(contract, &bob.op, STORE_REGISTER);
	contract_prepare(contract, &send.op, STORE_SEND);
	fault_hold_lane(true);
	assert_true(store_post(contract->store, &first.op));
	while (!fault_lane_is_held())
		sched_yield();
	assert_true(store_post(contract->store, &bob.op));
	assert_true(store_post(contract->store, &send.op));
	fault_arm_commits(3); /* of the first, of both, of the account alone */
	fault_hold_lane(false);
	assert_ptr_equal(inbox_wait(contract->inbox, 1), &first.op.message);
	assert_non_null(inbox_wait(contract->inbox, 1));
	assert_non_null(inbox_wait(contract->inbox, 1));
	assert_int_equal(bob.op.err, ERR_STORE);
	assert_int_equal(send.op.err, ERR_UNAVAILABLE);
}

static void what_is_sent_again_in_a_batch_is_known_by_its_id(void **state)
{
	struct pair pair = make_pair(*state);
	struct message_request *old = MAIL_TO(*state, &pair.bob);
	struct message_request *new = MAIL_TO(*state, &pair.bob);
	int64_t commits = metric_get(METRIC_store_commits_total);
	const struct message_request *order[] = {new, old, new, MAIL_TO(*state, &pair.bob)};
	struct op_send sends[4] = {0};

	mail_ack_all(*state, &pair.bob);
	mail_send_ok(*state, &pair.ann, old);
	for (size_t i = 0; i < 4; i++)
		sends[i] = (struct op_send){.caller = pair.ann.caller, .message = order[i]};
	mail_send_together(*state, sends, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(sends[i].op.err, ERR_OK);
		assert_int_equal(sends[i].duplicate, i == 1 || i == 2);
	}
	assert_int_equal(mail_count(*state, &pair.bob), 3);
	/* The two before, the one that held the lane, and the batch, which was not replayed. */
	assert_int_equal(metric_get(METRIC_store_commits_total), commits + 4);
}

static void what_comes_again_in_a_transaction_is_known_by_its_id(void **state)
{
	struct pair pair = make_pair(*state);
	struct fed_item old = fed_message(MAIL_TO(*state, &pair.bob), REMOTE);
	struct fed_item new = fed_message(MAIL_TO(*state, &pair.bob), REMOTE);
	struct fed_item items[] = {new, old, new};
	struct op_transaction op;

	mail_ack_all(*state, &pair.bob);
	fed_take_one(*state, 1, old);
	op = fed_take(*state, "stream", 2, 2, items, 3);
	assert_string_equal((const char *)op.answer.data,
			    "{\"acked\":4,\"results\":[{\"seq\":3,\"code\":\"duplicate\"},"
			    "{\"seq\":4,\"code\":\"duplicate\"}]}");
	assert_int_equal(mail_count(*state, &pair.bob), 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(consent_counts_from_the_next_message_on),
		T(who_has_forgotten_somebody_accepts_again_by_writing),
		T(a_closed_account_is_closed_to_whom_it_has_not_accepted),
		T(a_block_counts_for_messages_of_other_nodes),
		T(a_new_device_is_missing_and_a_removed_one_is_too_many),
		T(an_ended_session_sends_nothing_more),
		T(a_deleted_account_neither_sends_nor_receives),
		T(receipts_end_when_they_are_turned_off),
		T(what_was_rolled_back_is_not_remembered),
		T(what_is_sent_again_in_a_batch_is_known_by_its_id),
		T(what_comes_again_in_a_transaction_is_known_by_its_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
