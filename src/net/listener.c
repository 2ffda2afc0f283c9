/* SPDX-License-Identifier: MIT
 *
 * The listening socket. It is ours and not that of libwebsockets, so that the node can
 * stop accepting while open requests are finished, and so that running out of file
 * descriptors does not make the loop spin.
 */
#include "net.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Per turn of the loop, so that open connections get their turn too. */
#define ACCEPTS_PER_TURN 64
#define BACKLOG		 1024

struct listener {
	uv_poll_t poll;
	int fd;
	bool waiting; /* for a free file descriptor */
	void (*accepted)(void *context, int fd, const struct sockaddr *peer);
	void *context;
};

static void set_option(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof value) != 0)
		log_debug(listening, "option=%d error=%s", option, log_quote(strerror(errno)));
}

static int listen_on(const struct addrinfo *address)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int saved;

	if (fd < 0)
		return -1;
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (address->ai_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* The first address that works; IPv6 first, which takes IPv4 too if it is for all. */
static int open_socket(const char *host, int port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *all = NULL;
	char service[16];
	int fd = -1;

	snprintf(service, sizeof service, "%d", port);
	if (getaddrinfo(host[0] != '\0' ? host : NULL, service, &hints, &all) != 0) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	for (int round = 0; round < 2 && fd < 0; round++) {
		int family = round == 0 ? AF_INET6 : AF_INET;

		for (const struct addrinfo *a = all; a != NULL && fd < 0; a = a->ai_next) {
			if (a->ai_family == family)
				fd = listen_on(a);
		}
	}
	freeaddrinfo(all);
	return fd;
}

static void accept_some(struct listener *listener)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage peer = {0};
		socklen_t len = sizeof peer;
		int fd = accept4(listener->fd, (struct sockaddr *)&peer, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			       errno == ENOMEM)) {
			listener->waiting = true;
			uv_poll_stop(&listener->poll);
			return;
		}
		if (fd < 0 && errno != ECONNABORTED && errno != EINTR)
			return;
		if (fd < 0)
			continue;
		set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
		listener->accepted(listener->context, fd, (struct sockaddr *)&peer);
	}
}

static void readable(uv_poll_t *poll, int status, int events)
{
	(void)events;
	if (status == 0)
		accept_some(poll->data);
}

enum err listener_create(uv_loop_t *loop, const char *host, int port,
			 void (*accepted)(void *context, int fd, const struct sockaddr *peer),
			 void *context, struct listener **listener_out)
{
	struct listener *listener;
	int fd = open_socket(host, port);

	if (fd < 0) {
		log_error(listening, "host=%s port=%d error=%s", log_quote(host), port,
			  log_quote(strerror(errno)));
		return ERR_INTERNAL;
	}
	listener = calloc(1, sizeof *listener);
	if (listener == NULL || uv_poll_init(loop, &listener->poll, fd) != 0)
		fatal("cannot watch the listening socket");
	listener->fd = fd;
	listener->accepted = accepted;
	listener->context = context;
	listener->poll.data = listener;
	uv_poll_start(&listener->poll, UV_READABLE, readable);
	*listener_out = listener;
	return ERR_OK;
}

static void poll_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void listener_close(struct listener **listener)
{
	if (*listener == NULL)
		return;
	uv_poll_stop(&(*listener)->poll);
	close((*listener)->fd);
	uv_close((uv_handle_t *)&(*listener)->poll, poll_closed);
	*listener = NULL;
}

void listener_retry(struct listener *listener)
{
	if (!listener->waiting)
		return;
	listener->waiting = false;
	uv_poll_start(&listener->poll, UV_READABLE, readable);
}

int listener_port(const struct listener *listener)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address = {0};
	socklen_t len = sizeof address;

	if (getsockname(listener->fd, &address.any, &len) != 0)
		return 0;
	return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port
						       : address.v4.sin_port);
}
