/* SPDX-License-Identifier: MIT
 *
 * restante peer: what is known of other nodes, and the operator's orders about them
 * (docs/federation.md). Orders go through the database: a running node looks for them once a
 * second, and one that starts finds what they have left.
 */
#include "cli.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/federation.h"

#include <stdio.h>

#define SPAN_SIZE 32

/* --- times ------------------------------------------------------------------------------ */

static const char *span(int64_t ms, char out[SPAN_SIZE])
{
	static const struct {
		int64_t ms;
		const char *name;
	} units[] = {{DAYS_MS, "d"}, {HOURS_MS, "h"}, {MINUTES_MS, "min"}, {SECONDS_MS, "s"}};
	size_t i = 0;

	while (i < 3 && ms < 2 * units[i].ms)
		i++;
	snprintf(out, SPAN_SIZE, "%lld %s", (long long)(ms / units[i].ms), units[i].name);
	return out;
}

static void print_time(const char *what, int64_t ms)
{
	char date[DATE_SIZE];

	printf("%-12s %s\n", what, cli_date(ms, date));
}

/* --- words ------------------------------------------------------------------------------ */

static const char *state_word(const struct peer_status *peer)
{
	return peer->has_destination ? destination_state_name(peer->destination.state) : "-";
}

static const char *keys_word(enum peer_keys_state state)
{
	static const char *const words[] = {
		[PEER_KEYS_NONE] = "none",
		[PEER_KEYS_UNVERIFIED] = "unverified",
		[PEER_KEYS_VERIFIED] = "verified",
		[PEER_KEYS_CONFLICT] = "conflict",
	};

	return words[state];
}

static struct peer_keys keys_of(const struct peer_status *peer)
{
	struct peer_keys keys = {0};

	if (federation_peer_keys(peer->trust, &keys) != ERR_OK)
		fprintf(stderr, "restante: the stored keys of %s cannot be read\n",
			peer->domain);
	return keys;
}

/* As the node decides it: the operator's word and the configuration together. */
static bool is_allowed(const struct config *config, const struct peer_status *peer)
{
	struct policy *policy = policy_create(config);
	bool allowed;

	if (peer->has_policy)
		policy_say(policy, peer->domain, peer->allowed);
	allowed = policy_allows(policy, peer->domain);
	policy_destroy(&policy);
	return allowed;
}

static const char *policy_word(const struct config *config, const struct peer_status *peer)
{
	if (peer->has_policy && !peer->allowed)
		return "blocked";
	if (!is_allowed(config, peer))
		return "denied";
	return peer->has_policy ? "allowed" : "-";
}

static int64_t waiting(const struct peer_status *peer)
{
	return peer->destination.last - peer->destination.acked;
}

static bool waits_for_a_try(const struct peer_status *peer)
{
	return peer->has_destination && peer->destination.state != DESTINATION_UP &&
	       peer->destination.state != DESTINATION_BLOCKED;
}

/* --- list and show ---------------------------------------------------------------------- */

static enum err peers_read(const struct config *config, struct op_peers_list *list,
			   const char *domain)
{
	list->domain = domain;
	return cli_store(config, &list->op, STORE_PEERS_LIST);
}

static const char *oldest_word(const struct peer_status *peer, char out[SPAN_SIZE])
{
	return peer->oldest_ms > 0 ? span(clock_now_ms() - peer->oldest_ms, out) : "-";
}

static const char *next_try_word(const struct peer_status *peer, char out[SPAN_SIZE])
{
	int64_t wait_ms = peer->destination.next_try_ms - clock_now_ms();

	if (!waits_for_a_try(peer))
		return "-";
	return wait_ms > 0 ? span(wait_ms, out) : "now";
}

static void print_list(const struct config *config, const struct op_peers_list *list)
{
	char oldest[SPAN_SIZE], next_try[SPAN_SIZE];
	int width = (int)strlen("DOMAIN");

	for (size_t i = 0; i < list->count; i++)
		if ((int)strlen(list->peers[i].domain) > width)
			width = (int)strlen(list->peers[i].domain);
	printf("%-*s  %-12s  %7s  %-8s  %-8s  %-10s  %s\n", width, "DOMAIN", "STATE", "WAITING",
	       "OLDEST", "NEXT TRY", "KEYS", "POLICY");
	for (size_t i = 0; i < list->count; i++) {
		const struct peer_status *peer = &list->peers[i];

		printf("%-*s  %-12s  %7lld  %-8s  %-8s  %-10s  %s\n", width, peer->domain,
		       state_word(peer), (long long)waiting(peer), oldest_word(peer, oldest),
		       next_try_word(peer, next_try), keys_word(keys_of(peer).state),
		       policy_word(config, peer));
	}
}

static void print_destination(const struct peer_status *peer)
{
	const struct destination *destination = &peer->destination;

	printf("%-12s %s\n", "state", state_word(peer));
	if (destination->failing_since_ms > 0) {
		printf("%-12s %lld in a row\n", "failures", (long long)destination->failures);
		print_time("failing from", destination->failing_since_ms);
	}
	if (waits_for_a_try(peer))
		print_time("next try", destination->next_try_ms > 0 ? destination->next_try_ms
								    : clock_now_ms());
	printf("%-12s %lld\n", "waiting", (long long)waiting(peer));
	if (peer->oldest_ms > 0)
		print_time("oldest from", peer->oldest_ms);
	printf("%-12s %s\n", "sends here", peer->has_origin ? "yes" : "no");
}

static void print_key(struct arena *arena, const char *what, const char *kid,
		      const uint8_t key[32])
{
	printf("%-12s %s%s%s\n", what, kid, kid[0] != '\0' ? " " : "",
	       base64_encode(arena, bytes_of(key, 32)));
}

static void print_conflict(struct arena *arena, const struct peer_keys *keys)
{
	if (keys->refuted)
		printf("%-12s validated DNS speaks against the pinned keys\n", "conflict");
	else
		printf("%-12s it shows keys that are not trusted\n", "conflict");
	for (size_t i = 0; i < keys->n_shown; i++)
		print_key(arena, "shown key", keys->shown[i].kid, keys->shown[i].public_key);
	if (keys->shown_since_ms > 0)
		print_time("in DNS from", keys->shown_since_ms);
}

static void print_keys(struct arena *arena, const struct peer_keys *keys)
{
	printf("%-12s %s\n", "keys", keys_word(keys->state));
	if (keys->state == PEER_KEYS_CONFLICT)
		print_conflict(arena, keys);
	if (keys->n_keys == 0)
		return;
	print_time("pinned", keys->pinned_ms);
	printf("%-12s %s\n", "verified", keys->verified ? "yes, by DNS" : "no");
	for (size_t i = 0; i < keys->n_keys; i++) {
		print_key(arena, "key", keys->keys[i].kid, keys->keys[i].public_key);
		print_time("  until", keys->keys[i].not_after_ms);
	}
	if (keys->has_root)
		print_key(arena, "root key", "", keys->root_key);
}

static void print_peer(const struct config *config, const struct peer_status *peer)
{
	const struct peer_keys keys = keys_of(peer);

	printf("%-12s %s\n", "domain", peer->domain);
	printf("%-12s %s\n", "policy", policy_word(config, peer));
	print_destination(peer);
	if (peer->fetched_ms > 0)
		print_time("document of", peer->fetched_ms);
	print_keys(config->arena, &keys);
}

static int failed(const char *domain, enum err err)
{
	if (err == ERR_NOT_FOUND)
		fprintf(stderr, "restante: nothing is known of %s\n", domain);
	else
		fprintf(stderr, "restante: %s\n", err_code(err));
	return 1;
}

int cli_peer_list(const struct options *options)
{
	struct op_peers_list list = {0};
	struct config config;
	enum err err;

	if (!cli_config(options, &config))
		return 1;
	err = peers_read(&config, &list, NULL);
	if (err == ERR_OK)
		print_list(&config, &list);
	config_free(&config);
	return err == ERR_OK ? 0 : failed("", err);
}

int cli_peer_show(const struct options *options)
{
	struct op_peers_list list = {0};
	struct config config;
	enum err err;

	if (!cli_config(options, &config))
		return 1;
	err = peers_read(&config, &list, options->word);
	if (err == ERR_OK && list.count == 0)
		err = ERR_NOT_FOUND;
	if (err == ERR_OK)
		print_peer(&config, &list.peers[0]);
	config_free(&config);
	return err == ERR_OK ? 0 : failed(options->word, err);
}

/* --- orders ----------------------------------------------------------------------------- */

static const char *const done[] = {
	[PEER_ORDER_BLOCK] = "is blocked",
	[PEER_ORDER_ALLOW] = "is allowed",
	[PEER_ORDER_REPIN] = "has no keys here any more; those that it shows next are pinned",
	[PEER_ORDER_FLUSH] = "is tried now",
};

static void print_done(const struct config *config, const char *domain,
		       enum peer_order_kind kind)
{
	struct peer_status said = {.has_policy = true, .allowed = true};

	snprintf(said.domain, sizeof said.domain, "%s", domain);
	printf("%s %s. A running node follows within about a second.\n", domain, done[kind]);
	if (kind == PEER_ORDER_ALLOW && !is_allowed(config, &said))
		printf("But the configuration denies it: see federation.deny and "
		       "federation.mode.\n");
}

static int give(const struct options *options, enum peer_order_kind kind)
{
	struct op_peer_order order = {.kind = kind};
	struct config config;
	enum err err;

	if (!domain_is_valid(bytes_of_text(options->word))) {
		fprintf(stderr, "restante: %s is no domain\n", options->word);
		return 2;
	}
	if (!cli_config(options, &config))
		return 1;
	if (strcmp(options->word, config.node_domain) == 0) {
		fprintf(stderr, "restante: %s is this node\n", options->word);
		config_free(&config);
		return 1;
	}
	order.domain = options->word;
	err = cli_store(&config, &order.op, STORE_PEER_ORDER);
	if (err == ERR_OK)
		print_done(&config, options->word, kind);
	config_free(&config);
	return err == ERR_OK ? 0 : failed(options->word, err);
}

int cli_peer_repin(const struct options *options)
{
	return give(options, PEER_ORDER_REPIN);
}

int cli_peer_block(const struct options *options)
{
	return give(options, PEER_ORDER_BLOCK);
}

int cli_peer_allow(const struct options *options)
{
	return give(options, PEER_ORDER_ALLOW);
}

int cli_peer_flush(const struct options *options)
{
	return give(options, PEER_ORDER_FLUSH);
}
