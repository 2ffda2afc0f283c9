/* SPDX-License-Identifier: MIT
 *
 * The parts of a node put together: what is started in which order, and stopped in the
 * reverse one. Clients go first, and with them all net threads but the first, then the
 * federation thread, which still needs the store, then the store, which up to then tells the
 * others.
 */
#include "node.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"
#include "restante/metrics.h"
#include "restante/ops_messages.h"
#include "restante/password.h"
#include "restante/thread.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define POOL_THREADS	  2
#define POOL_CAPACITY	  64
#define STORE_CAPACITY	  4096
/* Of all origins together: about 240 MB, which some 75 origins at their limit could fill. */
#define NONCES_MAX	  2000000
/* What LIMIT_ORIGIN lets through while two generations of nonces are kept. */
#define NONCES_PER_ORIGIN (100 + 20 * 2 * S2S_NONCE_KEPT_S)
#define EXPIRE_EVERY_MS	  MINUTES_MS
#define EXPIRE_ROWS	  2000
#define DRAIN_SECONDS	  2
#define SOCKET_FRAME_MAX  ((size_t)4 << 20)
/* The frame with the token. */
#define SOCKET_FIRST_MAX  ((size_t)8 << 10)

static enum strangers strangers_of(const struct config *config)
{
	enum strangers strangers = STRANGERS_REQUEST;
	enum err err = strangers_parse(bytes_of_text(config->accounts_strangers), &strangers);

	assert(err == ERR_OK); /* one of the option's choices */
	(void)err;
	return strangers;
}

void node_store_config(const struct config *config, struct store_config *store_out)
{
	*store_out = (struct store_config){
		.url = config->store_url,
		.data_dir = config->node_data_dir,
		.domain = config->node_domain,
		.max_devices = config->accounts_max_devices,
		.strangers = strangers_of(config),
		.prekeys_max = config->limits_prekeys,
		.first_contact = config->limits_first_contact,
		.mailbox_items = config->limits_mailbox_items,
		.mailbox_bytes = config->limits_mailbox_bytes,
		.mailbox_life_ms = config->limits_mailbox_life,
		.outbox_items = config->limits_outbox_items,
		.outbox_bytes = config->limits_outbox_bytes,
		.outbox_life_ms = config->limits_outbox_life,
		.no_remote_receipts = !config->federation_receipts,
		.inbox_capacity = STORE_CAPACITY,
	};
}

/* --- posting ------------------------------------------------------------------------ */

/* While a node stops, what comes back may still want to go on. */

bool node_post(struct node *node, struct store_op *op)
{
	return node->shared->store != NULL && store_post(node->shared->store, op);
}

bool node_post_job(struct node *node, struct job *job)
{
	return node->shared->pool != NULL && worker_post(node->shared->pool, job);
}

bool node_post_call(struct node *node, struct remote_call *call)
{
	return node->shared->federation != NULL &&
	       federation_call(node->shared->federation, call);
}

bool node_post_query(struct node *node, struct peer_query *query)
{
	return node->shared->federation != NULL &&
	       federation_query(node->shared->federation, query);
}

/* --- once a second ------------------------------------------------------------------ */

static void node_expired(struct message *message)
{
	struct op_expire *op = (struct op_expire *)message;
	struct shared *shared = op->op.context;
	struct arena *arena = op->op.arena;

	shared->expiring = false;
	shared->ready = op->op.err == ERR_OK;
	if (op->removed > 0)
		log_info(expired, "rows=%lld envelopes=%lld", (long long)op->removed,
			 (long long)op->envelopes_removed);
	metric_add(METRIC_envelopes_expired_total, op->envelopes_removed);
	if (op->op.err == ERR_OK && op->more)
		shared->next_expiry_ms = 0; /* go on at the next tick */
	arena_destroy(&arena);
}

/* Housekeeping of the store; its success is also the sign that the store works. */
static void node_expire(struct node *node, int64_t now_ms)
{
	struct shared *shared = node->shared;
	struct arena *arena;
	struct op_expire *op;

	if (shared->expiring || now_ms < shared->next_expiry_ms)
		return;
	arena = arena_create();
	op = arena_new(arena, struct op_expire);
	op->op.kind = STORE_EXPIRE;
	op->op.arena = arena;
	op->op.now_ms = clock_now_ms();
	op->op.context = shared;
	op->op.message.reply_to = node->inbox;
	op->op.message.returned = node_expired;
	op->limit = EXPIRE_ROWS;
	shared->expiry_ms = now_ms;
	shared->next_expiry_ms = now_ms + (shared->ready ? EXPIRE_EVERY_MS : SECONDS_MS);
	shared->expiring = node_post(node, &op->op);
	if (!shared->expiring)
		arena_destroy(&arena);
}

static void node_tick(void *context, int64_t now_ms)
{
	struct node *node = context;

	(void)now_ms;
	if (node_is_first(node)) {
		node_expire(node, clock_monotonic_ms());
		document_tick(node);
	}
	node_catch_up(node);
	sockets_tick(node, clock_monotonic_ms());
	live_tick(node->live, clock_now_ms());
}

static void node_reloaded(void *context)
{
	document_renew(context);
}

/* --- start -------------------------------------------------------------------------- */

static void live_send(void *socket, struct bytes text)
{
	socket_send(socket, text);
}

static size_t live_queued(const void *socket)
{
	return socket_queued(socket);
}

static void live_close(void *socket, uint16_t code, const char *reason)
{
	socket_close(socket, code, reason);
}

/* A hash that costs as much to check as a real one. */
static enum err start_no_password(struct shared *shared)
{
	struct password_cost cost = {(uint64_t)shared->config->accounts_password_passes,
				     (size_t)shared->config->accounts_password_memory};
	char random[2 * 16 + 1];
	uint8_t bytes[16];

	crypto_random(bytes, sizeof(bytes));
	hex_encode(bytes_of(bytes, sizeof(bytes)), random);
	return password_hash(bytes_of_text(random), cost, shared->no_password_hash);
}

/* The table of routes with the configured limit for bodies. */
static const struct route *start_routes(struct node *node)
{
	size_t n = 0;
	struct route *routes;

	while (api_routes[n].path != NULL)
		n++;
	routes = arena_array(node->arena, struct route, n + 1);
	memcpy(routes, api_routes, n * sizeof(*routes));
	for (size_t i = 0; i < n; i++) {
		if (routes[i].body_max > (size_t)node->config->limits_body)
			routes[i].body_max = (size_t)node->config->limits_body;
	}
	return routes;
}

static enum err start_server(struct node *node)
{
	const struct config *config = node->config;
	bool tls = config->listen_certificate[0] != '\0';

	node->server_config = (struct server_config){
		.first = node->shared->nodes[0]->server, /* NULL for the first itself */
		.host = config->listen_host,
		.port = (int)config->listen_port,
		.certificate = tls ? config->listen_certificate : NULL,
		.key = tls ? config->listen_key : NULL,
		.cors_origins = config->listen_cors_origins.items,
		.trust_forwarded_for = config->listen_trust_forwarded_for,
		.max_connections = (size_t)config->listen_max_connections,
		.max_per_source = (size_t)config->listen_max_connections_per_source,
		.buffer_budget = (size_t)config->listen_buffer_memory,
		.socket_first_frame_max = SOCKET_FIRST_MAX,
		.socket_frame_max = SOCKET_FRAME_MAX,
		.request_timeout_ms = config->listen_request_timeout,
		.socket_idle_ms = config->listen_socket_idle,
		.routes = start_routes(node),
		.socket_path = "/api/v1/ws",
		.sockets = api_sockets,
		.authorize = api_authorize,
		.precheck = inbound_precheck,
		.tick = node_tick,
		.reloaded = node_reloaded,
		.context = node,
	};
	return server_create(&node->server_config, &node->server);
}

/* One net thread's part of the node. */
static enum err start_thread(struct node *node)
{
	enum err err = start_server(node);

	if (err != ERR_OK)
		return err;
	node->inbox = server_inbox(node->server);
	node->live = live_create(&(struct live_config){.store = node->shared->store,
						       .inbox = node->inbox,
						       .send = live_send,
						       .queued = live_queued,
						       .close = live_close,
						       .directory = node->shared->directory,
						       .holder = node,
						       .displaces = node_displaces});
	return ERR_OK;
}

static struct node *node_new(struct shared *shared, struct arena *arena)
{
	struct node *node = arena_new(arena, struct node);

	node->arena = arena;
	node->shared = shared;
	node->config = shared->config;
	node->index = shared->n_nodes;
	shared->nodes[shared->n_nodes++] = node;
	return node;
}

static enum err start_other_threads(struct shared *shared)
{
	enum err err = ERR_OK;

	while (err == ERR_OK && shared->n_nodes < (size_t)shared->config->listen_threads) {
		struct node *node = node_new(shared, arena_create());

		document_join(node);
		err = start_thread(node);
	}
	return err;
}

static enum err start_federation(struct node *node)
{
	struct federation_config config = {.config = node->config,
					   .policy = node->shared->policy,
					   .key = &node->signer,
					   .store = node->shared->store};

	node->signer_is_news = false;
	return federation_start(&config, &node->shared->federation);
}

static void start_tables(struct shared *shared)
{
	const struct config *config = shared->config;

	limits_divide(shared, 1);
	shared->nonces = nonces_create(NONCES_MAX,
				       NONCES_PER_ORIGIN * (size_t)config->limits_rate_scale);
	shared->policy = policy_create(config);
	shared->origins = origins_create();
	shared->directory = directory_create();
}

static enum err node_start(struct node *node)
{
	struct shared *shared = node->shared;
	enum err err;

	start_tables(shared);
	node_store_config(node->config, &shared->store_config);
	shared->store_config.serves = true;
	shared->store_config.told = node_told;
	shared->store_config.told_context = shared;
	err = document_start(node);
	if (err == ERR_OK)
		err = start_no_password(shared);
	if (err == ERR_OK)
		err = store_open(&shared->store_config, &shared->store);
	if (err != ERR_OK)
		return err;
	shared->pool = worker_pool_start("slow", POOL_THREADS, POOL_CAPACITY);
	err = start_thread(node);
	if (err == ERR_OK)
		err = start_other_threads(shared);
	if (err == ERR_OK)
		err = start_federation(node);
	if (err == ERR_OK)
		err = store_start_news(shared->store);
	return err;
}

enum err node_create(const struct config *config, struct node **node_out)
{
	struct arena *arena = arena_create();
	struct shared *shared = arena_new(arena, struct shared);
	struct node *node;
	enum err err;

	shared->config = config;
	node = node_new(shared, arena);
	err = node_start(node);
	if (err != ERR_OK) {
		node_destroy(&node);
		return err;
	}
	log_info(started, "domain=%s port=%d version=%s", config->node_domain,
		 server_port(node->server), RESTANTE_VERSION);
	*node_out = node;
	return ERR_OK;
}

/* --- run ---------------------------------------------------------------------------- */

static void *net_main(void *context)
{
	struct node *node = context;

	server_run(node->server, DRAIN_SECONDS);
	crypto_thread_end();
	return NULL;
}

void node_run(struct node *node)
{
	struct shared *shared = node->shared;

	for (size_t i = 1; i < shared->n_nodes; i++) {
		struct node *other = shared->nodes[i];

		thread_start(&other->thread, arena_printf(other->arena, "net-%zu", i + 1),
			     net_main, other);
	}
	server_run(node->server, DRAIN_SECONDS);
	for (size_t i = 1; i < shared->n_nodes; i++)
		pthread_join(shared->nodes[i]->thread, NULL);
	log_info(stopping, "domain=%s", node->config->node_domain);
}

void node_stop(struct node *node)
{
	for (size_t i = 0; i < node->shared->n_nodes; i++)
		server_stop(node->shared->nodes[i]->server);
}

void node_reload(struct node *node)
{
	server_reload(node->server);
}

/* --- end: on the first thread, without the others ------------------------------------- */

static size_t dispatch(struct node *node)
{
	size_t count = 0;

	if (node->inbox != NULL)
		count = inbox_dispatch(node->inbox, node);
	return count;
}

/* Until nobody has anything to say to any of them. */
static void drain_inboxes(struct shared *shared)
{
	size_t count;

	do {
		count = 0;
		for (size_t i = 0; i < shared->n_nodes; i++)
			count += dispatch(shared->nodes[i]);
	} while (count > 0);
}

static void stop_live(struct shared *shared)
{
	for (size_t i = 0; i < shared->n_nodes; i++)
		if (shared->nodes[i]->live != NULL)
			live_stop(shared->nodes[i]->live);
}

static void node_free(struct node *node)
{
	struct arena *arena = node->arena;

	if (node->server != NULL)
		server_destroy(&node->server);
	live_destroy(&node->live);
	node_keys_wipe(&node->keys);
	crypto_wipe(&node->signer, sizeof(node->signer));
	if (node->document_arena != NULL)
		arena_destroy(&node->document_arena);
	arena_destroy(&arena);
}

static void destroy_tables(struct shared *shared)
{
	directory_destroy(&shared->directory);
	nonces_destroy(&shared->nonces);
	policy_destroy(&shared->policy);
	origins_destroy(&shared->origins);
	for (size_t i = 0; i < LIMIT_COUNT; i++)
		ratelimit_destroy(&shared->limits[i]);
}

/* What has been accepted is finished; what would go on after that is answered with 503. */
void node_destroy(struct node **node_p)
{
	struct node *node = *node_p;
	struct shared *shared;

	if (node == NULL)
		return;
	*node_p = NULL;
	shared = node->shared;
	drain_inboxes(shared);
	if (shared->federation != NULL)
		federation_stop(shared->federation);
	if (shared->pool != NULL)
		worker_pool_stop(&shared->pool);
	drain_inboxes(shared);
	stop_live(shared);
	if (shared->store != NULL)
		store_close(&shared->store);
	drain_inboxes(shared);
	federation_destroy(&shared->federation);
	while (shared->n_nodes > 1)
		node_free(shared->nodes[--shared->n_nodes]);
	if (node->server != NULL)
		server_destroy(&node->server);
	destroy_tables(shared);
	log_info(stopped, "domain=%s", node->config->node_domain);
	node_free(node);
}
