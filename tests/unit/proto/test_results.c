/* SPDX-License-Identifier: MIT
 *
 * Results of transactions: nothing that a lying peer says gets further than it may.
 */
#include "proto_test.h"

#include "restante/sign.h"
#include "restante/transaction.h"

#define RESULTS(results) "{\"acked\":9,\"results\":[" results "]}"

static const char *const lies[] = {
	"[]",
	"{\"results\":[]}",
	"{\"acked\":9}",
	"{\"acked\":10,\"results\":[]}",
	"{\"acked\":-1,\"results\":[]}",
	"{\"acked\":9.0,\"results\":[]}",
	RESULTS("1"),
	RESULTS("{\"seq\":4,\"code\":\"bad\"}"),
	RESULTS("{\"seq\":10,\"code\":\"bad\"}"),
	RESULTS("{\"seq\":6,\"code\":\"bad\"},{\"seq\":6,\"code\":\"bad\"}"),
	RESULTS("{\"seq\":7,\"code\":\"bad\"},{\"seq\":6,\"code\":\"bad\"}"),
	RESULTS("{\"code\":\"bad\"}"),
	RESULTS("{\"seq\":6}"),
	RESULTS("{\"seq\":6,\"code\":\"ok\"}"),
	RESULTS("{\"seq\":6,\"code\":\"expired\"}"),
	RESULTS("{\"seq\":6,\"code\":\"unknown\"}"),
	RESULTS("{\"seq\":6,\"code\":\"key_conflict\"}"),
	RESULTS("{\"seq\":6,\"code\":\"refused\"}"),
	RESULTS("{\"seq\":6,\"code\":\"BAD\"}"),
	RESULTS("{\"seq\":6,\"code\":\"over_quota\"}"),
	RESULTS("{\"seq\":6,\"code\":\"over_quota\",\"devices\":[0]}"),
	RESULTS("{\"seq\":6,\"code\":\"over_quota\",\"devices\":[1,1]}"),
	RESULTS("{\"seq\":6,\"code\":\"over_quota\",\"devices\":[\"1\"]}"),
	RESULTS("{\"seq\":6,\"code\":\"stale_list\"}"),
	RESULTS("{\"seq\":6,\"code\":\"stale_list\",\"devices\":[]}"),
	RESULTS("{\"seq\":6,\"code\":\"stale_list\",\"list_version\":1,\"devices\":{}}"),
	RESULTS("{\"seq\":6,\"code\":\"stale_list\",\"list_version\":1,\"devices\":[1]}"),
	RESULTS("{\"seq\":6,\"code\":\"stale_list\",\"list_version\":1,\"devices\":[{"
		"\"device_id\":1,\"registration_id\":1,\"scheme\":\"ed25519\","
		"\"identity_key\":\"AAAA\"}]}"),
};

static void lies_are_refused(void **state)
{
	for (size_t i = 0; i < COUNT(lies); i++) {
		struct fed_results results = {.acked = 99};

		if (results_decode(*state, text(lies[i]), 5, 9, &results) != ERR_PEER_INVALID)
			fail_msg("%s", lies[i]);
		assert_int_equal(results.acked, 99);
	}
}

static void details_are_written_anew(void **state)
{
	static const uint8_t seed[ED25519_SEED_SIZE] = {1};
	struct sign_key key;
	struct fed_results results;
	struct device_list list;
	struct address address;
	const char *device;

	assert_int_equal(sign_key_from_seed(text("k"), seed, &key), ERR_OK);
	device = arena_printf(
		*state,
		"{\"device_id\":1,\"registration_id\":4711,\"scheme\":\"ed25519\","
		"\"identity_key\":\"%s\"}",
		base64_encode(*state, bytes_of(key.public_key, sizeof key.public_key)));
	assert_int_equal(
		results_decode(
			*state,
			text(arena_printf(*state,
					  RESULTS("{\"seq\":5,\"code\":\"bad\",\"x\":[]}, "
						  "{\"evil\":{}, \"devices\":[ %s ], "
						  "\"list_version\":7, \"seq\":6, "
						  "\"code\":\"stale_list\"}, "
						  "{\"seq\":9,\"code\":\"over_quota\","
						  "\"devices\":[ 3, 1 ],\"y\":\"\"}, "
						  "{\"seq\":10,\"code\":"
						  "\"request_waiting\"}"),
					  device)),
			5, 10, &results),
		ERR_OK);
	assert_int_equal(results.acked, 9);
	assert_int_equal(results.count, 4);
	assert_int_equal(results.results[3].code, RESULT_REQUEST_WAITING);
	assert_int_equal(results.results[0].code, RESULT_BAD);
	assert_int_equal(results.results[0].detail.len, 0);
	assert_int_equal(results.results[1].seq, 6);
	check_json(results.results[1].detail,
		   arena_printf(*state, "\"list_version\":7,\"devices\":[%s]", device));
	check_json(results.results[2].detail, "\"devices\":[3,1]");

	address_make("bob", "b.example", &address);
	assert_int_equal(stale_list_decode(*state, results.results[1].detail, &address, &list),
			 ERR_OK);
	assert_string_equal(list.address.text, BOB);
	assert_int_equal(list.list_version, 7);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.devices[0].registration_id, 4711);
	assert_int_equal(stale_list_decode(*state, results.results[2].detail, &address, &list),
			 ERR_PEER_INVALID);
}

static void a_stale_list_may_leave_its_devices_out(void **state)
{
	struct fed_results results;
	struct device_list list;
	struct address address;

	address_make("bob", "b.example", &address);
	assert_int_equal(results_decode(*state,
					text(RESULTS("{\"seq\":5,\"code\":\"stale_list\","
						     "\"list_version\":7},"
						     "{\"seq\":6,\"code\":\"stale_list\","
						     "\"list_version\":7,\"devices\":[]}")),
					5, 9, &results),
			 ERR_OK);
	check_json(results.results[0].detail, "\"list_version\":7");
	assert_int_equal(stale_list_decode(*state, results.results[0].detail, &address, &list),
			 ERR_OK);
	assert_int_equal(list.list_version, 7);
	assert_null(list.devices);
	/* Which is another thing than a list without devices. */
	check_json(results.results[1].detail, "\"list_version\":7,\"devices\":[]");
	assert_int_equal(stale_list_decode(*state, results.results[1].detail, &address, &list),
			 ERR_OK);
	assert_non_null(list.devices);
}

static void ephemeral_items_have_no_results(void **state)
{
	struct fed_results results;

	assert_int_equal(
		results_decode(*state, text("{\"acked\":0,\"results\":[]}"), 0, 0, &results),
		ERR_OK);
	assert_int_equal(results.count, 0);
	assert_int_equal(
		results_decode(*state, text("{\"acked\":0,\"results\":[]}"), 0, -1, &results),
		ERR_OK);
}

static void results_have_the_form_of_the_protocol(void **state)
{
	const struct item_result results[] = {
		{1, RESULT_OVER_QUOTA, {(const uint8_t *)"\"devices\":[1]", 13}},
		{2, RESULT_DUPLICATE, {0}},
	};

	check_json(results_encode(*state, 2, results, 0), "{\"acked\":2,\"results\":[]}");
	check_json(
		results_encode(*state, 2, results, 2),
		"{\"acked\":2,\"results\":[{\"seq\":1,\"code\":\"over_quota\",\"devices\":[1]},"
		"{\"seq\":2,\"code\":\"duplicate\"}]}");
	assert_string_equal(result_code_name(RESULT_KEY_CONFLICT), "key_conflict");
}

static void codes_of_errors_are_recognized(void **state)
{
	static const struct {
		const char *json;
		const char *code;
	} table[] = {
		{"{\"success\":false,\"error\":{\"code\":\"STREAM_RESET\",\"message\":\"\"}}",
		 "STREAM_RESET"},
		{"{\"error\":{\"code\":\"a b\"}}", ""},
		{"{\"error\":{\"code\":\"\"}}", ""},
		{"{\"error\":{\"code\":7}}", ""},
		{"{\"error\":\"X\"}", ""},
		{"<html>", ""},
	};

	for (size_t i = 0; i < COUNT(table); i++)
		assert_string_equal(error_code_decode(*state, text(table[i].json)),
				    table[i].code);
}

static void only_known_codes_are_a_hint(void **state)
{
	struct text long_one;

	assert_string_equal(
		error_hint_decode(*state, text("{\"error\":{\"code\":\"FEDERATION_DENIED\"}}")),
		"FEDERATION_DENIED");
	assert_null(error_hint_decode(*state, text("{\"error\":{\"code\":\"DENIED\"}}")));
	assert_null(error_hint_decode(*state, text("{\"error\":{\"code\":\"OK\"}}")));
	assert_null(error_hint_decode(*state, text("<html>")));
	text_init(&long_one, *state, 8192);
	text_puts(&long_one, "{\"error\":{\"code\":\"FEDERATION_DENIED\"}}");
	while (long_one.len < 5000)
		text_puts(&long_one, " ");
	assert_null(error_hint_decode(*state, text_bytes(&long_one)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lies_are_refused),
		TEST(details_are_written_anew),
		TEST(a_stale_list_may_leave_its_devices_out),
		TEST(ephemeral_items_have_no_results),
		TEST(results_have_the_form_of_the_protocol),
		TEST(codes_of_errors_are_recognized),
		TEST(only_known_codes_are_a_hint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
