/* SPDX-License-Identifier: MIT
 *
 * Several processes on one database: which has the socket of a device, which sends to a
 * destination, and what becomes of both when one ends (ops_processes.h).
 */
#include "cluster.h"

#include "restante/ops_processes.h"

#define B "b.example"

/* --- sockets ------------------------------------------------------------------------------ */

static struct op_socket_open open_socket(struct contract *at,
					 const struct contract_device *device)
{
	struct op_socket_open op = {.caller = device->caller};

	RUN_OK(at, SOCKET_OPEN, &op);
	return op;
}

static void close_socket(struct contract *at, const struct contract_device *device,
			 int64_t socket_key)
{
	struct op_socket_close op = {.generation = device->caller.generation,
				     .socket_key = socket_key};

	RUN_OK(at, SOCKET_CLOSE, &op);
}

static int64_t sockets(const struct cluster *cluster)
{
	return cluster_ask(cluster, "SELECT count(*) FROM session");
}

static void a_socket_displaces_that_of_another_process(void **state)
{
	struct cluster *cluster = *state;
	struct contract_device ann = contract_register(&cluster->at[0], "ann");
	struct op_socket_open first = open_socket(&cluster->at[0], &ann);
	struct op_socket_open second = open_socket(&cluster->at[1], &ann);

	assert_null(first.effects.ended);
	assert_true(second.socket_key > first.socket_key);
	assert_non_null(second.effects.ended);
	assert_int_equal(second.effects.ended->code, 4409);
	assert_int_equal(second.effects.ended->generation, ann.caller.generation);
	assert_int_equal(second.effects.ended->socket_key, first.socket_key);
	assert_null(open_socket(&cluster->at[1], &ann).effects.ended);
	assert_int_equal(sockets(cluster), 1);
}

static void the_end_of_a_displaced_socket_leaves_the_next_one(void **state)
{
	struct cluster *cluster = *state;
	struct contract_device ann = contract_register(&cluster->at[0], "ann");
	int64_t first = open_socket(&cluster->at[0], &ann).socket_key;
	int64_t second = open_socket(&cluster->at[1], &ann).socket_key;

	close_socket(&cluster->at[0], &ann, first);
	assert_int_equal(sockets(cluster), 1);
	close_socket(&cluster->at[1], &ann, second);
	assert_int_equal(sockets(cluster), 0);
}

static void a_device_that_is_gone_has_no_socket(void **state)
{
	struct cluster *cluster = *state;
	struct contract_device ann = contract_register(&cluster->at[0], "ann");
	struct contract_device tablet = contract_link(&cluster->at[0], &ann, "tablet");
	struct op_socket_open op = {.caller = tablet.caller};

	assert_int_equal(contract_remove(&cluster->at[0], &ann, 2), ERR_OK);
	assert_int_equal(RUN(&cluster->at[1], SOCKET_OPEN, &op), ERR_UNAUTHORIZED);
	assert_int_equal(sockets(cluster), 0);
}

/* --- destinations ------------------------------------------------------------------------- */

static int64_t key_of(const struct cluster *cluster, size_t i)
{
	/* The first has the lowest key. */
	return cluster_ask(cluster, i == 0 ? "SELECT min(process_key) FROM process"
					   : "SELECT max(process_key) FROM process");
}

static struct op_send send_to(struct contract *at, const struct contract_device *from,
			      const char *to)
{
	struct op_send send = mail_send(at, from, mail_to_remote(at, to));

	assert_int_equal(send.op.err, ERR_OK);
	return send;
}

static bool loads(struct contract *at, const char *domain)
{
	return destination_load(at, domain).domain[0] != '\0';
}

static int64_t lease(struct contract *at)
{
	struct op_destinations_lease op = {0};

	RUN_OK(at, DESTINATIONS_LEASE, &op);
	return op.taken;
}

static void who_has_the_first_letter_for_a_domain_sends_to_it(void **state)
{
	struct cluster *cluster = *state;
	struct contract *first = &cluster->at[0], *second = &cluster->at[1];
	struct contract_device ann = contract_register(first, "ann");

	assert_int_equal(send_to(first, &ann, REMOTE).effects.outbound->holder, 0);
	assert_int_equal(send_to(second, &ann, REMOTE).effects.outbound->holder,
			 key_of(cluster, 0));
	assert_int_equal(send_to(second, &ann, "cid@c.example").effects.outbound->holder, 0);
	assert_int_equal(send_to(first, &ann, REMOTE).effects.outbound->position, 3);
	assert_true(loads(first, B) && !loads(first, "c.example"));
	assert_true(!loads(second, B) && loads(second, "c.example"));
	assert_int_equal(lease(first) + lease(second), 0);
}

static void what_a_process_sent_to_is_taken_over_when_it_stops(void **state)
{
	struct cluster *cluster = *state;
	struct contract *first = &cluster->at[0], *second = &cluster->at[1];
	struct contract_device ann = contract_register(first, "ann");

	send_to(second, &ann, REMOTE);
	open_socket(second, &ann);
	cluster_close(cluster, 1);
	assert_int_equal(sockets(cluster), 0);
	assert_false(loads(first, B));
	assert_int_equal(lease(first), 1);
	assert_int_equal(destination_load(first, B).last, 1);
	assert_int_equal(send_to(first, &ann, REMOTE).effects.outbound->holder, 0);
}

static struct op_process_bury bury(struct contract *at, int64_t process)
{
	struct op_process_bury op = {.process_key = process};

	RUN_OK(at, PROCESS_BURY, &op);
	return op;
}

static void a_dead_process_is_buried_once(void **state)
{
	struct cluster *cluster = *state;
	struct contract *first = &cluster->at[0];
	struct contract_device ann = contract_register(first, "ann");

	cluster_execute(cluster, "INSERT INTO process VALUES (99, 'a.example')");
	send_to(first, &ann, REMOTE);
	cluster_execute(cluster, "INSERT INTO session VALUES (1, 99, 1);"
				 "UPDATE destination SET holder = 99");
	assert_true(bury(first, 99).effects.lease);
	assert_false(bury(&cluster->at[1], 99).effects.lease);
	assert_int_equal(sockets(cluster), 0);
	assert_int_equal(lease(&cluster->at[1]), 1);
	assert_int_equal(send_to(first, &ann, REMOTE).effects.outbound->holder,
			 key_of(cluster, 1));
}

static void usage_stays_right_when_a_destination_is_leased(void **state)
{
	struct cluster *cluster = *state;
	struct contract *first = &cluster->at[0];
	struct contract_device ann = contract_register(first, "ann");

	send_to(first, &ann, REMOTE);
	cluster_execute(cluster, "UPDATE destination SET holder = NULL");
	send_to(first, &ann, REMOTE);
	assert_int_equal(lease(first), 1);
	send_to(first, &ann, REMOTE);
	assert_int_equal(cluster_ask(cluster, "SELECT items FROM usage"), 3);
}

static void idle_destinations_of_others_stay(void **state)
{
	struct cluster *cluster = *state;
	struct contract *first = &cluster->at[0], *second = &cluster->at[1];
	struct contract_device ann = contract_register(first, "ann");
	struct op_destination_remove idle = {0};

	send_to(first, &ann, REMOTE);
	send_to(second, &ann, "cid@c.example");
	outbox_settle(first, B, 1, NULL, 0);
	outbox_settle(second, "c.example", 1, NULL, 0);
	RUN_OK(first, DESTINATION_REMOVE, &idle);
	assert_int_equal(idle.removed, 1);
	assert_int_equal(cluster_ask(cluster, "SELECT holder FROM destination"),
			 key_of(cluster, 1));
}

/* Positions of a destination that was removed do not come again, whoever makes it anew. */
static void positions_go_on_behind_a_destination_that_another_removed(void **state)
{
	struct cluster *cluster = *state;
	struct contract *first = &cluster->at[0], *second = &cluster->at[1];
	struct contract_device ann = contract_register(first, "ann");
	struct op_destination_remove idle = {.domain = B};

	send_to(first, &ann, REMOTE);
	send_to(second, &ann, REMOTE);
	outbox_settle(first, B, 2, NULL, 0);
	RUN_OK(first, DESTINATION_REMOVE, &idle);
	assert_int_equal(idle.removed, 1);
	assert_int_equal(send_to(second, &ann, REMOTE).effects.outbound->position, 3);
	assert_int_equal(send_to(first, &ann, REMOTE).effects.outbound->holder,
			 key_of(cluster, 1));
}

/* --- replays ------------------------------------------------------------------------------ */

static struct op_transaction take_ephemeral(struct contract *at, struct fed_item *item,
					    uint8_t digest)
{
	struct transaction transaction = {.ephemeral = item, .n_ephemeral = 1};
	struct op_transaction op = {
		.origin = B, .transaction = &transaction, .digest = {digest}};

	RUN_OK(at, TRANSACTION, &op);
	return op;
}

static void an_ephemeral_transaction_is_taken_by_one_process(void **state)
{
	struct cluster *cluster = *state;
	struct contract_device bob = contract_register(&cluster->at[0], "bob");
	struct fed_item item;
	struct op_transaction again;

	contract_consent(&cluster->at[0], &bob, REMOTE, CONSENT_ACCEPTED);
	item = fed_message(MAIL_TO(&cluster->at[0], &bob), REMOTE);
	item.message.ephemeral = true;
	assert_non_null(take_ephemeral(&cluster->at[0], &item, 1).effects.deliveries);
	again = take_ephemeral(&cluster->at[1], &item, 1);
	assert_true(again.replay);
	assert_null(again.effects.deliveries);
	assert_true(again.answer.len > 0);
	assert_non_null(take_ephemeral(&cluster->at[1], &item, 2).effects.deliveries);
}

#define T(name) cmocka_unit_test_setup_teardown(name, cluster_setup, cluster_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_socket_displaces_that_of_another_process),
		T(the_end_of_a_displaced_socket_leaves_the_next_one),
		T(a_device_that_is_gone_has_no_socket),
		T(who_has_the_first_letter_for_a_domain_sends_to_it),
		T(what_a_process_sent_to_is_taken_over_when_it_stops),
		T(a_dead_process_is_buried_once),
		T(usage_stays_right_when_a_destination_is_leased),
		T(idle_destinations_of_others_stay),
		T(positions_go_on_behind_a_destination_that_another_removed),
		T(an_ephemeral_transaction_is_taken_by_one_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
