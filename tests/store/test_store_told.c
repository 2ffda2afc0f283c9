/* SPDX-License-Identifier: MIT
 *
 * What has been committed is told, by the lane, before it goes back to whoever has asked.
 */
#include "mail.h"

#define LETTERS 10

/* What it was told, and the message that it wants to be given back. */
struct listener {
	struct message message;
	size_t calls;
	size_t letters;
	size_t ends;
	int64_t last_seq;
	bool quiet; /* it gives back nothing */
};

static struct message *listen_to(void *told_context, const struct effects *effects)
{
	struct listener *listener = told_context;

	listener->calls++;
	for (; effects != NULL; effects = effects->next) {
		listener->ends += effects->ended != NULL;
		for (const struct delivery *d = effects->deliveries; d != NULL; d = d->next) {
			assert_true(d->item.seq > listener->last_seq);
			listener->last_seq = d->item.seq;
			listener->letters++;
		}
	}
	return listener->quiet ? NULL : &listener->message;
}

static struct listener *listener_start(struct contract *contract)
{
	struct listener *listener = arena_new(contract->arena, struct listener);

	listener->message.reply_to = contract->inbox;
	store_close(&contract->store);
	contract->config.told = listen_to;
	contract->config.told_context = listener;
	contract_open(contract);
	return listener;
}

/* As one batch. */
static struct op_send *letters_post(struct contract *contract,
				    const struct contract_device *from,
				    const struct contract_device *to)
{
	struct op_send *letters = arena_array(contract->arena, struct op_send, LETTERS);

	for (size_t i = 0; i < LETTERS; i++) {
		letters[i].caller = from->caller;
		letters[i].message = MAIL_TO(contract, to);
	}
	mail_post_together(contract, letters, LETTERS);
	return letters;
}

static void a_batch_is_told_once_in_order_and_before_it_goes_back(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct contract_device bob = contract_register(contract, "bob");
	struct listener *listener = listener_start(contract);
	struct op_send *letters = letters_post(contract, &ann, &bob);

	assert_ptr_equal(inbox_wait(contract->inbox, 1), &listener->message);
	for (size_t i = 0; i < LETTERS; i++)
		assert_ptr_equal(inbox_wait(contract->inbox, 1), &letters[i].op.message);
	assert_int_equal(listener->calls, 1);
	assert_int_equal(listener->letters, LETTERS);
}

static void what_is_not_committed_is_not_told(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct contract_device bob = contract_register(contract, "bob");
	struct listener *listener = listener_start(contract);
	struct op_send *letters;

	fault_arm_commits(1 + 1 + LETTERS); /* what holds the lane, the batch, each alone */
	letters = letters_post(contract, &ann, &bob);
	for (size_t i = 0; i < LETTERS; i++) {
		assert_ptr_equal(inbox_wait(contract->inbox, 1), &letters[i].op.message);
		assert_int_equal(letters[i].op.err, ERR_STORE);
	}
	assert_int_equal(listener->calls, 0);
	fault_arm_commits(0);
}

static void what_is_refused_is_not_told(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct listener *listener = listener_start(contract);
	struct op_send send =
		mail_send(contract, &ann, mail_new(contract, "nobody@" CONTRACT_DOMAIN));

	assert_int_not_equal(send.op.err, ERR_OK);
	assert_int_equal(listener->calls, 0);
}

/* Somebody has stolen it. Refused, but it ends the device's sessions. */
static void a_refresh_token_that_is_used_twice_is_told(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct listener *listener = listener_start(contract);

	listener->quiet = true;
	for (size_t ends = 0; ends <= 1; ends++) {
		struct op_session_refresh op = {.session = contract_session()};

		memcpy(op.old_hash, ann.refresh_hash, HASH_SIZE);
		assert_int_equal(RUN(contract, SESSION_REFRESH, &op),
				 ends == 0 ? ERR_OK : ERR_UNAUTHORIZED);
		assert_int_equal(listener->ends, ends);
	}
}

#define TOLD_TEST(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TOLD_TEST(a_batch_is_told_once_in_order_and_before_it_goes_back),
		TOLD_TEST(what_is_not_committed_is_not_told),
		TOLD_TEST(what_is_refused_is_not_told),
		TOLD_TEST(a_refresh_token_that_is_used_twice_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
