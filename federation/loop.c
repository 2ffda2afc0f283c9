/* SPDX-License-Identifier: MIT
 *
 * The loop of the federation thread. One epoll waits for everything: the sockets of curl and of
 * c-ares, and being woken; a turn costs what happened in it, however many transfers there are.
 * What curl and c-ares report is put off to the end of the turn, so that whoever is told may
 * start and cancel things freely.
 */
#include "loop.h"

#include "restante/clock.h"
#include "restante/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#define DNS_TIMEOUT_MS	1500 /* of the first try; doubles */
#define DNS_TRIES	2
#define DNS_PACKET	1232 /* avoids fragments */
#define DNS_SERVERS_MAX 8
#define EVENTS_MAX	256  /* of one turn */
#define CONNECTIONS	1024 /* in all; beyond it idle ones are closed */

struct loop {
	const struct config *config;
	CURLM *multi;
	ares_channel ares;
	bool dns_trusted;
	bool closing;
	int epoll, wake;
	int64_t curl_due_ms; /* monotonic: when curl wants to be called for its timers */
	struct loop_task *tasks, **last_task;
	size_t answer_bytes;
};

/* Sockets: which of them to wait for, as their owners say */

enum owner { OWNER_CURL, OWNER_ARES, OWNER_WAKE };

static uint64_t event_data(enum owner owner, int fd)
{
	return (uint64_t)owner << 32 | (uint32_t)fd;
}

/* One that has been closed is gone by itself. */
static void socket_watch(struct loop *loop, enum owner owner, int fd, bool in, bool out)
{
	struct epoll_event event = {.events = (in ? EPOLLIN : 0) | (out ? EPOLLOUT : 0),
				    .data.u64 = event_data(owner, fd)};

	if (!in && !out)
		(void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fd, &event) != 0 &&
		 epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		fatal("cannot wait for a socket: %s", strerror(errno));
}

/* curl */

static int curl_socket_changed(CURL *easy, curl_socket_t fd, int what, void *context,
			       void *socket_context)
{
	(void)easy;
	(void)socket_context;
	socket_watch(context, OWNER_CURL, fd, what == CURL_POLL_IN || what == CURL_POLL_INOUT,
		     what == CURL_POLL_OUT || what == CURL_POLL_INOUT);
	return 0;
}

static int curl_timer_changed(CURLM *multi, long timeout_ms, void *context)
{
	struct loop *loop = context;

	(void)multi;
	loop->curl_due_ms = timeout_ms < 0 ? INT64_MAX : clock_monotonic_ms() + timeout_ms;
	return 0;
}

static void curl_start(struct loop *loop)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    (loop->multi = curl_multi_init()) == NULL)
		fatal("cannot start libcurl");
	loop->curl_due_ms = INT64_MAX;
	curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
	curl_multi_setopt(loop->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, curl_socket_changed);
	curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
	curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, curl_timer_changed);
	curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
}

/* c-ares */

static void ares_socket_changed(void *data, ares_socket_t fd, int readable, int writable)
{
	socket_watch(data, OWNER_ARES, fd, readable, writable);
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
				       .sock_state_cb = ares_socket_changed,
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

static void wake_start(struct loop *loop)
{
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll < 0 || loop->wake < 0)
		fatal("cannot start a loop: %s", strerror(errno));
	socket_watch(loop, OWNER_WAKE, loop->wake, true, false);
}

struct loop *loop_create(const struct config *config)
{
	struct loop *loop = calloc(1, sizeof *loop);

	if (loop == NULL)
		fatal("out of memory");
	loop->config = config;
	loop->last_task = &loop->tasks;
	wake_start(loop);
	curl_start(loop);
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
	close(l->wake);
	close(l->epoll);
	free(l);
	*loop = NULL;
}

static int poll_timeout(struct loop *loop, int timeout_ms)
{
	int64_t due_ms = loop->curl_due_ms - clock_monotonic_ms();
	struct timeval max, tv;
	struct timeval *least;

	if (loop->tasks != NULL || due_ms <= 0)
		return 0;
	if (due_ms < timeout_ms)
		timeout_ms = (int)due_ms;
	max = (struct timeval){.tv_sec = timeout_ms / 1000,
			       .tv_usec = timeout_ms % 1000 * 1000};
	least = ares_timeout(loop->ares, &max, &tv);
	return (int)(least->tv_sec * 1000 + (least->tv_usec + 999) / 1000);
}

static void curl_event(struct loop *loop, int fd, uint32_t events)
{
	int what = 0, running; /* 0: curl looks itself */

	if ((events & EPOLLIN) != 0)
		what |= CURL_CSELECT_IN;
	if ((events & EPOLLOUT) != 0)
		what |= CURL_CSELECT_OUT;
	curl_multi_socket_action(loop->multi, fd, what, &running);
}

static void ares_event(struct loop *loop, int fd, uint32_t events)
{
	bool out = (events & EPOLLOUT) != 0;
	bool in = (events & ~(uint32_t)EPOLLOUT) != 0;

	ares_process_fd(loop->ares, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
}

/* Events of a socket that has been closed by what came before it do no harm. */
static void take_events(struct loop *loop, const struct epoll_event *events, int n)
{
	uint64_t wakes;

	for (int i = 0; i < n; i++) {
		int fd = (int)(uint32_t)events[i].data.u64;

		switch ((enum owner)(events[i].data.u64 >> 32)) {
		case OWNER_CURL:
			curl_event(loop, fd, events[i].events);
			break;
		case OWNER_ARES:
			ares_event(loop, fd, events[i].events);
			break;
		case OWNER_WAKE:
			(void)!read(loop->wake, &wakes, sizeof wakes);
			break;
		}
	}
}

static void run_timers(struct loop *loop)
{
	int running;

	ares_process_fd(loop->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	if (clock_monotonic_ms() < loop->curl_due_ms)
		return;
	loop->curl_due_ms = INT64_MAX;
	curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

static void take_finished(struct loop *loop)
{
	CURLMsg *done;
	int left;

	while ((done = curl_multi_info_read(loop->multi, &left)) != NULL)
		if (done->msg == CURLMSG_DONE)
			transfer_finished(done->easy_handle, done->data.result);
}

void loop_turn(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(loop->epoll, events, EVENTS_MAX, poll_timeout(loop, timeout_ms));

	take_events(loop, events, n);
	run_timers(loop);
	take_finished(loop);
	run_tasks(loop);
}

void loop_wake(void *loop)
{
	uint64_t one = 1;

	(void)!write(((struct loop *)loop)->wake, &one, sizeof one);
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

	if (!task->waiting)
		return;
	while (*at != task)
		at = &(*at)->next;
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

size_t *loop_answer_bytes(struct loop *loop)
{
	return &loop->answer_bytes;
}
