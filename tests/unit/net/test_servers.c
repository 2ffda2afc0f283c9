/* SPDX-License-Identifier: MIT
 *
 * Several servers, each on a thread of its own, behind one port.
 */
#include "harness.h"

#define THREADS	 3
#define EACH	 2 /* connections of each thread, as many as one source may have */
#define BODY_MAX 10000
#define HOST	 "Host: test.example\r\n"
#define JSON	 "Content-Type: application/json\r\n"

static struct running servers[THREADS]; /* the first one listens */
static bool ended[THREADS];

static void say_which(struct request *request)
{
	const struct running *own = request->context;
	char text[2] = {(char)('0' + (own - servers)), '\0'};

	request_reply_with(request, 200, "text/plain",
			   arena_bytes(request->arena, bytes_of_text(text)), NULL, 0);
}

static const struct route routes[] = {
	{METHOD_GET, "/which", ROUTE_PUBLIC, 0, say_which},
	{METHOD_POST, "/which", ROUTE_PUBLIC, BODY_MAX, say_which},
	{0},
};

static int start(void **state)
{
	(void)state;
	for (size_t i = 0; i < THREADS; i++) {
		servers[i] = (struct running){
			.config =
				{
					.first = servers[0].server,
					.host = "127.0.0.1",
					.max_connections = 100,
					.max_per_source = THREADS * EACH,
					.buffer_budget = BODY_MAX,
					.request_timeout_ms = 2000,
					.socket_idle_ms = 1000,
					.routes = routes,
					.context = &servers[i],
				},
		};
		assert_int_equal(ERR_OK, server_create(&servers[i].config, &servers[i].server));
	}
	memset(ended, 0, sizeof(ended));
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(
			0, pthread_create(&servers[i].thread, NULL, harness_main, &servers[i]));
	return 0;
}

static void end(size_t i)
{
	if (!ended[i])
		pthread_join(servers[i].thread, NULL);
	ended[i] = true;
}

static int stop(void **state)
{
	(void)state;
	for (size_t i = 0; i < THREADS; i++)
		server_stop(servers[i].server);
	for (size_t i = 0; i < THREADS; i++)
		end(i);
	for (size_t i = THREADS; i-- > 0;)
		server_destroy(&servers[i].server);
	return 0;
}

static int which(int fd)
{
	struct reply reply;
	int answer;

	client_say(fd, "GET /which HTTP/1.1\r\n" HOST "\r\n");
	reply = client_reply(fd);
	assert_int_equal(200, reply.status);
	answer = reply.body[0] - '0';
	reply_free(&reply);
	return answer;
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

static void each_thread_has_as_many_connections_as_the_others(void **state)
{
	int fds[THREADS * EACH];
	int count[THREADS] = {0};

	(void)state;
	for (size_t i = 0; i < THREADS * EACH; i++) {
		fds[i] = client_connect(&servers[0]);
		count[which(fds[i])]++;
	}
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(EACH, count[i]);
	close_all(fds, THREADS * EACH);
}

static void a_source_has_its_connections_of_all_together(void **state)
{
	int fds[THREADS * EACH];
	bool accepted = false;

	(void)state;
	for (size_t i = 0; i < THREADS * EACH; i++)
		fds[i] = client_connect(&servers[0]);
	assert_closed(client_connect(&servers[0]));
	for (size_t i = 0; i < THREADS * EACH; i++)
		which(fds[i]);
	close(fds[4]);
	for (int i = 0; i < 100 && !accepted; i++) { /* until that has been noticed */
		fds[4] = client_connect(&servers[0]);
		client_say(fds[4], "GET /which HTTP/1.1\r\n" HOST "\r\n");
		accepted = client_recv(fds[4], (char[1]){0}, 1, PATIENCE_MS) == 1;
		if (!accepted)
			close(fds[4]);
	}
	assert_true(accepted);
	close_all(fds, THREADS * EACH);
}

static void bodies_share_one_budget(void **state)
{
	int one = client_connect(&servers[0]);
	int other = client_connect(&servers[0]);
	struct reply reply;

	(void)state;
	assert_int_not_equal(which(one), which(other));
	client_say(one, "POST /which HTTP/1.1\r\n" HOST JSON "Content-Length: 9000\r\n\r\n");
	assert_quiet(one, 100); /* until its body is there */
	client_say(other, "POST /which HTTP/1.1\r\n" HOST JSON "Content-Length: 2000\r\n\r\n");
	reply = client_reply(other);
	assert_int_equal(503, reply.status);
	reply_free(&reply);
	close(one);
	close(other);
}

/* What is still on its way then leaves nothing behind: the leak sanitizer watches. */
static void a_connection_that_comes_after_its_thread_has_ended_is_closed(void **state)
{
	int first = client_connect(&servers[0]), second;

	assert_int_equal(0, which(first));
	for (size_t i = 1; i < THREADS; i++) {
		server_stop(servers[i].server);
		end(i);
	}
	second = client_connect(&servers[0]);
	assert_int_equal(0, which(first)); /* so it has been handed over */
	stop(state);
	assert_closed(second);
	close(first);
	start(state);
}

#define SERVERS_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVERS_TEST(each_thread_has_as_many_connections_as_the_others),
		SERVERS_TEST(a_source_has_its_connections_of_all_together),
		SERVERS_TEST(bodies_share_one_budget),
		SERVERS_TEST(a_connection_that_comes_after_its_thread_has_ended_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
