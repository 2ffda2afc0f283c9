/* SPDX-License-Identifier: MIT
 *
 * Transactions of other nodes: bad items are marked one by one, a bad whole is refused, and
 * what this node writes it can read.
 */
#include "proto_test.h"

#include "restante/transaction.h"

#define STREAM "AAECAwQFBgcICQoLDA0ODw"
#define ENVELOPES                                                                              \
	"\"envelopes\":[{\"device_id\":1,\"registration_id\":4711,\"type\":3,\"content\":"     \
	"\"" CONTENT "\"}]"
#define HEAD "{\"kind\":\"message\",\"id\":\"" ID "\",\"from\":\""
#define MIDDLE                                                                                 \
	"\",\"from_device\":1,\"to\":\"" BOB "\",\"timestamp\":5,\"urgent\":true,"             \
	"\"expires_at\":6,\"list_version\":7,"
#define MESSAGE	  HEAD ALICE MIDDLE "\"token\":\"tok\"," ENVELOPES "}"
#define EPHEMERAL HEAD ALICE MIDDLE ENVELOPES "}"
#define RECEIPT                                                                                \
	"{\"kind\":\"receipt\",\"id\":\"" ID "\",\"from\":\"" ALICE "\",\"to\":\"" BOB         \
	"\",\"devices\":[1,2],\"timestamp\":8,\"token\":\"tok\"}"
#define CHANGED	     "{\"kind\":\"devices_changed\",\"address\":\"" ALICE "\",\"list_version\":9}"
#define ITEMS(items) "{\"stream\":\"" STREAM "\",\"seq\":1,\"items\":[" items "]}"

static enum err decode(struct arena *arena, const char *json, struct transaction *t,
		       struct problem *problem)
{
	return transaction_decode(arena, text(json), "a.example", 5, t, problem);
}

static void every_kind_is_read(void **state)
{
	struct problem problem = {0};
	struct transaction t;

	assert_int_equal(decode(*state,
				ITEMS(MESSAGE "," RECEIPT "," CHANGED ",{\"kind\":\"void\"}"),
				&t, &problem),
			 ERR_OK);
	assert_string_equal(t.stream, STREAM);
	assert_int_equal(t.seq, 1);
	assert_int_equal(t.n_items, 4);
	assert_int_equal(t.n_ephemeral, 0);
	for (size_t i = 0; i < t.n_items; i++) {
		assert_int_equal(t.items[i].kind, FED_MESSAGE + i);
		assert_false(t.items[i].bad || t.items[i].too_large);
	}
	assert_string_equal(t.items[0].from.text, ALICE);
	assert_int_equal(t.items[0].from_device, 1);
	assert_string_equal(t.items[0].to.text, BOB);
	assert_string_equal(t.items[0].message.id_text, ID);
	assert_string_equal(t.items[0].message.to.user, "bob");
	assert_int_equal(t.items[0].message.list_version, 7);
	assert_int_equal(t.items[0].message.envelopes[0].registration_id, 4711);
	assert_int_equal(t.items[0].expires_at_ms, 6);
	assert_string_equal(t.items[0].token, "tok");
	assert_int_equal(t.items[1].n_devices, 2);
	assert_int_equal(t.items[1].devices[1], 2);
	assert_string_equal(t.items[1].message.id_text, ID);
	assert_int_equal(t.items[1].message.timestamp_ms, 8);
	assert_string_equal(t.items[2].from.text, ALICE);
	assert_int_equal(t.items[2].list_version, 9);
}

static const struct {
	const char *item;
	bool too_large;
} bad_items[] = {
	{"{}", false},
	{"{\"kind\":\"group\"}", false},
	{"{\"kind\":1}", false},
	{HEAD BOB MIDDLE "\"token\":\"t\"," ENVELOPES "}", false},
	{HEAD "alice@sub.a.example" MIDDLE "\"token\":\"t\"," ENVELOPES "}", false},
	{HEAD "alice" MIDDLE "\"token\":\"t\"," ENVELOPES "}", false},
	{HEAD ALICE MIDDLE ENVELOPES "}", false},
	{HEAD ALICE MIDDLE "\"token\":\"\"," ENVELOPES "}", false},
	{HEAD ALICE MIDDLE "\"token\":\"t\"}", false},
	{HEAD ALICE MIDDLE "\"token\":\"t\",\"envelopes\":[]}", false},
	{HEAD ALICE MIDDLE
	 "\"token\":\"t\",\"envelopes\":[{\"device_id\":1,\"registration_id\":1,"
	 "\"type\":3,\"content\":\"aGVsbG8h\"}]}",
	 true},
	{HEAD BOB MIDDLE
	 "\"token\":\"t\",\"envelopes\":[{\"device_id\":1,\"registration_id\":1,"
	 "\"type\":3,\"content\":\"aGVsbG8h\"}]}",
	 false},
	{"{\"kind\":\"receipt\",\"id\":\"" ID "\",\"from\":\"" BOB "\",\"to\":\"" ALICE
	 "\",\"devices\":[1],\"timestamp\":8,\"token\":\"t\"}",
	 false},
	{"{\"kind\":\"receipt\",\"id\":\"" ID "\",\"from\":\"" ALICE "\",\"to\":\"" BOB
	 "\",\"devices\":[1,1],\"timestamp\":8,\"token\":\"t\"}",
	 false},
	{"{\"kind\":\"receipt\",\"id\":\"" ID "\",\"from\":\"" ALICE "\",\"to\":\"" BOB
	 "\",\"devices\":[1],\"timestamp\":8}",
	 false},
	{"{\"kind\":\"devices_changed\",\"address\":\"" BOB "\",\"list_version\":9}", false},
	{"{\"kind\":\"devices_changed\",\"address\":\"" ALICE "\"}", false},
};

static void a_bad_item_is_marked_among_good_ones(void **state)
{
	for (size_t i = 0; i < COUNT(bad_items); i++) {
		const char *json = arena_printf(*state, ITEMS("%s,%s,%s"), MESSAGE,
						bad_items[i].item, CHANGED);
		struct problem problem = {0};
		struct transaction t;

		assert_int_equal(decode(*state, json, &t, &problem), ERR_OK);
		assert_int_equal(t.n_items, 3);
		assert_false(t.items[0].bad || t.items[0].too_large);
		if (t.items[1].bad == bad_items[i].too_large ||
		    t.items[1].too_large != bad_items[i].too_large)
			fail_msg("%s", json);
		assert_false(t.items[2].bad || t.items[2].too_large);
	}
}

#define SEQ(seq) "{\"stream\":\"" STREAM "\",\"seq\":" seq ",\"items\":[{\"kind\":\"void\"}]}"
static const struct {
	const char *json;
	const char *field;
} bad_wholes[] = {
	{"[]", NULL},
	{"{}", "stream"},
	{ITEMS(""), "items"},
	{ITEMS("7"), "items[0]"},
	{ITEMS("{\"kind\":\"void\"},[]"), "items[1]"},
	{"{\"stream\":\"" STREAM "\",\"items\":[{\"kind\":\"void\"}]}", "seq"},
	{"{\"stream\":\"" STREAM "\",\"seq\":1}", "items"},
	{"{\"stream\":\"AAECAwQFBgcICQoLDA0OD\",\"seq\":1,\"items\":[{}]}", "stream"},
	{"{\"stream\":\"AAECAwQFBgcICQoLDA0ODx\",\"seq\":1,\"items\":[{}]}", "stream"},
	{SEQ("0"), "seq"},
	{SEQ("9007199254740992"), "seq"},
	{SEQ("1.0"), "seq"},
	{"{\"ephemeral\":[]}", "ephemeral"},
	{"{\"ephemeral\":[null]}", "ephemeral[0]"},
	{"{\"stream\":\"" STREAM "\",\"ephemeral\":[{}]}", "ephemeral"},
	{"{\"seq\":1,\"ephemeral\":[{}]}", "ephemeral"},
	{"{\"items\":[],\"ephemeral\":[{}]}", "ephemeral"},
};

static void a_bad_whole_is_refused(void **state)
{
	for (size_t i = 0; i < COUNT(bad_wholes); i++) {
		struct problem problem = {0};
		struct transaction t = {.seq = 99};

		if (decode(*state, bad_wholes[i].json, &t, &problem) != ERR_VALIDATION)
			fail_msg("%s", bad_wholes[i].json);
		check_string(problem.field, bad_wholes[i].field);
		assert_int_equal(t.seq, 99);
	}
}

static void only_messages_are_ephemeral(void **state)
{
	struct problem problem = {0};
	struct transaction t;

	assert_int_equal(decode(*state,
				"{\"ephemeral\":[" EPHEMERAL "," RECEIPT
				",{\"kind\":\"void\"}]}",
				&t, &problem),
			 ERR_OK);
	assert_string_equal(t.stream, "");
	assert_int_equal(t.n_items, 0);
	assert_int_equal(t.n_ephemeral, 3);
	assert_false(t.ephemeral[0].bad);
	assert_true(t.ephemeral[0].message.ephemeral);
	assert_null(t.ephemeral[0].token);
	assert_true(t.ephemeral[1].bad);
	assert_true(t.ephemeral[2].bad);
}

static struct bytes repeat_void(struct arena *arena, const char *before, size_t count)
{
	struct bytes *items = arena_array(arena, struct bytes, count);

	for (size_t i = 0; i < count; i++)
		items[i] = fed_void_encode();
	return transaction_encode(arena, before, 1, items, count);
}

static void items_are_limited(void **state)
{
	struct problem problem = {0};
	struct transaction t;
	static const struct {
		const char *stream;
		size_t max;
	} limits[] = {{STREAM, TRANSACTION_ITEMS_MAX}, {NULL, TRANSACTION_EPHEMERAL_MAX}};

	for (size_t i = 0; i < COUNT(limits); i++) {
		struct bytes most = repeat_void(*state, limits[i].stream, limits[i].max);
		struct bytes more = repeat_void(*state, limits[i].stream, limits[i].max + 1);

		assert_int_equal(transaction_decode(*state, most, "a.example", 5, &t, &problem),
				 ERR_OK);
		assert_int_equal(t.n_items + t.n_ephemeral, limits[i].max);
		assert_int_equal(transaction_decode(*state, more, "a.example", 5, &t, &problem),
				 ERR_VALIDATION);
	}
}

static void items_have_the_form_of_the_protocol(void **state)
{
	static const uint8_t devices[] = {1, 2};
	struct problem problem = {0};
	struct transaction t;
	struct bytes items[2];

	assert_int_equal(decode(*state, ITEMS(MESSAGE), &t, &problem), ERR_OK);
	items[0] = fed_message_encode(*state, ALICE, 1, &t.items[0].message, 6, "tok");
	check_json(items[0], MESSAGE);
	check_json(fed_message_encode(*state, ALICE, 1, &t.items[0].message, 6, NULL),
		   EPHEMERAL);
	items[1] = fed_receipt_encode(*state, ID, ALICE, BOB, devices, 2, 8, "tok");
	check_json(items[1], RECEIPT);
	check_json(fed_devices_changed_encode(*state, ALICE, 9), CHANGED);
	check_json(transaction_encode(*state, STREAM, 1, items, 2), ITEMS(MESSAGE "," RECEIPT));
	check_json(transaction_encode(*state, NULL, 0, items, 1),
		   "{\"ephemeral\":[" MESSAGE "]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_kind_is_read),     TEST(a_bad_item_is_marked_among_good_ones),
		TEST(a_bad_whole_is_refused), TEST(only_messages_are_ephemeral),
		TEST(items_are_limited),      TEST(items_have_the_form_of_the_protocol),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
