/* SPDX-License-Identifier: MIT
 *
 * restante dns: the records that other nodes look for (docs/protocol.md sections 4.1 and
 * 4.2), in the form of a zone file.
 */
#include "cli.h"

#include "restante/document.h"
#include "restante/node.h"

#include <stdio.h>

/* Where others reach this node, which is not where it listens behind a proxy. */
static bool print_service(const struct config *config)
{
	const char *url = config->federation_url;
	char host[DOMAIN_SIZE];
	int port = 443;

	if (url[0] == '\0') {
		snprintf(host, sizeof(host), "%s", config->node_domain);
	} else if (federation_url_parse(bytes_of_text(url), host, &port) != ERR_OK) {
		fprintf(stderr,
			"restante: federation.url: %s is not https://NAME or "
			"https://NAME:PORT\n",
			url);
		return false;
	}
	printf("_restante._tcp.%s. IN SRV 0 0 %d %s.\n", config->node_domain, port, host);
	return true;
}

static void print_keys(const struct config *config, const struct node_keys *keys)
{
	struct arena *arena = arena_create();

	for (size_t i = 0; i < keys->n_live; i++) {
		struct text txt;

		text_init(&txt, arena, 128);
		txt_write(&txt, keys->live[i].kid, keys->live[i].public_key);
		printf("_restante.%s. IN TXT \"%s\"\n", config->node_domain, txt.data);
	}
	arena_destroy(&arena);
}

int cli_dns(const struct options *options)
{
	struct node_keys keys = {0};
	struct config config;
	bool ok;

	if (!cli_config(options, &config))
		return 1;
	ok = node_server_keys_load(config.node_data_dir, &keys) == ERR_OK &&
	     print_service(&config);
	if (ok)
		print_keys(&config, &keys);
	node_keys_wipe(&keys);
	config_free(&config);
	return ok ? 0 : 1;
}
