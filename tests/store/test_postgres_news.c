/* SPDX-License-Identifier: MIT
 *
 * What one process on a database hears of another, and when one of them is gone. In each test
 * the second store hears.
 */
#include "cluster.h"

#include "fault.h"

#include "restante/ops_processes.h"

#include <pthread.h>
#include <unistd.h>

#define HEAR_MS	 10000
#define BURY_MS	 12000
#define QUIET_MS 300

struct hearer {
	struct cluster *cluster;
	pthread_mutex_t lock; /* what is told comes on threads of the store */
	size_t deliveries, ephemeral, ends, outbound, peers, leases, refreshes;
	int64_t last_seq;
	int processes;
};

static struct hearer *hearer;

static void hear_deliveries(const struct effects *effects)
{
	for (const struct delivery *d = effects->deliveries; d != NULL; d = d->next) {
		if (d->item.seq != 0 && d->previous != INT64_MAX)
			continue; /* its own */
		hearer->ephemeral += d->item.seq == 0;
		if (d->item.seq == 0)
			continue;
		assert_true(d->item.seq > hearer->last_seq);
		hearer->last_seq = d->item.seq;
		hearer->deliveries++;
	}
}

static struct message *heard(void *context, const struct effects *effects)
{
	(void)context;
	pthread_mutex_lock(&hearer->lock);
	hear_deliveries(effects);
	for (const struct session_end *e = effects->ended; e != NULL; e = e->next)
		hearer->ends++;
	for (const struct outbound *o = effects->outbound; o != NULL; o = o->next)
		hearer->outbound += o->body.len == 0; /* else its own */
	for (const struct named *p = effects->changed; p != NULL; p = p->next)
		hearer->peers++;
	hearer->leases += effects->lease;
	hearer->refreshes += effects->refresh;
	if (effects->processes != 0)
		hearer->processes = effects->processes;
	pthread_mutex_unlock(&hearer->lock);
	return NULL;
}

static size_t look(const size_t *count)
{
	size_t now;

	pthread_mutex_lock(&hearer->lock);
	now = *count;
	pthread_mutex_unlock(&hearer->lock);
	return now;
}

/* Until it has heard so many of these. */
static void hear(const size_t *count, size_t wanted, int64_t timeout_ms)
{
	int64_t deadline = clock_monotonic_ms() + timeout_ms;

	while (look(count) < wanted && clock_monotonic_ms() < deadline)
		usleep(1000);
	assert_int_equal(look(count), wanted);
}

static void listen_on(void)
{
	usleep(QUIET_MS * 1000);
}

static struct contract *at(size_t i)
{
	return &hearer->cluster->at[i];
}

static int setup(void **state)
{
	int failed = cluster_setup(state);

	hearer = calloc(1, sizeof *hearer);
	hearer->cluster = *state;
	pthread_mutex_init(&hearer->lock, NULL);
	cluster_close(hearer->cluster, 1);
	at(1)->config.told = heard;
	cluster_open(hearer->cluster, 1);
	assert_int_equal(store_start_news(at(1)->store), ERR_OK);
	hear(&hearer->refreshes, 1, HEAR_MS);
	return failed;
}

static int teardown(void **state)
{
	cluster_close(*state, 1);
	pthread_mutex_destroy(&hearer->lock);
	free(hearer);
	return cluster_teardown(state);
}

static int64_t open_socket(size_t i, const struct contract_device *device)
{
	struct op_socket_open op = {.caller = device->caller};

	RUN_OK(at(i), SOCKET_OPEN, &op);
	return op.socket_key;
}

static void send_to(size_t i, const struct contract_device *from,
		    const struct contract_device *to)
{
	assert_int_equal(mail_send(at(i), from, MAIL_TO(at(i), to)).op.err, ERR_OK);
}

static void what_comes_for_a_socket_is_told_where_it_is(void **state)
{
	struct contract_device ann = contract_register(at(0), "ann");
	struct contract_device bob = contract_register(at(0), "bob");

	(void)state;
	(void)open_socket(0, &ann);
	(void)open_socket(1, &bob);
	send_to(0, &bob, &ann);
	send_to(0, &ann, &bob);
	hear(&hearer->deliveries, 1, HEAR_MS);
	send_to(1, &ann, &bob); /* what it has committed itself it knows */
	listen_on();
	assert_int_equal(hearer->deliveries, 1);
}

static void what_is_rolled_back_is_not_told(void **state)
{
	struct contract_device ann = contract_register(at(0), "ann");
	struct contract_device bob = contract_register(at(0), "bob");

	(void)state;
	(void)open_socket(1, &bob);
	fault_arm_commits(1);
	assert_int_equal(mail_send(at(0), &ann, MAIL_TO(at(0), &bob)).op.err, ERR_STORE);
	send_to(0, &ann, &bob);
	hear(&hearer->deliveries, 1, HEAR_MS);
	listen_on();
	assert_int_equal(hearer->deliveries, 1);
}

/* A payload has less than 8000 bytes. */
static void much_news_comes_in_order(void **state)
{
	struct contract_device bob = contract_register(at(0), "bob");
	struct text words;

	(void)state;
	(void)open_socket(1, &bob);
	text_init(&words, at(0)->arena, 0);
	for (int i = 1; i <= 2000; i++)
		text_printf(&words, "%s[%lld,null,\"d %lld %d\"]", i > 1 ? "," : "",
			    (long long)bob.caller.generation, (long long)bob.caller.generation,
			    i);
	cluster_execute(hearer->cluster,
			arena_printf(at(0)->arena, "CALL tell(0, '[%s]')", words.data));
	hear(&hearer->deliveries, 2000, HEAR_MS);
	assert_int_equal(hearer->last_seq, 2000);
}

static void the_largest_word_still_goes(void **state)
{
	struct contract_device bob = contract_register(at(0), "bob");

	(void)state;
	(void)open_socket(1, &bob);
	cluster_execute(hearer->cluster,
			arena_printf(at(0)->arena,
				     "CALL tell(0, '[[%lld,null,\"e %lld 1 %07800d\"]]')",
				     (long long)bob.caller.generation,
				     (long long)bob.caller.generation, 0));
	hear(&hearer->ephemeral, 1, HEAR_MS);
}

static void a_socket_that_opens_elsewhere_ends_the_former(void **state)
{
	struct contract_device ann = contract_register(at(0), "ann");

	(void)state;
	(void)open_socket(1, &ann);
	(void)open_socket(0, &ann);
	hear(&hearer->ends, 1, HEAR_MS);
}

static struct op_mailbox_read read_for(size_t i, const struct contract_device *device,
				       int64_t socket_key)
{
	struct op_mailbox_read op = {.caller = device->caller,
				     .socket_key = socket_key,
				     .limit = 10,
				     .max_bytes = 10000};

	RUN_OK(at(i), MAILBOX_READ, &op);
	return op;
}

/* Were it to miss the news. */
static void a_socket_that_reads_hears_that_there_is_a_newer_one(void **state)
{
	struct contract_device ann = contract_register(at(0), "ann");
	struct contract_device bob = contract_register(at(0), "bob");
	int64_t first = open_socket(0, &ann);
	int64_t second = open_socket(1, &ann);

	(void)state;
	send_to(0, &bob, &ann);
	assert_true(read_for(0, &ann, first).displaced);
	assert_int_equal(read_for(0, &ann, first).count, 0);
	assert_false(read_for(1, &ann, second).displaced);
	assert_int_equal(read_for(1, &ann, second).count, 1);
	assert_int_equal(read_for(0, &ann, 0).count, 1);
}

/* It would hear of nothing that comes by another process. */
static void a_socket_is_displaced_by_one_that_is_gone_again(void **state)
{
	struct contract_device ann = contract_register(at(0), "ann");
	int64_t first = open_socket(0, &ann);
	struct op_socket_close close = {.generation = ann.caller.generation,
					.socket_key = open_socket(1, &ann)};

	(void)state;
	RUN_OK(at(1), SOCKET_CLOSE, &close);
	assert_true(read_for(0, &ann, first).displaced);
	first = open_socket(0, &ann);
	assert_false(read_for(0, &ann, first).displaced);
}

static void a_destination_is_told_to_its_holder(void **state)
{
	struct contract_device ann = contract_register(at(0), "ann");

	(void)state;
	assert_int_equal(mail_send(at(1), &ann, mail_to_remote(at(1), REMOTE)).op.err, ERR_OK);
	assert_int_equal(mail_send(at(0), &ann, mail_to_remote(at(0), REMOTE)).op.err, ERR_OK);
	hear(&hearer->outbound, 1, HEAR_MS);
}

static void other_keys_of_a_domain_are_told(void **state)
{
	struct op_peer_put put = {.domain = "b.example", .trust = bytes_of_text("first")};

	(void)state;
	RUN_OK(at(0), PEER_PUT, &put);
	hear(&hearer->peers, 1, HEAR_MS);
	put.before = put.trust;
	put.fetched_ms = 1;
	RUN_OK(at(0), PEER_PUT, &put); /* the same keys: nobody has to look for them */
	listen_on();
	assert_int_equal(hearer->peers, 1);
}

static void an_end_in_order_is_told(void **state)
{
	cluster_close(*state, 0);
	hear(&hearer->leases, 1, HEAR_MS);
}

static void who_has_no_lock_is_buried(void **state)
{
	cluster_execute(*state, "INSERT INTO process (process_key, domain)"
				" VALUES (1000, '" CONTRACT_DOMAIN "')");
	cluster_execute(*state, "INSERT INTO session VALUES (77, 1000, nextval('socket_key'))");
	hear(&hearer->leases, 1, BURY_MS);
	assert_int_equal(cluster_ask(*state, "SELECT count(*) FROM process"), 2);
	assert_int_equal(cluster_ask(*state, "SELECT count(*) FROM session"), 0);
	listen_on();
	assert_int_equal(hearer->processes, 3);
}

static void after_a_lost_connection_everybody_is_to_look(void **state)
{
	struct contract_device ann = contract_register(at(0), "ann");
	struct contract_device bob = contract_register(at(0), "bob");

	(void)open_socket(1, &bob);
	cluster_execute(*state, "DO 'BEGIN PERFORM pg_terminate_backend(pid)"
				" FROM pg_stat_activity WHERE query LIKE ''%pg_locks%''"
				" AND pid <> pg_backend_pid(); END'");
	hear(&hearer->refreshes, 2, HEAR_MS);
	send_to(0, &ann, &bob);
	hear(&hearer->deliveries, 1, HEAR_MS);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_comes_for_a_socket_is_told_where_it_is),
		T(what_is_rolled_back_is_not_told),
		T(much_news_comes_in_order),
		T(the_largest_word_still_goes),
		T(a_socket_that_opens_elsewhere_ends_the_former),
		T(a_socket_that_reads_hears_that_there_is_a_newer_one),
		T(a_socket_is_displaced_by_one_that_is_gone_again),
		T(a_destination_is_told_to_its_holder),
		T(other_keys_of_a_domain_are_told),
		T(an_end_in_order_is_told),
		T(who_has_no_lock_is_buried),
		T(after_a_lost_connection_everybody_is_to_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
