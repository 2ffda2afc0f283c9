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

enum err cli_service(const struct config *config, char host_out[DOMAIN_SIZE], int *port_out)
{
	const char *url = config->federation_url;

	if (url[0] == '\0')
		url = arena_printf(config->arena, "https://%s", config->node_domain);
	return federation_url_parse(bytes_of_text(url), host_out, port_out);
}

/* By the rule of those who read the server document. */
static enum err check_url(const struct config *config, struct text *problems)
{
	char host[DOMAIN_SIZE];
	int port;
	enum err err = cli_service(config, host, &port);

	if (err != ERR_OK)
		text_printf(problems,
			    "%s: federation.url: \"%s\" is not https://NAME or "
			    "https://NAME:PORT, where NAME is a domain and no address\n",
			    config->path, config->federation_url);
	return err;
}

bool cli_config(const struct options *options, struct config *config_out)
{
	struct arena *arena = arena_create();
	struct text problems;
	enum err err;

	text_init(&problems, arena, 256);
	err = config_load(options->config, config_out, &problems);
	if (err == ERR_OK) {
		err = check_url(config_out, &problems);
		if (err != ERR_OK)
			config_free(config_out);
	}
	if (err != ERR_OK)
		fputs(problems.data, stderr);
	else
		log_set_level(level_of(config_out->node_log_level));
	arena_destroy(&arena);
	return err == ERR_OK;
}
