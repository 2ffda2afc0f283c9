/* SPDX-License-Identifier: MIT
 *
 * One store operation for a command.
 */
#include "cli.h"

#include "restante/clock.h"
#include "restante/node.h"

static void done(struct message *message)
{
	(void)message;
}

enum err cli_store(const struct config *config, struct store_op *op, enum store_kind kind)
{
	struct store_config store_config;
	struct inbox *inbox = inbox_create(1, NULL, NULL);
	struct store *store;
	enum err err;

	op->kind = kind;
	op->arena = config->arena;
	op->now_ms = clock_now_ms();
	op->message.reply_to = inbox;
	op->message.returned = done;
	node_store_config(config, &store_config);
	store_config.must_exist = true;
	err = store_open(&store_config, &store);
	if (err == ERR_OK) {
		err = store_post(store, op) ? ERR_OK : ERR_BUSY;
		store_close(&store); /* finishes it */
		while (inbox_dispatch(inbox, NULL) > 0)
			continue;
		if (err == ERR_OK)
			err = op->err;
	}
	inbox_destroy(&inbox);
	return err;
}
