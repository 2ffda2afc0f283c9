/* SPDX-License-Identifier: MIT
 *
 * restante restored: for a restore that a node cannot see, such as that of a whole disk.
 * The mark stays in the database until a node starts to serve it.
 */
#include "cli.h"

#include "restante/ops_messages.h"

#include <stdio.h>

int cli_restored(const struct options *options)
{
	struct op_restore_mark op = {0};
	struct config config;
	enum err err;

	if (!cli_config(options, &config))
		return 1;
	err = cli_store(&config, &op.op, STORE_RESTORE_MARK);
	if (err == ERR_OK)
		printf("The node takes its database for restored from a backup when it next "
		       "starts.\n");
	else
		fprintf(stderr, "restante: %s\n", err_code(err));
	config_free(&config);
	return err == ERR_OK ? 0 : 1;
}
