/* SPDX-License-Identifier: MIT
 *
 * Devices joining and leaving, and who is told: the contract of ops_accounts.h.
 */
#include "contract.h"

#define PASSWORD "$argon2id$one"

static enum err check(struct contract *contract, const struct caller *caller)
{
	struct op_caller_check op = {.caller = *caller};

	return RUN(contract, CALLER_CHECK, &op);
}

/* The device list of an address, as another node gets it. */
static enum err ask_list(struct contract *contract, const char *requester, const char *address,
			 struct device_list *list_out)
{
	struct op_device_list op = {0};

	assert_int_equal(address_parse(bytes_of_text(requester), &op.requester), ERR_OK);
	assert_int_equal(address_parse(bytes_of_text(address), &op.address), ERR_OK);
	if (RUN(contract, DEVICE_LIST, &op) == ERR_OK)
		*list_out = op.list;
	return op.op.err;
}

/* --- joining -------------------------------------------------------------------------- */

static void a_link_token_lets_one_device_join(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct key_upload upload = contract_upload(contract, "tablet", 0, 0);
	struct op_device_link op;

	contract_now += 1000;
	assert_int_equal(contract_try_link(contract, &alice, &upload, &op), ERR_OK);
	assert_string_equal(op.linked_user, "alice");
	assert_int_equal(op.device_id, 2);
	assert_true(op.generation > alice.caller.generation);
	assert_int_equal(op.list_version, contract_now);
	assert_int_equal(op.issued_at_ms, contract_now);
	assert_true(effects_have_hint(&op.effects, alice.caller.generation, "alice@a.example"));
	op.session = contract_session();
	assert_int_equal(RUN(contract, DEVICE_LINK, &op), ERR_LINK_TOKEN_INVALID);
}

static void a_link_token_expires(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct op_link_token_create token = {.caller = alice.caller,
					     .expires_ms = contract_now + 1000};
	struct key_upload upload = contract_upload(contract, "tablet", 0, 0);
	struct op_device_link op = {.token_hash = token.token_hash,
				    .device = &upload,
				    .session = contract_session()};

	RUN_OK(contract, LINK_TOKEN_CREATE, &token);
	contract_now += 1000;
	assert_int_equal(RUN(contract, DEVICE_LINK, &op), ERR_LINK_TOKEN_INVALID);
}

static void a_device_joins_by_the_password_that_holds(void **state)
{
	struct contract *contract = *state;
	struct key_upload upload = contract_upload(contract, "phone", 0, 0);
	struct op_device_link op = {.user = "alice",
				    .password_hash = PASSWORD,
				    .device = &upload,
				    .session = contract_session()};

	contract_register_with(contract, "alice", &upload, PASSWORD);
	contract_register(contract, "bob");
	RUN_OK(contract, DEVICE_LINK, &op);
	assert_string_equal(op.linked_user, "alice");
	op.password_hash = "$argon2id$two";
	assert_int_equal(RUN(contract, DEVICE_LINK, &op), ERR_LOGIN_FAILED);
	op.password_hash = PASSWORD;
	op.user = "bob";
	assert_int_equal(RUN(contract, DEVICE_LINK, &op), ERR_LOGIN_FAILED);
	op.user = "nobody";
	assert_int_equal(RUN(contract, DEVICE_LINK, &op), ERR_LOGIN_FAILED);
}

static void an_account_has_at_most_so_many_devices(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct key_upload upload = contract_upload(contract, "one too many", 0, 0);
	struct op_device_link op;

	for (int i = 2; i <= 10; i++)
		contract_link(contract, &alice, "another");
	assert_int_equal(contract_try_link(contract, &alice, &upload, &op), ERR_DEVICE_LIMIT);
	/* The token is still good once there is room. */
	assert_int_equal(contract_remove(contract, &alice, 5), ERR_OK);
	op.session = contract_session();
	RUN_OK(contract, DEVICE_LINK, &op);
	assert_int_equal(op.device_id, 5);
}

static void an_id_given_out_again_is_of_another_generation(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct key_upload upload = contract_upload(contract, "tablet", 4, 4);
	struct contract_device first = contract_link_with(contract, &alice, &upload);
	struct contract_device second;
	struct op_caller_check counts;

	assert_int_equal(contract_remove(contract, &alice, 2), ERR_OK);
	second = contract_link(contract, &alice, "watch");
	assert_int_equal(second.caller.device_id, 2);
	assert_int_not_equal(second.caller.generation, first.caller.generation);
	assert_int_equal(check(contract, &first.caller), ERR_UNAUTHORIZED);
	counts = (struct op_caller_check){.caller = second.caller};
	RUN_OK(contract, CALLER_CHECK, &counts);
	assert_int_equal(counts.one_time, 0);
	assert_int_equal(counts.pq, 0);
}

static void generations_rise_beyond_those_of_removed_devices(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device last = contract_link(contract, &alice, "tablet");
	struct contract_device next;

	assert_int_equal(contract_remove(contract, &alice, 2), ERR_OK);
	contract_reopen(contract);
	next = contract_link(contract, &alice, "tablet");
	assert_true(next.caller.generation > last.caller.generation);
}

/* --- what the owner sees -------------------------------------------------------------- */

static void the_owner_sees_the_devices(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device tablet = contract_link(contract, &alice, "tablet");
	struct op_device_rename rename = {
		.caller = alice.caller, .device_id = 2, .name = "big screen"};
	struct op_devices_get op = {.caller = alice.caller};

	RUN_OK(contract, DEVICE_RENAME, &rename);
	RUN_OK(contract, DEVICES_GET, &op);
	assert_int_equal(op.list_version, tablet.list_version);
	assert_int_equal(op.count, 2);
	assert_int_equal(op.devices[0].device_id, 1);
	assert_int_equal(op.devices[1].device_id, 2);
	assert_int_equal(op.devices[1].registration_id, tablet.registration_id);
	assert_string_equal(op.devices[1].name, "big screen");
	assert_int_equal(op.devices[1].created_at_ms, contract_now);
	rename.device_id = 3;
	assert_int_equal(RUN(contract, DEVICE_RENAME, &rename), ERR_NOT_FOUND);
}

/* --- leaving -------------------------------------------------------------------------- */

static void a_removed_device_is_shut_out(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device tablet = contract_link(contract, &alice, "tablet");
	struct op_device_remove op = {.caller = alice.caller, .device_id = 2};
	struct op_session_refresh again = {.session = contract_session()};

	RUN_OK(contract, DEVICE_REMOVE, &op);
	assert_true(op.list_version > tablet.list_version);
	assert_true(effects_have_end(&op.effects, tablet.caller.generation, 4410));
	assert_true(effects_have_hint(&op.effects, alice.caller.generation, "alice@a.example"));
	assert_false(
		effects_have_hint(&op.effects, tablet.caller.generation, "alice@a.example"));
	assert_int_equal(check(contract, &tablet.caller), ERR_UNAUTHORIZED);
	memcpy(again.old_hash, tablet.refresh_hash, HASH_SIZE);
	assert_int_equal(RUN(contract, SESSION_REFRESH, &again), ERR_UNAUTHORIZED);
	assert_int_equal(RUN(contract, DEVICE_REMOVE, &op), ERR_NOT_FOUND);
}

static void a_device_may_remove_itself(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device tablet = contract_link(contract, &alice, "tablet");

	assert_int_equal(contract_remove(contract, &tablet, 2), ERR_OK);
	assert_int_equal(check(contract, &tablet.caller), ERR_UNAUTHORIZED);
	assert_int_equal(check(contract, &alice.caller), ERR_OK);
}

static void the_last_device_goes_only_where_a_password_lets_in_again(void **state)
{
	struct contract *contract = *state;
	struct key_upload upload = contract_upload(contract, "phone", 0, 0);
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device bob = contract_register_with(contract, "bob", &upload, PASSWORD);

	contract_link(contract, &alice, "tablet");
	assert_int_equal(contract_remove(contract, &alice, 2), ERR_OK);
	assert_int_equal(contract_remove(contract, &alice, 1), ERR_LAST_DEVICE);
	assert_int_equal(check(contract, &alice.caller), ERR_OK);
	assert_int_equal(contract_remove(contract, &bob, 1), ERR_OK);
}

/* --- device lists --------------------------------------------------------------------- */

static void a_list_shows_every_device_in_order(void **state)
{
	struct contract *contract = *state;
	struct key_upload upload = contract_upload(contract, "phone", 0, 0);
	struct contract_device alice = contract_register_with(contract, "alice", &upload, NULL);
	struct contract_device tablet = contract_link(contract, &alice, "tablet");
	struct device_list list;

	assert_int_equal(ask_list(contract, "eve@b.example", "alice@a.example", &list), ERR_OK);
	assert_string_equal(list.address.text, "alice@a.example");
	assert_int_equal(list.list_version, tablet.list_version);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.devices[0].device_id, 1);
	assert_int_equal(list.devices[0].registration_id, upload.registration_id);
	assert_int_equal(list.devices[0].scheme, upload.scheme);
	assert_true(bytes_equal(list.devices[0].identity_key, upload.identity_key));
	assert_int_equal(list.devices[1].registration_id, tablet.registration_id);
	assert_false(list.devices[0].signed_prekey.present);
}

static void missing_closed_and_blocked_are_one_answer(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device bob = contract_register(contract, "bob");
	struct contract_device carol = contract_register(contract, "carol");
	struct op_account_delete delete = {.caller = carol.caller};
	struct device_list list;

	contract_consent(contract, &alice, "eve@b.example", CONSENT_BLOCKED);
	contract_close_to_strangers(contract, &bob);
	RUN_OK(contract, ACCOUNT_DELETE, &delete);
	assert_int_equal(ask_list(contract, "eve@b.example", "alice@a.example", &list),
			 ERR_UNAVAILABLE);
	assert_int_equal(ask_list(contract, "eve@b.example", "bob@a.example", &list),
			 ERR_UNAVAILABLE);
	assert_int_equal(ask_list(contract, "eve@b.example", "carol@a.example", &list),
			 ERR_UNAVAILABLE);
	assert_int_equal(ask_list(contract, "eve@b.example", "nobody@a.example", &list),
			 ERR_UNAVAILABLE);
	assert_int_equal(ask_list(contract, "eve@b.example", "alice@c.example", &list),
			 ERR_UNAVAILABLE);
}

static void a_closed_account_is_open_to_whom_it_accepted_and_to_itself(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct device_list list;

	contract_close_to_strangers(contract, &alice);
	contract_consent(contract, &alice, "bob@b.example", CONSENT_ACCEPTED);
	assert_int_equal(ask_list(contract, "bob@b.example", "alice@a.example", &list), ERR_OK);
	assert_int_equal(ask_list(contract, "alice@a.example", "alice@a.example", &list),
			 ERR_OK);
	assert_int_equal(ask_list(contract, "eve@b.example", "alice@a.example", &list),
			 ERR_UNAVAILABLE);
}

static void a_local_caller_must_be_good_to_see_a_list(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct op_device_list op = {
		.caller = &alice.caller, .requester = alice.address, .address = alice.address};

	RUN_OK(contract, DEVICE_LIST, &op);
	alice.caller.generation += 100;
	assert_int_equal(RUN(contract, DEVICE_LIST, &op), ERR_UNAUTHORIZED);
}

/* --- who is told ---------------------------------------------------------------------- */

static void accounts_that_accepted_hear_of_a_change(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device bob = contract_register(contract, "bob");
	struct contract_device bob2 = contract_link(contract, &bob, "tablet");
	struct contract_device carol = contract_register(contract, "carol");
	struct key_upload upload = contract_upload(contract, "tablet", 0, 0);
	struct op_device_link op;

	contract_consent(contract, &bob, "alice@a.example", CONSENT_ACCEPTED);
	contract_consent(contract, &carol, "alice@a.example", CONSENT_BLOCKED);
	assert_int_equal(contract_try_link(contract, &alice, &upload, &op), ERR_OK);
	assert_true(effects_have_hint(&op.effects, bob.caller.generation, "alice@a.example"));
	assert_true(effects_have_hint(&op.effects, bob2.caller.generation, "alice@a.example"));
	assert_false(
		effects_have_hint(&op.effects, carol.caller.generation, "alice@a.example"));
}

static void accounts_that_may_not_reach_it_hear_nothing(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device bob = contract_register(contract, "bob");
	struct contract_device carol = contract_register(contract, "carol");
	struct key_upload upload = contract_upload(contract, "tablet", 0, 0);
	struct op_device_link op;

	contract_consent(contract, &bob, "alice@a.example", CONSENT_ACCEPTED);
	contract_consent(contract, &carol, "alice@a.example", CONSENT_ACCEPTED);
	contract_consent(contract, &alice, "bob@a.example", CONSENT_BLOCKED);
	assert_int_equal(contract_try_link(contract, &alice, &upload, &op), ERR_OK);
	assert_false(effects_have_hint(&op.effects, bob.caller.generation, "alice@a.example"));
	assert_true(effects_have_hint(&op.effects, carol.caller.generation, "alice@a.example"));
	contract_close_to_strangers(contract, &alice);
	upload = contract_upload(contract, "watch", 0, 0);
	assert_int_equal(contract_try_link(contract, &alice, &upload, &op), ERR_OK);
	assert_false(
		effects_have_hint(&op.effects, carol.caller.generation, "alice@a.example"));
}

static void subscribe(struct contract *contract, const char *origin, int64_t until_ms)
{
	struct op_device_subscribe op = {.origin = origin, .until_ms = until_ms};

	address_make("eve", origin, &op.requester);
	address_make("alice", CONTRACT_DOMAIN, &op.address);
	RUN_OK(contract, DEVICE_SUBSCRIBE, &op);
	assert_int_equal(op.list.count, 1);
}

static void subscribed_domains_get_an_item_until_their_time_is_over(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct key_upload upload = contract_upload(contract, "tablet", 0, 0);
	struct op_outbox_read read = {.domain = "b.example", .limit = 10, .max_bytes = 10000};
	struct op_device_link op;

	subscribe(contract, "b.example", contract_now + 2000);
	subscribe(contract, "c.example", contract_now + 1000);
	contract_now += 1000;
	assert_int_equal(contract_try_link(contract, &alice, &upload, &op), ERR_OK);
	assert_true(effects_have_outbound(&op.effects, "b.example"));
	assert_false(effects_have_outbound(&op.effects, "c.example"));
	RUN_OK(contract, OUTBOX_READ, &read);
	assert_int_equal(read.count, 1);
	assert_int_equal(read.items[0].kind, FED_DEVICES_CHANGED);
	assert_non_null(strstr((const char *)read.items[0].body.data, "alice@a.example"));
}

/* Its node would tell them of an account that to them is not there. */
static void domains_of_which_nobody_may_reach_it_hear_nothing(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct key_upload upload = contract_upload(contract, "tablet", 0, 0);
	struct op_device_link op;

	subscribe(contract, "b.example", contract_now + 1000);
	subscribe(contract, "c.example", contract_now + 1000);
	contract_consent(contract, &alice, "bob@b.example", CONSENT_ACCEPTED);
	contract_consent(contract, &alice, "carol@c.example", CONSENT_BLOCKED);
	contract_close_to_strangers(contract, &alice);
	assert_int_equal(contract_try_link(contract, &alice, &upload, &op), ERR_OK);
	assert_true(effects_have_outbound(&op.effects, "b.example"));
	assert_false(effects_have_outbound(&op.effects, "c.example"));
}

static void a_subscription_is_never_shortened(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct key_upload upload = contract_upload(contract, "tablet", 0, 0);
	struct op_device_link op;

	subscribe(contract, "b.example", contract_now + 2000);
	subscribe(contract, "b.example", contract_now + 1000);
	contract_now += 1500;
	assert_int_equal(contract_try_link(contract, &alice, &upload, &op), ERR_OK);
	assert_true(effects_have_outbound(&op.effects, "b.example"));
}

static void list_versions_rise_when_the_clock_does_not(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device second = contract_link(contract, &alice, "tablet");
	struct contract_device third;

	assert_int_equal(second.list_version, alice.list_version + 1);
	contract_now -= 5000;
	third = contract_link(contract, &alice, "watch");
	assert_int_equal(third.list_version, second.list_version + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_link_token_lets_one_device_join),
		TEST(a_link_token_expires),
		TEST(a_device_joins_by_the_password_that_holds),
		TEST(an_account_has_at_most_so_many_devices),
		TEST(an_id_given_out_again_is_of_another_generation),
		TEST(generations_rise_beyond_those_of_removed_devices),
		TEST(the_owner_sees_the_devices),
		TEST(a_removed_device_is_shut_out),
		TEST(a_device_may_remove_itself),
		TEST(the_last_device_goes_only_where_a_password_lets_in_again),
		TEST(a_list_shows_every_device_in_order),
		TEST(missing_closed_and_blocked_are_one_answer),
		TEST(a_closed_account_is_open_to_whom_it_accepted_and_to_itself),
		TEST(a_local_caller_must_be_good_to_see_a_list),
		TEST(accounts_that_accepted_hear_of_a_change),
		TEST(accounts_that_may_not_reach_it_hear_nothing),
		TEST(subscribed_domains_get_an_item_until_their_time_is_over),
		TEST(domains_of_which_nobody_may_reach_it_hear_nothing),
		TEST(a_subscription_is_never_shortened),
		TEST(list_versions_rise_when_the_clock_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
