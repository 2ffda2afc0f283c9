/* SPDX-License-Identifier: MIT
 *
 * Strangers of accounts that want requests: one small message, then an answer.
 */
#include "mail.h"

#define DOMAIN_MAX   50
#define REQUESTS_MAX 1000
#define WORDS_MAX    10000

static struct contract_device register_shy(struct contract *contract, const char *user)
{
	struct contract_device device = contract_register(contract, user);

	contract_meet_strangers(contract, &device, STRANGERS_REQUEST);
	return device;
}

static enum err send_to(struct contract *contract, const struct contract_device *from,
			const struct contract_device *to)
{
	return mail_send(contract, from, MAIL_TO(contract, to)).op.err;
}

/* One message as the whole of a stream that begins: what becomes of it. */
static const char *take_from(struct contract *contract, const char *from,
			     const struct message_request *message)
{
	static unsigned streams = 0;
	struct fed_item item = fed_message(message, from);
	struct op_transaction op =
		fed_take_from(contract, item.from.domain,
			      arena_printf(contract->arena, "s%u", ++streams), 1, 1, &item, 1);

	assert_int_equal(op.op.err, ERR_OK);
	return (const char *)op.answer.data;
}

#define TAKEN	      "{\"acked\":1,\"results\":[]}"
#define REFUSED(code) "{\"acked\":1,\"results\":[{\"seq\":1,\"code\":\"" code "\"}]}"

static size_t count_requests(struct contract *contract, const struct contract_device *device)
{
	struct op_consent_get op = {.caller = device->caller};
	size_t count = 0;

	RUN_OK(contract, CONSENT_GET, &op);
	for (size_t i = 0; i < op.count; i++)
		count += op.entries[i].state == CONSENT_REQUESTED;
	return count;
}

/* Content of so many bytes. */
static void fill(struct contract *contract, struct message_request *message, size_t len)
{
	message->envelopes[0].content = bytes_of_text(base64_encode(
		contract->arena, bytes_of(arena_alloc(contract->arena, len), len)));
}

static void new_accounts_meet_strangers_as_configured(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann;
	struct op_account_get get = {0};

	contract->config.strangers = STRANGERS_REFUSE;
	contract_reopen(contract);
	ann = contract_register(contract, "ann");
	get.caller = ann.caller;
	RUN_OK(contract, ACCOUNT_GET, &get);
	assert_int_equal(get.account.strangers, STRANGERS_REFUSE);
}

static void a_second_message_waits_for_an_answer(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = register_shy(*state, "bob");
	struct message_request *first = MAIL_TO(*state, &bob);
	struct op_send again;

	mail_send_ok(*state, &ann, first);
	assert_int_equal(send_to(*state, &ann, &bob), ERR_REQUEST_WAITING);
	again = mail_send(*state, &ann, first);
	assert_int_equal(again.op.err, ERR_OK);
	assert_true(again.duplicate);
	assert_int_equal(mail_count(*state, &bob), 1);
	assert_int_equal(count_requests(*state, &bob), 1);
	contract_consent(*state, &bob, "ann@a.example", CONSENT_ACCEPTED);
	assert_int_equal(send_to(*state, &ann, &bob), ERR_OK);
	assert_int_equal(send_to(*state, &ann, &bob), ERR_OK);
}

static void a_second_message_of_another_node_waits_for_an_answer(void **state)
{
	struct contract_device bob = register_shy(*state, "bob");
	struct message_request *first = MAIL_TO(*state, &bob);
	struct message_request *second = MAIL_TO(*state, &bob);
	struct fed_item both[] = {fed_message(first, REMOTE), fed_message(second, REMOTE)};

	assert_string_equal(
		(const char *)fed_take(*state, "both", 1, 1, both, 2).answer.data,
		"{\"acked\":2,\"results\":[{\"seq\":2,\"code\":\"request_waiting\"}]}");
	assert_string_equal(take_from(*state, REMOTE, second), REFUSED("request_waiting"));
	assert_string_equal(take_from(*state, REMOTE, first), REFUSED("duplicate"));
	assert_int_equal(mail_count(*state, &bob), 1);
	contract_consent(*state, &bob, REMOTE, CONSENT_ACCEPTED);
	assert_string_equal(take_from(*state, REMOTE, second), TAKEN);
}

static void an_answer_accepts(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = register_shy(*state, "bob");

	assert_int_equal(send_to(*state, &ann, &bob), ERR_OK);
	assert_int_equal(send_to(*state, &bob, &ann), ERR_OK);
	assert_int_equal(send_to(*state, &ann, &bob), ERR_OK);
}

static void who_is_forgotten_may_ask_again_who_is_blocked_may_not(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = register_shy(*state, "bob");

	assert_int_equal(send_to(*state, &ann, &bob), ERR_OK);
	contract_consent(*state, &bob, "ann@a.example", CONSENT_NONE);
	assert_int_equal(send_to(*state, &ann, &bob), ERR_OK);
	assert_int_equal(send_to(*state, &ann, &bob), ERR_REQUEST_WAITING);
	contract_consent(*state, &bob, "ann@a.example", CONSENT_BLOCKED);
	assert_int_equal(send_to(*state, &ann, &bob), ERR_UNAVAILABLE);
}

static void a_request_is_small(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = register_shy(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);

	fill(*state, message, (8 << 10) + 1);
	assert_int_equal(mail_send(*state, &ann, message).op.err, ERR_TOO_LARGE);
	assert_string_equal(take_from(*state, REMOTE, message), REFUSED("too_large"));
	assert_int_equal(count_requests(*state, &bob), 0);
	fill(*state, message, 8 << 10);
	assert_int_equal(mail_send(*state, &ann, message).op.err, ERR_OK);
	assert_string_equal(take_from(*state, REMOTE, message), TAKEN);
	contract_consent(*state, &bob, "ann@a.example", CONSENT_ACCEPTED);
	message = MAIL_TO(*state, &bob);
	fill(*state, message, (8 << 10) + 1);
	assert_int_equal(mail_send(*state, &ann, message).op.err, ERR_OK);
}

static void what_no_mailbox_had_room_for_asked_for_nothing(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct contract_device bob = register_shy(contract, "bob");

	contract->config.mailbox_items = 1;
	contract_reopen(contract);
	assert_int_equal(send_to(contract, &ann, &bob), ERR_OK);
	assert_non_null(
		strstr(take_from(contract, REMOTE, MAIL_TO(contract, &bob)), "\"over_quota\""));
	assert_int_equal(count_requests(contract, &bob), 1);
	mail_ack_all(contract, &bob);
	assert_string_equal(take_from(contract, REMOTE, MAIL_TO(contract, &bob)), TAKEN);
}

static void ephemeral_messages_ask_for_nothing(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = register_shy(*state, "bob");
	struct message_request *message = MAIL_TO(*state, &bob);

	message->ephemeral = true;
	assert_int_equal(mail_send(*state, &ann, message).op.err, ERR_UNAVAILABLE);
	assert_int_equal(send_to(*state, &ann, &bob), ERR_OK);
	assert_int_equal(mail_send(*state, &ann, message).op.err, ERR_UNAVAILABLE);
}

static void missing_closed_blocked_and_full_are_one_answer(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = register_shy(*state, "bob");
	struct contract_device cat = contract_register(*state, "cat");

	contract_consent(*state, &bob, "ann@a.example", CONSENT_BLOCKED);
	contract_consent(*state, &bob, REMOTE, CONSENT_BLOCKED);
	contract_close_to_strangers(*state, &cat);
	assert_int_equal(send_to(*state, &ann, &bob), ERR_UNAVAILABLE);
	assert_int_equal(send_to(*state, &ann, &cat), ERR_UNAVAILABLE);
	assert_string_equal(take_from(*state, REMOTE, MAIL_TO(*state, &bob)),
			    REFUSED("unavailable"));
	assert_string_equal(take_from(*state, REMOTE, MAIL_TO(*state, &cat)),
			    REFUSED("unavailable"));
	assert_string_equal(
		take_from(*state, REMOTE, mail_to_remote(*state, "nobody@a.example")),
		REFUSED("unavailable"));
}

/* One message each of users 0 to n - 1 of a domain. */
static void ask_often(struct contract *contract, const char *domain, size_t n,
		      const struct contract_device *to)
{
	struct fed_item *items = arena_array(contract->arena, struct fed_item, n);
	struct op_transaction op;

	for (size_t i = 0; i < n; i++)
		items[i] = fed_message(MAIL_TO(contract, to),
				       arena_printf(contract->arena, "user%zu@%s", i, domain));
	op = fed_take_from(contract, domain, domain, 1, 1, items, n);
	assert_string_equal((const char *)op.answer.data,
			    arena_printf(contract->arena, "{\"acked\":%zu,\"results\":[]}", n));
}

static void requests_of_one_domain_are_bounded(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct contract_device bob = register_shy(*state, "bob");

	ask_often(*state, "b.example", DOMAIN_MAX, &bob);
	assert_string_equal(take_from(*state, REMOTE, MAIL_TO(*state, &bob)),
			    REFUSED("unavailable"));
	assert_string_equal(take_from(*state, "rita@sub.b.example", MAIL_TO(*state, &bob)),
			    TAKEN);
	assert_int_equal(send_to(*state, &ann, &bob), ERR_OK);
	/* An answer to one makes room for one. */
	contract_consent(*state, &bob, "user7@b.example", CONSENT_BLOCKED);
	assert_string_equal(take_from(*state, REMOTE, MAIL_TO(*state, &bob)), TAKEN);
	assert_int_equal(count_requests(*state, &bob), DOMAIN_MAX + 2);
}

static void all_requests_are_bounded(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct contract_device bob = register_shy(contract, "bob");

	for (int i = 0; i < REQUESTS_MAX / DOMAIN_MAX; i++)
		ask_often(contract, arena_printf(contract->arena, "d%d.example", i), DOMAIN_MAX,
			  &bob);
	assert_int_equal(send_to(contract, &ann, &bob), ERR_UNAVAILABLE);
	assert_string_equal(take_from(contract, REMOTE, MAIL_TO(contract, &bob)),
			    REFUSED("unavailable"));
	assert_int_equal(count_requests(contract, &bob), REQUESTS_MAX);
}

static void old_requests_go_when_room_is_needed(void **state)
{
	struct contract_device bob = register_shy(*state, "bob");

	ask_often(*state, "b.example", DOMAIN_MAX - 1, &bob);
	contract_now += 30 * DAYS_MS;
	assert_string_equal(take_from(*state, REMOTE, MAIL_TO(*state, &bob)), TAKEN);
	assert_int_equal(count_requests(*state, &bob), DOMAIN_MAX);
	assert_string_equal(take_from(*state, "ruth@b.example", MAIL_TO(*state, &bob)), TAKEN);
	assert_int_equal(count_requests(*state, &bob), 2);
}

static void where_strangers_are_accepted_they_pass_without_limit(void **state)
{
	struct contract_device bob = contract_register(*state, "bob");
	struct message_request *large = MAIL_TO(*state, &bob);

	ask_often(*state, "b.example", DOMAIN_MAX, &bob);
	fill(*state, large, 10000);
	assert_string_equal(take_from(*state, REMOTE, large), TAKEN);
	assert_string_equal(take_from(*state, REMOTE, MAIL_TO(*state, &bob)), TAKEN);
	assert_int_equal(count_requests(*state, &bob), DOMAIN_MAX);
}

/* This account has said as much as it may, but for one word. */
static void say_much(struct contract *contract, const char *user)
{
	const char *sql = arena_printf(
		contract->arena,
		"WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
		" INSERT INTO consent SELECT account_key, 'u' || i || '@c.example', 2, 1"
		" FROM n, account WHERE name = '%s'",
		WORDS_MAX, user);

	contract_execute(contract, sql);
}

static size_t count_words(struct contract *contract, const struct contract_device *device)
{
	struct op_consent_get op = {.caller = device->caller};

	RUN_OK(contract, CONSENT_GET, &op);
	return op.count;
}

/* Whoever could say ever more would fill the disk, and the memory with one answer. */
static void words_are_bounded(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct contract_device bob = register_shy(contract, "bob");
	struct op_consent_set more = {.caller = ann.caller, .state = CONSENT_BLOCKED};

	address_make("one", "d.example", &more.address);
	say_much(contract, "ann");
	contract_consent(contract, &ann, "last@c.example", CONSENT_ACCEPTED);
	assert_int_equal(RUN(contract, CONSENT_SET, &more), ERR_OVER_QUOTA);
	contract_consent(contract, &ann, "u2@c.example", CONSENT_BLOCKED);
	/* Messages go out all the same, and requests come in. */
	assert_int_equal(send_to(contract, &ann, &bob), ERR_OK);
	mail_send_ok(contract, &ann, mail_to_remote(contract, REMOTE));
	assert_int_equal(count_words(contract, &ann), WORDS_MAX);
	contract_consent(contract, &ann, "u3@c.example", CONSENT_NONE);
	RUN_OK(contract, CONSENT_SET, &more);
	assert_int_equal(count_words(contract, &ann), WORDS_MAX);
}

#define T(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(new_accounts_meet_strangers_as_configured),
		T(a_second_message_waits_for_an_answer),
		T(a_second_message_of_another_node_waits_for_an_answer),
		T(an_answer_accepts),
		T(words_are_bounded),
		T(who_is_forgotten_may_ask_again_who_is_blocked_may_not),
		T(a_request_is_small),
		T(what_no_mailbox_had_room_for_asked_for_nothing),
		T(ephemeral_messages_ask_for_nothing),
		T(missing_closed_blocked_and_full_are_one_answer),
		T(requests_of_one_domain_are_bounded),
		T(all_requests_are_bounded),
		T(old_requests_go_when_room_is_needed),
		T(where_strangers_are_accepted_they_pass_without_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
