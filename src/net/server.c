/* SPDX-License-Identifier: MIT
 *
 * The server as a whole: libwebsockets on a loop of libuv, all on one net thread. Other
 * threads reach it through the inbox and a few flags only. Where there are several net threads
 * the first one accepts, and each gets as many connections as the others.
 */
#include "net.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define PROTOCOL_NAME  "restante"
#define INBOX_CAPACITY 65536
/* File descriptors besides those of connections: databases, other nodes, files. */
#define OTHER_FILES    2048
#define SWEEP_MIN_MS   10
#define SWEEP_MAX_MS   SECONDS_MS

static const struct lws_protocols protocols[] = {
	{
		.name = PROTOCOL_NAME,
		.callback = connection_event,
		.per_session_data_size = sizeof(struct connection),
	},
	{0},
};

/* --- connections come -------------------------------------------------------------- */

/* A connection on its way to the thread that will have it. */
struct arrival {
	struct message message;
	struct server *server;
	int fd;
	struct peer peer;
};

static void count(struct server *server, struct peer *peer)
{
	atomic_fetch_add(&server->n_connections, 1);
	peer->counted = tally_add(server->first->sources, peer->source);
}

void server_uncount(struct server *server, struct peer *peer)
{
	tally_remove(server->first->sources, &peer->counted);
	atomic_fetch_sub(&server->n_connections, 1);
}

static void adopt(struct server *server, int fd, struct peer *peer)
{
	lws_adopt_desc_t desc = {
		.vh = server->vhost,
		.type = LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL,
		.fd = {.sockfd = fd},
		.vh_prot_name = PROTOCOL_NAME,
		.opaque = peer, /* connection_event() takes it over before this call returns */
	};

	if (server->draining)
		close(fd);
	else /* on failure it closes the socket */
		(void)lws_adopt_descriptor_vhost_via_info(&desc);
	if (peer->counted != NULL)
		server_uncount(server, peer);
	server_drained(server);
}

static void arrived(struct message *message, void *receiver)
{
	struct arrival *arrival = (struct arrival *)(void *)message;

	(void)receiver;
	adopt(arrival->server, arrival->fd, &arrival->peer);
	free(arrival);
}

static void hand_over(struct server *to, int fd, struct peer *peer)
{
	struct arrival *arrival = calloc(1, sizeof *arrival);

	if (arrival == NULL)
		fatal("out of memory");
	*arrival = (struct arrival){
		.message.deliver = arrived, .server = to, .fd = fd, .peer = *peer};
	if (inbox_post(to->inbox, &arrival->message))
		return;
	server_uncount(to, peer);
	close(fd);
	free(arrival);
}

/* Behind a proxy all come from the proxy. */
static bool welcomes(const struct server *first, size_t n_connections, const char *source)
{
	const struct server_config *config = first->config;

	if (n_connections >= config->max_connections)
		return false;
	return config->max_per_source == 0 || config->trust_forwarded_for ||
	       tally_of(first->sources, source) < config->max_per_source;
}

/* The one with the fewest connections. */
static struct server *next_to_have_one(struct server *first, size_t *total_out)
{
	struct server *least = first;

	*total_out = 0;
	for (struct server *s = first; s != NULL; s = s->further) {
		*total_out += s->n_connections;
		if (s->n_connections < least->n_connections)
			least = s;
	}
	return least;
}

static void accepted(void *context, int fd, const struct sockaddr *address)
{
	struct server *first = context;
	size_t total;
	struct server *to = next_to_have_one(first, &total);
	struct peer peer = {.loopback = source_is_loopback(address)};

	source_of_address(address, peer.source);
	if (!welcomes(first, total, peer.source)) {
		metric_inc(http_refused_total);
		close(fd);
		return;
	}
	count(to, &peer);
	if (to == first)
		adopt(to, fd, &peer);
	else
		hand_over(to, fd, &peer);
}

/* --- the budget of bytes -------------------------------------------------------------- */

bool server_reserve(struct server *server, size_t len)
{
	size_t budget = server->config->buffer_budget;
	size_t held = atomic_fetch_add(&server->first->held, len);

	if (budget == 0 || len == 0 || (held < budget && len <= budget - held))
		return true;
	server_release(server, len);
	return false;
}

void server_hold(struct server *server, size_t len)
{
	atomic_fetch_add(&server->first->held, len);
}

void server_release(struct server *server, size_t len)
{
	size_t held = atomic_fetch_sub(&server->first->held, len);

	assert(len <= held);
	(void)held;
}

/* --- time passes ------------------------------------------------------------------- */

static void kill_all(struct server *server)
{
	for (struct connection *c = server->connections; c != NULL; c = c->next)
		connection_kill(c);
}

static void sweep(uv_timer_t *timer)
{
	struct server *server = timer->data;
	int64_t now_ms = clock_monotonic_ms();

	for (struct connection *c = server->connections; c != NULL; c = c->next)
		connection_sweep(c, now_ms);
	if (server->listener != NULL)
		listener_retry(server->listener);
	if (server->draining && now_ms >= server->drain_until_ms)
		kill_all(server);
	server_drained(server); /* the last one may not have come to this thread at all */
	if (now_ms < server->next_tick_ms)
		return;
	server->next_tick_ms = now_ms + SECONDS_MS;
	server->refusals_logged = 0;
	if (server->config->tick != NULL)
		server->config->tick(server->config->context, clock_now_ms());
}

static void serve(uv_prepare_t *prepare)
{
	connections_serve(prepare->data);
}

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Often enough for the shortest of the timeouts. */
static uint64_t sweep_period_ms(const struct server *server)
{
	int64_t period =
		smaller(smaller(server->head_timeout_ms, server->config->socket_idle_ms) / 8,
			SWEEP_MAX_MS);

	return (uint64_t)(period > SWEEP_MIN_MS ? period : SWEEP_MIN_MS);
}

/* --- other threads call ------------------------------------------------------------ */

static void wake(void *context)
{
	struct server *server = context;

	lws_cancel_service(server->lws);
}

void server_drained(struct server *server)
{
	if (server->draining && server->n_connections == 0)
		uv_stop(&server->loop);
}

static void begin_draining(struct server *server)
{
	server->draining = true;
	server->drain_until_ms = clock_monotonic_ms() + server->drain_seconds * SECONDS_MS;
	listener_close(&server->listener);
	for (struct connection *c = server->connections; c != NULL; c = c->next) {
		if (c->state == CONNECTION_SOCKET)
			socket_close(c->socket, CLOSE_RESTART, "restart");
		else if (c->state == CONNECTION_HEAD && !c->begun)
			connection_kill(c);
	}
	server_drained(server);
}

void server_woken(struct server *server)
{
	if (atomic_exchange(&server->files_are_new, false))
		tls_use_files(server);
	if (atomic_exchange(&server->reload, false)) {
		tls_reload(server);
		if (server->config->reloaded != NULL)
			server->config->reloaded(server->config->context);
	}
	if (!server->draining && atomic_load(&server->stop))
		begin_draining(server);
	inbox_dispatch(server->inbox, server->config->context);
}

void server_stop(struct server *server)
{
	int saved_errno = errno;

	atomic_store(&server->stop, true);
	wake(server);
	errno = saved_errno;
}

void server_reload(struct server *server)
{
	int saved_errno = errno;

	atomic_store(&server->reload, true);
	wake(server);
	errno = saved_errno;
}

/* --- begin and end ----------------------------------------------------------------- */

static void log_library(int level, const char *line)
{
	char text[256];
	size_t len = strcspn(line, "\r\n");

	(void)level;
	snprintf(text, sizeof text, "%.*s", (int)(len < sizeof text ? len : sizeof text - 1),
		 line);
	log_debug(tls, "libwebsockets=%s", log_quote(text));
}

/* libwebsockets makes tables as large as the limit, which some systems set to a
 * thousand million. */
static void set_file_limit(size_t max_connections)
{
	rlim_t wanted = max_connections + OTHER_FILES;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_cur >= wanted && limit.rlim_cur <= 1024 * 1024)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
		log_warn(listening, "file_limit=%llu wanted=%llu",
			 (unsigned long long)limit.rlim_cur, (unsigned long long)wanted);
}

static enum err create_context(struct server *server)
{
	void *loops[] = {&server->loop};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.vhost_name = PROTOCOL_NAME,
		.protocols = protocols,
		.user = server,
		.foreign_loops = loops,
		.pt_serv_buf_size = PIECE_MAX,
		.timeout_secs =
			(unsigned)((server->head_timeout_ms + SECONDS_MS - 1) / SECONDS_MS),
		.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME,
	};

	lws_set_log_level(LLL_ERR | LLL_WARN, log_library);
	/* What libwebsockets sets up for the whole process is what earlier contexts go on
	 * using. */
	if (server->first == server)
		tls_configure(server->config, &info);
	server->lws = lws_create_context(&info);
	tls_configure(server->config, &info);
	if (server->lws == NULL) {
		log_error(listening, "error=\"libwebsockets does not start\"");
		return ERR_INTERNAL;
	}
	server->vhost = lws_create_vhost(server->lws, &info);
	if (server->vhost == NULL) {
		log_error(tls, "file=%s error=\"cannot be used with its key\"",
			  log_quote(server->config->certificate));
		return ERR_INTERNAL;
	}
	return ERR_OK;
}

static enum err open_listener(struct server *server)
{
	const struct server_config *config = server->config;
	enum err err = listener_create(&server->loop, config->host, config->port, accepted,
				       server, &server->listener);

	if (err == ERR_OK)
		log_info(listening, "host=%s port=%d tls=%s", log_quote(config->host),
			 server_port(server), config->certificate != NULL ? "yes" : "no");
	return err;
}

enum err server_create(const struct server_config *config, struct server **server_out)
{
	struct server *server = calloc(1, sizeof *server);
	enum err err;

	if (server == NULL || uv_loop_init(&server->loop) != 0)
		fatal("cannot make a server");
	server->config = config;
	server->first = config->first != NULL ? config->first : server;
	server->head_timeout_ms = smaller(HEAD_TIMEOUT_MS, config->request_timeout_ms);
	server->inbox = inbox_create(INBOX_CAPACITY, wake, server);
	if (server->first == server) {
		server->sources = tally_create(config->max_connections);
		set_file_limit(config->max_connections);
	}
	uv_timer_init(&server->loop, &server->sweep);
	server->sweep.data = server;
	uv_timer_start(&server->sweep, sweep, sweep_period_ms(server), sweep_period_ms(server));
	uv_prepare_init(&server->loop, &server->serve);
	server->serve.data = server;
	uv_prepare_start(&server->serve, serve);
	err = create_context(server);
	if (err == ERR_OK && server->first == server)
		err = open_listener(server);
	if (err != ERR_OK) {
		server_destroy(&server);
		return err;
	}
	if (server->first != server) {
		server->further = server->first->further;
		server->first->further = server;
	}
	*server_out = server;
	return ERR_OK;
}

void server_destroy(struct server **server)
{
	struct server *s = *server;

	if (s == NULL)
		return;
	while (inbox_dispatch(s->inbox, s->config->context) > 0)
		continue;
	listener_close(&s->listener);
	uv_close((uv_handle_t *)&s->sweep, NULL);
	uv_close((uv_handle_t *)&s->serve, NULL);
	/* With a loop that is not its own libwebsockets goes in two steps: the first one
	 * closes its handles, which takes the loop, the second one frees the rest. */
	if (s->lws != NULL)
		lws_context_destroy(s->lws);
	/* A loop that was stopped after it had ended does not begin at once. */
	while (uv_run(&s->loop, UV_RUN_DEFAULT) != 0)
		continue;
	if (s->lws != NULL)
		lws_context_destroy(s->lws);
	if (uv_loop_close(&s->loop) != 0)
		log_warn(stopped, "error=\"the loop still has handles\"");
	inbox_destroy(&s->inbox);
	tally_destroy(&s->sources);
	explicit_bzero(s->ticket_keys, sizeof s->ticket_keys);
	free(s);
	*server = NULL;
}

void server_run(struct server *server, int drain_seconds)
{
	server->drain_seconds = drain_seconds;
	uv_run(&server->loop, UV_RUN_DEFAULT);
}

struct inbox *server_inbox(struct server *server)
{
	return server->inbox;
}

int server_port(const struct server *server)
{
	return server->listener != NULL ? listener_port(server->listener) : 0;
}
