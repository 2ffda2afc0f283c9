/* SPDX-License-Identifier: MIT
 *
 * restante dns: the records that other nodes look for (docs/protocol.md sections 4.1 and
 * 4.2), in the form of a zone file.
 */
#include "cli.h"

#include "restante/document.h"
#include "restante/node.h"

#include <stdio.h>

int cli_dns(const struct options *options)
{
	struct config config;
	struct node_keys keys;
	struct arena *arena;

	if (!cli_config(options, &config))
		return 1;
	if (node_keys_load(config.node_data_dir, &keys) != ERR_OK) {
		config_free(&config);
		return 1;
	}
	arena = arena_create();
	printf("_restante._tcp.%s. IN SRV 0 0 %lld %s.\n", config.node_domain,
	       (long long)config.listen_port, config.node_domain);
	for (size_t i = 0; i < keys.n_live; i++) {
		struct text txt;

		text_init(&txt, arena, 128);
		txt_write(&txt, keys.live[i].kid, keys.live[i].public_key);
		printf("_restante.%s. IN TXT \"%s\"\n", config.node_domain, txt.data);
	}
	arena_destroy(&arena);
	node_keys_wipe(&keys);
	config_free(&config);
	return 0;
}
