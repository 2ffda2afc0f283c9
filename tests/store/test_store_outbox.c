/* SPDX-License-Identifier: MIT
 *
 * Outboxes: positions, reading, settling with each result, streams and destinations; and
 * what is kept of peers.
 */
#include "mail.h"

#include "fault.h"

#include "restante/metrics.h"

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

static void offer(struct contract *contract, int64_t position)
{
	struct op_destination_put put = {.destination = {.domain = B, .offered = position}};

	RUN_OK(contract, DESTINATION_PUT, &put);
}

/* --- positions ------------------------------------------------------------------------ */

static void positions_are_never_used_again(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");

	for (int64_t position = 1; position <= 4; position++) {
		struct op_send send = mail_send(*state, &ann, mail_to_remote(*state, REMOTE));

		assert_int_equal(send.effects.outbound->position, position);
		outbox_settle(*state, B, position, NULL, 0);
		assert_int_equal(outbox_read(*state, B, 0).count, 0);
		if (position % 2 == 0)
			contract_reopen(*state);
	}
}

static void each_domain_counts_for_itself(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct op_send send;

	queue(*state, &ann, 2);
	send = mail_send(*state, &ann, mail_to_remote(*state, "carl@c.example"));
	assert_int_equal(send.effects.outbound->position, 1);
	assert_int_equal(outbox_read(*state, B, 0).count, 2);
	assert_int_equal(outbox_read(*state, "c.example", 0).count, 1);
}

static void a_rollback_leaves_no_gap(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");

	queue(*state, &ann, 1);
	fault_arm_commits(1);
	assert_int_equal(mail_send(*state, &ann, mail_to_remote(*state, REMOTE)).op.err,
			 ERR_STORE);
	assert_int_equal(mail_send(*state, &ann, mail_to_remote(*state, REMOTE))
				 .effects.outbound->position,
			 2);
}

static void items_are_read_in_portions(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct op_outbox_read read = {.domain = B, .limit = 2, .max_bytes = 1000000};

	queue(*state, &ann, 3);
	RUN_OK(*state, OUTBOX_READ, &read);
	assert_int_equal(read.count, 2);
	assert_true(read.more);
	read.after = 2;
	RUN_OK(*state, OUTBOX_READ, &read);
	assert_int_equal(read.count, 1);
	assert_int_equal(read.items[0].position, 3);
	assert_false(read.more);
	read.after = 0;
	read.max_bytes = 1;
	RUN_OK(*state, OUTBOX_READ, &read);
	assert_int_equal(read.count, 1);
	assert_true(read.more);
	read.domain = "nowhere.example";
	RUN_OK(*state, OUTBOX_READ, &read);
	assert_int_equal(read.count, 0);
}

/* --- settling ------------------------------------------------------------------------- */

static void settling_removes_and_advances(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct message_request *last = queue(*state, &ann, 3);
	struct op_outbox_settle settle = outbox_settle(*state, B, 2, NULL, 0);

	assert_null(settle.effects.deliveries);
	assert_int_equal(outbox_read(*state, B, 0).items[0].position, 3);
	assert_int_equal(destination_load(*state, B).acked, 2);
	assert_int_equal(destination_load(*state, B).offered, 2);
	assert_int_equal(destination_load(*state, B).last, 3);
	assert_int_equal(mail_status(*state, &ann, last).status, MESSAGE_QUEUED);
	outbox_settle(*state, B, 1, NULL, 0);
	assert_int_equal(destination_load(*state, B).acked, 2);
	outbox_settle(*state, B, 99, NULL, 0); /* no further than there is */
	assert_int_equal(mail_send(*state, &ann, mail_to_remote(*state, REMOTE))
				 .effects.outbound->position,
			 4);
}

/* Settles a message with a result; its sender finds one item, or none. */
static struct op_mailbox_read settle_one(struct contract *contract,
					 const struct contract_device *ann,
					 enum result_code code, const char *detail,
					 enum message_status expected)
{
	struct message_request *message = mail_to_remote(contract, REMOTE);
	int64_t position = mail_send(contract, ann, message).effects.outbound->position;
	struct item_result result = {
		.seq = position, .code = code, .detail = bytes_of_text(detail)};
	struct op_outbox_settle settle = outbox_settle(contract, B, position, &result, 1);
	struct op_mailbox_read read = mail_read(contract, ann);
	struct message_info info = mail_status(contract, ann, message);

	assert_int_equal(info.status, expected);
	if (expected == MESSAGE_FAILED)
		assert_string_equal(info.code, result_code_name(code));
	else
		assert_null(info.code);
	if (read.count > 0) {
		assert_int_equal(read.items[0].kind, ITEM_SEND_RESULT);
		assert_true(mail_has(read.items[0].body, message->id_text));
		assert_true(mail_has(read.items[0].body, "\"to\":\"" REMOTE "\""));
		assert_int_equal(settle.effects.deliveries->item.seq, read.items[0].seq);
		mail_ack_all(contract, ann);
	}
	return read;
}

static void each_result_is_told_as_it_should_be(void **state)
{
	static const struct {
		enum result_code code;
		enum message_status status;
		const char *told; /* NULL: nothing */
	} cases[] = {
		{RESULT_OK, MESSAGE_DELIVERED, NULL},
		{RESULT_DUPLICATE, MESSAGE_DELIVERED, NULL},
		{RESULT_UNAVAILABLE, MESSAGE_FAILED, "\"code\":\"unavailable\"}"},
		{RESULT_TOO_LARGE, MESSAGE_FAILED, "\"code\":\"too_large\"}"},
		{RESULT_BAD, MESSAGE_FAILED, "\"code\":\"bad\"}"},
		{RESULT_EXPIRED, MESSAGE_FAILED, "\"code\":\"expired\"}"},
		{RESULT_UNKNOWN, MESSAGE_UNKNOWN, "\"code\":\"unknown\"}"},
		{RESULT_KEY_CONFLICT, MESSAGE_FAILED, "\"code\":\"key_conflict\"}"},
		{RESULT_REFUSED, MESSAGE_FAILED, "\"code\":\"refused\"}"},
		{RESULT_REQUEST_WAITING, MESSAGE_FAILED, "\"code\":\"request_waiting\"}"},
	};
	struct contract_device ann = contract_register(*state, "ann");

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct op_mailbox_read read =
			settle_one(*state, &ann, cases[i].code, "", cases[i].status);

		assert_int_equal(read.count, cases[i].told != NULL);
		if (cases[i].told != NULL)
			assert_true(mail_has(read.items[0].body, cases[i].told));
	}
}

static void devices_without_room_are_told_but_no_failure(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct op_mailbox_read read = settle_one(*state, &ann, RESULT_OVER_QUOTA,
						 "\"devices\":[2]", MESSAGE_DELIVERED);

	assert_int_equal(read.count, 1);
	assert_true(mail_has(read.items[0].body, "\"code\":\"over_quota\",\"devices\":[2]}"));
}

static void a_stale_list_is_told_and_remembered(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct key_upload upload = contract_upload(*state, "rita", 0, 0);
	struct device_keys device = {
		.device_id = 3, .registration_id = 9, .scheme = upload.scheme};
	struct device_list list = {.devices = &device, .count = 1};
	struct text detail;
	struct op_mailbox_read read;
	struct op_send send;

	device.identity_key = upload.identity_key;
	text_init(&detail, ((struct contract *)*state)->arena, 100);
	text_puts(&detail, "\"list_version\":77,");
	device_entries_write(&detail, &list);
	read = settle_one(*state, &ann, RESULT_STALE_LIST, detail.data, MESSAGE_FAILED);
	assert_true(
		mail_has(read.items[0].body, "\"code\":\"stale_list\",\"list_version\":77}"));
	send = mail_send(*state, &ann, mail_to_remote(*state, REMOTE));
	assert_int_equal(send.op.err, ERR_DEVICES_MISMATCH);
	assert_int_equal(send.mismatch.list_version, 77);
	assert_int_equal(send.mismatch.missing[0], 3);
}

static void a_stale_list_without_devices_ends_an_older_one(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct device_keys device = {.device_id = 3, .registration_id = 9};
	struct device_list list = {.list_version = 77, .devices = &device, .count = 1};
	struct op_remote_list_put put = {.list = &list};
	struct item_result result = {.code = RESULT_STALE_LIST};

	queue(*state, &ann, 2);
	assert_int_equal(address_parse(bytes_of_text(REMOTE), &list.address), ERR_OK);
	RUN_OK(*state, REMOTE_LIST_PUT, &put);
	result.seq = 1;
	result.detail = bytes_of_text("\"list_version\":77"); /* the same */
	outbox_settle(*state, B, 1, &result, 1);
	assert_true(mail_has(mail_only(*state, &ann).body,
			     "\"code\":\"stale_list\",\"list_version\":77}"));
	assert_int_equal(mail_send(*state, &ann, mail_to_remote(*state, REMOTE)).op.err,
			 ERR_DEVICES_MISMATCH);
	result.seq = 2;
	result.detail = bytes_of_text("\"list_version\":78");
	outbox_settle(*state, B, 2, &result, 1);
	mail_send_ok(*state, &ann, mail_to_remote(*state, REMOTE));
}

static void a_result_reaches_no_device_that_is_gone(void **state)
{
	struct contract_device ann1 = contract_register(*state, "ann");
	struct contract_device ann2 = contract_link(*state, &ann1, "tablet");
	struct item_result result = {.seq = 1, .code = RESULT_BAD};

	queue(*state, &ann2, 1);
	assert_int_equal(contract_remove(*state, &ann1, 2), ERR_OK);
	assert_null(outbox_settle(*state, B, 1, &result, 1).effects.deliveries);
	assert_int_equal(mail_count(*state, &ann1), 0);
}

static void results_beyond_what_is_settled_count_for_nothing(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct item_result result = {.seq = 2, .code = RESULT_BAD};

	queue(*state, &ann, 2);
	outbox_settle(*state, B, 1, &result, 1);
	outbox_settle(*state, "nowhere.example", 1, &result, 1);
	assert_int_equal(mail_count(*state, &ann), 0);
}

/* --- destinations --------------------------------------------------------------------- */

static void a_reset_begins_a_stream_behind_what_is_settled(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct op_outbox_reset reset = {.domain = B, .stream = "stream"};

	queue(*state, &ann, 3);
	outbox_settle(*state, B, 1, NULL, 0);
	offer(*state, 3);
	RUN_OK(*state, OUTBOX_RESET, &reset);
	assert_string_equal(reset.destination.domain, B);
	assert_string_equal(reset.destination.stream, "stream");
	assert_int_equal(reset.destination.base, 1);
	assert_int_equal(reset.destination.acked, 1);
	assert_int_equal(reset.destination.offered, 1);
	assert_int_equal(reset.destination.last, 3);
}

static void a_destination_keeps_its_state(void **state)
{
	struct op_destination_put put = {.destination = {.domain = B,
							 .state = DESTINATION_PARKED,
							 .failures = 3,
							 .failing_since_ms = 4,
							 .next_try_ms = 5}};
	struct destination loaded;

	RUN_OK(*state, DESTINATION_PUT, &put);
	contract_reopen(*state);
	loaded = destination_load(*state, B);
	assert_string_equal(loaded.domain, B);
	assert_int_equal(loaded.state, DESTINATION_PARKED);
	assert_int_equal(loaded.failures, 3);
	assert_int_equal(loaded.failing_since_ms, 4);
	assert_int_equal(loaded.next_try_ms, 5);
	assert_string_equal(loaded.stream, "");
	assert_int_equal(loaded.last, 0);
}

static void what_is_offered_does_not_go_back(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");

	queue(*state, &ann, 3);
	offer(*state, 2);
	offer(*state, 1);
	assert_int_equal(destination_load(*state, B).offered, 2);
	offer(*state, 100);
	assert_int_equal(destination_load(*state, B).offered, 3);
}

static void only_destinations_with_something_to_do_are_loaded(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct op_destinations_load load = {0};

	queue(*state, &ann, 1);
	mail_send_ok(*state, &ann, mail_to_remote(*state, "carl@c.example"));
	outbox_settle(*state, B, 1, NULL, 0);
	RUN_OK(*state, DESTINATIONS_LOAD, &load);
	assert_int_equal(load.count, 1);
	assert_string_equal(load.destinations[0].domain, "c.example");
	assert_int_equal(load.destinations[0].last, 1);
	assert_int_equal(metric_get(METRIC_outbox_items), 1);
}

static int64_t destination_remove(struct contract *contract, const char *domain)
{
	struct op_destination_remove op = {.domain = domain};

	RUN_OK(contract, DESTINATION_REMOVE, &op);
	return op.removed;
}

static void a_destination_that_is_removed_begins_behind_its_last_position(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct message_request *old = queue(*state, &ann, 3);
	struct message_request *new;
	struct op_send send;

	outbox_settle(*state, B, 3, NULL, 0);
	assert_int_equal(destination_remove(*state, B), 1);
	assert_int_equal(mail_status(*state, &ann, old).status, MESSAGE_DELIVERED);
	contract_reopen(*state);
	new = mail_to_remote(*state, REMOTE);
	send = mail_send(*state, &ann, new);
	assert_int_equal(send.effects.outbound->position, 4);
	assert_int_equal(destination_load(*state, B).base, 3);
	assert_int_equal(destination_load(*state, B).acked, 3);
	assert_int_equal(outbox_read(*state, B, 3).count, 1);
	assert_int_equal(mail_status(*state, &ann, old).status, MESSAGE_DELIVERED);
	assert_int_equal(mail_status(*state, &ann, new).status, MESSAGE_QUEUED);
	outbox_settle(*state, B, 4, NULL, 0);
	assert_int_equal(mail_status(*state, &ann, new).status, MESSAGE_DELIVERED);
	/* Also behind that of any other. */
	assert_int_equal(destination_remove(*state, B), 1);
	send = mail_send(*state, &ann, mail_to_remote(*state, "carl@c.example"));
	assert_int_equal(send.effects.outbound->position, 5);
}

static void a_destination_with_something_to_say_stays(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct op_destination_put put = {.destination = {.domain = "c.example"}};

	assert_int_equal(destination_remove(*state, B), 0);
	queue(*state, &ann, 2);
	outbox_settle(*state, B, 1, NULL, 0);
	for (int s = DESTINATION_BACKOFF; s <= DESTINATION_KEY_CONFLICT; s++) {
		put.destination.state = (enum destination_state)s;
		RUN_OK(*state, DESTINATION_PUT, &put);
		assert_int_equal(destination_remove(*state, "c.example"), 0);
		assert_int_equal(destination_remove(*state, NULL), 0);
	}
	assert_int_equal(destination_remove(*state, B), 0);
	assert_int_equal(destination_load(*state, B).acked, 1);
	assert_int_equal(outbox_read(*state, B, 1).count, 1);
}

static void all_destinations_without_anything_waiting_are_removed_at_once(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct op_send send;

	queue(*state, &ann, 3);
	mail_send_ok(*state, &ann, mail_to_remote(*state, "carl@c.example"));
	mail_send_ok(*state, &ann, mail_to_remote(*state, "dora@d.example"));
	outbox_settle(*state, B, 3, NULL, 0);
	outbox_settle(*state, "c.example", 1, NULL, 0);
	assert_int_equal(destination_remove(*state, NULL), 2);
	assert_int_equal(outbox_read(*state, "d.example", 0).count, 1);
	send = mail_send(*state, &ann, mail_to_remote(*state, "carl@c.example"));
	assert_int_equal(send.effects.outbound->position, 4);
}

/* --- peers ---------------------------------------------------------------------------- */

static void a_peer_is_kept_as_it_was_put(void **state)
{
	struct op_peer_put put = {.domain = B, .fetched_ms = 5, .trust = bytes_of_text("pins")};
	struct op_peer_load load = {.domain = B};

	assert_int_equal(RUN(*state, PEER_LOAD, &load), ERR_NOT_FOUND);
	RUN_OK(*state, PEER_PUT, &put);
	RUN_OK(*state, PEER_LOAD, &load);
	assert_int_equal(load.document.len, 0);
	assert_int_equal(load.fetched_ms, 5);
	assert_true(bytes_equal(load.trust, bytes_of_text("pins")));
	put.before = bytes_of_text("pins");
	put.document = bytes_of_text("document");
	RUN_OK(*state, PEER_PUT, &put);
	RUN_OK(*state, PEER_LOAD, &load);
	assert_true(bytes_equal(load.document, bytes_of_text("document")));
}

/* Two that looked for the same domain at once: the second has to look again. */
static void keys_replace_only_those_that_they_go_on_from(void **state)
{
	struct op_peer_put first = {.domain = B, .trust = bytes_of_text("first")};
	struct op_peer_put second = {.domain = B, .trust = bytes_of_text("second")};
	struct op_peer_load load = {.domain = B};

	RUN_OK(*state, PEER_PUT, &first);
	assert_int_equal(RUN(*state, PEER_PUT, &second), ERR_NOT_FOUND);
	second.before = bytes_of_text("zeroth");
	assert_int_equal(RUN(*state, PEER_PUT, &second), ERR_NOT_FOUND);
	RUN_OK(*state, PEER_LOAD, &load);
	assert_true(bytes_equal(load.trust, bytes_of_text("first")));
	second.before = load.trust;
	RUN_OK(*state, PEER_PUT, &second);
}

#define T(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(positions_are_never_used_again),
		T(each_domain_counts_for_itself),
		T(a_rollback_leaves_no_gap),
		T(items_are_read_in_portions),
		T(settling_removes_and_advances),
		T(each_result_is_told_as_it_should_be),
		T(devices_without_room_are_told_but_no_failure),
		T(a_stale_list_is_told_and_remembered),
		T(a_stale_list_without_devices_ends_an_older_one),
		T(a_result_reaches_no_device_that_is_gone),
		T(results_beyond_what_is_settled_count_for_nothing),
		T(a_reset_begins_a_stream_behind_what_is_settled),
		T(a_destination_keeps_its_state),
		T(what_is_offered_does_not_go_back),
		T(only_destinations_with_something_to_do_are_loaded),
		T(a_destination_that_is_removed_begins_behind_its_last_position),
		T(a_destination_with_something_to_say_stays),
		T(all_destinations_without_anything_waiting_are_removed_at_once),
		T(a_peer_is_kept_as_it_was_put),
		T(keys_replace_only_those_that_they_go_on_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
