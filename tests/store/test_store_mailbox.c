/* SPDX-License-Identifier: MIT
 *
 * Mailboxes: reading in order, acknowledging, and the receipts that come of it.
 */
#include "mail.h"

#include "fault.h"

static struct op_mailbox_read read_from(struct contract *contract,
					const struct contract_device *device, int64_t after,
					size_t limit, size_t max_bytes)
{
	struct op_mailbox_read read = {.caller = device->caller,
				       .after = after,
				       .limit = limit,
				       .max_bytes = max_bytes};

	RUN_OK(contract, MAILBOX_READ, &read);
	return read;
}

static void send_several(struct contract *contract, const struct contract_device *from,
			 const struct contract_device *to, int count)
{
	for (int i = 0; i < count; i++)
		mail_send_ok(contract, from, MAIL_TO(contract, to));
}

/* --- reading -------------------------------------------------------------------------- */

static void items_come_in_order_and_in_portions(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct op_mailbox_read read;

	send_several(*state, &ann, &bob, 3);
	read = read_from(*state, &bob, 0, 2, 1000000);
	assert_int_equal(read.count, 2);
	assert_true(read.items[0].seq < read.items[1].seq);
	assert_true(read.more);
	read = read_from(*state, &bob, read.items[1].seq, 2, 1000000);
	assert_int_equal(read.count, 1);
	assert_false(read.more);
	read = read_from(*state, &bob, read.items[0].seq, 2, 1000000);
	assert_int_equal(read.count, 0);
	assert_false(read.more);
}

static void a_portion_is_bounded_in_bytes_but_never_empty(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct op_mailbox_read read;

	send_several(*state, &ann, &bob, 3);
	read = read_from(*state, &bob, 0, 100, 1);
	assert_int_equal(read.count, 1);
	assert_true(read.more);
	read = read_from(*state, &bob, 0, 100, 2 * read.items[0].body.len);
	assert_int_equal(read.count, 2);
	assert_true(read.more);
}

static void expired_items_are_passed_over(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);

	message->expires_in_ms = 1 * HOURS_MS;
	mail_send_ok(*state, &ann, message);
	send_several(*state, &ann, &bob, 1);
	contract_now += 1 * HOURS_MS - 1;
	assert_int_equal(mail_count(*state, &bob), 2);
	contract_now += 1;
	assert_int_equal(mail_count(*state, &bob), 1);
	contract_now += 30 * DAYS_MS;
	assert_int_equal(mail_count(*state, &bob), 0);
}

static void a_device_reads_nothing_of_its_predecessor(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob1 = contract_register(*state, "bob");
	struct contract_device bob2 = contract_link(*state, &bob1, "tablet");
	struct op_mailbox_read read = {.caller = bob2.caller, .limit = 1, .max_bytes = 1};

	mail_send_ok(*state, &ann, MAIL_TO(*state, &bob1, &bob2));
	assert_int_equal(contract_remove(*state, &bob1, 2), ERR_OK);
	assert_int_equal(RUN(*state, MAILBOX_READ, &read), ERR_UNAUTHORIZED);
	bob2 = contract_link(*state, &bob1, "tablet");
	assert_int_equal(bob2.caller.device_id, 2);
	assert_int_equal(mail_count(*state, &bob2), 0);
}

/* --- numbers -------------------------------------------------------------------------- */

/* Sends one message and acknowledges it: the mailbox is empty again. */
static int64_t seq_of_next(struct contract *contract, const struct contract_device *from,
			   const struct contract_device *to)
{
	int64_t seq;

	mail_send_ok(contract, from, MAIL_TO(contract, to));
	seq = mail_only(contract, to).seq;
	mail_ack_all(contract, to);
	return seq;
}

static void numbers_are_not_used_again_after_a_start(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	int64_t last = 0;

	for (int i = 0; i < 4; i++) {
		int64_t seq = seq_of_next(*state, &ann, &bob);

		assert_true(seq > last);
		last = seq;
		if (i % 2 == 1)
			contract_reopen(*state);
	}
}

static void numbers_are_not_used_again_after_a_rollback(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	int64_t last = seq_of_next(*state, &ann, &bob);

	fault_arm_commits(1);
	assert_int_equal(mail_send(*state, &ann, MAIL_TO(*state, &bob)).op.err, ERR_STORE);
	assert_int_equal(mail_count(*state, &bob), 0);
	assert_true(seq_of_next(*state, &ann, &bob) > last);
}

static void a_rollback_takes_back_what_was_counted(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct contract_device bob = contract_register(contract, "bob");

	contract->config.mailbox_items = 1;
	contract_reopen(contract);
	fault_arm_commits(1);
	assert_int_equal(mail_send(contract, &ann, MAIL_TO(contract, &bob)).op.err, ERR_STORE);
	mail_send_ok(contract, &ann, MAIL_TO(contract, &bob));
	assert_int_equal(mail_send(contract, &ann, MAIL_TO(contract, &bob)).op.err,
			 ERR_OVER_QUOTA);
}

static void numbers_go_on_from_block_to_block(void **state)
{
	struct contract *contract = *state;
	struct contract_device bob = contract_register(contract, "bob");
	struct fed_item *items = arena_array(contract->arena, struct fed_item, 1000);
	int64_t last = 0;

	for (int64_t i = 0; i < 5; i++) {
		struct op_transaction op;

		for (size_t k = 0; k < 1000; k++)
			items[k] = fed_message(MAIL_TO(contract, &bob), REMOTE);
		op = fed_take(contract, "s", 1000 * i + 1, 0, items, 1000);
		for (struct delivery *d = op.effects.deliveries; d != NULL; d = d->next)
			assert_int_equal(d->item.seq, ++last);
	}
	assert_int_equal(last, 5000);
}

static const struct delivery *first_of(const struct op_send *send)
{
	assert_int_equal(send->op.err, ERR_OK);
	return send->effects.deliveries;
}

static void each_delivery_names_the_item_before_it(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct contract_device eve = contract_register(*state, "eve");
	struct op_send send = mail_send(*state, &ann, MAIL_TO(*state, &bob));
	int64_t last = first_of(&send)->item.seq;
	struct op_mailbox_ack ack;

	assert_int_equal(first_of(&send)->previous, 0);
	send = mail_send(*state, &ann, MAIL_TO(*state, &eve));
	assert_int_equal(first_of(&send)->previous, 0);
	send = mail_send(*state, &ann, MAIL_TO(*state, &bob));
	assert_int_equal(first_of(&send)->previous, last);
	last = first_of(&send)->item.seq;
	contract_reopen(*state);
	contract_consent(*state, &ann, "bob@a.example", CONSENT_ACCEPTED);
	send = mail_send(*state, &bob, MAIL_TO(*state, &ann));
	assert_int_equal(first_of(&send)->previous, 0);
	ack = mail_ack(*state, &ann, INT64_MAX); /* a receipt for bob */
	assert_int_equal(ack.effects.deliveries->previous, last);
	last = ack.effects.deliveries->item.seq;
	send = mail_send(*state, &ann, MAIL_TO(*state, &bob));
	assert_int_equal(first_of(&send)->previous, last);
}

static void a_rollback_takes_back_the_item_before(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct op_send send = mail_send(*state, &ann, MAIL_TO(*state, &bob));
	int64_t last = first_of(&send)->item.seq;

	fault_arm_commits(1);
	assert_int_equal(mail_send(*state, &ann, MAIL_TO(*state, &bob)).op.err, ERR_STORE);
	send = mail_send(*state, &ann, MAIL_TO(*state, &bob));
	assert_int_equal(first_of(&send)->previous, last);
}

/* --- acknowledging -------------------------------------------------------------------- */

static void an_acknowledgement_removes_everything_up_to_it(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob1 = contract_register(*state, "bob");
	struct contract_device bob2 = contract_link(*state, &bob1, "tablet");
	struct op_mailbox_read read;

	for (int i = 0; i < 3; i++)
		mail_send_ok(*state, &ann, MAIL_TO(*state, &bob1, &bob2));
	read = mail_read(*state, &bob1);
	assert_int_equal(mail_ack(*state, &bob1, read.items[1].seq).removed, 2);
	assert_int_equal(mail_ack(*state, &bob1, read.items[1].seq).removed, 0);
	assert_int_equal(mail_only(*state, &bob1).seq, read.items[2].seq);
	assert_int_equal(mail_count(*state, &bob2), 3);
}

static void single_items_are_acknowledged_by_number(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob1 = contract_register(*state, "bob");
	struct contract_device bob2 = contract_link(*state, &bob1, "tablet");
	struct op_mailbox_read read;
	int64_t seqs[4] = {12345};
	struct ack_request request = {.seqs = seqs, .n_seqs = 4};
	struct op_mailbox_ack ack = {.caller = bob1.caller, .ack = &request};

	for (int i = 0; i < 3; i++)
		mail_send_ok(*state, &ann, MAIL_TO(*state, &bob1, &bob2));
	read = mail_read(*state, &bob1);
	seqs[1] = read.items[2].seq;
	seqs[2] = read.items[0].seq;
	seqs[3] = mail_read(*state, &bob2).items[1].seq; /* another device's */
	RUN_OK(*state, MAILBOX_ACK, &ack);
	assert_int_equal(ack.removed, 2);
	assert_int_equal(mail_only(*state, &bob1).seq, read.items[1].seq);
	assert_int_equal(mail_count(*state, &bob2), 3);
	request.n_seqs = 0;
	RUN_OK(*state, MAILBOX_ACK, &ack);
	assert_int_equal(ack.removed, 0);
}

/* --- receipts ------------------------------------------------------------------------- */

static void the_sender_hears_who_has_taken_a_message(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob1 = contract_register(*state, "bob");
	struct contract_device bob2 = contract_link(*state, &bob1, "tablet");
	struct message_request *message = MAIL_TO(*state, &bob1, &bob2);
	struct op_mailbox_ack ack;
	struct mailbox_item item;
	struct message_info info;

	contract_consent(*state, &bob1, "ann@a.example", CONSENT_ACCEPTED);
	mail_send_ok(*state, &ann, message);
	ack = mail_ack(*state, &bob2, INT64_MAX);
	item = mail_only(*state, &ann);
	assert_int_equal(item.kind, ITEM_RECEIPT);
	assert_true(mail_has(item.body, message->id_text));
	assert_true(mail_has(item.body, "\"from\":\"bob@a.example\",\"devices\":[2]"));
	assert_int_equal(ack.effects.deliveries->generation, ann.caller.generation);
	assert_int_equal(ack.effects.deliveries->item.seq, item.seq);
	mail_ack_all(*state, &bob1);
	info = mail_status(*state, &ann, message);
	assert_int_equal(info.status, MESSAGE_STORED);
	assert_int_equal(info.n_taken_by, 2);
	assert_int_equal(info.taken_by[0], 2);
	assert_int_equal(info.taken_by[1], 1);
	assert_int_equal(mail_count(*state, &ann), 2);
	assert_null(mail_ack(*state, &ann, INT64_MAX).effects.deliveries);
}

static void numbers_make_receipts_too(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	int64_t seq;
	struct ack_request request = {.seqs = &seq, .n_seqs = 1};
	struct op_mailbox_ack ack = {.caller = bob.caller, .ack = &request};

	contract_consent(*state, &bob, "ann@a.example", CONSENT_ACCEPTED);
	send_several(*state, &ann, &bob, 2);
	seq = mail_read(*state, &bob).items[1].seq;
	RUN_OK(*state, MAILBOX_ACK, &ack);
	assert_int_equal(mail_only(*state, &ann).kind, ITEM_RECEIPT);
}

static void there_is_no_receipt_for_strangers(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);

	mail_send_ok(*state, &ann, message);
	mail_ack_all(*state, &bob);
	assert_int_equal(mail_count(*state, &ann), 0);
	assert_int_equal(mail_status(*state, &ann, message).n_taken_by, 0);
}

static void there_is_no_receipt_where_they_are_off(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct op_account_patch off = {.caller = bob.caller, .patch = {.has_receipts = true}};

	RUN_OK(*state, ACCOUNT_PATCH, &off);
	contract_consent(*state, &bob, "ann@a.example", CONSENT_ACCEPTED);
	send_several(*state, &ann, &bob, 1);
	mail_ack_all(*state, &bob);
	assert_int_equal(mail_count(*state, &ann), 0);
}

static void there_is_no_receipt_for_what_goes_to_oneself(void **state)
{
	struct contract_device ann1 = contract_register(*state, "ann");
	struct contract_device ann2 = contract_link(*state, &ann1, "tablet");

	mail_send_ok(*state, &ann1, MAIL_TO(*state, &ann2));
	assert_null(mail_ack(*state, &ann2, INT64_MAX).effects.deliveries);
	assert_int_equal(mail_count(*state, &ann1), 0);
}

static void there_is_no_receipt_for_a_device_that_is_gone(void **state)
{
	struct contract_device ann1 = contract_register(*state, "ann");
	struct contract_device ann2 = contract_link(*state, &ann1, "tablet");
	struct contract_device bob = contract_register(*state, "bob");

	contract_consent(*state, &bob, "ann@a.example", CONSENT_ACCEPTED);
	send_several(*state, &ann2, &bob, 1);
	assert_int_equal(contract_remove(*state, &ann1, 2), ERR_OK);
	ann2 = contract_link(*state, &ann1, "tablet");
	assert_null(mail_ack(*state, &bob, INT64_MAX).effects.deliveries);
	assert_int_equal(mail_count(*state, &ann2), 0);
}

static void a_remote_sender_gets_its_receipt_by_the_outbox(void **state)
{
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);
	struct op_mailbox_ack ack;
	struct op_outbox_read read;

	contract_consent(*state, &bob, REMOTE, CONSENT_ACCEPTED);
	fed_take_one(*state, 1, fed_message(message, REMOTE));
	ack = mail_ack(*state, &bob, INT64_MAX);
	assert_int_equal(ack.removed, 1);
	assert_string_equal(ack.effects.outbound->domain, "b.example");
	read = outbox_read(*state, "b.example", 0);
	assert_int_equal(read.count, 1);
	assert_int_equal(read.items[0].kind, FED_RECEIPT);
	assert_int_equal(read.items[0].expires_ms, contract_now + 7 * DAYS_MS);
	assert_true(mail_has(read.items[0].body, message->id_text));
	assert_true(
		mail_has(read.items[0].body, "\"from\":\"bob@a.example\",\"to\":\"" REMOTE));
	assert_true(mail_has(read.items[0].body, "\"token\":\"their token\""));
}

static void a_remote_stranger_gets_no_receipt(void **state)
{
	struct contract_device bob = contract_register(*state, "bob");

	fed_take_one(*state, 1, fed_message(MAIL_TO(*state, &bob), REMOTE));
	assert_null(mail_ack(*state, &bob, INT64_MAX).effects.outbound);
	assert_int_equal(outbox_read(*state, "b.example", 0).count, 0);
}

static void receipts_pass_the_limits_and_do_not_count(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct contract_device bob = contract_register(contract, "bob");

	contract->config.mailbox_items = 1;
	contract_reopen(contract);
	contract_consent(contract, &bob, "ann@a.example", CONSENT_ACCEPTED);
	for (int i = 0; i < 3; i++) {
		send_several(contract, &ann, &bob, 1);
		mail_ack_all(contract, &bob);
	}
	assert_int_equal(mail_count(contract, &ann), 3);
	send_several(contract, &bob, &ann, 1);
	assert_int_equal(mail_count(contract, &ann), 4);
}

#define T(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(items_come_in_order_and_in_portions),
		T(a_portion_is_bounded_in_bytes_but_never_empty),
		T(expired_items_are_passed_over),
		T(a_device_reads_nothing_of_its_predecessor),
		T(numbers_are_not_used_again_after_a_start),
		T(numbers_are_not_used_again_after_a_rollback),
		T(a_rollback_takes_back_what_was_counted),
		T(numbers_go_on_from_block_to_block),
		T(each_delivery_names_the_item_before_it),
		T(a_rollback_takes_back_the_item_before),
		T(an_acknowledgement_removes_everything_up_to_it),
		T(single_items_are_acknowledged_by_number),
		T(the_sender_hears_who_has_taken_a_message),
		T(numbers_make_receipts_too),
		T(there_is_no_receipt_for_strangers),
		T(there_is_no_receipt_where_they_are_off),
		T(there_is_no_receipt_for_what_goes_to_oneself),
		T(there_is_no_receipt_for_a_device_that_is_gone),
		T(a_remote_sender_gets_its_receipt_by_the_outbox),
		T(a_remote_stranger_gets_no_receipt),
		T(receipts_pass_the_limits_and_do_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
