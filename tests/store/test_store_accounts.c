/* SPDX-License-Identifier: MIT
 *
 * Accounts, sessions and consent: the contract of ops_accounts.h, save devices.
 */
#include "contract.h"

#define PASSWORD "$argon2id$one"

static enum err check(struct contract *contract, const struct caller *caller)
{
	struct op_caller_check op = {.caller = *caller};

	return RUN(contract, CALLER_CHECK, &op);
}

static struct contract_device register_with_password(struct contract *contract,
						     const char *user)
{
	struct key_upload upload = contract_upload(contract, user, 0, 0);

	return contract_register_with(contract, user, &upload, PASSWORD);
}

/* --- registering ---------------------------------------------------------------------- */

static void registering_makes_an_account_with_device_1(void **state)
{
	struct contract *contract = *state;
	struct key_upload upload = contract_upload(contract, "phone", 3, 2);
	struct contract_device alice =
		contract_register_with(contract, "alice", &upload, PASSWORD);
	struct op_caller_check counts = {.caller = alice.caller};
	struct op_account_get get = {.caller = alice.caller};

	assert_int_equal(alice.caller.device_id, 1);
	assert_true(alice.caller.generation > 0);
	assert_int_equal(alice.caller.issued_at_ms, contract_now);
	assert_int_equal(alice.list_version, contract_now);
	RUN_OK(contract, CALLER_CHECK, &counts);
	assert_int_equal(counts.one_time, 3);
	assert_int_equal(counts.pq, 2);
	RUN_OK(contract, ACCOUNT_GET, &get);
	assert_string_equal(get.account.address, "alice@a.example");
	assert_string_equal(get.password_hash, PASSWORD);
	assert_int_equal(get.account.strangers, STRANGERS_ACCEPT);
	assert_true(get.account.receipts);
	assert_true(get.account.has_password);
	assert_int_equal(get.account.list_version, alice.list_version);
}

static enum err try_register(struct contract *contract, const char *user,
			     const uint8_t *invite_hash)
{
	struct key_upload upload = contract_upload(contract, user, 0, 0);
	struct op_register op = {.user = user,
				 .invite_hash = invite_hash,
				 .device = &upload,
				 .session = contract_session()};

	return RUN(contract, REGISTER, &op);
}

static void a_name_is_given_out_once(void **state)
{
	struct contract *contract = *state;

	assert_int_equal(try_register(contract, "alice", NULL), ERR_OK);
	assert_int_equal(try_register(contract, "alice", NULL), ERR_USERNAME_TAKEN);
	assert_int_equal(try_register(contract, "alice2", NULL), ERR_OK);
}

static void invite(struct contract *contract, uint8_t hash_out[HASH_SIZE])
{
	struct op_invite_create op = {.expires_ms = contract_now + 1000};

	contract_hash(op.invite_hash);
	memcpy(hash_out, op.invite_hash, HASH_SIZE);
	RUN_OK(contract, INVITE_CREATE, &op);
}

static void an_invite_lets_one_account_in(void **state)
{
	struct contract *contract = *state;
	uint8_t hash[HASH_SIZE];

	contract_hash(hash);
	assert_int_equal(try_register(contract, "alice", hash), ERR_INVITE_INVALID);
	invite(contract, hash);
	assert_int_equal(try_register(contract, "alice", hash), ERR_OK);
	assert_int_equal(try_register(contract, "bob", hash), ERR_INVITE_INVALID);
}

static void an_invite_survives_a_name_that_is_taken(void **state)
{
	struct contract *contract = *state;
	uint8_t hash[HASH_SIZE];

	contract_register(contract, "alice");
	invite(contract, hash);
	assert_int_equal(try_register(contract, "alice", hash), ERR_USERNAME_TAKEN);
	assert_int_equal(try_register(contract, "bob", hash), ERR_OK);
}

static void an_invite_expires(void **state)
{
	struct contract *contract = *state;
	uint8_t hash[HASH_SIZE];

	invite(contract, hash);
	contract_now += 1000;
	assert_int_equal(try_register(contract, "alice", hash), ERR_INVITE_INVALID);
}

/* --- logging in ----------------------------------------------------------------------- */

static void a_login_finds_password_and_identity(void **state)
{
	struct contract *contract = *state;
	struct key_upload upload = contract_upload(contract, "phone", 0, 0);
	struct contract_device alice =
		contract_register_with(contract, "alice", &upload, PASSWORD);
	struct op_login_lookup op = {.user = "alice", .device_id = 1};

	RUN_OK(contract, LOGIN_LOOKUP, &op);
	assert_string_equal(op.password_hash, PASSWORD);
	assert_int_equal(op.generation, alice.caller.generation);
	assert_int_equal(op.scheme, upload.scheme);
	assert_true(bytes_equal(op.identity_key, upload.identity_key));
	op.device_id = 0;
	RUN_OK(contract, LOGIN_LOOKUP, &op);
	assert_string_equal(op.password_hash, PASSWORD);
	op.device_id = 2;
	assert_int_equal(RUN(contract, LOGIN_LOOKUP, &op), ERR_NOT_FOUND);
	op.user = "nobody";
	op.device_id = 0;
	assert_int_equal(RUN(contract, LOGIN_LOOKUP, &op), ERR_NOT_FOUND);
}

static enum err open_session(struct contract *contract, struct contract_device *device,
			     const char *password_hash, const uint8_t *nonce_hash)
{
	struct op_session_open op = {.generation = device->caller.generation,
				     .nonce_hash = nonce_hash,
				     .nonce_expires_ms = contract_now + 300000,
				     .password_hash = password_hash,
				     .session = contract_session()};
	enum err err = RUN(contract, SESSION_OPEN, &op);

	if (err == ERR_OK) {
		device->caller.issued_at_ms = op.issued_at_ms;
		memcpy(device->refresh_hash, op.session.refresh_hash, HASH_SIZE);
		assert_true(op.list_version > 0);
	}
	return err;
}

static void a_session_opens_only_by_the_password_that_holds(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = register_with_password(contract, "alice");
	struct contract_device gone = alice;

	assert_int_equal(open_session(contract, &alice, PASSWORD, NULL), ERR_OK);
	assert_int_equal(open_session(contract, &alice, "$argon2id$two", NULL),
			 ERR_LOGIN_FAILED);
	gone.caller.generation += 100;
	assert_int_equal(open_session(contract, &gone, PASSWORD, NULL), ERR_LOGIN_FAILED);
}

static void a_nonce_is_good_for_one_login(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	uint8_t nonce[HASH_SIZE];

	contract_hash(nonce);
	assert_int_equal(open_session(contract, &alice, NULL, nonce), ERR_OK);
	assert_int_equal(open_session(contract, &alice, NULL, nonce), ERR_LOGIN_FAILED);
	contract_hash(nonce);
	assert_int_equal(open_session(contract, &alice, NULL, nonce), ERR_OK);
}

/* --- refreshing ----------------------------------------------------------------------- */

static enum err refresh(struct contract *contract, struct contract_device *device,
			struct op_session_refresh *op)
{
	*op = (struct op_session_refresh){.session = contract_session()};
	memcpy(op->old_hash, device->refresh_hash, HASH_SIZE);
	if (RUN(contract, SESSION_REFRESH, op) == ERR_OK) {
		memcpy(device->refresh_hash, op->session.refresh_hash, HASH_SIZE);
		device->caller.issued_at_ms = op->issued_at_ms;
	}
	return op->op.err;
}

static void a_refresh_token_is_traded_for_the_next(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct op_session_refresh op;

	contract_now += 1000;
	assert_int_equal(refresh(contract, &alice, &op), ERR_OK);
	assert_string_equal(op.user, "alice");
	assert_int_equal(op.device_id, 1);
	assert_int_equal(op.generation, alice.caller.generation);
	assert_int_equal(op.issued_at_ms, contract_now);
	assert_int_equal(op.list_version, alice.list_version);
	assert_null(op.effects.ended);
	assert_int_equal(refresh(contract, &alice, &op), ERR_OK);
}

static void a_second_use_of_a_refresh_token_ends_all_sessions(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device other = contract_link(contract, &alice, "tablet");
	struct contract_device thief = alice;
	struct op_session_refresh op;

	assert_int_equal(refresh(contract, &alice, &op), ERR_OK);
	assert_int_equal(refresh(contract, &thief, &op), ERR_UNAUTHORIZED);
	assert_true(effects_have_end(&op.effects, alice.caller.generation, 4401));
	assert_int_equal(check(contract, &alice.caller), ERR_UNAUTHORIZED);
	assert_int_equal(refresh(contract, &alice, &op), ERR_UNAUTHORIZED);
	assert_null(op.effects.ended);
	assert_int_equal(check(contract, &other.caller), ERR_OK);
	assert_int_equal(refresh(contract, &other, &op), ERR_OK);
}

static void a_refresh_token_expires(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct op_session_refresh op;

	contract_now += 30 * DAYS_MS;
	assert_int_equal(refresh(contract, &alice, &op), ERR_UNAUTHORIZED);
	assert_null(op.effects.ended);
}

static void logout(struct contract *contract, const struct contract_device *device)
{
	struct op_session_end op = {.caller = device->caller};

	RUN_OK(contract, SESSION_END, &op);
	assert_true(effects_have_end(&op.effects, device->caller.generation, 4401));
}

static void logging_out_ends_the_tokens_of_this_device(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device other = contract_link(contract, &alice, "tablet");
	struct op_session_refresh op;

	logout(contract, &alice);
	assert_int_equal(check(contract, &alice.caller), ERR_UNAUTHORIZED);
	assert_int_equal(refresh(contract, &alice, &op), ERR_UNAUTHORIZED);
	assert_int_equal(check(contract, &other.caller), ERR_OK);
}

static void a_login_in_the_moment_of_a_logout_holds(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = register_with_password(contract, "alice");
	struct caller before;

	for (int i = 0; i < 3; i++) {
		before = alice.caller;
		logout(contract, &alice);
		assert_int_equal(open_session(contract, &alice, PASSWORD, NULL), ERR_OK);
		assert_int_equal(check(contract, &alice.caller), ERR_OK);
		assert_int_equal(check(contract, &before), ERR_UNAUTHORIZED);
	}
}

static void logging_out_ends_tokens_from_before_the_clock_was_set_back(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = register_with_password(contract, "alice");

	contract_now -= 5000;
	logout(contract, &alice);
	assert_int_equal(check(contract, &alice.caller), ERR_UNAUTHORIZED);
	assert_int_equal(open_session(contract, &alice, PASSWORD, NULL), ERR_OK);
	assert_int_equal(check(contract, &alice.caller), ERR_OK);
}

static void a_clock_that_was_years_ahead_does_not_lock_out(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = register_with_password(contract, "alice");

	contract_now += 5000 * DAYS_MS;
	logout(contract, &alice);
	contract_now = CONTRACT_START;
	assert_int_equal(open_session(contract, &alice, PASSWORD, NULL), ERR_OK);
	assert_true(alice.caller.issued_at_ms <= contract_now + 5 * MINUTES_MS);
	assert_int_equal(check(contract, &alice.caller), ERR_OK);
	logout(contract, &alice);
	assert_int_equal(check(contract, &alice.caller), ERR_UNAUTHORIZED);
}

/* --- the password --------------------------------------------------------------------- */

static void a_new_password_ends_the_other_sessions_and_link_tokens(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = register_with_password(contract, "alice");
	struct contract_device other = contract_link(contract, &alice, "tablet");
	struct op_link_token_create token = {.caller = alice.caller,
					     .expires_ms = contract_now + 600000};
	struct op_password_set op = {
		.caller = alice.caller, .old_hash = PASSWORD, .new_hash = "$argon2id$two"};
	struct key_upload upload = contract_upload(contract, "watch", 0, 0);
	struct op_device_link link = {.token_hash = token.token_hash,
				      .device = &upload,
				      .session = contract_session()};
	struct op_session_refresh again;

	RUN_OK(contract, LINK_TOKEN_CREATE, &token);
	RUN_OK(contract, PASSWORD_SET, &op);
	assert_true(effects_have_end(&op.effects, other.caller.generation, 4401));
	assert_false(effects_have_end(&op.effects, alice.caller.generation, 4401));
	assert_int_equal(check(contract, &alice.caller), ERR_OK);
	assert_int_equal(check(contract, &other.caller), ERR_UNAUTHORIZED);
	assert_int_equal(refresh(contract, &alice, &again), ERR_OK);
	assert_int_equal(refresh(contract, &other, &again), ERR_UNAUTHORIZED);
	assert_int_equal(RUN(contract, DEVICE_LINK, &link), ERR_LINK_TOKEN_INVALID);
	assert_int_equal(open_session(contract, &alice, PASSWORD, NULL), ERR_LOGIN_FAILED);
	assert_int_equal(open_session(contract, &alice, "$argon2id$two", NULL), ERR_OK);
}

static void a_password_is_set_only_over_the_one_that_was_verified(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct op_password_set op = {.caller = alice.caller, .new_hash = PASSWORD};

	RUN_OK(contract, PASSWORD_SET, &op);
	assert_int_equal(RUN(contract, PASSWORD_SET, &op), ERR_LOGIN_FAILED);
	op.old_hash = "$argon2id$two";
	assert_int_equal(RUN(contract, PASSWORD_SET, &op), ERR_LOGIN_FAILED);
	op.old_hash = PASSWORD;
	RUN_OK(contract, PASSWORD_SET, &op);
}

/* --- the account ---------------------------------------------------------------------- */

static void settings_change_one_by_one(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct op_account_patch op = {.caller = alice.caller, .patch = {.has_strangers = true}};

	RUN_OK(contract, ACCOUNT_PATCH, &op);
	assert_int_equal(op.account.strangers, STRANGERS_REFUSE);
	assert_true(op.account.receipts);
	assert_false(op.account.has_password);
	op.patch = (struct account_patch){.has_receipts = true};
	RUN_OK(contract, ACCOUNT_PATCH, &op);
	assert_int_equal(op.account.strangers, STRANGERS_REFUSE);
	assert_false(op.account.receipts);
	op.patch =
		(struct account_patch){.has_strangers = true, .strangers = STRANGERS_REQUEST};
	RUN_OK(contract, ACCOUNT_PATCH, &op);
	assert_int_equal(op.account.strangers, STRANGERS_REQUEST);
	assert_string_equal(op.account.address, "alice@a.example");
}

static void subscribe(struct contract *contract, const char *origin, const char *address)
{
	struct op_device_subscribe op = {.origin = origin,
					 .until_ms = contract_now + 30 * DAYS_MS};

	address_make("eve", origin, &op.requester);
	assert_int_equal(address_parse(bytes_of_text(address), &op.address), ERR_OK);
	RUN_OK(contract, DEVICE_SUBSCRIBE, &op);
}

static void a_deleted_account_is_gone_but_for_its_name(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = register_with_password(contract, "alice");
	struct contract_device other = contract_link(contract, &alice, "tablet");
	struct op_login_lookup lookup = {.user = "alice"};
	struct op_session_refresh again;
	struct op_account_delete op = {.caller = alice.caller, .password_hash = "$wrong"};

	assert_int_equal(RUN(contract, ACCOUNT_DELETE, &op), ERR_LOGIN_FAILED);
	op.password_hash = PASSWORD;
	RUN_OK(contract, ACCOUNT_DELETE, &op);
	assert_true(effects_have_end(&op.effects, alice.caller.generation, 4410));
	assert_true(effects_have_end(&op.effects, other.caller.generation, 4410));
	assert_int_equal(check(contract, &alice.caller), ERR_UNAUTHORIZED);
	assert_int_equal(check(contract, &other.caller), ERR_UNAUTHORIZED);
	assert_int_equal(refresh(contract, &alice, &again), ERR_UNAUTHORIZED);
	assert_int_equal(RUN(contract, LOGIN_LOOKUP, &lookup), ERR_NOT_FOUND);
	assert_int_equal(open_session(contract, &alice, PASSWORD, NULL), ERR_LOGIN_FAILED);
	assert_int_equal(try_register(contract, "alice", NULL), ERR_USERNAME_TAKEN);
}

static void the_end_of_an_account_is_told_to_who_knew_it(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device bob = contract_register(contract, "bob");
	struct op_account_delete op = {.caller = alice.caller};

	contract_consent(contract, &bob, "alice@a.example", CONSENT_ACCEPTED);
	subscribe(contract, "b.example", "alice@a.example");
	RUN_OK(contract, ACCOUNT_DELETE, &op);
	assert_true(effects_have_hint(&op.effects, bob.caller.generation, "alice@a.example"));
	assert_true(effects_have_outbound(&op.effects, "b.example"));
}

/* --- being seen ----------------------------------------------------------------------- */

static int64_t last_seen(struct contract *contract, const struct contract_device *device)
{
	struct op_devices_get op = {.caller = device->caller};

	RUN_OK(contract, DEVICES_GET, &op);
	return op.devices[0].last_seen_ms;
}

static void a_device_that_writes_is_seen_at_most_once_an_hour(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct op_account_patch op = {.caller = alice.caller};
	int64_t joined = contract_now;

	contract_now += 1 * HOURS_MS - 1;
	RUN_OK(contract, ACCOUNT_PATCH, &op);
	assert_int_equal(last_seen(contract, &alice), joined);
	contract_now += 1;
	RUN_OK(contract, ACCOUNT_PATCH, &op);
	assert_int_equal(last_seen(contract, &alice), contract_now);
}

/* --- consent -------------------------------------------------------------------------- */

static enum consent_state state_of(struct contract *contract,
				   const struct contract_device *device, const char *address)
{
	struct op_consent_get op = {.caller = device->caller};

	RUN_OK(contract, CONSENT_GET, &op);
	for (size_t i = 0; i < op.count; i++)
		if (strcmp(op.entries[i].address, address) == 0)
			return op.entries[i].state;
	return CONSENT_NONE;
}

static void accepting_ends_a_block(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");

	contract_consent(contract, &alice, "bob@b.example", CONSENT_BLOCKED);
	assert_int_equal(state_of(contract, &alice, "bob@b.example"), CONSENT_BLOCKED);
	contract_consent(contract, &alice, "bob@b.example", CONSENT_ACCEPTED);
	assert_int_equal(state_of(contract, &alice, "bob@b.example"), CONSENT_ACCEPTED);
	assert_int_equal(state_of(contract, &alice, "eve@b.example"), CONSENT_NONE);
}

static void forget(struct contract *contract, const struct contract_device *device,
		   const char *address, enum consent_state from)
{
	struct op_consent_set op = {.caller = device->caller, .from = from};

	assert_int_equal(address_parse(bytes_of_text(address), &op.address), ERR_OK);
	RUN_OK(contract, CONSENT_SET, &op);
}

static void ending_a_block_forgets_no_acceptance_nor_the_reverse(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");

	contract_consent(contract, &alice, "bob@b.example", CONSENT_ACCEPTED);
	forget(contract, &alice, "bob@b.example", CONSENT_BLOCKED);
	assert_int_equal(state_of(contract, &alice, "bob@b.example"), CONSENT_ACCEPTED);
	forget(contract, &alice, "bob@b.example", CONSENT_NONE);
	assert_int_equal(state_of(contract, &alice, "bob@b.example"), CONSENT_NONE);
	contract_consent(contract, &alice, "bob@b.example", CONSENT_BLOCKED);
	forget(contract, &alice, "bob@b.example", CONSENT_NONE);
	assert_int_equal(state_of(contract, &alice, "bob@b.example"), CONSENT_BLOCKED);
	forget(contract, &alice, "bob@b.example", CONSENT_BLOCKED);
	assert_int_equal(state_of(contract, &alice, "bob@b.example"), CONSENT_NONE);
}

static void consent_keeps_the_time_of_the_first_word(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct op_consent_get op = {.caller = alice.caller};
	int64_t first = contract_now;

	contract_consent(contract, &alice, "bob@b.example", CONSENT_ACCEPTED);
	contract_now += 1000;
	contract_consent(contract, &alice, "bob@b.example", CONSENT_ACCEPTED);
	RUN_OK(contract, CONSENT_GET, &op);
	assert_int_equal(op.count, 1);
	assert_int_equal(op.entries[0].since_ms, first);
}

/* A message to alice's one device. */
static void send_to_alice(struct contract *contract, const struct contract_device *from,
			  const struct contract_device *alice)
{
	struct envelope envelope = {.device_id = 1,
				    .registration_id = alice->registration_id,
				    .content = bytes_of_text("AAAA")};
	struct message_request message = {
		.to = alice->address, .envelopes = &envelope, .n_envelopes = 1};
	struct op_send op = {.caller = from->caller, .message = &message};

	uuid7_create(contract_now, message.id);
	uuid7_format(message.id, message.id_text);
	RUN_OK(contract, SEND, &op);
}

static void a_message_of_a_stranger_leaves_one_request(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device bob = contract_register(contract, "bob");
	struct op_consent_get op = {.caller = alice.caller};

	send_to_alice(contract, &bob, &alice);
	contract_now += 1000;
	send_to_alice(contract, &bob, &alice);
	RUN_OK(contract, CONSENT_GET, &op);
	assert_int_equal(op.count, 1);
	assert_string_equal(op.entries[0].address, "bob@a.example");
	assert_int_equal(op.entries[0].state, CONSENT_REQUESTED);
	assert_int_equal(op.entries[0].since_ms, CONTRACT_START);
	contract_consent(contract, &alice, "bob@a.example", CONSENT_ACCEPTED);
	send_to_alice(contract, &bob, &alice);
	assert_int_equal(state_of(contract, &alice, "bob@a.example"), CONSENT_ACCEPTED);
}

#define REQUESTS_MAX 1000

static void requests_that_wait_are_bounded(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct op_consent_get op = {.caller = alice.caller};
	struct contract_device stranger;

	for (int i = 0; i < REQUESTS_MAX + 2; i++) {
		stranger = contract_register(contract,
					     arena_printf(contract->arena, "stranger%d", i));
		send_to_alice(contract, &stranger, &alice);
	}
	RUN_OK(contract, CONSENT_GET, &op);
	assert_int_equal(op.count, REQUESTS_MAX);
	contract_consent(contract, &alice, stranger.address.text, CONSENT_ACCEPTED);
	assert_int_equal(state_of(contract, &alice, stranger.address.text), CONSENT_ACCEPTED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registering_makes_an_account_with_device_1),
		TEST(a_name_is_given_out_once),
		TEST(an_invite_lets_one_account_in),
		TEST(an_invite_survives_a_name_that_is_taken),
		TEST(an_invite_expires),
		TEST(a_login_finds_password_and_identity),
		TEST(a_session_opens_only_by_the_password_that_holds),
		TEST(a_nonce_is_good_for_one_login),
		TEST(a_refresh_token_is_traded_for_the_next),
		TEST(a_second_use_of_a_refresh_token_ends_all_sessions),
		TEST(a_refresh_token_expires),
		TEST(logging_out_ends_the_tokens_of_this_device),
		TEST(a_login_in_the_moment_of_a_logout_holds),
		TEST(logging_out_ends_tokens_from_before_the_clock_was_set_back),
		TEST(a_clock_that_was_years_ahead_does_not_lock_out),
		TEST(a_new_password_ends_the_other_sessions_and_link_tokens),
		TEST(a_password_is_set_only_over_the_one_that_was_verified),
		TEST(settings_change_one_by_one),
		TEST(a_deleted_account_is_gone_but_for_its_name),
		TEST(the_end_of_an_account_is_told_to_who_knew_it),
		TEST(a_device_that_writes_is_seen_at_most_once_an_hour),
		TEST(accepting_ends_a_block),
		TEST(ending_a_block_forgets_no_acceptance_nor_the_reverse),
		TEST(consent_keeps_the_time_of_the_first_word),
		TEST(a_message_of_a_stranger_leaves_one_request),
		TEST(requests_that_wait_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
