/* SPDX-License-Identifier: MIT
 *
 * HTTPS requests: where they go, what is accepted of an answer, and what is not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "fake_net.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "support.h"

#include <pthread.h>

struct group {
	char *folder;
	struct web_server web;
	bool there;
};

struct fixture {
	struct group *group;
	struct config config;
	struct loop *loop;
	struct targets targets;
	struct arena *arena;
	size_t answer_max;
	unsigned done;
	struct transfer_answer answer; /* copied */
};

static int setup_group(void **state)
{
	struct group *group = calloc(1, sizeof *group);

	crypto_init();
	group->folder = support_make_dir();
	group->there = web_server_start(&group->web, TEST_DATA "/unit/federation/web_server.py",
					group->folder, false);
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

static void add_target(struct fixture *f, const char *address, int port)
{
	struct target *target = &f->targets.items[f->targets.count++];

	snprintf(target->address, sizeof target->address, "%s", address);
	target->port = (uint16_t)port;
}

static int setup(void **state)
{
	struct group *group = *state;
	struct fixture *f = calloc(1, sizeof *f);

	f->group = group;
	f->arena = arena_create();
	f->answer_max = 100000;
	f->config = (struct config){.federation_ca_file = group->web.ca_file,
				    .federation_allow_private = true};
	f->loop = loop_create(&f->config);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	*state = f->group;
	loop_destroy(&f->loop);
	arena_destroy(&f->arena);
	free(f);
	return 0;
}

static void take(void *context, const struct transfer_answer *answer)
{
	struct fixture *f = context;

	f->answer = *answer;
	f->answer.body = arena_bytes(f->arena, answer->body);
	f->answer.content_type = arena_bytes(f->arena, answer->content_type);
	f->answer.content_digest = arena_bytes(f->arena, answer->content_digest);
	f->answer.signature = arena_bytes(f->arena, answer->signature);
	f->answer.signature_input = arena_bytes(f->arena, answer->signature_input);
	f->answer.retry_after = arena_bytes(f->arena, answer->retry_after);
	f->answer.error = answer->error == NULL
				  ? NULL
				  : arena_text(f->arena, bytes_of_text(answer->error));
	f->done++;
}

static struct transfer_request request_to(struct fixture *f, const char *path)
{
	return (struct transfer_request){
		.targets = &f->targets,
		.url = arena_printf(f->arena, "https://a.example%s", path),
		.host = "host.example",
		.answer_max = f->answer_max,
		.connect_timeout_ms = 2000,
		.timeout_ms = 3000,
	};
}

static void run(struct fixture *f, const struct transfer_request *request)
{
	int64_t until = clock_monotonic_ms() + 10000;

	f->done = 0;
	transfer_start(f->loop, request, take, f);
	assert_int_equal(f->done, 0);
	while (f->done == 0 && clock_monotonic_ms() < until)
		loop_turn(f->loop, 100);
	assert_int_equal(f->done, 1);
}

static void get(struct fixture *f, const char *path)
{
	struct transfer_request request = request_to(f, path);

	if (!f->group->there)
		fail_msg("the web server of this test needs python3 and openssl");
	if (f->targets.count == 0)
		add_target(f, "127.0.0.1", f->group->web.port);
	run(f, &request);
}

static bool body_has(const struct fixture *f, const char *text)
{
	return strstr((const char *)f->answer.body.data, text) != NULL;
}

static bool is(struct bytes value, const char *text)
{
	return bytes_equal(value, bytes_of_text(text));
}

static void an_answer_comes_with_its_headers(void **state)
{
	struct fixture *f = *state;

	get(f, "/ok");
	assert_int_equal(f->answer.err, ERR_OK);
	assert_int_equal(f->answer.status, 409);
	assert_true(is(f->answer.content_type, "application/json"));
	assert_true(is(f->answer.content_digest, "sha-256=:AA==:"));
	assert_true(is(f->answer.signature, "restante=:BB==:"));
	assert_true(is(f->answer.signature_input, "restante=()"));
	assert_true(is(f->answer.retry_after, "7"));
	/* The name of the URL is that of TLS; the Host header is its own. */
	assert_true(body_has(f, "GET sni=a.example"));
	assert_true(body_has(f, "\nGET /ok HTTP/1.1\r\n"));
	assert_true(body_has(f, "\r\nHost: host.example\r\n"));
}

static void a_signed_request_carries_what_was_signed(void **state)
{
	const struct s2s_headers signature = {"digest-here", "input-here", "signature-here"};
	struct fixture *f = *state;
	struct transfer_request request = request_to(f, "/ok");

	if (!f->group->there)
		fail_msg("the web server of this test needs python3 and openssl");
	add_target(f, "127.0.0.1", f->group->web.port);
	request.content_type = "application/json";
	request.body = bytes_of_text("{\"a\":1}");
	request.signature = &signature;
	request.destination = "b.example";
	run(f, &request);
	assert_true(body_has(f, "POST sni=a.example connection="));
	assert_true(body_has(f, "body={\"a\":1}\n"));
	assert_true(body_has(f, "\r\nContent-Type: application/json\r\n"));
	assert_true(body_has(f, "\r\nContent-Digest: digest-here\r\n"));
	assert_true(body_has(f, "\r\nSignature-Input: input-here\r\n"));
	assert_true(body_has(f, "\r\nSignature: signature-here\r\n"));
	assert_true(body_has(f, "\r\nRestante-Destination: b.example\r\n"));
	assert_true(body_has(f, "\r\nContent-Length: 7"));
	assert_false(body_has(f, "Expect"));
	assert_false(body_has(f, "Transfer-Encoding"));
}

static void redirects_are_not_followed(void **state)
{
	struct fixture *f = *state;

	get(f, "/redirect");
	assert_int_equal(f->answer.err, ERR_OK);
	assert_int_equal(f->answer.status, 302);
}

static void answers_and_heads_are_bounded(void **state)
{
	static const char *const paths[] = {"/large", "/large-length", "/headers"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 3; i++) {
		get(f, paths[i]);
		assert_int_equal(f->answer.err, ERR_PEER_INVALID);
	}
}

/* Many nodes could send large ones at the same time, and slowly. */
static void all_answers_together_are_bounded(void **state)
{
	struct fixture *f = *state;
	size_t *held = loop_answer_bytes(f->loop);

	f->answer_max = 300000;
	get(f, "/large");
	assert_int_equal(f->answer.err, ERR_OK);
	assert_int_equal(f->answer.body.len, 200000);
	assert_int_equal(*held, 0);
	*held = ANSWERS_BYTES_MAX - 100000; /* by others */
	get(f, "/large");
	assert_int_equal(f->answer.err, ERR_PEER_INVALID);
	assert_string_equal(f->answer.error, "no room for a large answer");
	*held = 2 * ANSWERS_BYTES_MAX;
	get(f, "/ok");
	assert_int_equal(f->answer.err, ERR_OK);
	assert_int_equal(*held, 2 * ANSWERS_BYTES_MAX);
}

static void a_repeated_signature_is_no_answer(void **state)
{
	struct fixture *f = *state;

	get(f, "/duplicate");
	assert_int_equal(f->answer.err, ERR_PEER_INVALID);
	assert_string_equal(f->answer.error, "a signed header is repeated");
}

static void only_the_head_of_the_answer_counts(void **state)
{
	static const char *const paths[] = {"/early", "/trailers"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		get(f, paths[i]);
		assert_int_equal(f->answer.err, ERR_OK);
		assert_int_equal(f->answer.status, 200);
		assert_int_equal(f->answer.signature.len, 0);
		assert_true(is(f->answer.body, "{}"));
	}
}

static void the_next_target_is_tried(void **state)
{
	struct fixture *f = *state;

	add_target(f, "127.0.0.1", 1);
	add_target(f, "::1", 1);
	add_target(f, "127.0.0.1", f->group->web.port);
	get(f, "/ok");
	assert_int_equal(f->answer.err, ERR_OK);
	assert_int_equal(f->answer.status, 409);
	assert_int_equal(f->answer.target, 2);
}

static void no_target_is_left(void **state)
{
	struct fixture *f = *state;
	struct transfer_request request = request_to(f, "/ok");

	run(f, &request);
	assert_int_equal(f->answer.err, ERR_PEER_UNREACHABLE);
	add_target(f, "127.0.0.1", 1);
	run(f, &request);
	assert_int_equal(f->answer.err, ERR_PEER_UNREACHABLE);
}

static void the_certificate_is_for_the_name(void **state)
{
	struct fixture *f = *state;
	struct transfer_request request = request_to(f, "/ok");

	if (!f->group->there)
		fail_msg("the web server of this test needs python3 and openssl");
	add_target(f, "127.0.0.1", f->group->web.port);
	request.url = "https://c.example/ok";
	run(f, &request);
	assert_int_equal(f->answer.err, ERR_PEER_UNREACHABLE);
	assert_non_null(f->answer.error);
}

static void the_certificate_is_from_a_known_authority(void **state)
{
	struct fixture *f = *state;

	f->config.federation_ca_file = "";
	get(f, "/ok");
	assert_int_equal(f->answer.err, ERR_PEER_UNREACHABLE);
}

static void private_addresses_need_permission(void **state)
{
	struct fixture *f = *state;

	f->config.federation_allow_private = false;
	get(f, "/ok");
	assert_int_equal(f->answer.err, ERR_PEER_UNREACHABLE);
	assert_string_equal(f->answer.error, "address is private or special");
}

static void only_https_is_spoken(void **state)
{
	struct fixture *f = *state;
	struct transfer_request request = request_to(f, "/ok");

	add_target(f, "127.0.0.1", 1);
	request.url = "http://a.example/ok";
	run(f, &request);
	assert_int_equal(f->answer.err, ERR_PEER_UNREACHABLE);
	assert_non_null(strstr(f->answer.error, "Protocol"));
}

static void silence_ends_in_time(void **state)
{
	struct fixture *f = *state;
	struct transfer_request request = request_to(f, "/slow");
	int64_t begun_ms = clock_monotonic_ms();

	if (!f->group->there)
		fail_msg("the web server of this test needs python3 and openssl");
	add_target(f, "127.0.0.1", f->group->web.port);
	add_target(f, "127.0.0.1", f->group->web.port);
	request.timeout_ms = 2000;
	run(f, &request);
	assert_int_equal(f->answer.err, ERR_PEER_TIMEOUT);
	assert_in_range(clock_monotonic_ms() - begun_ms, 1900, 10000);
}

/* Each is given up by the first of the deadlines that it misses. */
struct slow {
	enum err err;
	int64_t ended_ms;
};

static void slow_ended(void *context, const struct transfer_answer *answer)
{
	struct slow *slow = context;

	slow->err = answer->err;
	slow->ended_ms = clock_monotonic_ms();
}

/* A port where nobody accepts: the queue of connections is full. */
static int deaf_port(int fds_out[3])
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	fds_out[0] = fake_socket(SOCK_STREAM, &address);
	assert_return_code(listen(fds_out[0], 0), errno);
	for (int i = 1; i < 3; i++) {
		fds_out[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fds_out[i], (struct sockaddr *)&address, sizeof address);
	}
	usleep(100 * 1000);
	return ntohs(address.sin_port);
}

static void start_slow(struct fixture *f, int port, const char *path, size_t body_len,
		       struct slow *slow)
{
	struct transfer_request request = request_to(f, path);

	f->targets.count = 0;
	add_target(f, "127.0.0.1", port);
	request.timeout_ms = 28000;
	if (strcmp(path, "/trickle/3000") == 0)
		request.timeout_ms = 4000;
	request.content_type = "application/json";
	request.body = bytes_of(arena_array(f->arena, char, body_len), body_len);
	transfer_start(f->loop, &request, slow_ended, slow);
}

static void slow_peers_are_given_up(void **state)
{
	struct fixture *f = *state;
	struct slow not_accepted = {0}, not_read = {0}, silent = {0}, bytes = {0}, whole = {0};
	const struct slow *all[] = {&not_accepted, &not_read, &silent, &bytes, &whole};
	int64_t begun_ms = clock_monotonic_ms();
	int fds[3];

	if (!f->group->there)
		fail_msg("the web server of this test needs python3 and openssl");
	start_slow(f, deaf_port(fds), "/ok", 10, &not_accepted);
	start_slow(f, f->group->web.port, "/deaf", (size_t)64 << 20, &not_read);
	start_slow(f, f->group->web.port, "/deaf", 10, &silent);
	start_slow(f, f->group->web.port, "/trickle/1", 10, &bytes);
	start_slow(f, f->group->web.port, "/trickle/3000", 10, &whole);
	for (size_t i = 0; i < 5; i++)
		while (all[i]->ended_ms == 0 && clock_monotonic_ms() < begun_ms + 40000)
			loop_turn(f->loop, 500);
	for (size_t i = 0; i < 3; i++)
		close(fds[i]);
	assert_int_equal(not_accepted.err, ERR_PEER_UNREACHABLE);
	assert_in_range(not_accepted.ended_ms - begun_ms, 1500, 4000); /* connecting: 2 s */
	assert_int_equal(not_read.err, ERR_PEER_TIMEOUT);
	assert_int_equal(silent.err, ERR_PEER_TIMEOUT);
	assert_int_equal(bytes.err, ERR_PEER_TIMEOUT);
	assert_in_range(not_read.ended_ms - begun_ms, 14000, 27000); /* 1 KB/s in 15 s */
	assert_in_range(silent.ended_ms - begun_ms, 14000, 27000);
	assert_in_range(bytes.ended_ms - begun_ms, 14000, 27000);
	assert_int_equal(whole.err, ERR_PEER_TIMEOUT);
	assert_in_range(whole.ended_ms - begun_ms, 3500, 6000); /* in all: 4 s */
}

static void a_connection_that_is_dropped_is_a_failure(void **state)
{
	struct fixture *f = *state;

	get(f, "/drop");
	assert_int_equal(f->answer.err, ERR_PEER_INVALID);
}

static int connection_number(const struct fixture *f)
{
	return atoi(strstr((const char *)f->answer.body.data, "connection=") + 11);
}

static void connections_are_used_again_for_the_same_target(void **state)
{
	struct fixture *f = *state;
	int first;

	get(f, "/ok");
	first = connection_number(f);
	get(f, "/ok");
	assert_int_equal(connection_number(f), first);
	/* The same name elsewhere is somebody else. */
	f->targets.count = 0;
	add_target(f, "127.0.0.2", 1);
	get(f, "/ok");
	assert_int_equal(f->answer.err, ERR_PEER_UNREACHABLE);
}

static void a_cancelled_transfer_is_silent(void **state)
{
	struct fixture *f = *state;
	struct transfer_request request = request_to(f, "/slow");
	struct transfer *running, *failed;

	if (!f->group->there)
		fail_msg("the web server of this test needs python3 and openssl");
	failed = transfer_start(f->loop, &request, take, f);
	add_target(f, "127.0.0.1", f->group->web.port);
	running = transfer_start(f->loop, &request, take, f);
	transfer_cancel(&failed);
	loop_turn(f->loop, 20);
	transfer_cancel(&running);
	assert_null(running);
	for (int i = 0; i < 5; i++)
		loop_turn(f->loop, 10);
	assert_int_equal(f->done, 0);
}

struct second {
	struct fixture *fixture;
	struct transfer *other;
};

static void cancel_other(void *context, const struct transfer_answer *answer)
{
	struct second *second = context;

	(void)answer;
	second->fixture->done++;
	transfer_cancel(&second->other);
}

/* Both have failed by now; the first one that is told cancels the other. */
static void one_answer_may_cancel_another(void **state)
{
	struct fixture *f = *state;
	struct transfer_request request = request_to(f, "/ok");
	struct second second = {.fixture = f};

	transfer_start(f->loop, &request, cancel_other, &second);
	second.other = transfer_start(f->loop, &request, take, f);
	loop_turn(f->loop, 10);
	loop_turn(f->loop, 10);
	assert_int_equal(f->done, 1);
}

static int woken;

static void *wake(void *loop)
{
	usleep(50000);
	__atomic_store_n(&woken, 1, __ATOMIC_SEQ_CST);
	loop_wake(loop);
	return NULL;
}

static void another_thread_can_wake_the_loop(void **state)
{
	struct fixture *f = *state;
	int64_t begun_ms = clock_monotonic_ms();
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, wake, f->loop), 0);
	while (__atomic_load_n(&woken, __ATOMIC_SEQ_CST) == 0)
		loop_turn(f->loop, 5000);
	assert_true(clock_monotonic_ms() - begun_ms < 2000);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_comes_with_its_headers),
		TEST(a_signed_request_carries_what_was_signed),
		TEST(redirects_are_not_followed),
		TEST(answers_and_heads_are_bounded),
		TEST(all_answers_together_are_bounded),
		TEST(a_repeated_signature_is_no_answer),
		TEST(only_the_head_of_the_answer_counts),
		TEST(the_next_target_is_tried),
		TEST(no_target_is_left),
		TEST(the_certificate_is_for_the_name),
		TEST(the_certificate_is_from_a_known_authority),
		TEST(private_addresses_need_permission),
		TEST(only_https_is_spoken),
		TEST(silence_ends_in_time),
		TEST(slow_peers_are_given_up),
		TEST(a_connection_that_is_dropped_is_a_failure),
		TEST(connections_are_used_again_for_the_same_target),
		TEST(a_cancelled_transfer_is_silent),
		TEST(one_answer_may_cancel_another),
		TEST(another_thread_can_wake_the_loop),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
