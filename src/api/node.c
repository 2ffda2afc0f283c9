/* SPDX-License-Identifier: MIT
 *
 * The parts of a node put together: what is started in which order, and stopped in the
 * reverse one. Clients go first, then federation, which still needs the store, then the
 * store.
 */
#include "node.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"
#include "restante/metrics.h"
#include "restante/ops_messages.h"
#include "restante/password.h"

#include <assert.h>
#include <stdlib.h>

#define POOL_THREADS	  2
#define POOL_CAPACITY	  64
#define STORE_CAPACITY	  4096
#define BUCKETS_MAX	  65536
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
	return node->store != NULL && store_post(node->store, op);
}

bool node_post_job(struct node *node, struct job *job)
{
	return node->pool != NULL && worker_post(node->pool, job);
}

bool node_post_call(struct node *node, struct remote_call *call)
{
	return node->federation != NULL && federation_call(node->federation, call);
}

bool node_post_query(struct node *node, struct peer_query *query)
{
	return node->federation != NULL && federation_query(node->federation, query);
}

/* --- once a second ------------------------------------------------------------------ */

static void node_expired(struct message *message)
{
	struct op_expire *op = (struct op_expire *)message;
	struct node *node = op->op.context;
	struct arena *arena = op->op.arena;

	node->expiring = false;
	node->ready = op->op.err == ERR_OK;
	if (op->removed > 0)
		log_info(expired, "rows=%lld envelopes=%lld", (long long)op->removed,
			 (long long)op->envelopes_removed);
	metric_add(METRIC_envelopes_expired_total, op->envelopes_removed);
	if (op->op.err == ERR_OK && op->more)
		node->next_expiry_ms = 0; /* go on at the next tick */
	arena_destroy(&arena);
}

/* Housekeeping of the store; its success is also the sign that the store works. */
static void node_expire(struct node *node, int64_t now_ms)
{
	struct arena *arena;
	struct op_expire *op;

	if (node->expiring || now_ms < node->next_expiry_ms)
		return;
	arena = arena_create();
	op = arena_new(arena, struct op_expire);
	op->op.kind = STORE_EXPIRE;
	op->op.arena = arena;
	op->op.now_ms = clock_now_ms();
	op->op.context = node;
	op->op.message.reply_to = node->inbox;
	op->op.message.returned = node_expired;
	op->limit = EXPIRE_ROWS;
	node->expiry_ms = now_ms;
	node->next_expiry_ms = now_ms + (node->ready ? EXPIRE_EVERY_MS : SECONDS_MS);
	node->expiring = node_post(node, &op->op);
	if (!node->expiring)
		arena_destroy(&arena);
}

static void node_tick(void *context, int64_t now_ms)
{
	struct node *node = context;

	(void)now_ms;
	node_expire(node, clock_monotonic_ms());
	document_tick(node);
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

static void start_limits(struct node *node)
{
	static const struct rate rates[] = {
#define LIMIT(name, burst, every_ms, doc) [LIMIT_##name] = {burst, every_ms},
#include "limits.def"
#undef LIMIT
	};
	uint64_t scale = (uint64_t)node->config->limits_rate_scale;

	for (size_t i = 0; i < LIMIT_COUNT; i++) {
		uint64_t burst = rates[i].burst * scale;
		uint64_t every_ms = rates[i].every_ms / scale;
		struct rate rate = {burst < UINT32_MAX ? (uint32_t)burst : UINT32_MAX,
				    every_ms > 0 ? (uint32_t)every_ms : 1};

		node->limits[i] = ratelimit_create(rate, BUCKETS_MAX);
	}
}

/* A hash that costs as much to check as a real one. */
static enum err start_no_password(struct node *node)
{
	struct password_cost cost = {(uint64_t)node->config->accounts_password_passes,
				     (size_t)node->config->accounts_password_memory};
	char random[2 * 16 + 1];
	uint8_t bytes[16];

	crypto_random(bytes, sizeof(bytes));
	hex_encode(bytes_of(bytes, sizeof(bytes)), random);
	return password_hash(bytes_of_text(random), cost, node->no_password_hash);
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
		.dispatched = node_dispatched,
		.context = node,
	};
	return server_create(&node->server_config, &node->server);
}

static enum err start_federation(struct node *node)
{
	struct federation_config config = {.config = node->config,
					   .policy = node->policy,
					   .key = &node->signer,
					   .store = node->store,
					   .effects_inbox = node->inbox,
					   .effects_receiver = node,
					   .effects_deliver = node_told};

	return federation_start(&config, &node->federation);
}

static enum err node_start(struct node *node)
{
	enum err err;

	start_limits(node);
	node->nonces = nonces_create(
		NONCES_MAX, NONCES_PER_ORIGIN * (size_t)node->config->limits_rate_scale);
	node->policy = policy_create(node->config);
	node_store_config(node->config, &node->store_config);
	node->store_config.serves = true;
	err = document_start(node);
	if (err == ERR_OK)
		err = start_no_password(node);
	if (err == ERR_OK)
		err = store_open(&node->store_config, &node->store);
	if (err != ERR_OK)
		return err;
	node->pool = worker_pool_start("slow", POOL_THREADS, POOL_CAPACITY);
	err = start_server(node);
	if (err != ERR_OK)
		return err;
	node->inbox = server_inbox(node->server);
	node->live = live_create(&(struct live_config){.store = node->store,
						       .inbox = node->inbox,
						       .send = live_send,
						       .queued = live_queued,
						       .close = live_close});
	node->signer_is_news = false;
	return start_federation(node);
}

enum err node_create(const struct config *config, struct node **node_out)
{
	struct arena *arena = arena_create();
	struct node *node = arena_new(arena, struct node);
	enum err err;

	node->arena = arena;
	node->config = config;
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

void node_run(struct node *node)
{
	server_run(node->server, DRAIN_SECONDS);
	log_info(stopping, "domain=%s", node->config->node_domain);
}

void node_stop(struct node *node)
{
	server_stop(node->server);
}

void node_reload(struct node *node)
{
	server_reload(node->server);
}

static void drain_inbox(struct node *node)
{
	if (node->inbox == NULL)
		return;
	while (inbox_dispatch(node->inbox, node) > 0)
		continue;
}

/* What has been accepted is finished; what would go on after that is answered with 503. */
void node_destroy(struct node **node_p)
{
	struct node *node = *node_p;
	struct arena *arena;

	if (node == NULL)
		return;
	*node_p = NULL;
	if (node->federation != NULL)
		federation_stop(&node->federation);
	if (node->pool != NULL)
		worker_pool_stop(&node->pool);
	drain_inbox(node);
	if (node->live != NULL)
		live_stop(node->live);
	if (node->store != NULL)
		store_close(&node->store);
	drain_inbox(node);
	if (node->server != NULL)
		server_destroy(&node->server);
	live_destroy(&node->live);
	nonces_destroy(&node->nonces);
	policy_destroy(&node->policy);
	origins_forget(node);
	for (size_t i = 0; i < LIMIT_COUNT; i++)
		ratelimit_destroy(&node->limits[i]);
	node_keys_wipe(&node->keys);
	crypto_wipe(&node->signer, sizeof(node->signer));
	if (node->document_arena != NULL)
		arena_destroy(&node->document_arena);
	log_info(stopped, "domain=%s", node->config->node_domain);
	arena = node->arena;
	arena_destroy(&arena);
}
