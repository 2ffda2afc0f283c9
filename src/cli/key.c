/* SPDX-License-Identifier: MIT
 *
 * restante key new: one more server key, the first step of replacing one
 * (docs/operating.md).
 */
#include "cli.h"

#include "restante/node.h"

#include <stdio.h>

int cli_key_new(const struct options *options)
{
	struct config config;
	enum err err;

	if (options->kid == NULL) {
		fprintf(stderr, "restante: key new needs --kid, the id of the new key\n");
		return 2;
	}
	if (!cli_config(options, &config))
		return 1;
	err = node_key_add(&config, options->kid);
	if (err == ERR_OK)
		printf("Server key: %s/keys/%s.key\n\n"
		       "Next: publish the records that `restante dns` prints now, then restart "
		       "the\n"
		       "node. The key signs requests once the older ones are removed: not "
		       "before\n"
		       "48 hours have passed.\n",
		       config.node_data_dir, options->kid);
	config_free(&config);
	return err == ERR_OK ? 0 : 1;
}
