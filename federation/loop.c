/* SPDX-License-Identifier: MIT
 *
 * The loop of the federation thread. One poll waits for everything: curl's transfers and
 * its wake-up, and the sockets of c-ares as extra ones. What curl and c-ares report is put
 * off to the end of the turn, so that whoever is told may start and cancel things freely.
 */
#include "loop.h"

#include "restante/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#define DNS_TIMEOUT_MS	1500 /* of the first try; doubles */
#define DNS_TRIES	2
#define DNS_PACKET	1232 /* avoids fragments */
#define DNS_SERVERS_MAX 8
#define CONNECTIONS	1024 /* in all; beyond it idle ones are closed */

struct loop {
	const struct config *config;
	CURLM *multi;
	ares_channel ares;
	bool dns_trusted;
	bool closing;
	struct curl_waitfd *sockets; /* of c-ares */
	unsigned n_sockets, sockets_cap;
	struct loop_task *tasks, **last_task;
};

/* c-ares */

static void socket_forget(struct loop *loop, ares_socket_t fd)
{
	for (unsigned i = 0; i < loop->n_sockets; i++) {
		if (loop->sockets[i].fd != fd)
			continue;
		loop->sockets[i] = loop->sockets[--loop->n_sockets];
		return;
	}
}

static void socket_changed(void *data, ares_socket_t fd, int readable, int writable)
{
	struct loop *loop = data;
	struct curl_waitfd *sockets;

	socket_forget(loop, fd);
	if (!readable && !writable)
		return;
	if (loop->n_sockets == loop->sockets_cap) {
		loop->sockets_cap = loop->sockets_cap == 0 ? 8 : 2 * loop->sockets_cap;
		sockets = realloc(loop->sockets, loop->sockets_cap * sizeof *sockets);
		if (sockets == NULL)
			fatal("out of memory");
		loop->sockets = sockets;
	}
	loop->sockets[loop->n_sockets++] = (struct curl_waitfd){
		.fd = fd,
		.events = (short)((readable ? CURL_WAIT_POLLIN : 0) |
				  (writable ? CURL_WAIT_POLLOUT : 0)),
	};
}

/* ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT; the configuration has been checked. */
static bool server_parse(const char *text, struct ares_addr_port_node *server)
{
	char host[INET6_ADDRSTRLEN];
	const char *colon = strrchr(text, ':'), *end = text + strlen(text);
	bool bracket = text[0] == '[';
	bool has_port =
		colon != NULL && (bracket ? colon[-1] == ']' : strchr(text, ':') == colon);

	*server = (struct ares_addr_port_node){0};
	if (has_port) {
		server->udp_port = server->tcp_port = atoi(colon + 1);
		end = colon;
	}
	if (bracket) {
		text++;
		end--;
	}
	if (end <= text || (size_t)(end - text) >= sizeof host)
		return false;
	snprintf(host, sizeof host, "%.*s", (int)(end - text), text);
	server->family = AF_INET;
	if (inet_pton(AF_INET, host, &server->addr.addr4) == 1)
		return true;
	server->family = AF_INET6;
	return inet_pton(AF_INET6, host, &server->addr.addr6) == 1;
}

static void servers_set(struct loop *loop)
{
	const struct config_list *list = &loop->config->federation_dns_servers;
	struct ares_addr_port_node servers[DNS_SERVERS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < list->count && n < DNS_SERVERS_MAX; i++) {
		if (!server_parse(list->items[i], &servers[n]))
			continue;
		if (n > 0)
			servers[n - 1].next = &servers[n];
		n++;
	}
	if (n > 0 && ares_set_servers_ports(loop->ares, servers) != ARES_SUCCESS)
		fatal("cannot use the name servers of the configuration");
}

static bool is_loopback(const struct ares_addr_port_node *server)
{
	if (server->family == AF_INET)
		return (ntohl(server->addr.addr4.s_addr) >> 24) == 127;
	return memcmp(&server->addr.addr6, &in6addr_loopback, sizeof in6addr_loopback) == 0;
}

/* An AD bit that came over a network is worth nothing. */
static bool servers_are_loopback(ares_channel channel)
{
	struct ares_addr_port_node *servers;
	bool all = true;

	if (ares_get_servers_ports(channel, &servers) != ARES_SUCCESS)
		return false;
	for (struct ares_addr_port_node *s = servers; s != NULL; s = s->next)
		all = all && is_loopback(s);
	if (servers == NULL)
		all = false;
	ares_free_data(servers);
	return all;
}

static void ares_start(struct loop *loop)
{
	/* Large answers come over TCP; ares_send() asks for nothing but what it is given. */
	struct ares_options options = {.flags = ARES_FLAG_EDNS,
				       .timeout = DNS_TIMEOUT_MS,
				       .tries = DNS_TRIES,
				       .ednspsz = DNS_PACKET,
				       .sock_state_cb = socket_changed,
				       .sock_state_cb_data = loop};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
		   ARES_OPT_SOCK_STATE_CB;
	int status = ares_library_init(ARES_LIB_INIT_ALL);

	if (status == ARES_SUCCESS)
		status = ares_init_options(&loop->ares, &options, mask);
	if (status != ARES_SUCCESS)
		fatal("cannot start c-ares: %s", ares_strerror(status));
	servers_set(loop);
	loop->dns_trusted =
		loop->config->federation_dns_trusted && servers_are_loopback(loop->ares);
	if (loop->config->federation_dns_trusted && !loop->dns_trusted)
		log_warn(config, "reason=\"federation.dns_trusted needs name servers on "
				 "loopback addresses: DNSSEC is not believed\"");
}

/* The loop */

struct loop *loop_create(const struct config *config)
{
	struct loop *loop = calloc(1, sizeof *loop);

	if (loop == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		fatal("cannot start libcurl");
	loop->config = config;
	loop->last_task = &loop->tasks;
	loop->multi = curl_multi_init();
	if (loop->multi == NULL)
		fatal("cannot start libcurl");
	curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
	curl_multi_setopt(loop->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	ares_start(loop);
	return loop;
}

static void run_tasks(struct loop *loop)
{
	struct loop_task end = {0}, *task;

	/* Tasks that these defer come in the next turn. Each is taken off just before it runs:
	 * until then another may forget it. */
	loop_defer(loop, &end);
	while ((task = loop->tasks) != &end) {
		loop_forget(loop, task);
		task->run(task);
	}
	loop_forget(loop, &end);
}

void loop_destroy(struct loop **loop)
{
	struct loop *l = *loop;

	if (l == NULL)
		return;
	l->closing = true;
	ares_destroy(l->ares); /* its queries end as tasks, which then free themselves */
	run_tasks(l);
	curl_multi_cleanup(l->multi);
	ares_library_cleanup();
	curl_global_cleanup();
	free(l->sockets);
	free(l);
	*loop = NULL;
}

static int poll_timeout(struct loop *loop, int timeout_ms)
{
	struct timeval max = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
	struct timeval tv;
	struct timeval *least;

	if (loop->tasks != NULL)
		return 0;
	least = ares_timeout(loop->ares, &max, &tv);
	return (int)(least->tv_sec * 1000 + (least->tv_usec + 999) / 1000);
}

static void ares_turn(struct loop *loop, const struct curl_waitfd *polled, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		bool in = (polled[i].revents & CURL_WAIT_POLLIN) != 0;
		bool out = (polled[i].revents & CURL_WAIT_POLLOUT) != 0;

		if (in || out)
			ares_process_fd(loop->ares, in ? polled[i].fd : ARES_SOCKET_BAD,
					out ? polled[i].fd : ARES_SOCKET_BAD);
	}
	ares_process_fd(loop->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* timeouts */
}

static void curl_turn(struct loop *loop)
{
	CURLMsg *done;
	int running, left;

	curl_multi_perform(loop->multi, &running);
	while ((done = curl_multi_info_read(loop->multi, &left)) != NULL)
		if (done->msg == CURLMSG_DONE)
			transfer_finished(done->easy_handle, done->data.result);
}

void loop_turn(struct loop *loop, int timeout_ms)
{
	unsigned n = loop->n_sockets;
	/* A copy: processing changes the sockets. */
	struct curl_waitfd *polled = calloc(n + 1, sizeof *polled);

	if (polled == NULL)
		fatal("out of memory");
	if (n > 0)
		memcpy(polled, loop->sockets, n * sizeof *polled);
	curl_multi_poll(loop->multi, polled, n, poll_timeout(loop, timeout_ms), NULL);
	ares_turn(loop, polled, n);
	free(polled);
	curl_turn(loop);
	run_tasks(loop);
}

void loop_wake(void *loop)
{
	curl_multi_wakeup(((struct loop *)loop)->multi);
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
	if (task->waiting)
		return;
	task->waiting = true;
	task->next = NULL;
	*loop->last_task = task;
	loop->last_task = &task->next;
}

void loop_forget(struct loop *loop, struct loop_task *task)
{
	struct loop_task **at = &loop->tasks;

	while (*at != NULL && *at != task)
		at = &(*at)->next;
	if (*at == NULL)
		return;
	*at = task->next;
	if (loop->last_task == &task->next)
		loop->last_task = at;
	task->waiting = false;
}

CURLM *loop_curl(struct loop *loop)
{
	return loop->multi;
}

ares_channel loop_ares(struct loop *loop)
{
	return loop->ares;
}

const struct config *loop_config(const struct loop *loop)
{
	return loop->config;
}

bool loop_dns_is_trusted(const struct loop *loop)
{
	return loop->dns_trusted;
}

bool loop_is_closing(const struct loop *loop)
{
	return loop->closing;
}
