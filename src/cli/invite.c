/* SPDX-License-Identifier: MIT
 *
 * restante invite: a token with which one account can be registered.
 */
#include "cli.h"

#include "restante/clock.h"
#include "restante/ops_accounts.h"
#include "restante/token.h"

#include <stdio.h>
#include <stdlib.h>

static enum err invite_store(const struct config *config, const char *token, int64_t days)
{
	struct op_invite_create op = {.expires_ms = clock_now_ms() + days * DAYS_MS};

	opaque_token_hash(bytes_of_text(token), op.invite_hash);
	return cli_store(config, &op.op, STORE_INVITE_CREATE);
}

/* 0 for what is no number of days. */
static int64_t days_of(const char *text)
{
	size_t len = text != NULL ? strlen(text) : 0;

	if (text == NULL)
		return 7;
	return len <= 3 && strspn(text, "0123456789") == len ? atoi(text) : 0;
}

int cli_invite(const struct options *options)
{
	int64_t days = days_of(options->days);
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
