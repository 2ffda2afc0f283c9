/* SPDX-License-Identifier: MIT
 *
 * Mailbox items, frames of them and answers to sends have exactly the text of the protocol.
 */
#include "proto_test.h"

#include "restante/messages.h"

static const uint8_t one_two[] = {1, 2};

static struct bytes envelope_body(struct arena *arena, bool ephemeral)
{
	struct envelope envelope = {
		.device_id = 1, .registration_id = 4711, .type = 3, .content = text(CONTENT)};
	struct envelope_item item = {.id_text = ID,
				     .from = ALICE,
				     .from_device = 1,
				     .timestamp_ms = 5,
				     .server_timestamp_ms = 6,
				     .urgent = true,
				     .ephemeral = ephemeral,
				     .envelope = &envelope};

	return envelope_item_encode(arena, &item);
}

static void items_have_the_form_of_the_protocol(void **state)
{
	check_json(envelope_body(*state, false),
		   "{\"kind\":\"envelope\",\"id\":\"" ID "\",\"from\":\"" ALICE
		   "\",\"from_device\":1,\"timestamp\":5,\"server_timestamp\":6,\"type\":3,"
		   "\"urgent\":true,\"content\":\"" CONTENT "\"}");
	check_json(envelope_body(*state, true),
		   "{\"kind\":\"envelope\",\"id\":\"" ID "\",\"from\":\"" ALICE
		   "\",\"from_device\":1,\"timestamp\":5,\"server_timestamp\":6,\"type\":3,"
		   "\"urgent\":true,\"ephemeral\":true,\"content\":\"" CONTENT "\"}");
	check_json(receipt_item_encode(*state, ID, BOB, one_two, 2, 7),
		   "{\"kind\":\"receipt\",\"id\":\"" ID "\",\"from\":\"" BOB
		   "\",\"devices\":[1,2],\"timestamp\":7}");
	check_json(send_result_item_encode(*state, ID, BOB, "stale_list",
					   text("\"list_version\":0")),
		   "{\"kind\":\"send_result\",\"id\":\"" ID "\",\"to\":\"" BOB
		   "\",\"code\":\"stale_list\",\"list_version\":0}");
	check_json(send_result_item_encode(*state, ID, BOB, "expired", (struct bytes){0}),
		   "{\"kind\":\"send_result\",\"id\":\"" ID "\",\"to\":\"" BOB
		   "\",\"code\":\"expired\"}");
}

static void the_number_is_spliced_in(void **state)
{
	struct mailbox_item item = {.seq = 17, .kind = ITEM_RECEIPT};
	struct text out;

	item.body = text("{\"kind\":\"receipt\",\"id\":\"x\"}");
	text_init(&out, *state, 0);
	item_write(&out, &item);
	assert_string_equal(out.data, "{\"seq\":17,\"kind\":\"receipt\",\"id\":\"x\"}");
	item.seq = 0;
	text_init(&out, *state, 0);
	item_write(&out, &item);
	assert_string_equal(out.data, "{\"kind\":\"receipt\",\"id\":\"x\"}");
}

static const struct mailbox_item items[] = {
	{1, ITEM_ENVELOPE, {(const uint8_t *)"{\"kind\":\"envelope\"}", 19}},
	{2, ITEM_ENVELOPE, {(const uint8_t *)"{\"kind\":\"envelope\"}", 19}},
	{3, ITEM_RECEIPT, {(const uint8_t *)"{\"kind\":\"receipt\"}", 18}},
	{4, ITEM_SEND_RESULT, {(const uint8_t *)"{\"kind\":\"send_result\"}", 22}},
};

static void a_mailbox_lists_items_in_order(void **state)
{
	check_json(mailbox_encode(*state, items, 0, false), "{\"items\":[],\"more\":false}");
	check_json(mailbox_encode(*state, items + 1, 2, true),
		   "{\"items\":[{\"seq\":2,\"kind\":\"envelope\"},"
		   "{\"seq\":3,\"kind\":\"receipt\"}],\"more\":true}");
}

static void check_frames(struct arena *arena, const struct mailbox_item *from, size_t count,
			 const char *const *want)
{
	for (size_t taken; count > 0; want++) {
		check_json(items_frame_encode(arena, from, count, &taken), *want);
		from += taken;
		count -= taken;
	}
	assert_null(*want);
}

static void a_frame_ends_where_the_kind_changes(void **state)
{
	static const char *const want[] = {
		"{\"type\":\"envelope\",\"envelopes\":[{\"seq\":1,\"kind\":\"envelope\"},"
		"{\"seq\":2,\"kind\":\"envelope\"}]}",
		"{\"type\":\"receipt\",\"receipts\":[{\"seq\":3,\"kind\":\"receipt\"}]}",
		"{\"type\":\"send_result\",\"results\":[{\"seq\":4,\"kind\":\"send_result\"}]"
		"}",
		NULL};

	check_frames(*state, items, COUNT(items), want);
}

/* Whoever acknowledges the last one of a frame finds its number there. */
static void ephemeral_items_have_frames_of_their_own(void **state)
{
	static const char *const want[] = {
		"{\"type\":\"envelope\",\"envelopes\":[{\"seq\":1,\"kind\":\"envelope\"}]}",
		"{\"type\":\"envelope\",\"envelopes\":[{\"kind\":\"envelope\"}]}",
		"{\"type\":\"envelope\",\"envelopes\":[{\"seq\":2,\"kind\":\"envelope\"}]}",
		NULL};
	struct mailbox_item mixed[] = {items[0], items[0], items[1]};

	mixed[1].seq = 0;
	check_frames(*state, mixed, COUNT(mixed), want);
}

static void mismatches_name_devices(void **state)
{
	struct list_mismatch mismatch = {.missing = {3},
					 .n_missing = 1,
					 .extra = {4, 5},
					 .n_extra = 2,
					 .list_version = 9};

	check_json(list_mismatch_encode(*state, &mismatch),
		   "{\"missing_devices\":[3],\"extra_devices\":[4,5],\"list_version\":9}");
	mismatch = (struct list_mismatch){.stale = {127}, .n_stale = 1, .list_version = 9};
	check_json(list_mismatch_encode(*state, &mismatch),
		   "{\"stale_devices\":[127],\"missing_devices\":[],\"extra_devices\":[],"
		   "\"list_version\":9}");
}

static void sends_are_answered(void **state)
{
	struct send_answer answer = {
		.id_text = ID, .status = MESSAGE_QUEUED, .server_timestamp_ms = 8};

	check_json(send_answer_encode(*state, &answer),
		   "{\"id\":\"" ID "\",\"status\":\"queued\",\"server_timestamp\":8}");
	answer = (struct send_answer){.id_text = ID,
				      .status = MESSAGE_STORED,
				      .server_timestamp_ms = 8,
				      .over_quota = one_two,
				      .n_over_quota = 2};
	check_json(send_answer_encode(*state, &answer),
		   "{\"id\":\"" ID "\",\"status\":\"stored\",\"server_timestamp\":8,"
		   "\"over_quota\":[1,2]}");
	check_json(send_refusal_encode(*state, ID, ERR_UNAVAILABLE, (struct bytes){0}),
		   "{\"id\":\"" ID
		   "\",\"code\":\"UNAVAILABLE\",\"status_code\":404,\"details\":{}}");
	check_json(send_refusal_encode(*state, "", ERR_VALIDATION, text("{\"field\":\"id\"}")),
		   "{\"id\":\"\",\"code\":\"VALIDATION_ERROR\",\"status_code\":400,"
		   "\"details\":{\"field\":\"id\"}}");
}

static void the_status_of_a_message_is_told(void **state)
{
	struct message_info info = {.id_text = ID,
				    .to = BOB,
				    .status = MESSAGE_DELIVERED,
				    .server_timestamp_ms = 8,
				    .taken_by = {1, 2},
				    .n_taken_by = 2};

	check_json(message_info_encode(*state, &info),
		   "{\"id\":\"" ID "\",\"to\":\"" BOB "\",\"status\":\"delivered\","
		   "\"server_timestamp\":8,\"taken_by\":[1,2]}");
	info.status = MESSAGE_FAILED;
	info.n_taken_by = 0;
	info.code = "stale_list";
	check_json(message_info_encode(*state, &info),
		   "{\"id\":\"" ID "\",\"to\":\"" BOB "\",\"status\":\"failed\","
		   "\"server_timestamp\":8,\"taken_by\":[],\"code\":\"stale_list\"}");
	assert_string_equal(message_status_name(MESSAGE_RELAYED), "relayed");
	assert_string_equal(message_status_name(MESSAGE_UNKNOWN), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(items_have_the_form_of_the_protocol),
		TEST(the_number_is_spliced_in),
		TEST(a_mailbox_lists_items_in_order),
		TEST(a_frame_ends_where_the_kind_changes),
		TEST(ephemeral_items_have_frames_of_their_own),
		TEST(mismatches_name_devices),
		TEST(sends_are_answered),
		TEST(the_status_of_a_message_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
