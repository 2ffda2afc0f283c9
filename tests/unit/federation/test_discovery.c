/* SPDX-License-Identifier: MIT
 *
 * Discovery from one end to the other: a name server, a web server, and a store of one row.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "fake_net.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/metrics.h"
#include "support.h"

#define SRV_NAME "_restante._tcp.a.example"
#define TXT_NAME "_restante.a.example"

/* The store */

struct store {
	struct arena *arena;
	bool busy, broken;
	unsigned loads, puts;
	struct bytes document, trust;
};

bool store_post(struct store *store, struct store_op *op)
{
	if (store->busy)
		return false;
	op->err = store->broken ? ERR_STORE : ERR_OK;
	if (op->kind == STORE_PEER_LOAD) {
		struct op_peer_load *load = (struct op_peer_load *)op;

		store->loads++;
		if (store->trust.len == 0 && op->err == ERR_OK)
			op->err = ERR_NOT_FOUND;
		load->document = store->document;
		load->trust = store->trust;
	} else {
		const struct op_peer_put *put = (struct op_peer_put *)op;

		assert_int_equal(op->kind, STORE_PEER_PUT);
		store->puts++;
		if (op->err == ERR_OK) {
			store->document = arena_bytes(store->arena, put->document);
			store->trust = arena_bytes(store->arena, put->trust);
		}
	}
	inbox_return(&op->message);
	return true;
}

/* Fixture */

enum name { K1, K2, STRANGER, N_NAMES };

struct group {
	char *folder;
	struct web_server web;
	bool there;
};

struct waiter {
	struct peer_wait wait;
	struct fixture *fixture;
	unsigned answers;
	enum err err;
	bool has_peer;
	struct peer peer; /* a copy */
};

struct fixture {
	struct group *group;
	struct fake_dns dns;
	const char *servers[1];
	struct config_pair fixed;
	char fixed_address[32];
	struct config config;
	struct federation_config federation;
	struct store store;
	struct loop *loop;
	struct inbox *inbox;
	struct discovery *discovery;
	struct sign_key keys[N_NAMES];
	int64_t fetched; /* documents, at the beginning */
	struct waiter waiter;
};

static int setup_group(void **state)
{
	struct group *group = calloc(1, sizeof *group);

	crypto_init();
	group->folder = support_make_dir();
	group->there = web_server_start(&group->web, TEST_DATA "/unit/federation/web_server.py",
					group->folder);
	*state = group;
	return 0;
}

static int teardown_group(void **state)
{
	struct group *group = *state;

	web_server_stop(&group->web);
	support_remove_dir(&group->folder);
	free(group);
	return 0;
}

static void write_file(struct fixture *f, const char *name, struct bytes content)
{
	FILE *file = fopen(arena_printf(f->store.arena, "%s/%s", f->group->folder, name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(content.data, 1, content.len, file), content.len);
	assert_int_equal(fclose(file), 0);
}

static void serve_status(struct fixture *f, const char *status)
{
	write_file(f, "status", bytes_of_text(status));
}

/* A document of this server with this key, signed by it and perhaps another. */
static struct bytes make_document(struct fixture *f, const char *server, enum name key,
				  int also, const char *url, int64_t issued_ms)
{
	struct server_document document = {.revision = issued_ms,
					   .n_keys = 1,
					   .issued_at_ms = issued_ms,
					   .valid_until_ms = issued_ms + 7 * DAYS_MS,
					   .transaction_items = 10,
					   .transaction_bytes = 1000,
					   .content_bytes = 100,
					   .software = "test",
					   .abuse = "mailto:abuse@a.example"};
	struct sign_key signers[2] = {f->keys[key]};

	snprintf(document.server, sizeof document.server, "%s", server);
	snprintf(document.federation_url, sizeof document.federation_url, "%s", url);
	memcpy(document.keys[0].kid, f->keys[key].kid, sizeof document.keys[0].kid);
	memcpy(document.keys[0].public_key, f->keys[key].public_key, 32);
	document.keys[0].not_before_ms = issued_ms - DAYS_MS;
	document.keys[0].not_after_ms = issued_ms + 30 * DAYS_MS;
	if (also >= 0)
		signers[1] = f->keys[also];
	return document_encode(f->store.arena, &document, signers, also >= 0 ? 2 : 1);
}

static void serve(struct fixture *f, enum name key, int also)
{
	write_file(f, "document",
		   make_document(f, "a.example", key, also, "https://fed.a.example:8443",
				 clock_now_ms()));
}

static void start(struct fixture *f)
{
	f->loop = loop_create(&f->config);
	f->inbox = inbox_create(100, loop_wake, f->loop);
	f->discovery = discovery_create(f->loop, &f->federation, f->inbox);
}

static void stop(struct fixture *f)
{
	assert_int_equal(discovery_pending(f->discovery), 0);
	discovery_destroy(&f->discovery);
	inbox_destroy(&f->inbox);
	loop_destroy(&f->loop);
}

static int setup(void **state)
{
	static const char *const kids[] = {"k1", "k2", "s1"};
	struct group *group = *state;
	struct fixture *f = calloc(1, sizeof *f);

	f->group = group;
	f->store.arena = arena_create();
	fake_dns_start(&f->dns);
	f->servers[0] = f->dns.address;
	f->fixed = (struct config_pair){"a.example", f->fixed_address};
	snprintf(f->fixed_address, sizeof f->fixed_address, "127.0.0.1:%d", group->web.port);
	f->config = (struct config){.node_domain = "own.example",
				    .federation_dns_servers = {f->servers, 1},
				    .federation_dns_trusted = true,
				    .federation_ca_file = group->web.ca_file,
				    .federation_allow_private = true,
				    .federation_hosts = {&f->fixed, 0}};
	f->federation = (struct federation_config){.config = &f->config, .store = &f->store};
	for (size_t i = 0; i < N_NAMES; i++)
		if (sign_key_create(bytes_of_text(kids[i]), &f->keys[i]) != ERR_OK)
			return -1;
	start(f);
	serve(f, K1, -1);
	serve_status(f, "200 OK");
	f->fetched = metric_get(METRIC_discoveries_total);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	*state = f->group;
	stop(f);
	fake_dns_stop(&f->dns);
	arena_destroy(&f->store.arena);
	free(f);
	return 0;
}

/* DNS of a.example: SRV to the web server, and TXT of one key. */
static void publish_srv(struct fixture *f, unsigned flags)
{
	put_srv(fake_dns_add(&f->dns, SRV_NAME, ns_t_srv, 0, flags), SRV_NAME, 600, 0, 0,
		(unsigned)f->group->web.port, "node.a.example");
	put_address(fake_dns_add(&f->dns, "node.a.example", ns_t_a, 0, 0), "node.a.example",
		    "127.0.0.1");
}

static void publish_txt(struct fixture *f, enum name key, unsigned flags)
{
	struct text record;

	text_init(&record, f->store.arena, 0);
	txt_write(&record, f->keys[key].kid, f->keys[key].public_key);
	put_txt(fake_dns_add(&f->dns, TXT_NAME, ns_t_txt, 0, flags), TXT_NAME, record.data);
}

static void answered(struct peer_wait *wait, enum err err, const struct peer *peer)
{
	struct waiter *waiter = (struct waiter *)wait;

	waiter->answers++;
	waiter->err = err;
	waiter->has_peer = peer != NULL;
	if (peer != NULL)
		waiter->peer = *peer;
}

static void ask(struct fixture *f, struct waiter *waiter, const char *domain, bool renew)
{
	*waiter = (struct waiter){.wait.done = answered, .fixture = f};
	discovery_get(f->discovery, domain, renew, &waiter->wait);
	assert_int_equal(waiter->answers, 0); /* never from inside */
}

static void run(struct fixture *f, const struct waiter *waiter)
{
	int64_t until = clock_monotonic_ms() + 15000;

	while (waiter->answers == 0 && clock_monotonic_ms() < until) {
		loop_turn(f->loop, 2);
		fake_dns_serve(&f->dns);
		inbox_dispatch(f->inbox, NULL);
	}
	assert_int_equal(waiter->answers, 1);
	assert_int_equal(waiter->has_peer, waiter->err == ERR_OK);
}

static enum err find(struct fixture *f)
{
	if (!f->group->there)
		skip();
	ask(f, &f->waiter, "a.example", false);
	run(f, &f->waiter);
	return f->waiter.err;
}

static int64_t fetched(const struct fixture *f)
{
	return metric_get(METRIC_discoveries_total) - f->fetched;
}

static bool believes(const struct fixture *f, enum name name)
{
	const struct server_key *key =
		trust_key(&f->waiter.peer.trust, f->keys[name].kid, clock_now_ms());

	return key != NULL && memcmp(key->public_key, f->keys[name].public_key, 32) == 0;
}

/* As after a restart: only the store is left. */
static void restart(struct fixture *f)
{
	stop(f);
	start(f);
}

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

static void without_srv_the_domain_itself_is_asked(void **state)
{
	struct fixture *f = *state;

	if (!f->group->web.has_well_known)
		skip();
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
		skip();
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
		skip();
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
		skip();
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
	discovery_tick(f->discovery, clock_now_ms());
	free(waiters);
}

/* Failures */

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

static void an_end_in_the_middle_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	if (!f->group->there)
		skip();
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
		TEST(without_srv_the_domain_itself_is_asked),
		TEST(the_document_may_name_another_port_of_the_domain),
		TEST(the_name_of_a_target_counts_only_with_dnssec),
		TEST(equal_questions_share_one_discovery),
		TEST(failures_are_kept_for_a_while),
		TEST(the_number_of_domains_is_bounded),
		TEST(a_domain_can_say_no),
		TEST(dns_that_fails_does_not_fall_through),
		TEST(the_last_good_document_bridges_failures),
		TEST(what_is_served_must_be_a_document_of_the_domain),
		TEST(a_store_that_fails_pins_nothing),
		TEST(first_keys_that_txt_contradicts_are_held),
		TEST(a_first_use_waits_for_txt),
		TEST(a_pinned_domain_does_not_wait_for_txt),
		TEST(keys_rotate_across_restarts),
		TEST(a_stranger_does_not_replace_what_is_known),
		TEST(an_end_in_the_middle_leaves_nothing),
	};

	/* Ten thousand failures are not worth as many lines. */
	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
