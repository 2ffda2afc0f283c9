/* SPDX-License-Identifier: MIT
 *
 * DNS: reading answers, the order of SRV records, and questions to a name server.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "fake_net.h"

#include "restante/clock.h"
#include "restante/crypto.h"

#define SRV_NAME "_restante._tcp.a.example"
#define TXT_NAME "_restante.a.example"
#define KEY	 "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs="
#define RECORD	 "v=restante1; kid=k1; key=" KEY

/* Answers */

static void srv_records_are_read(void **state)
{
	struct packet p = answer_to(SRV_NAME, ns_t_srv, 0, 0x20);
	struct srv_answer srv;

	(void)state;
	put_srv(&p, SRV_NAME, 600, 20, 0, 443, "c.a.example");
	put_srv(&p, "_RESTANTE._tcp.A.example", 300, 10, 0, 8443, "B.A.Example");
	put_srv(&p, "other.example", 1, 0, 0, 1, "other.example");
	assert_int_equal(dns_read_srv(packet_bytes(&p), SRV_NAME, &srv), RESOLVE_FOUND);
	assert_int_equal(srv.count, 2);
	assert_true(srv.validated);
	assert_int_equal(srv.ttl_s, 300);
	assert_string_equal(srv.records[0].target, "b.a.example");
	assert_int_equal(srv.records[0].port, 8443);
	assert_string_equal(srv.records[1].target, "c.a.example");
}

static void a_single_dot_means_no(void **state)
{
	struct packet p = answer_to(SRV_NAME, ns_t_srv, 0, 0);
	struct srv_answer srv;

	(void)state;
	put_srv(&p, SRV_NAME, 600, 0, 0, 0, "");
	assert_int_equal(dns_read_srv(packet_bytes(&p), SRV_NAME, &srv), RESOLVE_REFUSED);
	put_srv(&p, SRV_NAME, 600, 0, 0, 443, "b.example");
	assert_int_equal(dns_read_srv(packet_bytes(&p), SRV_NAME, &srv), RESOLVE_FOUND);
	assert_int_equal(srv.count, 1);
}

static void records_that_cannot_be_used_are_not_absent(void **state)
{
	struct packet p = answer_to(SRV_NAME, ns_t_srv, 0, 0);
	struct srv_answer srv;

	(void)state;
	put_srv(&p, SRV_NAME, 600, 0, 0, 443, "localhost");
	put_srv(&p, SRV_NAME, 600, 0, 0, 0, "b.example");
	put_srv(&p, SRV_NAME, 600, 0, 0, 443, "under_score.example");
	assert_int_equal(dns_read_srv(packet_bytes(&p), SRV_NAME, &srv), RESOLVE_TRANSIENT);
	assert_int_equal(srv.count, 0);
}

static void outcomes_are_kept_apart(void **state)
{
	static const struct {
		unsigned rcode;
		enum resolve_outcome outcome;
	} cases[] = {{0, RESOLVE_NONE},	     {1, RESOLVE_TRANSIENT}, {2, RESOLVE_TRANSIENT},
		     {3, RESOLVE_NONE},	     {4, RESOLVE_TRANSIENT}, {5, RESOLVE_TRANSIENT},
		     {9, RESOLVE_TRANSIENT}, {15, RESOLVE_TRANSIENT}};
	struct srv_answer srv;
	struct txt_answer txt;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct packet s = answer_to(SRV_NAME, ns_t_srv, cases[i].rcode, 0);
		struct packet t = answer_to(TXT_NAME, ns_t_txt, cases[i].rcode, 0);

		assert_int_equal(dns_read_srv(packet_bytes(&s), SRV_NAME, &srv),
				 cases[i].outcome);
		assert_int_equal(srv.outcome, cases[i].outcome);
		assert_int_equal(dns_read_txt(packet_bytes(&t), TXT_NAME, &txt),
				 cases[i].outcome);
		assert_int_equal(txt.failed, cases[i].outcome == RESOLVE_TRANSIENT);
		assert_false(txt.present);
	}
}

static void what_is_no_answer_to_the_question_is_nothing(void **state)
{
	struct packet p = answer_to(SRV_NAME, ns_t_srv, 0, 0);
	struct srv_answer srv;

	(void)state;
	put_srv(&p, SRV_NAME, 600, 0, 0, 443, "b.example");
	assert_int_equal(dns_read_srv(packet_bytes(&p), "_restante._tcp.b.example", &srv),
			 RESOLVE_TRANSIENT);
	p.data[2] = 0x01; /* a question */
	assert_int_equal(dns_read_srv(packet_bytes(&p), SRV_NAME, &srv), RESOLVE_TRANSIENT);
	p.data[2] = 0x83; /* truncated */
	assert_int_equal(dns_read_srv(packet_bytes(&p), SRV_NAME, &srv), RESOLVE_TRANSIENT);
}

/* Wherever it ends, nothing is read behind it, and it is not "no such record". */
static void a_message_that_is_cut_off_is_transient(void **state)
{
	struct packet p = answer_to(SRV_NAME, ns_t_srv, 0, 0);
	struct srv_answer srv;

	(void)state;
	put_srv(&p, SRV_NAME, 600, 10, 0, 443, "b.a.example");
	put_srv(&p, SRV_NAME, 600, 20, 0, 443, "c.a.example");
	for (size_t len = 0; len < p.len; len++) {
		uint8_t *cut = malloc(len);

		if (len > 0)
			memcpy(cut, p.data, len);
		assert_int_equal(dns_read_srv(bytes_of(cut, len), SRV_NAME, &srv),
				 RESOLVE_TRANSIENT);
		assert_int_equal(srv.count, 0);
		free(cut);
	}
}

static void aliases_are_followed_inside_the_answer(void **state)
{
	struct packet p = answer_to("a.example", ns_t_a, 0, 0);
	struct host_answer host = {.count = 0};

	(void)state;
	put_cname(&p, "a.example", "b.example");
	put_cname(&p, "b.example", "c.example");
	put_address(&p, "a.example", "192.0.2.1"); /* not of the name that it is an alias of */
	put_address(&p, "c.example", "192.0.2.2");
	assert_int_equal(dns_read_addresses(packet_bytes(&p), "a.example", ns_t_a, &host),
			 RESOLVE_FOUND);
	assert_int_equal(host.count, 1);
	assert_string_equal(host.addresses[0], "192.0.2.2");
}

static void aliases_may_stand_in_any_order(void **state)
{
	struct packet p = answer_to(SRV_NAME, ns_t_srv, 0, 0);
	struct srv_answer srv;

	(void)state;
	put_srv(&p, "c.example", 600, 0, 0, 443, "node.example");
	put_cname(&p, "b.example", "c.example");
	put_cname(&p, SRV_NAME, "b.example");
	assert_int_equal(dns_read_srv(packet_bytes(&p), SRV_NAME, &srv), RESOLVE_FOUND);
	assert_int_equal(srv.count, 1);
	assert_string_equal(srv.records[0].target, "node.example");
}

/* They do not say that there is no such record. */
static void aliases_without_an_end_are_transient(void **state)
{
	struct packet loop = answer_to(SRV_NAME, ns_t_srv, 0, 0);
	struct packet chain = answer_to("0.example", ns_t_srv, 0, 0);
	struct srv_answer srv;

	(void)state;
	put_cname(&loop, SRV_NAME, "b.example");
	put_cname(&loop, "b.example", SRV_NAME);
	assert_int_equal(dns_read_srv(packet_bytes(&loop), SRV_NAME, &srv), RESOLVE_TRANSIENT);
	for (int i = 0; i < 8; i++) {
		char names[2][16];

		snprintf(names[0], sizeof names[0], "%d.example", i);
		snprintf(names[1], sizeof names[1], "%d.example", i + 1);
		put_cname(&chain, names[0], names[1]);
	}
	assert_int_equal(dns_read_srv(packet_bytes(&chain), "0.example", &srv), RESOLVE_NONE);
	put_cname(&chain, "8.example", "9.example");
	assert_int_equal(dns_read_srv(packet_bytes(&chain), "0.example", &srv),
			 RESOLVE_TRANSIENT);
}

static void addresses_are_bounded(void **state)
{
	struct packet p = answer_to("a.example", ns_t_aaaa, 0, 0);
	struct host_answer host = {.count = 0};

	(void)state;
	for (int i = 0; i < 20; i++)
		put_address(&p, "a.example", "2001:db8::1");
	assert_int_equal(dns_read_addresses(packet_bytes(&p), "a.example", ns_t_aaaa, &host),
			 RESOLVE_FOUND);
	assert_int_equal(host.count, TARGET_ADDRESSES_MAX);
}

static void txt_records_are_read(void **state)
{
	struct packet p = answer_to(TXT_NAME, ns_t_txt, 0, 0x20);
	struct txt_answer txt;

	(void)state;
	put_txt(&p, TXT_NAME, "v=spf1 -all");
	put_txt(&p, TXT_NAME, RECORD);
	put_txt(&p, TXT_NAME, "v=restante1; kid=k2; key=" KEY "; more=1");
	assert_int_equal(dns_read_txt(packet_bytes(&p), TXT_NAME, &txt), RESOLVE_FOUND);
	assert_true(txt.present && txt.validated);
	assert_int_equal(txt.n_keys, 2);
	assert_string_equal(txt.keys[0].kid, "k1");
	assert_string_equal(txt.keys[1].kid, "k2");
}

static void one_malformed_record_makes_all_absent(void **state)
{
	static const char *const bad[] = {"v=restante1", "v=restante1; kid=k2",
					  "v=restante1; kid=k2; key=AAAA",
					  ("v=restante1; kid=k2; kid=k3; key=" KEY)};
	struct txt_answer txt;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct packet p = answer_to(TXT_NAME, ns_t_txt, 0, 0);

		put_txt(&p, TXT_NAME, RECORD);
		put_txt(&p, TXT_NAME, bad[i]);
		assert_int_equal(dns_read_txt(packet_bytes(&p), TXT_NAME, &txt), RESOLVE_FOUND);
		assert_false(txt.present || txt.failed);
		assert_int_equal(txt.n_keys, 0);
	}
}

/* Else it could pass as the word of DNSSEC that there are no keys. */
static void what_cannot_be_read_is_not_validated(void **state)
{
	struct packet p = answer_to(TXT_NAME, ns_t_txt, 0, 0x20);
	struct txt_answer txt;

	(void)state;
	put_record(&p, TXT_NAME, ns_t_txt, 300, "\5a", 2);
	assert_int_equal(dns_read_txt(packet_bytes(&p), TXT_NAME, &txt), RESOLVE_TRANSIENT);
	assert_true(txt.failed);
	assert_false(txt.validated);
}

static void too_many_keys_are_none(void **state)
{
	struct packet p = answer_to(TXT_NAME, ns_t_txt, 0, 0);
	struct txt_answer txt;

	(void)state;
	for (int i = 0; i < SERVER_KEYS_MAX; i++)
		put_txt(&p, TXT_NAME, RECORD);
	assert_int_equal(dns_read_txt(packet_bytes(&p), TXT_NAME, &txt), RESOLVE_FOUND);
	assert_int_equal(txt.n_keys, SERVER_KEYS_MAX);
	put_txt(&p, TXT_NAME, RECORD);
	assert_int_equal(dns_read_txt(packet_bytes(&p), TXT_NAME, &txt), RESOLVE_FOUND);
	assert_false(txt.present);
}

/* The order of SRV records */

static void priorities_come_first_and_weights_count(void **state)
{
	unsigned first[4] = {0};

	(void)state;
	for (int i = 0; i < 4000; i++) {
		struct srv_record records[] = {
			{.priority = 2, .weight = 100, .port = 9},
			{.priority = 1, .weight = 30, .port = 2},
			{.priority = 1, .weight = 0, .port = 0},
			{.priority = 1, .weight = 10, .port = 1},
		};

		dns_order_srv(records, 4);
		assert_int_equal(records[3].port, 9);
		first[records[0].port]++;
		assert_int_equal(records[0].port + records[1].port + records[2].port, 3);
	}
	/* 1, 10 and 30 of 41. */
	assert_in_range(first[0], 30, 200);
	assert_in_range(first[1], 750, 1200);
	assert_in_range(first[2], 2600, 3200);
}

/* Questions */

struct fixture {
	struct fake_dns dns;
	const char *servers[1];
	struct config config;
	struct loop *loop;
	unsigned done;
	struct srv_answer srv;
	struct txt_answer txt;
	enum resolve_outcome txt_outcome;
	struct host_answer host;
};

static void start_loop(struct fixture *f, bool trusted)
{
	loop_destroy(&f->loop);
	f->config.federation_dns_trusted = trusted;
	f->loop = loop_create(&f->config);
	assert_int_equal(loop_dns_is_trusted(f->loop), trusted);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	crypto_init();
	fake_dns_start(&f->dns);
	f->servers[0] = f->dns.address;
	f->config = (struct config){.federation_dns_servers = {f->servers, 1},
				    .federation_ca_file = ""};
	start_loop(f, true);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_destroy(&f->loop);
	fake_dns_stop(&f->dns);
	free(f);
	return 0;
}

static void srv_done(void *context, const struct srv_answer *answer)
{
	struct fixture *f = context;

	f->srv = *answer;
	f->done++;
}

static void txt_done(void *context, enum resolve_outcome outcome,
		     const struct txt_answer *answer)
{
	struct fixture *f = context;

	f->txt = *answer;
	f->txt_outcome = outcome;
	f->done++;
}

static void host_done(void *context, const struct host_answer *answer)
{
	struct fixture *f = context;

	f->host = *answer;
	f->done++;
}

static void run(struct fixture *f, unsigned answers)
{
	int64_t until = clock_monotonic_ms() + 15000;

	/* Never from inside the call that asked. */
	assert_int_equal(f->done, 0);
	while (f->done < answers && clock_monotonic_ms() < until) {
		loop_turn(f->loop, 2);
		fake_dns_serve(&f->dns);
	}
	assert_int_equal(f->done, answers);
	f->done = 0;
}

static void questions_are_answered(void **state)
{
	struct fixture *f = *state;

	put_srv(fake_dns_add(&f->dns, SRV_NAME, ns_t_srv, 0, 0x20), SRV_NAME, 60, 0, 0, 443,
		"b.example");
	put_txt(fake_dns_add(&f->dns, TXT_NAME, ns_t_txt, 0, 0x20), TXT_NAME, RECORD);
	put_address(fake_dns_add(&f->dns, "b.example", ns_t_a, 0, 0), "b.example", "192.0.2.1");
	put_address(fake_dns_add(&f->dns, "b.example", ns_t_aaaa, 0, 0), "b.example",
		    "2001:db8::1");
	resolve_srv(f->loop, "a.example", srv_done, f);
	resolve_txt(f->loop, "a.example", txt_done, f);
	resolve_host(f->loop, "b.example", host_done, f);
	run(f, 3);
	assert_true(f->dns.ad_wanted);
	assert_int_equal(f->srv.outcome, RESOLVE_FOUND);
	assert_true(f->srv.validated);
	assert_string_equal(f->srv.records[0].target, "b.example");
	assert_int_equal(f->txt_outcome, RESOLVE_FOUND);
	assert_true(f->txt.present && f->txt.validated);
	assert_int_equal(f->host.outcome, RESOLVE_FOUND);
	assert_int_equal(f->host.count, 2);
	assert_string_equal(f->host.addresses[0], "2001:db8::1");
	assert_string_equal(f->host.addresses[1], "192.0.2.1");
}

static void nobody_is_believed_unless_the_operator_says_so(void **state)
{
	struct fixture *f = *state;

	start_loop(f, false);
	put_srv(fake_dns_add(&f->dns, SRV_NAME, ns_t_srv, 0, 0x20), SRV_NAME, 60, 0, 0, 443,
		"b.example");
	put_txt(fake_dns_add(&f->dns, TXT_NAME, ns_t_txt, 0, 0x20), TXT_NAME, RECORD);
	resolve_srv(f->loop, "a.example", srv_done, f);
	resolve_txt(f->loop, "a.example", txt_done, f);
	run(f, 2);
	assert_int_equal(f->srv.outcome, RESOLVE_FOUND);
	assert_false(f->srv.validated);
	assert_true(f->txt.present);
	assert_false(f->txt.validated);
}

static void servers_that_are_not_local_are_not_believed(void **state)
{
	static const char *const servers[] = {"127.0.0.1:5300", "[::1]:5300", "::1",
					      "192.0.2.1"};
	struct config config = {.federation_dns_trusted = true,
				.federation_dns_servers = {servers, 3},
				.federation_ca_file = ""};
	struct loop *loop = loop_create(&config);

	(void)state;
	assert_true(loop_dns_is_trusted(loop));
	loop_destroy(&loop);
	config.federation_dns_servers.count = 4;
	loop = loop_create(&config);
	assert_false(loop_dns_is_trusted(loop));
	loop_destroy(&loop);
}

static void what_does_not_exist_is_none(void **state)
{
	struct fixture *f = *state;

	fake_dns_add(&f->dns, TXT_NAME, ns_t_txt, 0, 0); /* the name exists, without data */
	resolve_srv(f->loop, "a.example", srv_done, f);
	resolve_txt(f->loop, "a.example", txt_done, f);
	resolve_host(f->loop, "b.example", host_done, f);
	run(f, 3);
	assert_int_equal(f->srv.outcome, RESOLVE_NONE);
	assert_int_equal(f->txt_outcome, RESOLVE_NONE);
	assert_int_equal(f->host.outcome, RESOLVE_NONE);
}

static void failure_and_silence_are_transient(void **state)
{
	struct fixture *f = *state;

	fake_dns_add(&f->dns, SRV_NAME, ns_t_srv, ns_r_servfail, 0);
	fake_dns_add(&f->dns, TXT_NAME, ns_t_txt, 0, 0);
	f->dns.entries[1].way = FAKE_SILENCE;
	fake_dns_add(&f->dns, "b.example", ns_t_aaaa, ns_r_refused, 0);
	resolve_srv(f->loop, "a.example", srv_done, f);
	resolve_txt(f->loop, "a.example", txt_done, f);
	resolve_host(f->loop, "b.example", host_done, f);
	run(f, 3);
	assert_int_equal(f->srv.outcome, RESOLVE_TRANSIENT);
	assert_int_equal(f->txt_outcome, RESOLVE_TRANSIENT);
	assert_true(f->txt.failed);
	/* One half does not exist, the other is unknown. */
	assert_int_equal(f->host.outcome, RESOLVE_TRANSIENT);
}

static void large_answers_come_over_tcp(void **state)
{
	struct fixture *f = *state;
	struct packet *p = fake_dns_add(&f->dns, TXT_NAME, ns_t_txt, 0, 0);

	f->dns.entries[0].way = FAKE_TCP_ONLY;
	for (int i = 0; i < 40; i++)
		put_txt(p, TXT_NAME, "v=something-else that fills the message with letters");
	put_txt(p, TXT_NAME, RECORD);
	resolve_txt(f->loop, "a.example", txt_done, f);
	run(f, 1);
	assert_int_equal(f->txt_outcome, RESOLVE_FOUND);
	assert_true(f->txt.present);
}

static void addresses_and_localhost_need_no_server(void **state)
{
	struct fixture *f = *state;

	resolve_host(f->loop, "192.0.2.7", host_done, f);
	run(f, 1);
	assert_string_equal(f->host.addresses[0], "192.0.2.7");
	resolve_host(f->loop, "2001:db8::7", host_done, f);
	run(f, 1);
	assert_string_equal(f->host.addresses[0], "2001:db8::7");
	resolve_host(f->loop, "localhost", host_done, f);
	run(f, 1);
	assert_string_equal(f->host.addresses[0], "127.0.0.1");
	assert_int_equal(f->dns.asked, 0);
}

static void a_name_that_is_too_long_does_not_exist(void **state)
{
	struct fixture *f = *state;
	char domain[DOMAIN_SIZE];

	for (size_t i = 0; i < 250; i++)
		domain[i] = i % 50 == 49 ? '.' : 'a';
	strcpy(domain + 249, ".ab");
	assert_true(domain_is_valid(bytes_of_text(domain)));
	resolve_srv(f->loop, domain, srv_done, f);
	resolve_txt(f->loop, domain, txt_done, f);
	run(f, 2);
	assert_int_equal(f->srv.outcome, RESOLVE_NONE);
	assert_int_equal(f->txt_outcome, RESOLVE_NONE);
}

static void questions_on_their_way_end_with_the_loop(void **state)
{
	struct fixture *f = *state;

	resolve_srv(f->loop, "a.example", srv_done, f);
	resolve_host(f->loop, "b.example", host_done, f);
	resolve_host(f->loop, "192.0.2.7", host_done, f);
	loop_destroy(&f->loop);
	assert_int_equal(f->done, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(srv_records_are_read),
		cmocka_unit_test(a_single_dot_means_no),
		cmocka_unit_test(records_that_cannot_be_used_are_not_absent),
		cmocka_unit_test(outcomes_are_kept_apart),
		cmocka_unit_test(what_is_no_answer_to_the_question_is_nothing),
		cmocka_unit_test(a_message_that_is_cut_off_is_transient),
		cmocka_unit_test(aliases_are_followed_inside_the_answer),
		cmocka_unit_test(aliases_may_stand_in_any_order),
		cmocka_unit_test(aliases_without_an_end_are_transient),
		cmocka_unit_test(addresses_are_bounded),
		cmocka_unit_test(txt_records_are_read),
		cmocka_unit_test(one_malformed_record_makes_all_absent),
		cmocka_unit_test(what_cannot_be_read_is_not_validated),
		cmocka_unit_test(too_many_keys_are_none),
		cmocka_unit_test(priorities_come_first_and_weights_count),
		TEST(questions_are_answered),
		TEST(nobody_is_believed_unless_the_operator_says_so),
		TEST(servers_that_are_not_local_are_not_believed),
		TEST(what_does_not_exist_is_none),
		TEST(failure_and_silence_are_transient),
		TEST(large_answers_come_over_tcp),
		TEST(addresses_and_localhost_need_no_server),
		TEST(a_name_that_is_too_long_does_not_exist),
		TEST(questions_on_their_way_end_with_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
