/* SPDX-License-Identifier: MIT
 *
 * Discovery from one end to the other: a name server, a web server, and a store of one row.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "discovery_fixture.h"

/* Ways */

static void a_fixed_address_needs_no_dns(void **state)
{
	struct fixture *f = *state;

	f->config.federation_hosts.count = 1;
	assert_int_equal(find(f), ERR_OK);
	assert_int_equal(f->dns.asked, 0);
	assert_string_equal(f->waiter.peer.domain, "a.example");
	assert_string_equal(f->waiter.peer.document.authority, "fed.a.example:8443");
	assert_string_equal(f->waiter.peer.document.abuse, "mailto:abuse@a.example");
	assert_int_equal(f->waiter.peer.targets.count, 1);
	assert_int_equal(f->waiter.peer.targets.items[0].port, f->group->web.port);
	assert_string_equal(f->waiter.peer.targets.tls_name, "a.example");
	assert_true(f->waiter.peer.trust.pinned);
	assert_true(believes(f, K1));
	assert_int_equal(f->store.puts, 1);
	/* From the cache. */
	assert_int_equal(find(f), ERR_OK);
	assert_int_equal(f->store.loads, 1);
	assert_int_equal(fetched(f), 1);
	assert_in_range(f->waiter.peer.refresh_ms, clock_now_ms() + 5 * HOURS_MS,
			clock_now_ms() + 8 * HOURS_MS);
}

static void srv_names_the_targets_and_txt_the_keys(void **state)
{
	struct fixture *f = *state;

	publish_srv(f, 0);
	publish_txt(f, K1, 0);
	assert_int_equal(find(f), ERR_OK);
	assert_true(f->waiter.peer.trust.verified);
	assert_string_equal(f->waiter.peer.targets.tls_name, "a.example");
	assert_string_equal(f->waiter.peer.targets.items[0].host, "node.a.example");
	assert_string_equal(f->waiter.peer.targets.items[0].address, "127.0.0.1");
	/* 600 s and some more. */
	assert_in_range(f->waiter.peer.refresh_ms, clock_now_ms() + 590 * SECONDS_MS,
			clock_now_ms() + 730 * SECONDS_MS);
}

/* 0 is what a cache says of records in their last second. */
static void the_document_is_kept_as_long_as_srv_says(void **state)
{
	static const struct {
		unsigned ttl_s;
		int64_t least_ms, most_ms;
	} cases[] = {
		{0, 5 * MINUTES_MS, 6 * MINUTES_MS},
		{600, 10 * MINUTES_MS, 12 * MINUTES_MS},
		{7 * 24 * 3600, 19 * HOURS_MS, 24 * HOURS_MS},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int64_t before_ms = clock_now_ms();

		f->dns.count = 0;
		put_srv(fake_dns_add(&f->dns, SRV_NAME, ns_t_srv, 0, 0), SRV_NAME,
			cases[i].ttl_s, 0, 0, (unsigned)f->group->web.port, "node.a.example");
		put_address(fake_dns_add(&f->dns, "node.a.example", ns_t_a, 0, 0),
			    "node.a.example", "127.0.0.1");
		restart(f);
		assert_int_equal(find(f), ERR_OK);
		assert_in_range(f->waiter.peer.refresh_ms, before_ms + cases[i].least_ms,
				clock_now_ms() + cases[i].most_ms);
	}
}

static void without_srv_the_domain_itself_is_asked(void **state)
{
	struct fixture *f = *state;

	if (!f->group->web.has_well_known)
		fail_msg("the web server of this test needs python3 and openssl");
	put_address(fake_dns_add(&f->dns, "a.example", ns_t_a, 0, 0), "a.example",
		    WELL_KNOWN_ADDRESS);
	put_address(fake_dns_add(&f->dns, "fed.a.example", ns_t_a, 0, 0), "fed.a.example",
		    "127.0.0.1");
	assert_int_equal(find(f), ERR_OK);
	/* Everything else goes where the document says. */
	assert_string_equal(f->waiter.peer.targets.tls_name, "fed.a.example");
	assert_int_equal(f->waiter.peer.targets.count, 1);
	assert_string_equal(f->waiter.peer.targets.items[0].address, "127.0.0.1");
	assert_int_equal(f->waiter.peer.targets.items[0].port, 8443);
}

static void the_document_may_name_another_port_of_the_domain(void **state)
{
	struct fixture *f = *state;

	if (!f->group->web.has_well_known)
		fail_msg("the web server of this test needs python3 and openssl");
	put_address(fake_dns_add(&f->dns, "a.example", ns_t_a, 0, 0), "a.example",
		    WELL_KNOWN_ADDRESS);
	write_file(f, "document",
		   make_document(f, "a.example", K1, -1, "https://a.example:8443",
				 clock_now_ms()));
	assert_int_equal(find(f), ERR_OK);
	assert_string_equal(f->waiter.peer.targets.tls_name, "a.example");
	assert_string_equal(f->waiter.peer.targets.items[0].address, WELL_KNOWN_ADDRESS);
	assert_int_equal(f->waiter.peer.targets.items[0].port, 8443);
}

static void the_name_of_a_target_counts_only_with_dnssec(void **state)
{
	static const char srv_name[] = "_restante._tcp.c.example";
	struct fixture *f = *state;

	if (!f->group->there)
		fail_msg("the web server of this test needs python3 and openssl");
	/* c.example is not in the certificate. */
	write_file(f, "document",
		   make_document(f, "c.example", K1, -1, "https://c.example", clock_now_ms()));
	publish_srv(f, 0);
	put_srv(fake_dns_add(&f->dns, srv_name, ns_t_srv, 0, 0), srv_name, 600, 0, 0,
		(unsigned)f->group->web.port, "node.a.example");
	ask(f, &f->waiter, "c.example", false);
	run(f, &f->waiter);
	assert_int_equal(f->waiter.err, ERR_PEER_UNREACHABLE);
	restart(f);
	f->dns.entries[f->dns.count - 1].packet.data[3] |= 0x20;
	ask(f, &f->waiter, "c.example", false);
	run(f, &f->waiter);
	assert_int_equal(f->waiter.err, ERR_OK);
	assert_string_equal(f->waiter.peer.targets.tls_name, "node.a.example");
}

/* Single flight and caches */

static void equal_questions_share_one_discovery(void **state)
{
	struct fixture *f = *state;
	struct waiter others[3];

	if (!f->group->there)
		fail_msg("the web server of this test needs python3 and openssl");
	publish_srv(f, 0);
	for (size_t i = 0; i < 3; i++)
		ask(f, &others[i], "a.example", i == 1);
	assert_int_equal(find(f), ERR_OK);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(others[i].answers, 1);
		assert_int_equal(others[i].err, ERR_OK);
	}
	assert_int_equal(fetched(f), 1);
	/* What is not a minute old is not renewed. */
	ask(f, &f->waiter, "a.example", true);
	run(f, &f->waiter);
	assert_int_equal(fetched(f), 1);
}

static void failures_are_kept_for_a_while(void **state)
{
	struct fixture *f = *state;
	unsigned asked;

	assert_int_equal(find(f), ERR_PEER_UNREACHABLE); /* no such domain */
	asked = f->dns.asked;
	assert_true(asked > 0);
	assert_int_equal(find(f), ERR_PEER_UNREACHABLE);
	assert_int_equal(f->dns.asked, asked);
}

static void the_wait_after_a_failure_is_that_of_the_configuration(void **state)
{
	struct fixture *f = *state;
	unsigned asked;

	f->config.federation_backoff_first = 0;
	assert_int_equal(find(f), ERR_PEER_UNREACHABLE);
	asked = f->dns.asked;
	assert_int_equal(find(f), ERR_PEER_UNREACHABLE);
	assert_true(f->dns.asked > asked);
}

static void the_wait_after_a_failure_is_a_minute_at_most(void **state)
{
	struct fixture *f = *state;

	f->config.federation_backoff_first = 1 * HOURS_MS;
	publish_srv(f, 0);
	assert_int_equal(find(f), ERR_OK);
	restart(f);
	serve_status(f, "503 Service Unavailable");
	assert_int_equal(find(f), ERR_OK);
	assert_in_range(f->waiter.peer.refresh_ms, clock_now_ms() + 50 * SECONDS_MS,
			clock_now_ms() + 60 * SECONDS_MS);
}

/* The least recently used one goes first, and is asked for anew. */
static void the_number_of_domains_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct waiter *waiters = calloc(20, sizeof *waiters);
	char domain[32];

	f->store.busy = true; /* every lookup fails at once */
	for (int i = 0; i < 10500; i++) {
		struct waiter *waiter = &waiters[i % 20];

		snprintf(domain, sizeof domain, "d%d.example", i);
		*waiter = (struct waiter){.wait.done = answered};
		discovery_get(f->discovery, domain, false, &waiter->wait);
		if (i % 20 < 19)
			continue;
		/* A lookup ends in this turn and its waiters are told in the next one. */
		for (int turn = 0; turn < 3; turn++)
			loop_turn(f->loop, 0);
		for (size_t j = 0; j < 20; j++) {
			assert_int_equal(waiters[j].answers, 1);
			assert_int_equal(waiters[j].err, ERR_BUSY);
		}
	}
	f->store.busy = false;
	f->store.broken = true;
	ask(f, &f->waiter, domain, false);
	run(f, &f->waiter);
	assert_int_equal(f->store.loads, 0);
	ask(f, &f->waiter, "d0.example", false);
	run(f, &f->waiter);
	assert_int_equal(f->store.loads, 1);
	discovery_tick(f->discovery);
	free(waiters);
}

static void ask_as_strangers(struct fixture *f, struct waiter *waiters, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const char *domain = arena_printf(f->store.arena, "s%u.example", i);

		waiters[i] = (struct waiter){.wait = {.stranger = true, .done = answered}};
		discovery_get(f->discovery, domain, false, &waiters[i].wait);
	}
}

static void strangers_leave_room_for_the_own_lookups(void **state)
{
	struct waiter strangers[200];
	struct fixture *f = *state;

	f->config.federation_hosts.count = 1;
	ask_as_strangers(f, strangers, 200);
	loop_turn(f->loop, 0);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(strangers[i].answers, i >= 128);
	assert_int_equal(strangers[199].err, ERR_BUSY);
	assert_int_equal(find(f), ERR_OK);
	/* They have a turn again when those before them are through. */
	run(f, &strangers[0]);
	ask_as_strangers(f, &strangers[199], 1);
	run(f, &strangers[199]);
	assert_int_equal(strangers[199].err, ERR_PEER_UNREACHABLE);
}

/* Failures */

static void answer_take(void *context, const struct transfer_answer *answer)
{
	*(struct transfer_answer *)context = *answer;
}

/* As a request to a peer that is in the cache. */
static void fetch_again(struct fixture *f, const struct targets *targets,
			struct transfer_answer *answer_out)
{
	const struct transfer_request request = {.targets = targets,
						 .url = "https://a.example/ok",
						 .host = "a.example",
						 .answer_max = 1000,
						 .connect_timeout_ms = 1000,
						 .timeout_ms = 1000};

	answer_out->status = -1;
	transfer_start(f->loop, &request, answer_take, answer_out);
	while (answer_out->status == -1)
		loop_turn(f->loop, 10);
}

static void a_domain_can_say_no(void **state)
{
	struct fixture *f = *state;

	f->config.federation_hosts.count = 1;
	assert_int_equal(find(f), ERR_OK);
	f->config.federation_hosts.count = 0;
	restart(f);
	put_srv(fake_dns_add(&f->dns, SRV_NAME, ns_t_srv, 0, 0), SRV_NAME, 600, 0, 0, 0, "");
	/* Also where a good document is known. */
	assert_int_equal(find(f), ERR_PEER_UNREACHABLE);
}

static void dns_that_fails_does_not_fall_through(void **state)
{
	struct fixture *f = *state;

	fake_dns_add(&f->dns, SRV_NAME, ns_t_srv, ns_r_servfail, 0);
	put_address(fake_dns_add(&f->dns, "a.example", ns_t_a, 0, 0), "a.example",
		    WELL_KNOWN_ADDRESS);
	assert_int_equal(find(f), ERR_PEER_UNREACHABLE);
	assert_int_equal(fetched(f), 0);
}

/* DNS rebinding: what counts is where a connection goes, not what was found earlier. */
static void a_name_that_turns_to_a_private_address_is_not_followed(void **state)
{
	struct fixture *f = *state;
	struct transfer_answer answer = {.err = ERR_OK};
	struct targets found;

	publish_srv(f, 0);
	assert_int_equal(find(f), ERR_OK);
	found = f->waiter.peer.targets;
	f->config.federation_allow_private = false;
	restart(f); /* no connection is open any more */
	fetch_again(f, &found, &answer);
	assert_int_equal(answer.err, ERR_PEER_UNREACHABLE);
	assert_int_equal(find(f), ERR_OK); /* the last good document */
	assert_int_equal(f->waiter.peer.targets.count, 0);
	assert_int_equal(fetched(f), 1);
}

static void the_last_good_document_bridges_failures(void **state)
{
	struct fixture *f = *state;

	publish_srv(f, 0);
	assert_int_equal(find(f), ERR_OK);
	restart(f);
	f->dns.entries[0].packet = answer_to(SRV_NAME, ns_t_srv, ns_r_servfail, 0);
	assert_int_equal(find(f), ERR_OK);
	assert_true(believes(f, K1));
	assert_int_equal(f->waiter.peer.targets.count, 0); /* nobody knows where */
	assert_string_equal(f->waiter.peer.document.authority, "fed.a.example:8443");
	restart(f);
	f->dns.count = 0;
	publish_srv(f, 0);
	serve_status(f, "503 Service Unavailable");
	assert_int_equal(find(f), ERR_OK);
	assert_true(believes(f, K1));
	/* But not behind its time. */
	restart(f);
	f->store.document = make_document(f, "a.example", K1, -1, "https://a.example",
					  clock_now_ms() - 8 * DAYS_MS);
	assert_int_equal(find(f), ERR_PEER_UNREACHABLE);
}

static void what_is_served_must_be_a_document_of_the_domain(void **state)
{
	struct fixture *f = *state;

	f->config.federation_hosts.count = 1;
	write_file(f, "document", bytes_of_text("{}"));
	assert_int_equal(find(f), ERR_PEER_INVALID);
	restart(f);
	write_file(f, "document",
		   make_document(f, "b.example", K1, -1, "https://b.example", clock_now_ms()));
	assert_int_equal(find(f), ERR_PEER_INVALID);
	restart(f);
	serve(f, K1, -1);
	serve_status(f, "404 Not Found");
	assert_int_equal(find(f), ERR_PEER_INVALID);
	restart(f);
	serve_status(f, "302 Found");
	assert_int_equal(find(f), ERR_PEER_INVALID);
	restart(f);
	serve_status(f, "500 Internal Server Error");
	assert_int_equal(find(f), ERR_PEER_UNREACHABLE);
	assert_int_equal(f->store.puts, 0);
}

static void a_store_that_fails_pins_nothing(void **state)
{
	struct fixture *f = *state;

	f->config.federation_hosts.count = 1;
	f->store.broken = true;
	assert_int_equal(find(f), ERR_BUSY);
	restart(f);
	f->store.broken = false;
	f->store.trust = bytes_of_text("restante-trust-1\npin");
	assert_int_equal(find(f), ERR_PEER_INVALID);
	assert_int_equal(fetched(f), 0);
}

/* Whether it is fresh or not: a lookup that did not even begin has found nothing else. */
static void what_is_known_does_while_the_store_is_busy(void **state)
{
	struct fixture *f = *state;

	f->config.federation_hosts.count = 1;
	assert_int_equal(find(f), ERR_OK);
	restart(f);
	serve(f, K2, -1);
	assert_int_equal(find(f), ERR_OK); /* in conflict: the operator can have it retried */
	for (int broken = 0; broken < 2; broken++) {
		discovery_retry(f->discovery, "a.example");
		f->store.busy = broken == 0;
		f->store.broken = broken != 0;
		assert_int_equal(find(f), ERR_OK);
		assert_true(believes(f, K1));
	}
	assert_int_equal(fetched(f), 2);
}

/* Trust */

static void first_keys_that_txt_contradicts_are_held(void **state)
{
	struct fixture *f = *state;
	int64_t conflicts = metric_get(METRIC_key_conflicts_total);

	publish_srv(f, 0);
	publish_txt(f, K2, 0);
	assert_int_equal(find(f), ERR_OK);
	assert_true(f->waiter.peer.trust.conflict);
	assert_false(believes(f, K1));
	assert_int_equal(metric_get(METRIC_key_conflicts_total), conflicts + 1);
	assert_int_equal(f->store.document.len, 0);
	/* Told once, not with every discovery. */
	restart(f);
	assert_int_equal(find(f), ERR_OK);
	assert_int_equal(metric_get(METRIC_key_conflicts_total), conflicts + 1);
}

static void a_first_use_waits_for_txt(void **state)
{
	struct fixture *f = *state;

	publish_srv(f, 0);
	fake_dns_add(&f->dns, TXT_NAME, ns_t_txt, ns_r_servfail, 0);
	assert_int_equal(find(f), ERR_PEER_UNREACHABLE);
	assert_int_equal(f->store.puts, 0);
}

static void a_pinned_domain_does_not_wait_for_txt(void **state)
{
	struct fixture *f = *state;

	publish_srv(f, 0);
	assert_int_equal(find(f), ERR_OK);
	restart(f);
	fake_dns_add(&f->dns, TXT_NAME, ns_t_txt, ns_r_servfail, 0);
	assert_int_equal(find(f), ERR_OK);
	assert_int_equal(fetched(f), 2);
}

static void keys_rotate_across_restarts(void **state)
{
	struct fixture *f = *state;

	f->config.federation_hosts.count = 1;
	assert_int_equal(find(f), ERR_OK);
	restart(f);
	serve(f, K2, K1);
	assert_int_equal(find(f), ERR_OK);
	assert_true(believes(f, K1) && believes(f, K2));
	assert_false(f->waiter.peer.trust.conflict);
	restart(f);
	serve(f, K2, -1);
	assert_int_equal(find(f), ERR_OK);
	assert_true(believes(f, K2));
}

static void a_stranger_does_not_replace_what_is_known(void **state)
{
	struct fixture *f = *state;
	struct bytes good;

	f->config.federation_hosts.count = 1;
	assert_int_equal(find(f), ERR_OK);
	good = f->store.document;
	restart(f);
	serve(f, STRANGER, -1);
	assert_int_equal(find(f), ERR_OK);
	assert_true(f->waiter.peer.trust.conflict);
	assert_true(believes(f, K1));
	assert_false(believes(f, STRANGER));
	assert_string_equal(f->waiter.peer.document.keys[0].kid, "k1");
	assert_true(bytes_equal(f->store.document, good));
	/* Looked at again before long. */
	assert_true(f->waiter.peer.refresh_ms <= clock_now_ms() + 10 * MINUTES_MS);
	restart(f);
	serve(f, K1, -1);
	assert_int_equal(find(f), ERR_OK);
	assert_false(f->waiter.peer.trust.conflict);
}

static void keys_that_are_forgotten_are_pinned_anew(void **state)
{
	struct fixture *f = *state;

	f->config.federation_hosts.count = 1;
	assert_int_equal(find(f), ERR_OK);
	restart(f);
	serve(f, STRANGER, -1);
	assert_int_equal(find(f), ERR_OK);
	assert_true(f->waiter.peer.trust.conflict);
	forget(f);
	discovery_forget(f->discovery, "a.example");
	assert_int_equal(find(f), ERR_OK);
	assert_false(f->waiter.peer.trust.conflict);
	assert_true(believes(f, STRANGER));
	assert_false(believes(f, K1));
	discovery_forget(f->discovery, "nobody.example");
}

static void keys_that_another_process_was_faster_to_pin_count(void **state)
{
	struct fixture *f = *state;
	struct bytes pinned;

	f->config.federation_hosts.count = 1;
	assert_int_equal(find(f), ERR_OK);
	pinned = f->store.trust;
	forget(f);
	discovery_forget(f->discovery, "a.example");
	serve(f, STRANGER, -1);
	f->store.meanwhile = pinned;
	assert_int_equal(find(f), ERR_OK);
	assert_true(f->waiter.peer.trust.conflict);
	assert_false(believes(f, STRANGER));
}

static void keys_that_another_process_has_stored_are_taken_over(void **state)
{
	struct fixture *f = *state;

	f->config.federation_hosts.count = 1;
	assert_int_equal(find(f), ERR_OK);
	assert_int_equal(find(f), ERR_OK);
	assert_int_equal(f->store.loads, 1);
	discovery_outdate(f->discovery, "a.example");
	assert_true(discovery_knows(f->discovery, "a.example"));
	assert_int_equal(find(f), ERR_OK);
	assert_int_equal(f->store.loads, 2);
	discovery_outdate(f->discovery, "nobody.example");
}

/* In every step of the way: who waits is told of the new keys alone, and the old ones stay
 * forgotten. */
static void a_lookup_under_way_does_not_bring_back_what_is_forgotten(void **state)
{
	struct fixture *f = *state;
	bool ended = false;

	if (!f->group->there)
		fail_msg("the web server of this test needs python3 and openssl");
	publish_srv(f, 0);
	for (int turns = 0; !ended; turns++) {
		restart(f);
		forget(f);
		serve(f, K1, -1);
		assert_int_equal(find(f), ERR_OK);
		restart(f);
		serve(f, STRANGER, -1);
		ask(f, &f->waiter, "a.example", false);
		for (int i = 0; i < turns && f->waiter.answers == 0; i++) {
			loop_turn(f->loop, 1);
			fake_dns_serve(&f->dns);
			inbox_dispatch(f->inbox, NULL);
		}
		forget(f);
		discovery_forget(f->discovery, "a.example");
		ended = f->waiter.answers > 0;
		if (ended)
			assert_int_equal(find(f), ERR_OK);
		else
			run(f, &f->waiter);
		assert_false(f->waiter.peer.trust.conflict);
		assert_true(believes(f, STRANGER));
		assert_false(believes(f, K1));
		assert_int_equal(find(f), ERR_OK);
		assert_true(believes(f, STRANGER));
	}
}

/* Also those whose answer is on its way. */
static void who_waits_for_an_answer_gets_none_that_is_forgotten(void **state)
{
	struct fixture *f = *state;

	f->config.federation_hosts.count = 1;
	assert_int_equal(find(f), ERR_OK);
	serve(f, STRANGER, -1);
	ask(f, &f->waiter, "a.example", false); /* from the cache, at the end of the turn */
	forget(f);
	discovery_forget(f->discovery, "a.example");
	run(f, &f->waiter);
	assert_true(believes(f, STRANGER));
}

static void what_failed_is_retried_for_the_operator(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(find(f), ERR_PEER_UNREACHABLE);
	publish_srv(f, 0);
	assert_int_equal(find(f), ERR_PEER_UNREACHABLE);
	discovery_retry(f->discovery, "a.example");
	assert_int_equal(find(f), ERR_OK);
	/* What works is not looked for again. */
	discovery_retry(f->discovery, "a.example");
	assert_int_equal(find(f), ERR_OK);
	assert_int_equal(fetched(f), 1);
	restart(f);
	serve(f, STRANGER, -1);
	assert_int_equal(find(f), ERR_OK);
	assert_true(f->waiter.peer.trust.conflict);
	serve(f, K1, -1);
	assert_int_equal(find(f), ERR_OK);
	assert_true(f->waiter.peer.trust.conflict);
	discovery_retry(f->discovery, "a.example");
	assert_int_equal(find(f), ERR_OK);
	assert_false(f->waiter.peer.trust.conflict);
}

static void an_end_in_the_middle_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	if (!f->group->there)
		fail_msg("the web server of this test needs python3 and openssl");
	publish_srv(f, 0);
	/* Stopped after more and more turns: in every step of the way. */
	for (int turns = 0; turns < 60; turns++) {
		ask(f, &f->waiter, "a.example", false);
		for (int i = 0; i < turns; i++) {
			loop_turn(f->loop, 1);
			fake_dns_serve(&f->dns);
			inbox_dispatch(f->inbox, NULL);
		}
		inbox_dispatch(f->inbox, NULL);
		restart(f);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_fixed_address_needs_no_dns),
		TEST(srv_names_the_targets_and_txt_the_keys),
		TEST(the_document_is_kept_as_long_as_srv_says),
		TEST(without_srv_the_domain_itself_is_asked),
		TEST(the_document_may_name_another_port_of_the_domain),
		TEST(the_name_of_a_target_counts_only_with_dnssec),
		TEST(equal_questions_share_one_discovery),
		TEST(failures_are_kept_for_a_while),
		TEST(the_wait_after_a_failure_is_that_of_the_configuration),
		TEST(the_wait_after_a_failure_is_a_minute_at_most),
		TEST(the_number_of_domains_is_bounded),
		TEST(strangers_leave_room_for_the_own_lookups),
		TEST(a_domain_can_say_no),
		TEST(dns_that_fails_does_not_fall_through),
		TEST(a_name_that_turns_to_a_private_address_is_not_followed),
		TEST(the_last_good_document_bridges_failures),
		TEST(what_is_served_must_be_a_document_of_the_domain),
		TEST(a_store_that_fails_pins_nothing),
		TEST(what_is_known_does_while_the_store_is_busy),
		TEST(first_keys_that_txt_contradicts_are_held),
		TEST(a_first_use_waits_for_txt),
		TEST(a_pinned_domain_does_not_wait_for_txt),
		TEST(keys_rotate_across_restarts),
		TEST(a_stranger_does_not_replace_what_is_known),
		TEST(keys_that_are_forgotten_are_pinned_anew),
		TEST(keys_that_another_process_was_faster_to_pin_count),
		TEST(keys_that_another_process_has_stored_are_taken_over),
		TEST(a_lookup_under_way_does_not_bring_back_what_is_forgotten),
		TEST(who_waits_for_an_answer_gets_none_that_is_forgotten),
		TEST(what_failed_is_retried_for_the_operator),
		TEST(an_end_in_the_middle_leaves_nothing),
	};

	/* Ten thousand failures are not worth as many lines. */
	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
