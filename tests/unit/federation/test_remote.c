/* SPDX-License-Identifier: MIT
 *
 * Other threads asking for keys: those of domains that are known are told, whoever else asks.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "discovery_fixture.h"

#include "call.h"

#define QUERIES 1500

struct asked {
	struct peer_query query;
	bool returned;
};

static void query_returned(struct message *message)
{
	((struct asked *)(void *)message)->returned = true;
}

static void take(struct fixture *f, struct remote *remote, struct asked *asked,
		 const char *domain)
{
	*asked = (struct asked){
		.query = {.message = {.reply_to = f->inbox, .returned = query_returned}}};
	snprintf(asked->query.domain, sizeof asked->query.domain, "%s", domain);
	snprintf(asked->query.kid, sizeof asked->query.kid, "%s", f->keys[K1].kid);
	peer_query_take(remote, &asked->query);
}

static void turn(struct fixture *f)
{
	loop_turn(f->loop, 0);
	inbox_dispatch(f->inbox, NULL);
}

/* Anybody can ask in the name of a domain that nobody answers for. */
static void strangers_do_not_keep_those_who_are_known_from_an_answer(void **state)
{
	struct fixture *f = *state;
	struct asked *strangers = calloc(QUERIES, sizeof *strangers), known;
	struct remote *remote;
	size_t refused = 0;

	f->config.federation_mode = "open";
	f->config.federation_hosts.count = 1;
	f->federation.policy = policy_create(&f->config);
	remote = remote_create(&f->federation, NULL, f->discovery);
	assert_int_equal(find(f), ERR_OK);
	for (size_t i = 0; i < QUERIES; i++)
		take(f, remote, &strangers[i], "silent.example");
	turn(f);
	for (size_t i = 0; i < QUERIES; i++)
		refused += strangers[i].returned && strangers[i].query.err == ERR_BUSY;
	assert_in_range(refused, 1, QUERIES - 1);
	take(f, remote, &known, "a.example");
	turn(f);
	assert_true(known.returned);
	assert_int_equal(known.query.err, ERR_OK);
	assert_memory_equal(known.query.public_key, f->keys[K1].public_key, 32);
	remote_abandon(remote);
	turn(f);
	for (size_t i = 0; i < QUERIES; i++)
		assert_int_equal(strangers[i].query.err, ERR_BUSY);
	stop(f);
	remote_destroy(&remote);
	policy_destroy(&f->federation.policy);
	start(f);
	free(strangers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			strangers_do_not_keep_those_who_are_known_from_an_answer, setup,
			teardown),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
