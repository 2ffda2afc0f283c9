/* SPDX-License-Identifier: MIT
 *
 * restante dns: the records that other nodes look for (docs/protocol.md sections 4.1 and
 * 4.2), in the form of a zone file.
 */
#include "cli.h"

#include "restante/document.h"
#include "restante/node.h"

#include <stdio.h>

static enum err print_service(const struct config *config)
{
	char host[DOMAIN_SIZE];
	int port;
	enum err err = cli_service(config, host, &port);

	if (err == ERR_OK)
		printf("_restante._tcp.%s. IN SRV 0 0 %d %s.\n", config->node_domain, port,
		       host);
	return err;
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
	enum err err;

	if (!cli_config(options, &config))
		return 1;
	err = node_keys_plan(&config, config.arena, &keys, &own);
	if (err == ERR_OK)
		err = print_service(&config);
	if (err == ERR_OK)
		print_keys(&own);
	node_keys_wipe(&keys);
	config_free(&config);
	return err == ERR_OK ? 0 : 1;
}
