/* SPDX-License-Identifier: MIT
 *
 * A real server on a port of its own in a thread, and a client that speaks bytes: what
 * is tested here is exactly what no well-behaved client would send.
 */
#ifndef RESTANTE_NET_HARNESS_H
#define RESTANTE_NET_HARNESS_H

#include "restante/clock.h"
#include "restante/log.h"
#include "restante/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

/* A test that waits longer for bytes has failed. */
#define PATIENCE_MS 5000

struct running {
	struct server_config config;
	struct server *server;
	pthread_t thread;
	int drain_seconds;
};

static inline void *harness_main(void *arg)
{
	struct running *r = arg;

	log_thread_name("net");
	server_run(r->server, r->drain_seconds);
	return NULL;
}

static inline void harness_start(struct running *r)
{
	assert_int_equal(ERR_OK, server_create(&r->config, &r->server));
	assert_int_equal(0, pthread_create(&r->thread, NULL, harness_main, r));
}

static inline void harness_stop(struct running *r)
{
	server_stop(r->server);
	pthread_join(r->thread, NULL);
	server_destroy(&r->server);
	assert_null(r->server);
}

/* --- the client -------------------------------------------------------------------- */

static inline int client_connect(const struct running *r)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr = {htonl(INADDR_LOOPBACK)},
		.sin_port = htons((uint16_t)server_port(r->server)),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(0, connect(fd, (struct sockaddr *)&address, sizeof address));
	return fd;
}

static inline void client_send(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return; /* the server has heard enough */
		assert_true(n > 0);
		at += n;
		len -= (size_t)n;
	}
}

static inline void client_say(int fd, const char *text)
{
	client_send(fd, text, strlen(text));
}

/* 0: the server has closed; -1: nothing came in time. */
static inline ssize_t client_recv(int fd, void *data, size_t len, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n;

	if (poll(&p, 1, timeout_ms) <= 0)
		return -1;
	n = recv(fd, data, len, 0);
	return n < 0 ? 0 : n;
}

static inline void client_recv_all(int fd, void *data, size_t len)
{
	char *at = data;

	while (len > 0) {
		ssize_t n = client_recv(fd, at, len, PATIENCE_MS);

		assert_true(n > 0);
		at += n;
		len -= (size_t)n;
	}
}

static inline void assert_closed(int fd)
{
	char c;

	assert_int_equal(0, client_recv(fd, &c, 1, PATIENCE_MS));
	close(fd);
}

static inline void assert_quiet(int fd, int ms)
{
	char c;

	assert_int_equal(-1, client_recv(fd, &c, 1, ms));
}

struct reply {
	int status;
	char head[2048];
	size_t len;
	char *body; /* NUL-ended */
};

static inline bool reply_has(const struct reply *reply, const char *line)
{
	char whole[512];

	snprintf(whole, sizeof whole, "\r\n%s\r\n", line);
	return strstr(reply->head, whole) != NULL;
}

/* Reads one reply, no byte more. */
static inline struct reply client_reply(int fd)
{
	struct reply reply = {0};
	size_t at = 0;
	const char *length;

	do {
		assert_true(at < sizeof reply.head - 1);
		client_recv_all(fd, reply.head + at++, 1);
	} while (at < 4 || memcmp(reply.head + at - 4, "\r\n\r\n", 4) != 0);
	assert_int_equal(1, sscanf(reply.head, "HTTP/1.1 %d ", &reply.status));
	length = strstr(reply.head, "\r\ncontent-length: ");
	if (length != NULL)
		reply.len = strtoul(length + 18, NULL, 10);
	reply.body = calloc(1, reply.len + 1);
	client_recv_all(fd, reply.body, reply.len);
	return reply;
}

static inline void reply_free(struct reply *reply)
{
	free(reply->body);
}

#endif
