/* SPDX-License-Identifier: MIT
 *
 * Items of an outbox whose time is over: what their senders are told, and that positions
 * stay contiguous.
 */
#include "mail.h"

#define B "b.example"

/* So many messages to b.example; gives the last. */
static struct message_request *queue(struct contract *contract,
				     const struct contract_device *from, int count)
{
	struct message_request *message = NULL;

	for (int i = 0; i < count; i++) {
		message = mail_to_remote(contract, REMOTE);
		mail_send_ok(contract, from, message);
	}
	return message;
}

/* One that waits for an hour. */
static struct message_request *queue_short(struct contract *contract,
					   const struct contract_device *from)
{
	struct message_request *message = mail_to_remote(contract, REMOTE);

	message->expires_in_ms = 1 * HOURS_MS;
	mail_send_ok(contract, from, message);
	return message;
}

static void offer(struct contract *contract, int64_t position)
{
	struct op_destination_put put = {.destination = {.domain = B, .offered = position}};

	RUN_OK(contract, DESTINATION_PUT, &put);
}

static struct op_outbox_expire expire(struct contract *contract, size_t limit)
{
	struct op_outbox_expire op = {.domain = B, .limit = limit};

	RUN_OK(contract, OUTBOX_EXPIRE, &op);
	return op;
}

static void nothing_expires_before_its_time(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");

	queue(*state, &ann, 2);
	queue_short(*state, &ann);
	contract_now += 1 * HOURS_MS - 1;
	assert_int_equal(expire(*state, 100).expired, 0);
	assert_int_equal(outbox_read(*state, B, 0).count, 3);
}

static void what_was_never_offered_becomes_void(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct message_request *message;
	struct op_outbox_expire op;
	struct op_outbox_read read;

	queue(*state, &ann, 1);
	message = queue_short(*state, &ann);
	queue(*state, &ann, 1);
	contract_now += 1 * HOURS_MS;
	op = expire(*state, 100);
	assert_int_equal(op.expired, 1);
	assert_false(op.reset_needed);
	assert_int_equal(op.destination.acked, 0);
	assert_int_equal(op.effects.deliveries->generation, ann.caller.generation);
	read = outbox_read(*state, B, 0);
	assert_int_equal(read.count, 3);
	assert_int_equal(read.items[1].position, 2);
	assert_int_equal(read.items[1].kind, FED_VOID);
	assert_true(bytes_equal(read.items[1].body, fed_void_encode()));
	assert_true(mail_has(mail_only(*state, &ann).body, "\"code\":\"expired\"}"));
	assert_int_equal(mail_status(*state, &ann, message).status, MESSAGE_FAILED);
	assert_string_equal(mail_status(*state, &ann, message).code, "expired");
	assert_int_equal(expire(*state, 100).expired, 0); /* once */
}

static void unsent_items_in_front_go_and_the_base_goes_along(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct op_outbox_expire op;

	queue(*state, &ann, 1);
	outbox_settle(*state, B, 1, NULL, 0);
	queue_short(*state, &ann);
	queue(*state, &ann, 1);
	contract_now += 1 * HOURS_MS;
	op = expire(*state, 100);
	assert_int_equal(op.expired, 1);
	assert_false(op.reset_needed);
	assert_int_equal(op.destination.acked, 2);
	assert_int_equal(op.destination.offered, 2);
	assert_int_equal(op.destination.base, 1); /* 3 is the second on the wire */
	assert_int_equal(outbox_read(*state, B, 0).items[0].position, 3);
	assert_true(mail_has(mail_only(*state, &ann).body, "\"code\":\"expired\"}"));
}

static void what_was_offered_ends_as_unknown_and_breaks_the_stream(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct message_request *message = queue(*state, &ann, 2);
	struct op_outbox_expire op;
	struct op_mailbox_read read;

	offer(*state, 2);
	queue(*state, &ann, 1);
	contract_now += 1 * DAYS_MS;
	queue(*state, &ann, 1);
	contract_now += 6 * DAYS_MS;
	op = expire(*state, 100);
	assert_int_equal(op.expired, 3);
	assert_true(op.reset_needed);
	assert_int_equal(op.destination.acked, 3);
	assert_int_equal(op.destination.last, 4);
	read = mail_read(*state, &ann);
	assert_int_equal(read.count, 3);
	assert_true(mail_has(read.items[0].body, "\"code\":\"unknown\"}"));
	assert_true(mail_has(read.items[1].body, "\"code\":\"unknown\"}"));
	assert_true(mail_has(read.items[2].body, "\"code\":\"expired\"}"));
	assert_int_equal(mail_status(*state, &ann, message).status, MESSAGE_UNKNOWN);
	assert_int_equal(outbox_read(*state, B, 0).items[0].position, 4);
}

static void what_was_offered_goes_from_the_front_alone(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct op_outbox_expire op;

	queue(*state, &ann, 1);
	queue_short(*state, &ann);
	queue_short(*state, &ann);
	offer(*state, 2);
	contract_now += 1 * HOURS_MS;
	op = expire(*state, 100);
	assert_int_equal(op.expired, 1);
	assert_false(op.reset_needed);
	assert_int_equal(outbox_read(*state, B, 0).items[1].kind, FED_MESSAGE);
	assert_int_equal(outbox_read(*state, B, 0).items[2].kind, FED_VOID);
	contract_now += 7 * DAYS_MS;
	op = expire(*state, 100);
	assert_int_equal(op.expired, 3); /* nobody is told of the void again */
	assert_true(op.reset_needed);
	assert_int_equal(mail_count(*state, &ann), 3);
	assert_int_equal(op.destination.acked, 3);
	assert_int_equal(op.destination.acked, op.destination.last);
}

static void a_void_that_was_offered_has_time_to_arrive(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");

	queue(*state, &ann, 1);
	queue_short(*state, &ann);
	contract_now += 1 * HOURS_MS;
	assert_int_equal(expire(*state, 100).expired, 1);
	outbox_settle(*state, B, 1, NULL, 0);
	offer(*state, 2);
	assert_int_equal(expire(*state, 100).expired, 0);
	contract_now += 7 * DAYS_MS;
	assert_true(expire(*state, 100).reset_needed);
}

static void expiring_takes_many_steps_where_there_is_much(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	int64_t expired = 0;

	queue(*state, &ann, 5);
	offer(*state, 2);
	contract_now += 7 * DAYS_MS;
	for (int i = 0; i < 3; i++) {
		struct op_outbox_expire op = expire(*state, 2);

		assert_in_range(op.expired, 1, 2);
		expired += op.expired;
	}
	assert_int_equal(expired, 5);
	assert_int_equal(outbox_read(*state, B, 0).count, 0);
	assert_int_equal(mail_count(*state, &ann), 5);
	assert_int_equal(mail_send(*state, &ann, mail_to_remote(*state, REMOTE))
				 .effects.outbound->position,
			 6);
}

static void what_expired_makes_room(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");

	contract->config.outbox_items = 3; /* two of them are the share of one account */
	contract_reopen(contract);
	queue(contract, &ann, 2);
	contract_now += 7 * DAYS_MS;
	expire(contract, 100);
	queue(contract, &ann, 2);
	assert_int_equal(mail_send(contract, &ann, mail_to_remote(contract, REMOTE)).op.err,
			 ERR_OVER_QUOTA);
}

#define T(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nothing_expires_before_its_time),
		T(what_was_never_offered_becomes_void),
		T(unsent_items_in_front_go_and_the_base_goes_along),
		T(what_was_offered_ends_as_unknown_and_breaks_the_stream),
		T(what_was_offered_goes_from_the_front_alone),
		T(a_void_that_was_offered_has_time_to_arrive),
		T(expiring_takes_many_steps_where_there_is_much),
		T(what_expired_makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
