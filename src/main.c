/* SPDX-License-Identifier: MIT
 *
 * restante: the daemon and the tool. Finds the command and hands over to its file in cli/.
 */
#include "cli/cli.h"

#include "restante/crypto.h"
#include "restante/log.h"

#include <stdio.h>
#include <string.h>

static const struct command {
	const char *name; /* one word or two */
	int (*run)(const struct options *options);
	const char *help;
} commands[] = {
	{"init", cli_init, "write a configuration and keys: --domain DOMAIN [--dir DIR]"},
	{"serve", cli_serve, "run the node"},
	{"check", cli_check, "check configuration, database and keys, and say what is wrong"},
	{"dns", cli_dns, "print the DNS records to publish"},
	{"invite", cli_invite, "print a token with which one account can be registered"},
	{"restored", cli_restored,
	 "say that the database was restored from a backup; acts at the next start"},
	{"key new", cli_key_new, "make one more server key, to replace one: --kid KID"},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fprintf(out,
		"restante %s: a federated relay node for end-to-end encrypted messaging\n\n"
		"usage: restante COMMAND [--config FILE] [options]\n\n",
		RESTANTE_VERSION);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\n--config is " DEFAULT_CONFIG " unless given.\n");
}

/* `--name value` pairs; false for anything else. */
static bool options_parse(int n, char **words, struct options *options)
{
	for (int i = 0; i < n; i += 2) {
		const char **target = strcmp(words[i], "--config") == 0	  ? &options->config
				      : strcmp(words[i], "--domain") == 0 ? &options->domain
				      : strcmp(words[i], "--dir") == 0	  ? &options->dir
				      : strcmp(words[i], "--days") == 0	  ? &options->days
				      : strcmp(words[i], "--kid") == 0	  ? &options->kid
									  : NULL;

		if (target == NULL || i + 1 == n) {
			fprintf(stderr, "restante: %s: unknown option, or no value\n",
				words[i]);
			return false;
		}
		*target = words[i + 1];
	}
	return true;
}

/* How many words name this command: 0, if it is another one that is named. */
static int command_words(const struct command *command, int n, char **words)
{
	const char *second = strchr(command->name, ' ');
	size_t len = strcspn(command->name, " ");

	if (n < 1 || strlen(words[0]) != len || strncmp(words[0], command->name, len) != 0)
		return 0;
	if (second == NULL)
		return 1;
	return n >= 2 && strcmp(words[1], second + 1) == 0 ? 2 : 0;
}

int main(int argc, char **argv)
{
	struct options options = {.config = DEFAULT_CONFIG};

	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
		usage(stdout);
		return 0;
	}
	if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
		printf("restante %s\n", RESTANTE_VERSION);
		return 0;
	}
	log_thread_name("main");
	crypto_init();
	for (size_t i = 0; i < N_COMMANDS; i++) {
		int words = command_words(&commands[i], argc - 1, argv + 1);

		if (words == 0)
			continue;
		if (!options_parse(argc - 1 - words, argv + 1 + words, &options))
			return 2;
		return commands[i].run(&options);
	}
	usage(stderr);
	return 2;
}
