/* SPDX-License-Identifier: MIT
 *
 * Messages, transactions and outboxes happen whole or not at all: each operation is run
 * with its first statement failing, its second, and so on until it succeeds. What is
 * remembered beside the database must come through as well.
 */
#include "mail.h"

#include "fault.h"

/* Runs an operation with each of its statements failing once, and checks after each time
 * that nothing has happened; then it succeeds. */
static void run_with_faults(struct contract *contract, struct store_op *op,
			    enum store_kind kind, void (*check_nothing)(void *context),
			    void *context)
{
	enum err err = ERR_STORE;
	int64_t nth;

	for (nth = 1; err == ERR_STORE; nth++) {
		fault_arm_statement(nth);
		err = contract_run(contract, op, kind);
		fault_arm_statement(0);
		if (err == ERR_STORE)
			check_nothing(context);
	}
	assert_int_equal(err, ERR_OK);
	assert_true(nth > 4); /* faults did happen */
}

struct scene {
	struct contract *contract;
	struct contract_device ann, bob;
	struct message_request *message;
};

static struct scene scene_make(struct contract *contract)
{
	struct scene scene = {.contract = contract,
			      .ann = contract_register(contract, "ann"),
			      .bob = contract_register(contract, "bob")};

	contract_consent(contract, &scene.bob, "ann@a.example", CONSENT_ACCEPTED);
	scene.message = MAIL_TO(contract, &scene.bob);
	return scene;
}

static void nothing_was_sent(void *context)
{
	struct scene *scene = context;
	struct op_message_get get = {.caller = scene->ann.caller};

	memcpy(get.id, scene->message->id, MESSAGE_ID_SIZE);
	assert_int_equal(RUN(scene->contract, MESSAGE_GET, &get), ERR_NOT_FOUND);
	assert_int_equal(mail_count(scene->contract, &scene->bob), 0);
	assert_int_equal(outbox_read(scene->contract, "b.example", 0).count, 0);
}

static void a_local_send(void **state)
{
	struct scene scene = scene_make(*state);
	struct op_send send = {.caller = scene.ann.caller, .message = scene.message};

	run_with_faults(*state, &send.op, STORE_SEND, nothing_was_sent, &scene);
	assert_null(send.effects.deliveries->next);
	assert_int_equal(mail_count(*state, &scene.bob), 1);
}

static void a_remote_send(void **state)
{
	struct scene scene = scene_make(*state);
	struct op_send send = {.caller = scene.ann.caller};

	scene.message = mail_to_remote(*state, REMOTE);
	send.message = scene.message;
	run_with_faults(*state, &send.op, STORE_SEND, nothing_was_sent, &scene);
	assert_int_equal(send.effects.outbound->position, 1);
	assert_int_equal(outbox_read(*state, "b.example", 0).count, 1);
}

static void a_transaction(void **state)
{
	struct scene scene = scene_make(*state);
	struct fed_item items[] = {fed_message(scene.message, REMOTE),
				   fed_message(MAIL_TO(*state, &scene.bob), REMOTE)};
	struct transaction transaction = {
		.stream = "s", .seq = 1, .items = items, .n_items = 2};
	struct op_transaction op = {.origin = "b.example", .transaction = &transaction};

	run_with_faults(*state, &op.op, STORE_TRANSACTION, nothing_was_sent, &scene);
	assert_string_equal((const char *)op.answer.data, "{\"acked\":2,\"results\":[]}");
	assert_int_equal(mail_count(*state, &scene.bob), 2);
}

static void nothing_was_acknowledged(void *context)
{
	struct scene *scene = context;

	assert_int_equal(mail_count(scene->contract, &scene->bob), 1);
	assert_int_equal(mail_count(scene->contract, &scene->ann), 0);
	assert_int_equal(mail_status(scene->contract, &scene->ann, scene->message).n_taken_by,
			 0);
}

static void an_acknowledgement(void **state)
{
	struct scene scene = scene_make(*state);
	struct ack_request request = {.up_to = INT64_MAX};
	struct op_mailbox_ack ack = {.caller = scene.bob.caller, .ack = &request};

	mail_send_ok(*state, &scene.ann, scene.message);
	run_with_faults(*state, &ack.op, STORE_MAILBOX_ACK, nothing_was_acknowledged, &scene);
	assert_int_equal(mail_count(*state, &scene.bob), 0);
	assert_int_equal(mail_count(*state, &scene.ann), 1);
	assert_int_equal(mail_status(*state, &scene.ann, scene.message).n_taken_by, 1);
}

static void nothing_was_settled(void *context)
{
	struct scene *scene = context;

	assert_int_equal(outbox_read(scene->contract, "b.example", 0).count, 2);
	assert_int_equal(mail_count(scene->contract, &scene->ann), 0);
	assert_int_equal(mail_status(scene->contract, &scene->ann, scene->message).status,
			 MESSAGE_QUEUED);
}

static void queue_two(struct scene *scene)
{
	mail_send_ok(scene->contract, &scene->ann, mail_to_remote(scene->contract, REMOTE));
	scene->message = mail_to_remote(scene->contract, REMOTE);
	mail_send_ok(scene->contract, &scene->ann, scene->message);
}

static void a_settlement(void **state)
{
	struct scene scene = scene_make(*state);
	struct item_result result = {.seq = 2, .code = RESULT_BAD};
	struct op_outbox_settle settle = {
		.domain = "b.example", .up_to = 2, .results = &result, .n_results = 1};

	queue_two(&scene);
	run_with_faults(*state, &settle.op, STORE_OUTBOX_SETTLE, nothing_was_settled, &scene);
	assert_int_equal(outbox_read(*state, "b.example", 0).count, 0);
	assert_int_equal(mail_count(*state, &scene.ann), 1);
	assert_int_equal(mail_status(*state, &scene.ann, scene.message).status, MESSAGE_FAILED);
}

static void the_end_of_an_outbox(void **state)
{
	struct scene scene = scene_make(*state);
	struct op_outbox_expire expire = {.domain = "b.example", .limit = 10};

	queue_two(&scene);
	contract_now += 7 * DAYS_MS;
	run_with_faults(*state, &expire.op, STORE_OUTBOX_EXPIRE, nothing_was_settled, &scene);
	assert_int_equal(expire.expired, 2);
	assert_int_equal(mail_count(*state, &scene.ann), 2);
	queue_two(&scene);
	assert_int_equal(outbox_read(*state, "b.example", 0).items[1].position, 4);
}

#define T(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_local_send),       T(a_remote_send), T(a_transaction),
		T(an_acknowledgement), T(a_settlement),	 T(the_end_of_an_outbox),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
