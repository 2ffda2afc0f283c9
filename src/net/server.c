/* SPDX-License-Identifier: MIT
 *
 * The server as a whole: libwebsockets on a loop of libuv, all on the net thread. Other
 * threads reach it through the inbox and two flags only.
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

/* Behind a proxy all come from the proxy. */
static bool welcomes(const struct server *server, const char *source)
{
	const struct server_config *config = server->config;

	if (server->n_connections >= config->max_connections)
		return false;
	return config->max_per_source == 0 || config->trust_forwarded_for ||
	       tally_of(server->sources, source) < config->max_per_source;
}

static void accepted(void *context, int fd, const struct sockaddr *peer)
{
	struct server *server = context;
	struct peer from = {.loopback = source_is_loopback(peer)};
	lws_adopt_desc_t adopt = {
		.vh = server->vhost,
		.type = LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL,
		.fd = {.sockfd = fd},
		.vh_prot_name = PROTOCOL_NAME,
		.opaque = &from, /* connection_event() copies it before this call returns */
	};

	source_of_address(peer, from.source);
	if (!welcomes(server, from.source)) {
		metric_inc(http_refused_total);
		close(fd);
		return;
	}
	/* On failure it closes the socket. */
	(void)lws_adopt_descriptor_vhost_via_info(&adopt);
}

/* --- the budget of bytes -------------------------------------------------------------- */

bool server_reserve(struct server *server, size_t len)
{
	size_t budget = server->config->buffer_budget;

	if (budget > 0 && (server->held >= budget ? len > 0 : len > budget - server->held))
		return false;
	server_hold(server, len);
	return true;
}

void server_hold(struct server *server, size_t len)
{
	server->held += len;
}

void server_release(struct server *server, size_t len)
{
	assert(len <= server->held);
	server->held -= len;
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
	if (atomic_exchange(&server->reload, false)) {
		tls_reload(server);
		if (server->config->reloaded != NULL)
			server->config->reloaded(server->config->context);
	}
	if (!server->draining && atomic_load(&server->stop))
		begin_draining(server);
	inbox_dispatch(server->inbox, server->config->context);
	if (server->config->dispatched != NULL)
		server->config->dispatched(server->config->context);
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

	tls_configure(server->config, &info);
	lws_set_log_level(LLL_ERR | LLL_WARN, log_library);
	server->lws = lws_create_context(&info);
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
	server->head_timeout_ms = smaller(HEAD_TIMEOUT_MS, config->request_timeout_ms);
	server->inbox = inbox_create(INBOX_CAPACITY, wake, server);
	server->sources = tally_create(config->max_connections);
	set_file_limit(config->max_connections);
	uv_timer_init(&server->loop, &server->sweep);
	server->sweep.data = server;
	uv_timer_start(&server->sweep, sweep, sweep_period_ms(server), sweep_period_ms(server));
	uv_prepare_init(&server->loop, &server->serve);
	server->serve.data = server;
	uv_prepare_start(&server->serve, serve);
	err = create_context(server);
	if (err == ERR_OK)
		err = open_listener(server);
	if (err != ERR_OK) {
		server_destroy(&server);
		return err;
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
	uv_run(&s->loop, UV_RUN_DEFAULT);
	if (s->lws != NULL)
		lws_context_destroy(s->lws);
	if (uv_loop_close(&s->loop) != 0)
		log_warn(stopped, "error=\"the loop still has handles\"");
	inbox_destroy(&s->inbox);
	tally_destroy(&s->sources);
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
