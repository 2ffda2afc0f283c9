/* SPDX-License-Identifier: MIT
 *
 * restante invite: a token with which one account can be registered. Works beside a
 * running node, for the database lets two write.
 */
#include "cli.h"

#include "restante/clock.h"
#include "restante/node.h"
#include "restante/ops_accounts.h"
#include "restante/token.h"

#include <stdio.h>
#include <stdlib.h>

static void created(struct message *message)
{
	(void)message;
}

static enum err invite_store(const struct config *config, const char *token, int64_t days)
{
	struct store_config store_config;
	struct op_invite_create op = {0};
	struct inbox *inbox = inbox_create(1, NULL, NULL);
	struct store *store;
	enum err err;

	node_store_config(config, &store_config);
	store_config.must_exist = true;
	err = store_open(&store_config, &store);
	if (err == ERR_OK) {
		op.op.kind = STORE_INVITE_CREATE;
		op.op.arena = config->arena;
		op.op.now_ms = clock_now_ms();
		op.op.message.reply_to = inbox;
		op.op.message.returned = created;
		op.expires_ms = op.op.now_ms + days * DAYS_MS;
		opaque_token_hash(bytes_of_text(token), op.invite_hash);
		err = store_post(store, &op.op) ? ERR_OK : ERR_BUSY;
		store_close(&store); /* finishes it */
		while (inbox_dispatch(inbox, NULL) > 0)
			continue;
		if (err == ERR_OK)
			err = op.op.err;
	}
	inbox_destroy(&inbox);
	return err;
}

int cli_invite(const struct options *options)
{
	int64_t days = options->days != NULL ? atoll(options->days) : 7;
	char token[OPAQUE_TOKEN_SIZE];
	struct config config;
	enum err err;

	if (days < 1 || days > 365) {
		fprintf(stderr, "restante: --days is 1 to 365\n");
		return 2;
	}
	if (!cli_config(options, &config))
		return 1;
	opaque_token_create(token);
	err = invite_store(&config, token, days);
	if (err == ERR_OK)
		printf("%s\n", token);
	else
		fprintf(stderr, "restante: %s\n", err_code(err));
	config_free(&config);
	return err == ERR_OK ? 0 : 1;
}
