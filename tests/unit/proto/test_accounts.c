/* SPDX-License-Identifier: MIT
 *
 * Requests about accounts, sessions and devices, and the text of their answers.
 */
#include "proto_test.h"

#include "restante/accounts.h"

#define K32 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define DEVICE_                                                                                \
	"\"registration_id\":4711,\"scheme\":\"signal\",\"identity_key\":\"" K32               \
	"\",\"signed_prekey\":{\"id\":1,\"public_key\":\"" K32 "\",\"signature\":\"" K32 "\"}"
#define DEVICE	    "\"device\":{" DEVICE_ "}"
#define NAMED(name) "\"device\":{\"name\":\"" name "\"," DEVICE_ "}"
#define TEN	    "aaaaaaaaaa"
#define SIXTY4	    TEN TEN TEN TEN TEN TEN "aaaa"

static void a_registration_has_a_device(void **state)
{
	struct register_request request;
	struct problem problem = {0};

	assert_int_equal(
		register_decode(*state,
				text("{\"username\":\"alice\",\"password\":\"12345678\","
				     "\"invite\":\"i\"," NAMED("phone") "}"),
				&request, &problem),
		ERR_OK);
	assert_string_equal(request.user, "alice");
	assert_string_equal(request.password, "12345678");
	assert_string_equal(request.invite, "i");
	assert_string_equal(request.device.name, "phone");
	assert_int_equal(request.device.registration_id, 4711);
	assert_true(request.device.signed_prekey.present);
	assert_int_equal(register_decode(*state, text("{\"username\":\"a\"," DEVICE "}"),
					 &request, &problem),
			 ERR_OK);
	assert_null(request.password);
	assert_null(request.invite);
	assert_string_equal(request.device.name, "");
}

typedef enum err (*decode_fn)(struct arena *arena, const char *json, struct problem *problem);

#define DECODE(function, type)                                                                 \
	static enum err try_##function(struct arena *arena, const char *json,                  \
				       struct problem *problem)                                \
	{                                                                                      \
		type out;                                                                      \
                                                                                               \
		return function(arena, text(json), &out, problem);                             \
	}
DECODE(register_decode, struct register_request)
DECODE(login_decode, struct login_request)
DECODE(link_decode, struct link_request)
DECODE(password_decode, struct password_request)
DECODE(account_patch_decode, struct account_patch)
DECODE(empty_decode, bool)

#define LOGIN(rest) "{\"username\":\"a\",\"device_id\":1" rest "}"
#define NONCE	    ",\"nonce\":\"n\",\"signature\":\"" K32 "\""

static const struct {
	decode_fn decode;
	const char *json;
	bool good;
	const char *field;
} table[] = {
	{try_register_decode, "{\"username\":\"a\"}", false, "device"},
	{try_register_decode, "{\"username\":\"A\"," DEVICE "}", false, "username"},
	{try_register_decode, "{" DEVICE "}", false, "username"},
	{try_register_decode, "{\"username\":\"a\",\"device\":{}}", false,
	 "device.registration_id"},
	{try_register_decode, "{\"username\":\"a\",\"password\":\"1234567\"," DEVICE "}", false,
	 "password"},
	{try_register_decode, "{\"username\":\"a\",\"password\":null," DEVICE "}", false,
	 "password"},
	{try_register_decode, "{\"username\":\"a\"," NAMED(SIXTY4) "}", true, NULL},
	{try_register_decode, "{\"username\":\"a\"," NAMED(SIXTY4 "a") "}", false,
	 "device.name"},
	{try_login_decode, LOGIN(",\"password\":\"\""), true, NULL},
	{try_login_decode, LOGIN(NONCE), true, NULL},
	{try_login_decode, LOGIN(""), false, "nonce"},
	{try_login_decode, LOGIN(",\"nonce\":\"n\""), false, "signature"},
	{try_login_decode, LOGIN(",\"password\":\"p\"" NONCE), false, "password"},
	{try_login_decode, "{\"username\":\"a\",\"password\":\"p\"}", false, "device_id"},
	{try_link_decode, "{\"token\":\"t\"," DEVICE "}", true, NULL},
	{try_link_decode, "{\"username\":\"a\",\"password\":\"p\"," DEVICE "}", true, NULL},
	{try_link_decode, "{" DEVICE "}", false, "username"},
	{try_link_decode, "{\"username\":\"a\"," DEVICE "}", false, "password"},
	{try_link_decode, "{\"token\":\"t\",\"password\":\"p\"," DEVICE "}", false, "token"},
	{try_link_decode, "{\"token\":\"t\"}", false, "device"},
	{try_password_decode, "{\"password\":\"12345678\"}", true, NULL},
	{try_password_decode, "{\"password\":\"12345678\",\"current_password\":\"x\"}", true,
	 NULL},
	{try_password_decode, "{\"password\":\"1234567\"}", false, "password"},
	{try_password_decode, "{\"current_password\":\"x\"}", false, "password"},
	{try_account_patch_decode, "{}", true, NULL},
	{try_account_patch_decode, "{\"receipts\":\"on\"}", false, "receipts"},
	{try_empty_decode, "{}", true, NULL},
	{try_empty_decode, "{\"x\":1}", true, NULL},
	{try_empty_decode, "", false, NULL},
	{try_empty_decode, "[]", false, NULL},
};

static void requests_are_good_or_name_their_field(void **state)
{
	for (size_t i = 0; i < COUNT(table); i++) {
		struct problem problem = {0};
		enum err err = table[i].decode(*state, table[i].json, &problem);

		if (err != (table[i].good ? ERR_OK : ERR_VALIDATION))
			fail_msg("%s", table[i].json);
		check_string(problem.field, table[i].field);
	}
}

static void a_patch_tells_absent_from_false(void **state)
{
	struct account_patch patch;
	struct problem problem = {0};

	assert_int_equal(
		account_patch_decode(*state, text("{\"receipts\":false}"), &patch, &problem),
		ERR_OK);
	assert_true(patch.has_receipts);
	assert_false(patch.receipts || patch.has_strangers);
	assert_int_equal(account_patch_decode(*state, text("{\"strangers\":\"accept\"}"),
					      &patch, &problem),
			 ERR_OK);
	assert_true(patch.has_strangers);
	assert_int_equal(patch.strangers, STRANGERS_ACCEPT);
	assert_false(patch.has_receipts);
}

static void one_text_member_is_read(void **state)
{
	struct problem problem = {0};
	const char *out = "untouched";

	assert_int_equal(text_member_decode(*state, text("{\"name\":\"x\"}"), "name", 1, false,
					    &out, &problem),
			 ERR_OK);
	assert_string_equal(out, "x");
	assert_int_equal(
		text_member_decode(*state, text("{}"), "name", 1, false, &out, &problem),
		ERR_VALIDATION);
	assert_string_equal(problem.field, "name");
	assert_int_equal(text_member_decode(*state, text("{\"name\":\"xy\"}"), "name", 1, false,
					    &out, &problem),
			 ERR_VALIDATION);
	assert_int_equal(
		text_member_decode(*state, text("{}"), "name", 1, true, &out, &problem),
		ERR_OK);
	assert_null(out);
}

static void answers_have_the_form_of_the_protocol(void **state)
{
	struct session_reply session = {ALICE, 1, "a.b.c", "r", 900, 7};
	struct account_info account = {ALICE, STRANGERS_REQUEST, false, true, 7};
	struct key_stats stats = {3, 19, true, UINT32_MAX, 60};

	check_json(session_encode(*state, &session),
		   "{\"address\":\"" ALICE "\",\"device_id\":1,\"access_token\":\"a.b.c\","
		   "\"refresh_token\":\"r\",\"expires_in\":900,\"list_version\":7}");
	check_json(account_encode(*state, &account),
		   "{\"address\":\"" ALICE "\",\"strangers\":\"request\",\"receipts\":false,"
		   "\"list_version\":7,\"has_password\":true}");
	check_json(key_stats_encode(*state, &stats),
		   "{\"one_time_prekeys\":3,\"pq_prekeys\":19,\"pq_last_resort\":true,"
		   "\"signed_prekey_id\":4294967295,\"signed_prekey_age\":60}");
}

static void devices_are_listed_for_their_owner(void **state)
{
	const struct device_info devices[] = {{1, 4711, "my \"phone\"", 5, 6},
					      {2, 4712, "", 7, 8}};

	check_json(devices_encode(*state, 9, 2, devices, 2),
		   "{\"list_version\":9,\"devices\":[{\"device_id\":1,\"name\":\"my "
		   "\\\"phone\\\"\",\"registration_id\":4711,\"created_at\":5,\"last_seen\":6,"
		   "\"current\":false},{\"device_id\":2,\"name\":\"\",\"registration_id\":4712,"
		   "\"created_at\":7,\"last_seen\":8,\"current\":true}]}");
	check_json(devices_encode(*state, 9, 2, devices, 0),
		   "{\"list_version\":9,\"devices\":[]}");
}

static void consent_is_sorted_by_state(void **state)
{
	const struct consent_entry entries[] = {{BOB, CONSENT_BLOCKED, 1},
						{ALICE, CONSENT_REQUESTED, 2},
						{"c@c.example", CONSENT_ACCEPTED, 3},
						{"d@d.example", CONSENT_ACCEPTED, 4}};

	check_json(consent_encode(*state, entries, COUNT(entries)),
		   "{\"requests\":[{\"address\":\"" ALICE "\",\"since\":2}],"
		   "\"accepted\":[\"c@c.example\",\"d@d.example\"],\"blocked\":[\"" BOB "\"]}");
	check_json(consent_encode(*state, entries, 0),
		   "{\"requests\":[],\"accepted\":[],\"blocked\":[]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_registration_has_a_device),
		TEST(requests_are_good_or_name_their_field),
		TEST(a_patch_tells_absent_from_false),
		TEST(one_text_member_is_read),
		TEST(answers_have_the_form_of_the_protocol),
		TEST(devices_are_listed_for_their_owner),
		TEST(consent_is_sorted_by_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
