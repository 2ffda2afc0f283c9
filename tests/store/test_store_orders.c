/* SPDX-License-Identifier: MIT
 *
 * The operator's orders about other nodes: what each does to the database, how they are read,
 * and what the operator is told.
 */
#include "mail.h"

#define B "b.example"

static enum err give(struct contract *contract, const char *domain, enum peer_order_kind kind)
{
	struct op_peer_order order = {.domain = domain, .kind = kind};

	return RUN(contract, PEER_ORDER, &order);
}

static struct op_peer_orders_read orders_after(struct contract *contract, int64_t after)
{
	struct op_peer_orders_read read = {.after = after};

	RUN_OK(contract, PEER_ORDERS_READ, &read);
	return read;
}

static struct op_peer_orders_read orders_now(struct contract *contract)
{
	struct op_peer_orders_read read = {.now = true};

	RUN_OK(contract, PEER_ORDERS_READ, &read);
	return read;
}

static struct op_peers_list list(struct contract *contract, const char *domain)
{
	struct op_peers_list list = {.domain = domain};

	RUN_OK(contract, PEERS_LIST, &list);
	return list;
}

static void pin(struct contract *contract, const char *domain)
{
	struct op_peer_put put = {.domain = domain,
				  .document = bytes_of_text("document"),
				  .fetched_ms = contract_now,
				  .trust = bytes_of_text("pins")};

	RUN_OK(contract, PEER_PUT, &put);
}

/* A message waits for b.example, which is in this state. */
static void hold(struct contract *contract, enum destination_state state)
{
	struct contract_device ann = contract_register(contract, "ann");
	struct op_destination_put put = {.destination = {.domain = B,
							 .state = state,
							 .failures = 3,
							 .failing_since_ms = 5,
							 .next_try_ms = INT64_MAX}};

	mail_send_ok(contract, &ann, mail_to_remote(contract, REMOTE));
	RUN_OK(contract, DESTINATION_PUT, &put);
}

/* --- what they do --------------------------------------------------------------------- */

static void the_last_word_about_a_domain_holds(void **state)
{
	struct op_peer_orders_read now;

	assert_int_equal(orders_now(*state).n_policies, 0);
	assert_int_equal(give(*state, B, PEER_ORDER_BLOCK), ERR_OK);
	assert_int_equal(give(*state, "c.example", PEER_ORDER_BLOCK), ERR_OK);
	assert_int_equal(give(*state, B, PEER_ORDER_ALLOW), ERR_OK);
	contract_reopen(*state);
	now = orders_now(*state);
	assert_int_equal(now.n_policies, 2);
	assert_string_equal(now.policies[0].domain, B);
	assert_true(now.policies[0].allowed);
	assert_string_equal(now.policies[1].domain, "c.example");
	assert_false(now.policies[1].allowed);
}

static void a_repin_forgets_the_keys_and_ends_a_conflict(void **state)
{
	struct op_peer_load load = {.domain = B};
	struct destination destination;

	hold(*state, DESTINATION_KEY_CONFLICT);
	pin(*state, B);
	pin(*state, "c.example");
	assert_int_equal(give(*state, B, PEER_ORDER_REPIN), ERR_OK);
	assert_int_equal(RUN(*state, PEER_LOAD, &load), ERR_NOT_FOUND);
	load.domain = "c.example";
	RUN_OK(*state, PEER_LOAD, &load);
	destination = destination_load(*state, B);
	assert_int_equal(destination.state, DESTINATION_UP);
	assert_int_equal(destination.failures, 0);
	assert_int_equal(destination.failing_since_ms, 0);
	assert_int_equal(destination.next_try_ms, 0);
	assert_int_equal(destination.last, 1);
}

static void a_repin_does_not_make_up_what_is_down(void **state)
{
	struct destination destination;

	hold(*state, DESTINATION_BACKOFF);
	assert_int_equal(give(*state, B, PEER_ORDER_REPIN), ERR_OK);
	destination = destination_load(*state, B);
	assert_int_equal(destination.state, DESTINATION_BACKOFF);
	assert_int_equal(destination.failures, 3);
	assert_int_equal(destination.next_try_ms, 0);
}

static void a_flush_is_for_the_next_try_alone(void **state)
{
	struct destination destination;

	hold(*state, DESTINATION_PARKED);
	pin(*state, B);
	assert_int_equal(give(*state, B, PEER_ORDER_FLUSH), ERR_OK);
	destination = destination_load(*state, B);
	assert_int_equal(destination.state, DESTINATION_PARKED);
	assert_int_equal(destination.failures, 3);
	assert_int_equal(destination.next_try_ms, 0);
	assert_int_equal(list(*state, B).peers[0].trust.len, 4);
}

static void what_nobody_knows_is_not_repinned_or_flushed(void **state)
{
	assert_int_equal(give(*state, B, PEER_ORDER_REPIN), ERR_NOT_FOUND);
	assert_int_equal(give(*state, B, PEER_ORDER_FLUSH), ERR_NOT_FOUND);
	assert_int_equal(orders_after(*state, 0).n_orders, 0);
	pin(*state, B);
	assert_int_equal(give(*state, B, PEER_ORDER_FLUSH), ERR_OK);
}

/* A discovery that began before the operator's order ends after it. */
static void forgotten_keys_are_not_written_back(void **state)
{
	struct op_peer_put put = {
		.domain = B, .before = bytes_of_text("pins"), .trust = bytes_of_text("pins")};
	struct op_peer_load load = {.domain = B};

	pin(*state, B);
	RUN_OK(*state, PEER_PUT, &put);
	assert_int_equal(give(*state, B, PEER_ORDER_REPIN), ERR_OK);
	assert_int_equal(RUN(*state, PEER_PUT, &put), ERR_NOT_FOUND);
	assert_int_equal(RUN(*state, PEER_LOAD, &load), ERR_NOT_FOUND);
}

/* --- how they are read ---------------------------------------------------------------- */

static void orders_are_read_once_and_in_order(void **state)
{
	struct op_peer_orders_read read;
	int64_t begin = orders_now(*state).newest;

	assert_int_equal(give(*state, B, PEER_ORDER_BLOCK), ERR_OK);
	assert_int_equal(give(*state, B, PEER_ORDER_ALLOW), ERR_OK);
	assert_int_equal(give(*state, B, PEER_ORDER_BLOCK), ERR_OK);
	read = orders_after(*state, begin);
	assert_int_equal(read.n_orders, 3);
	assert_string_equal(read.orders[0].domain, B);
	assert_int_equal(read.orders[0].kind, PEER_ORDER_BLOCK);
	assert_int_equal(read.orders[1].kind, PEER_ORDER_ALLOW);
	assert_int_equal(read.orders[2].kind, PEER_ORDER_BLOCK);
	assert_int_equal(read.newest, orders_now(*state).newest);
	assert_int_equal(orders_after(*state, read.newest).n_orders, 0);
	assert_int_equal(orders_after(*state, read.newest).newest, read.newest);
}

static void orders_are_gone_after_a_day_and_policies_stay(void **state)
{
	struct op_expire expire = {.limit = 100};
	int64_t newest;

	assert_int_equal(give(*state, B, PEER_ORDER_BLOCK), ERR_OK);
	newest = orders_now(*state).newest;
	contract_now += DAYS_MS - 1;
	RUN_OK(*state, EXPIRE, &expire);
	assert_int_equal(orders_after(*state, 0).n_orders, 1);
	contract_now += 1;
	RUN_OK(*state, EXPIRE, &expire);
	assert_int_equal(orders_after(*state, 0).n_orders, 0);
	assert_int_equal(orders_now(*state).n_policies, 1);
	/* Numbers go on, so that who has read up to there sees the next one. */
	assert_int_equal(give(*state, B, PEER_ORDER_ALLOW), ERR_OK);
	assert_int_equal(orders_after(*state, newest).n_orders, 1);
}

/* --- what the operator is told -------------------------------------------------------- */

static void everybody_that_is_known_is_listed_by_name(void **state)
{
	struct fed_item item;
	struct contract_device ann;
	struct message_request *message;
	struct op_peers_list all;

	hold(*state, DESTINATION_BACKOFF);
	ann = contract_register(*state, "anton");
	message = MAIL_TO(*state, &ann);
	item = fed_message(message, REMOTE);
	fed_take_one(*state, 1, item);
	pin(*state, "c.example");
	assert_int_equal(give(*state, "a.test", PEER_ORDER_BLOCK), ERR_OK);
	all = list(*state, NULL);
	assert_int_equal(all.count, 3);
	assert_string_equal(all.peers[0].domain, "a.test");
	assert_true(all.peers[0].has_policy);
	assert_false(all.peers[0].allowed);
	assert_false(all.peers[0].has_destination);
	assert_string_equal(all.peers[1].domain, B);
	assert_true(all.peers[1].has_destination);
	assert_true(all.peers[1].has_origin);
	assert_false(all.peers[1].has_policy);
	assert_int_equal(all.peers[1].destination.state, DESTINATION_BACKOFF);
	assert_int_equal(all.peers[1].trust.len, 0);
	assert_string_equal(all.peers[2].domain, "c.example");
	assert_int_equal(all.peers[2].fetched_ms, contract_now);
	assert_false(all.peers[2].has_origin);
	assert_true(bytes_equal(all.peers[2].trust, bytes_of_text("pins")));
	assert_int_equal(list(*state, B).count, 1);
	assert_int_equal(list(*state, "nowhere.example").count, 0);
}

static void what_waits_is_as_old_as_its_first_message(void **state)
{
	struct contract_device ann = contract_register(*state, "ann");
	struct message_request *brief = mail_to_remote(*state, REMOTE);
	struct peer_status peer;
	int64_t begin = contract_now;

	brief->expires_in_ms = HOURS_MS;
	mail_send_ok(*state, &ann, brief);
	contract_now += MINUTES_MS;
	mail_send_ok(*state, &ann, mail_to_remote(*state, REMOTE));
	peer = list(*state, B).peers[0];
	assert_int_equal(peer.destination.last - peer.destination.acked, 2);
	assert_int_equal(peer.oldest_ms, begin);
	outbox_settle(*state, B, 1, NULL, 0);
	assert_int_equal(list(*state, B).peers[0].oldest_ms, contract_now);
	outbox_settle(*state, B, 2, NULL, 0);
	assert_int_equal(list(*state, B).peers[0].oldest_ms, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_last_word_about_a_domain_holds),
		T(a_repin_forgets_the_keys_and_ends_a_conflict),
		T(a_repin_does_not_make_up_what_is_down),
		T(a_flush_is_for_the_next_try_alone),
		T(what_nobody_knows_is_not_repinned_or_flushed),
		T(forgotten_keys_are_not_written_back),
		T(orders_are_read_once_and_in_order),
		T(orders_are_gone_after_a_day_and_policies_stay),
		T(everybody_that_is_known_is_listed_by_name),
		T(what_waits_is_as_old_as_its_first_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
