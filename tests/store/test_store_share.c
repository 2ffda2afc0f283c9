/* SPDX-License-Identifier: MIT
 *
 * Shares: nobody holds more than half of a mailbox or an outbox that is more than half full.
 */
#include "mail.h"

static void allow_mailbox(struct contract *contract, int64_t items, int64_t bytes)
{
	contract->config.mailbox_items = items;
	contract->config.mailbox_bytes = bytes;
	contract_reopen(contract);
}

/* Is a message of another node stored? */
static bool is_taken(struct contract *contract, const char *origin,
		     const struct contract_device *to)
{
	static unsigned streams = 0;
	struct fed_item item = fed_message(MAIL_TO(contract, to),
					   arena_printf(contract->arena, "eve@%s", origin));
	struct op_transaction op =
		fed_take_from(contract, origin, arena_printf(contract->arena, "s%u", ++streams),
			      1, 1, &item, 1);

	assert_int_equal(op.op.err, ERR_OK);
	return !mail_has(op.answer, "\"code\":\"over_quota\",\"devices\":[1]");
}

static void one_origin_gets_half_of_a_mailbox(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct contract_device bob = contract_register(contract, "bob");

	allow_mailbox(contract, 4, 1 << 20);
	assert_true(is_taken(contract, "b.example", &bob));
	assert_true(is_taken(contract, "b.example", &bob));
	assert_false(is_taken(contract, "b.example", &bob));
	assert_true(is_taken(contract, "c.example", &bob));
	assert_false(is_taken(contract, "b.example", &bob));
	mail_send_ok(contract, &ann, MAIL_TO(contract, &bob));
	assert_false(is_taken(contract, "d.example", &bob)); /* it is full */
	assert_int_equal(mail_count(contract, &bob), 4);
}

static void what_is_of_this_node_has_no_share(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct contract_device bob = contract_register(contract, "bob");

	allow_mailbox(contract, 4, 1 << 20);
	for (int i = 0; i < 3; i++)
		mail_send_ok(contract, &ann, MAIL_TO(contract, &bob));
	assert_true(is_taken(contract, "b.example", &bob));
}

static void bytes_are_shared_too(void **state)
{
	struct contract *contract = *state;
	struct contract_device bob = contract_register(contract, "bob");
	int64_t one;

	assert_true(is_taken(contract, "b.example", &bob));
	one = (int64_t)mail_only(contract, &bob).body.len;
	allow_mailbox(contract, 1000, 4 * one);
	assert_true(is_taken(contract, "b.example", &bob));
	assert_false(is_taken(contract, "b.example", &bob));
	assert_true(is_taken(contract, "c.example", &bob));
}

static void the_share_is_known_after_a_restart(void **state)
{
	struct contract *contract = *state;
	struct contract_device bob = contract_register(contract, "bob");

	allow_mailbox(contract, 4, 1 << 20);
	assert_true(is_taken(contract, "b.example", &bob));
	assert_true(is_taken(contract, "b.example", &bob));
	assert_true(is_taken(contract, "c.example", &bob));
	contract_reopen(contract);
	assert_false(is_taken(contract, "b.example", &bob));
	assert_true(is_taken(contract, "c.example", &bob));
}

/* Also: the other devices of the account get it. */
static void the_share_is_of_one_mailbox(void **state)
{
	struct contract *contract = *state;
	struct contract_device bob1 = contract_register(contract, "bob");
	struct contract_device bob2 = contract_link(contract, &bob1, "tablet");
	struct fed_item item;

	allow_mailbox(contract, 4, 1 << 20);
	for (int64_t seq = 1; seq <= 2; seq++)
		assert_null(strstr(
			fed_take_one(contract, seq,
				     fed_message(MAIL_TO(contract, &bob1, &bob2), REMOTE)),
			"code"));
	mail_ack_all(contract, &bob2);
	item = fed_message(MAIL_TO(contract, &bob1, &bob2), REMOTE);
	assert_non_null(strstr(fed_take_one(contract, 3, item), "\"devices\":[1]}"));
	assert_int_equal(mail_count(contract, &bob1), 2);
	assert_int_equal(mail_count(contract, &bob2), 1);
}

static void what_was_removed_counts_for_a_second_at_most(void **state)
{
	struct contract *contract = *state;
	struct contract_device bob = contract_register(contract, "bob");
	struct op_mailbox_read read;

	allow_mailbox(contract, 8, 1 << 20);
	for (int i = 0; i < 4; i++)
		assert_true(is_taken(contract, "b.example", &bob));
	for (int i = 0; i < 3; i++)
		assert_true(is_taken(contract, "c.example", &bob));
	assert_false(is_taken(contract, "b.example", &bob));
	read = mail_read(contract, &bob);
	mail_ack(contract, &bob, read.items[1].seq);
	assert_false(is_taken(contract, "b.example", &bob));
	contract_now += 1000;
	assert_true(is_taken(contract, "b.example", &bob));
	assert_true(is_taken(contract, "b.example", &bob));
	assert_false(is_taken(contract, "b.example", &bob));
}

static enum err send_out(struct contract *contract, const struct contract_device *from)
{
	return mail_send(contract, from, mail_to_remote(contract, REMOTE)).op.err;
}

static void one_account_gets_half_of_an_outbox(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann1 = contract_register(contract, "ann");
	struct contract_device ann2 = contract_link(contract, &ann1, "tablet");
	struct contract_device bob = contract_register(contract, "bob");

	contract->config.outbox_items = 4;
	contract_reopen(contract);
	assert_int_equal(send_out(contract, &ann1), ERR_OK);
	assert_int_equal(send_out(contract, &ann2), ERR_OK);
	assert_int_equal(send_out(contract, &ann1), ERR_OVER_QUOTA);
	assert_int_equal(send_out(contract, &bob), ERR_OK);
	contract_reopen(contract);
	/* A device that has gone leaves its account what it has put there. */
	assert_int_equal(contract_remove(contract, &ann1, 2), ERR_OK);
	assert_int_equal(send_out(contract, &ann1), ERR_OVER_QUOTA);
	assert_int_equal(send_out(contract, &bob), ERR_OK);
	assert_int_equal(outbox_read(contract, "b.example", 0).count, 4);
}

static void a_settled_outbox_has_room_again(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct contract_device bob = contract_register(contract, "bob");

	contract->config.outbox_items = 4;
	contract_reopen(contract);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(send_out(contract, &ann), ERR_OK);
		assert_int_equal(send_out(contract, &bob), ERR_OK);
	}
	assert_int_equal(send_out(contract, &ann), ERR_OVER_QUOTA);
	outbox_settle(contract, "b.example", 1, NULL, 0);
	contract_now += 1000;
	assert_int_equal(send_out(contract, &bob), ERR_OVER_QUOTA);
	assert_int_equal(send_out(contract, &ann), ERR_OK);
}

/* Nothing of the shares stays behind: a sanitizer looks. */
static void a_removed_destination_begins_without_shares(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct op_destination_remove op = {.domain = "b.example"};

	contract->config.outbox_items = 2;
	contract_reopen(contract);
	assert_int_equal(send_out(contract, &ann), ERR_OK);
	assert_int_equal(send_out(contract, &ann), ERR_OVER_QUOTA);
	outbox_settle(contract, "b.example", 1, NULL, 0);
	RUN_OK(contract, DESTINATION_REMOVE, &op);
	assert_int_equal(op.removed, 1);
	assert_int_equal(send_out(contract, &ann), ERR_OK);
}

#define T(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_origin_gets_half_of_a_mailbox),
		T(what_is_of_this_node_has_no_share),
		T(bytes_are_shared_too),
		T(the_share_is_known_after_a_restart),
		T(the_share_is_of_one_mailbox),
		T(what_was_removed_counts_for_a_second_at_most),
		T(one_account_gets_half_of_an_outbox),
		T(a_settled_outbox_has_room_again),
		T(a_removed_destination_begins_without_shares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
