/* SPDX-License-Identifier: MIT
 *
 * Sending: who may write to whom, device lists, quotas, idempotence, and what becomes of
 * a message.
 */
#include "mail.h"

static void a_message_reaches_every_device(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob1 = contract_register(*state, "bob");
	struct contract_device bob2 = contract_link(*state, &bob1, "tablet");
	struct message_request *message = MAIL_TO(*state, &bob1, &bob2);
	struct op_send send = mail_send(*state, &ann, message);
	struct mailbox_item item = mail_only(*state, &bob1);

	assert_int_equal(send.op.err, ERR_OK);
	assert_int_equal(send.status, MESSAGE_STORED);
	assert_int_equal(send.server_timestamp_ms, contract_now);
	assert_false(send.duplicate);
	assert_int_equal(item.kind, ITEM_ENVELOPE);
	assert_true(mail_has(item.body, message->id_text));
	assert_true(mail_has(item.body, "\"from\":\"ann@a.example\",\"from_device\":1"));
	assert_int_equal(mail_count(*state, &bob2), 1);
	assert_int_equal(mail_count(*state, &ann), 0);
}

static void effects_name_each_delivery_in_order(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob1 = contract_register(*state, "bob");
	struct contract_device bob2 = contract_link(*state, &bob1, "tablet");
	struct op_send send = mail_send(*state, &ann, MAIL_TO(*state, &bob1, &bob2));
	const struct delivery *first = send.effects.deliveries;
	struct mailbox_item item = mail_only(*state, &bob1);

	assert_int_equal(first->generation, bob1.caller.generation);
	assert_int_equal(first->item.seq, item.seq);
	assert_true(bytes_equal(first->item.body, item.body));
	assert_int_equal(first->next->generation, bob2.caller.generation);
	assert_true(first->next->item.seq > item.seq);
	assert_null(first->next->next);
	assert_null(send.effects.outbound);
}

static void the_same_id_gets_the_same_answer_once(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);
	struct op_send again;

	mail_send_ok(*state, &ann, message);
	contract_now += 5;
	again = mail_send(*state, &ann, message);
	assert_int_equal(again.op.err, ERR_OK);
	assert_true(again.duplicate);
	assert_int_equal(again.status, MESSAGE_STORED);
	assert_int_equal(again.server_timestamp_ms, contract_now - 5);
	assert_null(again.effects.deliveries);
	assert_int_equal(mail_count(*state, &bob), 1);
}

static void the_same_id_to_another_recipient_is_refused(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct contract_device eve = contract_register(*state, "eve");
	struct message_request *message = MAIL_TO(*state, &bob);
	struct message_request *other = MAIL_TO(*state, &eve);
	struct message_request *remote = mail_to_remote(*state, REMOTE);

	mail_send_ok(*state, &ann, message);
	memcpy(other->id, message->id, MESSAGE_ID_SIZE);
	memcpy(remote->id, message->id, MESSAGE_ID_SIZE);
	assert_int_equal(mail_send(*state, &ann, other).op.err, ERR_VALIDATION);
	assert_int_equal(mail_send(*state, &ann, remote).op.err, ERR_VALIDATION);
	assert_int_equal(mail_count(*state, &eve), 0);
	assert_int_equal(outbox_read(*state, "b.example", 0).count, 0);
	assert_true(mail_send(*state, &ann, message).duplicate);
}

static void the_same_id_of_another_device_is_another_message(void **state)
{
	struct contract_device ann1 = contract_register(*state, "ann");
	struct contract_device ann2 = contract_link(*state, &ann1, "tablet");
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);

	mail_send_ok(*state, &ann1, message);
	assert_false(mail_send(*state, &ann2, message).duplicate);
	assert_int_equal(mail_count(*state, &bob), 2);
}

static void a_refusal_is_not_remembered(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = mail_new(*state, "bob@a.example");

	mail_add(message, 9, 1);
	assert_int_equal(mail_send(*state, &ann, message).op.err, ERR_DEVICES_MISMATCH);
	message->n_envelopes = 0;
	mail_add(message, 1, bob.registration_id);
	assert_int_equal(mail_send(*state, &ann, message).op.err, ERR_OK);
}

static void wrong_devices_are_told_and_nothing_is_stored(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob1 = contract_register(*state, "bob");
	struct contract_device bob2 = contract_link(*state, &bob1, "tablet");
	struct contract_device bob3 = contract_link(*state, &bob1, "desk");
	struct message_request *message = mail_new(*state, "bob@a.example");
	struct op_send send;

	mail_add(message, 2, bob2.registration_id);
	mail_add(message, 100, 1);
	send = mail_send(*state, &ann, message);
	assert_int_equal(send.op.err, ERR_DEVICES_MISMATCH);
	assert_int_equal(send.mismatch.n_missing, 2);
	assert_int_equal(send.mismatch.missing[0], 1);
	assert_int_equal(send.mismatch.missing[1], 3);
	assert_int_equal(send.mismatch.n_extra, 1);
	assert_int_equal(send.mismatch.extra[0], 100);
	assert_int_equal(send.mismatch.n_stale, 0);
	assert_int_equal(send.mismatch.list_version, bob3.list_version);
	assert_null(send.effects.deliveries);
	assert_int_equal(mail_count(*state, &bob2), 0);
}

static void another_registration_id_is_stale(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob1 = contract_register(*state, "bob");
	struct contract_device bob2 = contract_link(*state, &bob1, "tablet");
	struct message_request *message = MAIL_TO(*state, &bob1);
	struct op_send send;

	message->envelopes[0].registration_id++;
	send = mail_send(*state, &ann, message);
	assert_int_equal(send.op.err, ERR_STALE_DEVICES);
	assert_int_equal(send.mismatch.n_stale, 1);
	assert_int_equal(send.mismatch.stale[0], 1);
	assert_int_equal(send.mismatch.n_missing, 1);
	assert_int_equal(send.mismatch.missing[0], 2);
	assert_int_equal(mail_count(*state, &bob2), 0);
}

static void writing_to_oneself_leaves_the_sending_device_out(void **state)
{
	struct contract_device ann1 = contract_register(*state, "ann");
	struct contract_device ann2 = contract_link(*state, &ann1, "tablet");

	contract_close_to_strangers(*state, &ann1);
	mail_send_ok(*state, &ann1, MAIL_TO(*state, &ann2));
	mail_send_ok(*state, &ann2, MAIL_TO(*state, &ann1));
	assert_int_equal(mail_send(*state, &ann1, MAIL_TO(*state, &ann1, &ann2)).op.err,
			 ERR_DEVICES_MISMATCH);
	assert_int_equal(mail_count(*state, &ann1), 1);
	assert_int_equal(mail_count(*state, &ann2), 1);
}

/* --- consent -------------------------------------------------------------------------- */

/* The state that the account of a device has an address in. */
static enum consent_state consent_of(struct contract *contract,
				     const struct contract_device *device, const char *address)
{
	struct op_consent_get get = {.caller = device->caller};

	RUN_OK(contract, CONSENT_GET, &get);
	for (size_t i = 0; i < get.count; i++)
		if (strcmp(get.entries[i].address, address) == 0)
			return get.entries[i].state;
	return CONSENT_NONE;
}

static void a_stranger_leaves_a_request_and_accepts(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");

	mail_send_ok(*state, &ann, MAIL_TO(*state, &bob));
	assert_int_equal(consent_of(*state, &bob, "ann@a.example"), CONSENT_REQUESTED);
	assert_int_equal(consent_of(*state, &ann, "bob@a.example"), CONSENT_ACCEPTED);
	mail_send_ok(*state, &bob, MAIL_TO(*state, &ann));
	assert_int_equal(consent_of(*state, &bob, "ann@a.example"), CONSENT_ACCEPTED);
}

static void a_refused_message_leaves_no_request(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = mail_new(*state, "bob@a.example");

	mail_add(message, 9, 1);
	assert_int_equal(mail_send(*state, &ann, message).op.err, ERR_DEVICES_MISMATCH);
	assert_int_equal(consent_of(*state, &bob, "ann@a.example"), CONSENT_NONE);
	assert_int_equal(consent_of(*state, &ann, "bob@a.example"), CONSENT_NONE);
}

static void missing_closed_and_blocking_accounts_look_alike(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct contract_device eve = contract_register(*state, "eve");
	struct message_request *nobody = mail_new(*state, "nobody@a.example");

	mail_add(nobody, 1, 1);
	contract_close_to_strangers(*state, &bob);
	contract_consent(*state, &eve, "ann@a.example", CONSENT_BLOCKED);
	assert_int_equal(mail_send(*state, &ann, nobody).op.err, ERR_UNAVAILABLE);
	assert_int_equal(mail_send(*state, &ann, MAIL_TO(*state, &bob)).op.err,
			 ERR_UNAVAILABLE);
	assert_int_equal(mail_send(*state, &ann, MAIL_TO(*state, &eve)).op.err,
			 ERR_UNAVAILABLE);
	contract_consent(*state, &bob, "ann@a.example", CONSENT_ACCEPTED);
	assert_int_equal(mail_send(*state, &ann, MAIL_TO(*state, &bob)).op.err, ERR_OK);
}

static void writing_to_whom_one_blocks_does_not_lift_the_block(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");

	contract_consent(*state, &ann, "bob@a.example", CONSENT_BLOCKED);
	mail_send_ok(*state, &ann, MAIL_TO(*state, &bob));
	assert_int_equal(consent_of(*state, &ann, "bob@a.example"), CONSENT_BLOCKED);
	contract_consent(*state, &ann, REMOTE, CONSENT_BLOCKED);
	mail_send_ok(*state, &ann, mail_to_remote(*state, REMOTE));
	assert_int_equal(consent_of(*state, &ann, REMOTE), CONSENT_BLOCKED);
}

static void a_removed_device_sends_nothing(void **state)
{
	struct contract_device ann1 = contract_register(*state, "ann");
	struct contract_device ann2 = contract_link(*state, &ann1, "tablet");
	struct contract_device bob = contract_register(*state, "bob");

	assert_int_equal(contract_remove(*state, &ann1, 2), ERR_OK);
	assert_int_equal(mail_send(*state, &ann2, MAIL_TO(*state, &bob)).op.err,
			 ERR_UNAUTHORIZED);
}

/* --- quotas --------------------------------------------------------------------------- */

/* A store whose mailboxes hold so much. */
static void limit_mailboxes(struct contract *contract, int64_t items, int64_t bytes)
{
	contract->config.mailbox_items = items;
	contract->config.mailbox_bytes = bytes;
	contract_reopen(contract);
}

static void a_full_device_is_named_and_the_others_get_it(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob1 = contract_register(*state, "bob");
	struct contract_device bob2 = contract_link(*state, &bob1, "tablet");
	struct message_request *message;
	struct op_send send;

	limit_mailboxes(*state, 1, 1000000);
	mail_send_ok(*state, &ann, MAIL_TO(*state, &bob1, &bob2));
	mail_ack_all(*state, &bob2);
	message = MAIL_TO(*state, &bob1, &bob2);
	for (int i = 0; i < 2; i++) { /* the answer is remembered */
		send = mail_send(*state, &ann, message);
		assert_int_equal(send.op.err, ERR_OK);
		assert_int_equal(send.duplicate, i == 1);
		assert_int_equal(send.n_over_quota, 1);
		assert_int_equal(send.over_quota[0], 1);
	}
	assert_int_equal(mail_count(*state, &bob1), 1);
	assert_int_equal(mail_count(*state, &bob2), 1);
}

static void with_room_nowhere_a_message_is_refused(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message;

	limit_mailboxes(*state, 1, 1000000);
	mail_send_ok(*state, &ann, MAIL_TO(*state, &bob));
	message = MAIL_TO(*state, &bob);
	assert_int_equal(mail_send(*state, &ann, message).op.err, ERR_OVER_QUOTA);
	mail_ack_all(*state, &bob);
	assert_false(mail_send(*state, &ann, message).duplicate);
	assert_int_equal(mail_count(*state, &bob), 1);
}

static void bytes_are_limited_too_and_counted_again_after_a_start(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");

	mail_send_ok(*state, &ann, MAIL_TO(*state, &bob));
	limit_mailboxes(*state, 100, 2 * (int64_t)mail_only(*state, &bob).body.len);
	mail_send_ok(*state, &ann, MAIL_TO(*state, &bob));
	assert_int_equal(mail_send(*state, &ann, MAIL_TO(*state, &bob)).op.err, ERR_OVER_QUOTA);
	mail_ack(*state, &bob, mail_read(*state, &bob).items[0].seq);
	mail_send_ok(*state, &ann, MAIL_TO(*state, &bob));
}

/* --- ephemeral ------------------------------------------------------------------------ */

static void an_ephemeral_message_is_an_effect_and_nothing_else(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);
	struct op_send send;

	contract_consent(*state, &bob, "ann@a.example", CONSENT_ACCEPTED);
	message->ephemeral = true;
	send = mail_send(*state, &ann, message);
	assert_int_equal(send.op.err, ERR_OK);
	assert_int_equal(send.status, MESSAGE_RELAYED);
	assert_int_equal(send.effects.deliveries->generation, bob.caller.generation);
	assert_int_equal(send.effects.deliveries->item.seq, 0);
	assert_true(mail_has(send.effects.deliveries->item.body, "\"ephemeral\":true"));
	assert_int_equal(mail_count(*state, &bob), 0);
	assert_int_equal(consent_of(*state, &ann, "bob@a.example"), CONSENT_NONE);
	assert_false(mail_send(*state, &ann, message).duplicate);
	message->envelopes[0].registration_id++;
	assert_int_equal(mail_send(*state, &ann, message).op.err, ERR_STALE_DEVICES);
}

static void an_ephemeral_message_comes_from_no_stranger(void **state)
{
	struct contract_device ann1 = contract_register(*state, "ann");
	struct contract_device ann2 = contract_link(*state, &ann1, "tablet");
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);
	struct message_request *own = MAIL_TO(*state, &ann2);

	message->ephemeral = true;
	assert_int_equal(mail_send(*state, &ann1, message).op.err, ERR_UNAVAILABLE);
	assert_int_equal(consent_of(*state, &bob, "ann@a.example"), CONSENT_NONE);
	mail_send_ok(*state, &ann1, MAIL_TO(*state, &bob)); /* asks, and waits */
	assert_int_equal(mail_send(*state, &ann1, message).op.err, ERR_UNAVAILABLE);
	own->ephemeral = true;
	assert_int_equal(mail_send(*state, &ann1, own).status, MESSAGE_RELAYED);
}

static void an_ephemeral_remote_message_has_no_position(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct message_request *message = mail_to_remote(*state, REMOTE);
	struct op_send send;

	message->ephemeral = true;
	send = mail_send(*state, &ann, message);
	assert_int_equal(send.status, MESSAGE_RELAYED);
	assert_int_equal(send.effects.outbound->position, 0);
	assert_string_equal(send.effects.outbound->domain, "b.example");
	assert_int_equal(outbox_read(*state, "b.example", 0).count, 0);
}

/* --- remote --------------------------------------------------------------------------- */

static void a_remote_message_goes_to_the_outbox(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct message_request *message = mail_to_remote(*state, REMOTE);
	struct op_send send = mail_send(*state, &ann, message);
	struct op_outbox_read read = outbox_read(*state, "b.example", 0);

	assert_int_equal(send.op.err, ERR_OK);
	assert_int_equal(send.status, MESSAGE_QUEUED);
	assert_int_equal(read.count, 1);
	assert_int_equal(read.items[0].position, 1);
	assert_int_equal(read.items[0].kind, FED_MESSAGE);
	assert_true(mail_has(read.items[0].body, "\"token\":\"token\""));
	assert_true(mail_has(read.items[0].body, "\"from\":\"ann@a.example\""));
	assert_int_equal(send.effects.outbound->position, 1);
	assert_true(bytes_equal(send.effects.outbound->body, read.items[0].body));
	assert_int_equal(consent_of(*state, &ann, REMOTE), CONSENT_ACCEPTED);
	send = mail_send(*state, &ann, message);
	assert_true(send.duplicate);
	assert_int_equal(send.status, MESSAGE_QUEUED);
	assert_null(send.effects.outbound);
}

static void a_remote_message_waits_as_long_as_it_may(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct message_request *message = mail_to_remote(*state, REMOTE);
	struct op_outbox_read read;

	mail_send_ok(*state, &ann, message);
	message = mail_to_remote(*state, REMOTE);
	message->expires_in_ms = 1 * HOURS_MS;
	mail_send_ok(*state, &ann, message);
	message = mail_to_remote(*state, REMOTE);
	message->expires_in_ms = 10 * DAYS_MS;
	mail_send_ok(*state, &ann, message);
	read = outbox_read(*state, "b.example", 0);
	assert_int_equal(read.items[0].expires_ms, contract_now + 7 * DAYS_MS);
	assert_int_equal(read.items[1].expires_ms, contract_now + 1 * HOURS_MS);
	assert_int_equal(read.items[2].expires_ms, contract_now + 7 * DAYS_MS);
	/* What it says to the recipient's node is not cut short by the outbox. */
	assert_true(
		mail_has(read.items[2].body,
			 arena_printf(((struct contract *)*state)->arena, "\"expires_at\":%lld",
				      (long long)(contract_now + 10 * DAYS_MS))));
}

/* Remembers a list of one device. */
static void remember_list(struct contract *contract, const char *address, int64_t list_version,
			  uint16_t registration_id)
{
	struct device_keys device = {.device_id = 1, .registration_id = registration_id};
	struct device_list list = {
		.list_version = list_version, .devices = &device, .count = 1};
	struct op_remote_list_put put = {.list = &list};

	assert_int_equal(address_parse(bytes_of_text(address), &list.address), ERR_OK);
	RUN_OK(contract, REMOTE_LIST_PUT, &put);
}

static void a_remembered_list_is_checked_unless_the_sender_knows_more(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct message_request *message = mail_to_remote(*state, REMOTE);
	struct op_send send;

	remember_list(*state, REMOTE, 1000, 9);
	send = mail_send(*state, &ann, message);
	assert_int_equal(send.op.err, ERR_STALE_DEVICES);
	assert_int_equal(send.mismatch.stale[0], 1);
	assert_int_equal(send.mismatch.list_version, 1000);
	message->list_version = 1000;
	assert_int_equal(mail_send(*state, &ann, message).op.err, ERR_STALE_DEVICES);
	mail_add(message, 2, 5);
	message->envelopes[0].registration_id = 9;
	assert_int_equal(mail_send(*state, &ann, message).op.err, ERR_DEVICES_MISMATCH);
	message->list_version = 1001;
	assert_int_equal(mail_send(*state, &ann, message).op.err, ERR_OK);
}

static void an_older_list_does_not_replace_a_newer_one(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");

	remember_list(*state, REMOTE, 1000, 4711);
	remember_list(*state, REMOTE, 999, 1);
	assert_int_equal(mail_send(*state, &ann, mail_to_remote(*state, REMOTE)).op.err,
			 ERR_OK);
	remember_list(*state, REMOTE, 1001, 1);
	assert_int_equal(mail_send(*state, &ann, mail_to_remote(*state, REMOTE)).op.err,
			 ERR_STALE_DEVICES);
}

static void a_full_outbox_refuses_messages(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");

	contract->config.outbox_items = 1;
	contract_reopen(contract);
	mail_send_ok(contract, &ann, mail_to_remote(contract, REMOTE));
	assert_int_equal(mail_send(contract, &ann, mail_to_remote(contract, REMOTE)).op.err,
			 ERR_OVER_QUOTA);
	mail_send_ok(contract, &ann, mail_to_remote(contract, "carl@c.example"));
	outbox_settle(contract, "b.example", 1, NULL, 0);
	mail_send_ok(contract, &ann, mail_to_remote(contract, REMOTE));
	contract->config.outbox_bytes = 10;
	contract_reopen(contract);
	assert_int_equal(
		mail_send(contract, &ann, mail_to_remote(contract, "dora@d.example")).op.err,
		ERR_OVER_QUOTA);
}

/* --- status --------------------------------------------------------------------------- */

static void the_status_of_a_message_is_told(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *local = MAIL_TO(*state, &bob);
	struct message_request *remote = mail_to_remote(*state, REMOTE);
	struct op_message_get get = {.caller = bob.caller};
	struct message_info info;

	mail_send_ok(*state, &ann, local);
	mail_send_ok(*state, &ann, remote);
	info = mail_status(*state, &ann, local);
	assert_string_equal(info.id_text, local->id_text);
	assert_string_equal(info.to, "bob@a.example");
	assert_int_equal(info.status, MESSAGE_STORED);
	assert_int_equal(info.server_timestamp_ms, contract_now);
	assert_null(info.code);
	assert_int_equal(mail_status(*state, &ann, remote).status, MESSAGE_QUEUED);
	outbox_settle(*state, "b.example", 1, NULL, 0);
	assert_int_equal(mail_status(*state, &ann, remote).status, MESSAGE_DELIVERED);
	memcpy(get.id, local->id, MESSAGE_ID_SIZE);
	assert_int_equal(RUN(*state, MESSAGE_GET, &get), ERR_NOT_FOUND);
}

#define T(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_message_reaches_every_device),
		T(effects_name_each_delivery_in_order),
		T(the_same_id_gets_the_same_answer_once),
		T(the_same_id_to_another_recipient_is_refused),
		T(the_same_id_of_another_device_is_another_message),
		T(a_refusal_is_not_remembered),
		T(wrong_devices_are_told_and_nothing_is_stored),
		T(another_registration_id_is_stale),
		T(writing_to_oneself_leaves_the_sending_device_out),
		T(a_stranger_leaves_a_request_and_accepts),
		T(a_refused_message_leaves_no_request),
		T(missing_closed_and_blocking_accounts_look_alike),
		T(writing_to_whom_one_blocks_does_not_lift_the_block),
		T(a_removed_device_sends_nothing),
		T(a_full_device_is_named_and_the_others_get_it),
		T(with_room_nowhere_a_message_is_refused),
		T(bytes_are_limited_too_and_counted_again_after_a_start),
		T(an_ephemeral_message_is_an_effect_and_nothing_else),
		T(an_ephemeral_message_comes_from_no_stranger),
		T(an_ephemeral_remote_message_has_no_position),
		T(a_remote_message_goes_to_the_outbox),
		T(a_remote_message_waits_as_long_as_it_may),
		T(a_remembered_list_is_checked_unless_the_sender_knows_more),
		T(an_older_list_does_not_replace_a_newer_one),
		T(a_full_outbox_refuses_messages),
		T(the_status_of_a_message_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
