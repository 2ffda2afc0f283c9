/* SPDX-License-Identifier: MIT
 *
 * Transactions from other nodes: streams, and what becomes of each kind of item.
 */
#include "mail.h"

#define NO_RESULTS "\"results\":[]}"

/* --- streams -------------------------------------------------------------------------- */

static struct fed_item void_item(void)
{
	return (struct fed_item){.kind = FED_VOID};
}

/* So many voids. */
static struct op_transaction take_voids(struct contract *contract, const char *stream,
					int64_t seq, uint8_t digest, size_t count)
{
	struct fed_item *items = arena_array(contract->arena, struct fed_item, count);

	for (size_t i = 0; i < count; i++)
		items[i] = void_item();
	return fed_take(contract, stream, seq, digest, items, count);
}

static void numbers_follow_each_other(void **state)
{
	struct op_transaction op = take_voids(*state, "s", 1, 1, 3);

	assert_int_equal(op.op.err, ERR_OK);
	assert_false(op.replay);
	assert_string_equal((const char *)op.answer.data, "{\"acked\":3," NO_RESULTS);
	op = take_voids(*state, "s", 4, 1, 1);
	assert_string_equal((const char *)op.answer.data, "{\"acked\":4," NO_RESULTS);
}

static void a_gap_or_a_step_back_resets_the_stream(void **state)
{
	take_voids(*state, "s", 1, 1, 3);
	assert_int_equal(take_voids(*state, "s", 5, 2, 1).op.err, ERR_STREAM_RESET);
	assert_int_equal(take_voids(*state, "s", 2, 2, 2).op.err, ERR_STREAM_RESET);
	assert_int_equal(take_voids(*state, "s", 4, 2, 1).op.err, ERR_OK);
	assert_int_equal(take_voids(*state, "s", 1, 1, 3).op.err, ERR_STREAM_RESET);
}

static void another_digest_range_or_stream_is_no_repeat(void **state)
{
	take_voids(*state, "s", 1, 1, 3);
	assert_int_equal(take_voids(*state, "s", 1, 2, 3).op.err, ERR_STREAM_RESET);
	assert_int_equal(take_voids(*state, "s", 1, 1, 2).op.err, ERR_STREAM_RESET);
	assert_int_equal(take_voids(*state, "t", 4, 1, 1).op.err, ERR_STREAM_RESET);
	assert_true(take_voids(*state, "s", 1, 1, 3).replay);
}

static void a_stream_begins_at_one(void **state)
{
	assert_int_equal(take_voids(*state, "s", 2, 1, 1).op.err, ERR_STREAM_RESET);
	assert_int_equal(take_voids(*state, "s", 1, 1, 1).op.err, ERR_OK);
	assert_int_equal(take_voids(*state, "t", 1, 1, 1).op.err, ERR_OK);
	assert_int_equal(take_voids(*state, "s", 2, 1, 1).op.err, ERR_STREAM_RESET);
	assert_int_equal(take_voids(*state, "t", 2, 1, 1).op.err, ERR_OK);
}

static void a_repeat_gets_the_stored_answer_and_nothing_happens(void **state)
{
	struct contract_device bob = contract_register(*state, "bob");
	struct fed_item items[] = {fed_message(MAIL_TO(*state, &bob), REMOTE),
				   {.kind = FED_MESSAGE, .bad = true}};
	struct op_transaction first = fed_take(*state, "s", 1, 7, items, 2);
	struct op_transaction again;

	assert_string_equal((const char *)first.answer.data,
			    "{\"acked\":2,\"results\":[{\"seq\":2,\"code\":\"bad\"}]}");
	contract_reopen(*state);
	again = fed_take(*state, "s", 1, 7, items, 2);
	assert_int_equal(again.op.err, ERR_OK);
	assert_true(again.replay);
	assert_true(bytes_equal(again.answer, first.answer));
	assert_null(again.effects.deliveries);
	assert_int_equal(mail_count(*state, &bob), 1);
}

static void a_new_stream_brings_no_message_twice(void **state)
{
	struct contract_device bob = contract_register(*state, "bob");
	struct fed_item item = fed_message(MAIL_TO(*state, &bob), REMOTE);
	struct fed_item twice[] = {item, item};
	struct op_transaction op;

	fed_take(*state, "s", 1, 1, &item, 1);
	op = fed_take(*state, "t", 1, 2, twice, 2);
	assert_string_equal((const char *)op.answer.data,
			    "{\"acked\":2,\"results\":[{\"seq\":1,\"code\":\"duplicate\"},"
			    "{\"seq\":2,\"code\":\"duplicate\"}]}");
	assert_null(op.effects.deliveries);
	assert_int_equal(mail_count(*state, &bob), 1);
}

/* --- messages ------------------------------------------------------------------------- */

static void a_message_reaches_every_device(void **state)
{
	struct contract_device bob1 = contract_register(*state, "bob");
	struct contract_device bob2 = contract_link(*state, &bob1, "tablet");
	struct message_request *message = MAIL_TO(*state, &bob1, &bob2);
	struct fed_item item = fed_message(message, REMOTE);
	struct op_transaction op = fed_take(*state, "s", 1, 1, &item, 1);
	struct op_consent_get consent = {.caller = bob1.caller};

	assert_string_equal((const char *)op.answer.data, "{\"acked\":1," NO_RESULTS);
	assert_true(mail_has(mail_only(*state, &bob1).body, "\"from\":\"" REMOTE "\""));
	assert_int_equal(mail_only(*state, &bob2).seq, op.effects.deliveries->next->item.seq);
	RUN_OK(*state, CONSENT_GET, &consent);
	assert_int_equal(consent.count, 1);
	assert_int_equal(consent.entries[0].state, CONSENT_REQUESTED);
}

static void the_same_id_of_another_sender_or_device_is_another_message(void **state)
{
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);
	struct fed_item items[] = {fed_message(message, REMOTE),
				   fed_message(message, "carl@b.example"),
				   fed_message(message, REMOTE)};

	items[2].from_device = 2;
	assert_string_equal((const char *)fed_take(*state, "s", 1, 1, items, 3).answer.data,
			    "{\"acked\":3," NO_RESULTS);
	assert_int_equal(mail_count(*state, &bob), 3);
}

static void who_cannot_be_reached_is_unavailable(void **state)
{
	struct contract_device bob = contract_register(*state, "bob");
	struct contract_device eve = contract_register(*state, "eve");
	struct message_request *away = mail_to_remote(*state, "bob@c.example");
	struct message_request *nobody = mail_to_remote(*state, "nobody@a.example");
	struct fed_item items[] = {fed_message(nobody, REMOTE), fed_message(away, REMOTE),
				   fed_message(MAIL_TO(*state, &bob), REMOTE),
				   fed_message(MAIL_TO(*state, &eve), REMOTE)};

	contract_close_to_strangers(*state, &bob);
	contract_consent(*state, &eve, REMOTE, CONSENT_BLOCKED);
	assert_string_equal((const char *)fed_take(*state, "s", 1, 1, items, 4).answer.data,
			    "{\"acked\":4,\"results\":[{\"seq\":1,\"code\":\"unavailable\"},"
			    "{\"seq\":2,\"code\":\"unavailable\"},"
			    "{\"seq\":3,\"code\":\"unavailable\"},"
			    "{\"seq\":4,\"code\":\"unavailable\"}]}");
}

static void a_wrong_list_stores_nothing_and_tells_the_right_one(void **state)
{
	struct contract_device bob1 = contract_register(*state, "bob");
	struct contract_device bob2 = contract_link(*state, &bob1, "tablet");
	struct message_request *message = MAIL_TO(*state, &bob1);
	struct address address = bob1.address;
	struct op_transaction op;
	struct fed_results results;
	struct device_list list;
	struct fed_item item = fed_message(message, REMOTE);

	op = fed_take(*state, "s", 1, 1, &item, 1);
	assert_int_equal(results_decode(op.op.arena, op.answer, 1, 1, &results), ERR_OK);
	assert_int_equal(results.count, 1);
	assert_int_equal(results.results[0].code, RESULT_STALE_LIST);
	assert_int_equal(
		stale_list_decode(op.op.arena, results.results[0].detail, &address, &list),
		ERR_OK);
	assert_int_equal(list.list_version, bob2.list_version);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.devices[1].registration_id, bob2.registration_id);
	assert_int_equal(mail_count(*state, &bob1), 0);
	/* It has not been received, so that it may come again. */
	item = fed_message(MAIL_TO(*state, &bob1, &bob2), REMOTE);
	memcpy(item.message.id, message->id, MESSAGE_ID_SIZE);
	fed_take(*state, "s", 2, 2, &item, 1);
	assert_int_equal(mail_count(*state, &bob1), 1);
}

static size_t count_of(struct bytes text, const char *part)
{
	size_t count = 0;

	for (const char *at = (const char *)text.data; (at = strstr(at, part)) != NULL; at++)
		count++;
	return count;
}

static void a_list_is_told_once_in_an_answer(void **state)
{
	struct contract_device bob = contract_register(*state, "bob");
	struct contract_device eve = contract_register(*state, "eve");
	struct fed_item items[] = {
		fed_message(mail_to_remote(*state, bob.address.text), REMOTE),
		fed_message(mail_to_remote(*state, eve.address.text), REMOTE),
		fed_message(mail_to_remote(*state, bob.address.text), REMOTE),
	};
	struct op_transaction op = fed_take(*state, "s", 1, 1, items, 3);
	struct fed_results results;

	assert_int_equal(results_decode(op.op.arena, op.answer, 1, 3, &results), ERR_OK);
	assert_int_equal(results.count, 3);
	assert_int_equal(count_of(op.answer, "\"list_version\":"), 3);
	assert_int_equal(count_of(op.answer, "\"devices\":"), 2);
	assert_false(mail_has(results.results[2].detail, "devices"));
	/* In the next one it is told again. */
	op = fed_take(*state, "s", 4, 2, items + 2, 1);
	assert_int_equal(count_of(op.answer, "\"devices\":"), 1);
}

/* A large key stands for many devices. */
static void lists_do_not_make_an_answer_too_large(void **state)
{
	struct contract *contract = *state;
	struct fed_item *items = arena_array(contract->arena, struct fed_item, 200);
	struct key_upload upload = contract_upload(contract, "phone", 0, 0);
	struct op_transaction op;

	upload.identity_key =
		bytes_of(arena_array(contract->arena, uint8_t, 15000), 15000); /* 20 KB */
	for (size_t i = 0; i < 200; i++) {
		const char *user = arena_printf(contract->arena, "user%zu", i);
		struct contract_device device =
			contract_register_with(contract, user, &upload, NULL);

		items[i] = fed_message(mail_to_remote(contract, device.address.text), REMOTE);
	}
	op = fed_take(contract, "s", 1, 1, items, 200);
	assert_int_equal(op.op.err, ERR_OK);
	assert_int_equal(count_of(op.answer, "\"list_version\":"), 200);
	assert_in_range(op.answer.len, 1 << 20, (1 << 20) + 60000);
}

static void another_registration_id_is_a_wrong_list(void **state)
{
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);

	message->envelopes[0].registration_id++;
	assert_non_null(strstr(fed_take_one(*state, 1, fed_message(message, REMOTE)),
			       "\"code\":\"stale_list\",\"list_version\":"));
	assert_int_equal(mail_count(*state, &bob), 0);
}

static void full_devices_are_named(void **state)
{
	struct contract *contract = *state;
	struct contract_device bob1 = contract_register(contract, "bob");
	struct contract_device bob2 = contract_link(contract, &bob1, "tablet");
	struct fed_item full;

	contract->config.mailbox_items = 1;
	contract_reopen(contract);
	fed_take_one(contract, 1, fed_message(MAIL_TO(contract, &bob1, &bob2), REMOTE));
	mail_ack_all(contract, &bob2);
	assert_non_null(strstr(
		fed_take_one(contract, 2, fed_message(MAIL_TO(contract, &bob1, &bob2), REMOTE)),
		"{\"seq\":2,\"code\":\"over_quota\",\"devices\":[1]}"));
	assert_int_equal(mail_count(contract, &bob2), 1);
	full = fed_message(MAIL_TO(contract, &bob1, &bob2), REMOTE);
	assert_non_null(strstr(fed_take_one(contract, 3, full), "\"devices\":[1,2]}"));
	/* Nobody has it: it may come again. Later its sender may ask whom it reached, for an
	 * answer can get lost. */
	mail_ack_all(contract, &bob1);
	assert_non_null(strstr(fed_take_one(contract, 4, full), "\"devices\":[2]}"));
	assert_string_equal(fed_take_one(contract, 5, full),
			    "{\"acked\":5,\"results\":[{\"seq\":5,\"code\":\"over_quota\","
			    "\"devices\":[2]}]}");
	assert_int_equal(mail_count(contract, &bob1), 1);
}

static void poison_items_end_alone(void **state)
{
	struct contract_device bob = contract_register(*state, "bob");
	struct fed_item items[] = {fed_message(MAIL_TO(*state, &bob), REMOTE),
				   {.kind = FED_MESSAGE, .bad = true},
				   {.kind = FED_MESSAGE, .too_large = true},
				   {.kind = FED_RECEIPT, .bad = true},
				   void_item(),
				   fed_message(MAIL_TO(*state, &bob), REMOTE)};

	assert_string_equal(
		(const char *)fed_take(*state, "s", 1, 1, items, 6).answer.data,
		"{\"acked\":6,\"results\":[{\"seq\":2,\"code\":\"bad\"},"
		"{\"seq\":3,\"code\":\"too_large\"},{\"seq\":4,\"code\":\"bad\"}]}");
	assert_int_equal(mail_count(*state, &bob), 2);
}

static void a_message_expires_when_its_sender_says(void **state)
{
	struct contract_device bob = contract_register(*state, "bob");
	struct fed_item item = fed_message(MAIL_TO(*state, &bob), REMOTE);

	item.expires_at_ms = contract_now + 1 * HOURS_MS;
	fed_take_one(*state, 1, item);
	item = fed_message(MAIL_TO(*state, &bob), REMOTE);
	item.expires_at_ms = contract_now + 400 * DAYS_MS;
	fed_take_one(*state, 2, item);
	assert_int_equal(mail_count(*state, &bob), 2);
	contract_now += 1 * HOURS_MS;
	assert_int_equal(mail_count(*state, &bob), 1);
	contract_now += 30 * DAYS_MS;
	assert_int_equal(mail_count(*state, &bob), 0);
}

/* --- receipts and changes ------------------------------------------------------------- */

static void a_receipt_reaches_the_device_that_sent(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct message_request *message = mail_to_remote(*state, REMOTE);
	struct message_info info;
	struct mailbox_item item;

	mail_send_ok(*state, &ann, message);
	fed_take_one(*state, 1, fed_receipt(message, &ann, 1));
	item = mail_only(*state, &ann);
	assert_int_equal(item.kind, ITEM_RECEIPT);
	assert_true(mail_has(item.body, message->id_text));
	assert_true(mail_has(item.body, "\"from\":\"" REMOTE "\",\"devices\":[1]"));
	info = mail_status(*state, &ann, message);
	assert_int_equal(info.n_taken_by, 1);
	assert_int_equal(info.taken_by[0], 1);
}

static void a_repeated_receipt_is_told_once(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct message_request *message = mail_to_remote(*state, REMOTE);
	struct fed_item receipt;

	mail_send_ok(*state, &ann, message);
	receipt = fed_receipt(message, &ann, 1);
	fed_take_one(*state, 1, receipt);
	receipt.devices[1] = 2;
	receipt.n_devices = 2;
	fed_take_one(*state, 2, receipt);
	fed_take_one(*state, 3, receipt);
	assert_int_equal(mail_count(*state, &ann), 2);
	assert_true(mail_has(mail_read(*state, &ann).items[1].body, "\"devices\":[2]"));
	assert_int_equal(mail_status(*state, &ann, message).n_taken_by, 2);
}

static void a_receipt_for_what_was_not_sent_is_bad(void **state)
{
	struct contract_device ann1 = contract_register(*state, "ann");
	struct contract_device ann2 = contract_link(*state, &ann1, "tablet");
	struct message_request *message = mail_to_remote(*state, REMOTE);
	struct message_request *unsent = mail_to_remote(*state, REMOTE);
	struct fed_item items[4];

	mail_send_ok(*state, &ann2, message);
	items[0] = fed_receipt(unsent, &ann2, 1);
	items[1] = fed_receipt(message, &ann1, 1);
	items[2] = fed_receipt(message, &ann2, 1);
	address_make("carl", "b.example", &items[2].from);
	assert_int_equal(contract_remove(*state, &ann1, 2), ERR_OK);
	items[3] = fed_receipt(message, &ann2, 1);
	assert_string_equal((const char *)fed_take(*state, "s", 1, 1, items, 4).answer.data,
			    "{\"acked\":4,\"results\":[{\"seq\":1,\"code\":\"bad\"},"
			    "{\"seq\":2,\"code\":\"bad\"},{\"seq\":3,\"code\":\"bad\"},"
			    "{\"seq\":4,\"code\":\"bad\"}]}");
	assert_int_equal(mail_count(*state, &ann1), 0);
}

static void a_changed_list_is_forgotten_and_hinted(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct device_keys device = {.device_id = 1, .registration_id = 1};
	struct device_list list = {.list_version = 100, .devices = &device, .count = 1};
	struct op_remote_list_put put = {.list = &list};
	struct fed_item item = {.kind = FED_DEVICES_CHANGED, .list_version = 100};
	struct op_transaction op;

	assert_int_equal(address_parse(bytes_of_text(REMOTE), &list.address), ERR_OK);
	item.from = list.address;
	RUN_OK(*state, REMOTE_LIST_PUT, &put);
	contract_consent(*state, &ann, REMOTE, CONSENT_ACCEPTED);
	contract_consent(*state, &bob, REMOTE, CONSENT_BLOCKED);
	op = fed_take(*state, "s", 1, 1, &item, 1);
	assert_string_equal((const char *)op.answer.data, "{\"acked\":1," NO_RESULTS);
	assert_true(effects_have_hint(&op.effects, ann.caller.generation, REMOTE));
	assert_false(effects_have_hint(&op.effects, bob.caller.generation, REMOTE));
	assert_int_equal(op.effects.list_hints->list_version, 100);
	/* As new as what is known: that stays. */
	assert_int_equal(mail_send(*state, &ann, mail_to_remote(*state, REMOTE)).op.err,
			 ERR_STALE_DEVICES);
	item.list_version = 101;
	fed_take(*state, "s", 2, 2, &item, 1);
	assert_int_equal(mail_send(*state, &ann, mail_to_remote(*state, REMOTE)).op.err,
			 ERR_OK);
}

/* --- ephemeral ------------------------------------------------------------------------ */

static void ephemeral_items_are_effects_and_nothing_else(void **state)
{
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);
	struct message_request *wrong = mail_to_remote(*state, "bob@a.example");
	struct message_request *nobody = mail_to_remote(*state, "nobody@a.example");
	struct fed_item items[5];
	struct transaction transaction = {.ephemeral = items, .n_ephemeral = 5};
	struct op_transaction op = {.origin = "b.example", .transaction = &transaction};
	struct op_consent_get consent = {.caller = bob.caller};

	contract_consent(*state, &bob, REMOTE, CONSENT_ACCEPTED);
	message->ephemeral = true;
	items[0] = fed_message(nobody, REMOTE);
	items[1] = (struct fed_item){.kind = FED_MESSAGE, .bad = true};
	items[2] = fed_message(wrong, REMOTE);
	items[3] = fed_message(message, REMOTE);
	items[3].token = NULL;
	items[4] = fed_message(message, "stranger@b.example");
	RUN_OK(*state, TRANSACTION, &op);
	assert_string_equal((const char *)op.answer.data, "{\"acked\":0," NO_RESULTS);
	assert_int_equal(op.effects.deliveries->generation, bob.caller.generation);
	assert_int_equal(op.effects.deliveries->item.seq, 0);
	assert_null(op.effects.deliveries->next);
	assert_int_equal(mail_count(*state, &bob), 0);
	RUN_OK(*state, CONSENT_GET, &consent);
	assert_int_equal(consent.count, 1);
	assert_int_equal(take_voids(*state, "s", 1, 1, 1).op.err, ERR_OK);
}

#define T(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(numbers_follow_each_other),
		T(a_gap_or_a_step_back_resets_the_stream),
		T(another_digest_range_or_stream_is_no_repeat),
		T(a_stream_begins_at_one),
		T(a_repeat_gets_the_stored_answer_and_nothing_happens),
		T(a_new_stream_brings_no_message_twice),
		T(a_message_reaches_every_device),
		T(the_same_id_of_another_sender_or_device_is_another_message),
		T(who_cannot_be_reached_is_unavailable),
		T(a_wrong_list_stores_nothing_and_tells_the_right_one),
		T(a_list_is_told_once_in_an_answer),
		T(lists_do_not_make_an_answer_too_large),
		T(another_registration_id_is_a_wrong_list),
		T(full_devices_are_named),
		T(poison_items_end_alone),
		T(a_message_expires_when_its_sender_says),
		T(a_receipt_reaches_the_device_that_sent),
		T(a_repeated_receipt_is_told_once),
		T(a_receipt_for_what_was_not_sent_is_bad),
		T(a_changed_list_is_forgotten_and_hinted),
		T(ephemeral_items_are_effects_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
