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

/* Those that sign, or will, or have just done so. */
static void print_keys(const struct own_document *own)
{
	for (size_t i = 0; i < own->document.n_keys; i++) {
		if (federation_key_phase(own, i) != KEY_ENDED)
			cli_print_txt(own, i);
	}
}

int cli_dns(const struct options *options)
{
	struct own_document own;
	struct node_keys keys;
	struct config config;
	bool ok;

	if (!cli_config(options, &config))
		return 1;
	ok = node_keys_plan(&config, config.arena, &keys, &own) == ERR_OK &&
	     print_service(&config);
	if (ok)
		print_keys(&own);
	node_keys_wipe(&keys);
	config_free(&config);
	return ok ? 0 : 1;
}
