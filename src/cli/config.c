/* SPDX-License-Identifier: MIT
 *
 * Loading the configuration for a command.
 */
#include "cli.h"

#include "restante/log.h"

#include <stdio.h>

static enum log_level level_of(const char *name)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};

	for (int i = 0; i < 4; i++) {
		if (strcmp(name, names[i]) == 0)
			return (enum log_level)i;
	}
	return LOG_INFO;
}

bool cli_config(const struct options *options, struct config *config_out)
{
	struct arena *arena = arena_create();
	struct text problems;
	enum err err;

	text_init(&problems, arena, 256);
	err = config_load(options->config, config_out, &problems);
	if (err != ERR_OK)
		fputs(problems.data, stderr);
	else
		log_set_level(level_of(config_out->node_log_level));
	arena_destroy(&arena);
	return err == ERR_OK;
}
