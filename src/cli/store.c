/* SPDX-License-Identifier: MIT
 *
 * What a command does with the database. It works beside a running node, for the database
 * lets two write.
 */
#include "cli.h"

#include "restante/clock.h"
#include "restante/node.h"

enum err cli_store(const struct config *config, struct store_op *op, enum store_kind kind)
{
	struct store_config store_config;
	struct store *store;
	enum err err;

	op->kind = kind;
	op->arena = config->arena;
	op->now_ms = clock_now_ms();
	node_store_config(config, &store_config);
	store_config.must_exist = true;
	err = store_open(&store_config, &store);
	if (err != ERR_OK)
		return err;
	err = store_run(store, op);
	store_close(&store);
	return err;
}
