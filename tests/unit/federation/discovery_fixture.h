/* SPDX-License-Identifier: MIT
 *
 * What test_discovery needs: a store of one row, a node that looks for a.example, and the
 * documents and DNS records of a.example.
 */
#ifndef TEST_DISCOVERY_FIXTURE_H
#define TEST_DISCOVERY_FIXTURE_H

#include "fake_net.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/metrics.h"
#include "support.h"

#define SRV_NAME "_restante._tcp.a.example"
#define TXT_NAME "_restante.a.example"

/* The store */

struct store {
	struct arena *arena;
	bool busy, broken;
	unsigned loads, puts;
	struct bytes document, trust;
	struct bytes meanwhile; /* what another process stores before the next put */
};

bool store_post(struct store *store, struct store_op *op)
{
	if (store->busy)
		return false;
	op->err = store->broken ? ERR_STORE : ERR_OK;
	if (op->kind == STORE_PEER_LOAD) {
		struct op_peer_load *load = (struct op_peer_load *)op;

		store->loads++;
		if (store->trust.len == 0 && op->err == ERR_OK)
			op->err = ERR_NOT_FOUND;
		load->document = store->document;
		load->trust = store->trust;
	} else {
		const struct op_peer_put *put = (struct op_peer_put *)op;

		assert_int_equal(op->kind, STORE_PEER_PUT);
		store->puts++;
		if (store->meanwhile.len > 0)
			store->trust = store->meanwhile;
		store->meanwhile = (struct bytes){0};
		if (op->err == ERR_OK && !bytes_equal(put->before, store->trust))
			op->err = ERR_NOT_FOUND;
		if (op->err == ERR_OK) {
			store->document = arena_bytes(store->arena, put->document);
			store->trust = arena_bytes(store->arena, put->trust);
		}
	}
	inbox_return(&op->message);
	return true;
}

/* Fixture */

enum name { K1, K2, STRANGER, N_NAMES };

struct group {
	char *folder;
	struct web_server web;
	bool there;
};

struct waiter {
	struct peer_wait wait;
	struct fixture *fixture;
	unsigned answers;
	enum err err;
	bool has_peer;
	struct peer peer; /* a copy */
};

struct fixture {
	struct group *group;
	struct fake_dns dns;
	const char *servers[1];
	struct config_pair fixed;
	char fixed_address[32];
	struct config config;
	struct federation_config federation;
	struct store store;
	struct loop *loop;
	struct inbox *inbox;
	struct discovery *discovery;
	struct sign_key keys[N_NAMES];
	int64_t fetched; /* documents, at the beginning */
	struct waiter waiter;
};

static inline int setup_group(void **state)
{
	struct group *group = calloc(1, sizeof *group);

	crypto_init();
	group->folder = support_make_dir();
	group->there = web_server_start(&group->web, TEST_DATA "/unit/federation/web_server.py",
					group->folder, true);
	*state = group;
	return 0;
}

static inline int teardown_group(void **state)
{
	struct group *group = *state;

	web_server_stop(&group->web);
	support_remove_dir(&group->folder);
	free(group);
	return 0;
}

static inline void write_file(struct fixture *f, const char *name, struct bytes content)
{
	FILE *file = fopen(arena_printf(f->store.arena, "%s/%s", f->group->folder, name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(content.data, 1, content.len, file), content.len);
	assert_int_equal(fclose(file), 0);
}

static inline void serve_status(struct fixture *f, const char *status)
{
	write_file(f, "status", bytes_of_text(status));
}

/* A document of this server with this key, signed by it and perhaps another. */
static inline struct bytes make_document(struct fixture *f, const char *server, enum name key,
					 int also, const char *url, int64_t issued_ms)
{
	struct server_document document = {.revision = issued_ms,
					   .n_keys = 1,
					   .issued_at_ms = issued_ms,
					   .valid_until_ms = issued_ms + 7 * DAYS_MS,
					   .transaction_items = 10,
					   .transaction_bytes = 1000,
					   .content_bytes = 100,
					   .software = "test",
					   .abuse = "mailto:abuse@a.example"};
	struct sign_key signers[2] = {f->keys[key]};

	snprintf(document.server, sizeof document.server, "%s", server);
	snprintf(document.federation_url, sizeof document.federation_url, "%s", url);
	memcpy(document.keys[0].kid, f->keys[key].kid, sizeof document.keys[0].kid);
	memcpy(document.keys[0].public_key, f->keys[key].public_key, 32);
	document.keys[0].not_before_ms = issued_ms - DAYS_MS;
	document.keys[0].not_after_ms = issued_ms + 30 * DAYS_MS;
	if (also >= 0)
		signers[1] = f->keys[also];
	return document_encode(f->store.arena, &document, signers, also >= 0 ? 2 : 1);
}

static inline void serve(struct fixture *f, enum name key, int also)
{
	write_file(f, "document",
		   make_document(f, "a.example", key, also, "https://fed.a.example:8443",
				 clock_now_ms()));
}

static inline void start(struct fixture *f)
{
	f->loop = loop_create(&f->config);
	f->inbox = inbox_create(100, loop_wake, f->loop);
	f->discovery = discovery_create(f->loop, &f->federation, f->inbox);
}

static inline void stop(struct fixture *f)
{
	assert_int_equal(discovery_pending(f->discovery), 0);
	discovery_destroy(&f->discovery);
	inbox_destroy(&f->inbox);
	loop_destroy(&f->loop);
}

static inline int setup(void **state)
{
	static const char *const kids[] = {"k1", "k2", "s1"};
	struct group *group = *state;
	struct fixture *f = calloc(1, sizeof *f);

	f->group = group;
	f->store.arena = arena_create();
	fake_dns_start(&f->dns);
	f->servers[0] = f->dns.address;
	f->fixed = (struct config_pair){"a.example", f->fixed_address};
	snprintf(f->fixed_address, sizeof f->fixed_address, "127.0.0.1:%d", group->web.port);
	f->config = (struct config){.node_domain = "own.example",
				    .federation_dns_servers = {f->servers, 1},
				    .federation_dns_trusted = true,
				    .federation_ca_file = group->web.ca_file,
				    .federation_allow_private = true,
				    .federation_backoff_first = 5 * SECONDS_MS,
				    .federation_backoff_max = 1 * HOURS_MS,
				    .federation_hosts = {&f->fixed, 0}};
	f->federation = (struct federation_config){.config = &f->config, .store = &f->store};
	for (size_t i = 0; i < N_NAMES; i++)
		if (sign_key_create(bytes_of_text(kids[i]), &f->keys[i]) != ERR_OK)
			return -1;
	start(f);
	serve(f, K1, -1);
	serve_status(f, "200 OK");
	f->fetched = metric_get(METRIC_discoveries_total);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	*state = f->group;
	stop(f);
	fake_dns_stop(&f->dns);
	arena_destroy(&f->store.arena);
	free(f);
	return 0;
}

/* DNS of a.example: SRV to the web server, and TXT of one key. */
static inline void publish_srv(struct fixture *f, unsigned flags)
{
	put_srv(fake_dns_add(&f->dns, SRV_NAME, ns_t_srv, 0, flags), SRV_NAME, 600, 0, 0,
		(unsigned)f->group->web.port, "node.a.example");
	put_address(fake_dns_add(&f->dns, "node.a.example", ns_t_a, 0, 0), "node.a.example",
		    "127.0.0.1");
}

static inline void publish_txt(struct fixture *f, enum name key, unsigned flags)
{
	struct text record;

	text_init(&record, f->store.arena, 0);
	txt_write(&record, f->keys[key].kid, f->keys[key].public_key);
	put_txt(fake_dns_add(&f->dns, TXT_NAME, ns_t_txt, 0, flags), TXT_NAME, record.data);
}

static inline void answered(struct peer_wait *wait, enum err err, const struct peer *peer)
{
	struct waiter *waiter = (struct waiter *)wait;

	waiter->answers++;
	waiter->err = err;
	waiter->has_peer = peer != NULL;
	if (peer != NULL)
		waiter->peer = *peer;
}

static inline void ask(struct fixture *f, struct waiter *waiter, const char *domain, bool renew)
{
	*waiter = (struct waiter){.wait.done = answered, .fixture = f};
	discovery_get(f->discovery, domain, renew, &waiter->wait);
	assert_int_equal(waiter->answers, 0); /* never from inside */
}

static inline void run(struct fixture *f, const struct waiter *waiter)
{
	int64_t until = clock_monotonic_ms() + 15000;

	while (waiter->answers == 0 && clock_monotonic_ms() < until) {
		loop_turn(f->loop, 2);
		fake_dns_serve(&f->dns);
		inbox_dispatch(f->inbox, NULL);
	}
	assert_int_equal(waiter->answers, 1);
	assert_int_equal(waiter->has_peer, waiter->err == ERR_OK);
}

static inline enum err find(struct fixture *f)
{
	if (!f->group->there)
		skip();
	ask(f, &f->waiter, "a.example", false);
	run(f, &f->waiter);
	return f->waiter.err;
}

static inline int64_t fetched(const struct fixture *f)
{
	return metric_get(METRIC_discoveries_total) - f->fetched;
}

static inline bool believes(const struct fixture *f, enum name name)
{
	const struct server_key *key =
		trust_key(&f->waiter.peer.trust, f->keys[name].kid, clock_now_ms());

	return key != NULL && memcmp(key->public_key, f->keys[name].public_key, 32) == 0;
}

/* The operator has had the keys forgotten. */
static inline void forget(struct fixture *f)
{
	f->store.document = f->store.trust = (struct bytes){0};
}

/* As after a restart: only the store is left. */
static inline void restart(struct fixture *f)
{
	stop(f);
	start(f);
}

#endif
