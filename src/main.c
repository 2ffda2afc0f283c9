/* SPDX-License-Identifier: MIT
 *
 * restante: the daemon and the tool. Finds the command and hands over to its file in cli/.
 */
#include "cli/cli.h"

#include "restante/crypto.h"
#include "restante/log.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const struct command {
	const char *name; /* one word or two, and those that it takes, in capitals */
	int (*run)(const struct options *options);
	const char *help;
} commands[] = {
	{"init", cli_init, "write a configuration and keys: --domain DOMAIN [--dir DIR]"},
	{"serve", cli_serve, "run the node"},
	{"check", cli_check, "check configuration, database and keys, and say what is wrong"},
	{"dns", cli_dns, "print the DNS records to publish"},
	{"invite", cli_invite, "print a token for one new account: [--days N]"},
	{"restored", cli_restored,
	 "say that the database was restored from a backup; acts at the next start"},
	{"store copy FROM TO", cli_store_copy,
	 "copy a database to another one, as store.url has them; the node is stopped"},
	{"peer list", cli_peer_list, "list the nodes that are known, and what waits for them"},
	{"peer show DOMAIN", cli_peer_show, "print all that is known of one"},
	{"peer repin DOMAIN", cli_peer_repin, "forget its keys and trust those it shows next"},
	{"peer block DOMAIN", cli_peer_block, "have no dealings with it"},
	{"peer allow DOMAIN", cli_peer_allow, "end that, or let it in despite an allowlist"},
	{"peer flush DOMAIN", cli_peer_flush,
	 "try now to send what waits for it, as with mail queues"},
	{"key list", cli_key_list, "list the server keys, and what each is for"},
	{"key rotate", cli_key_rotate, "make a server key that takes over: [--kid KID]"},
	{"key revoke KID", cli_key_revoke, "end a leaked server key at once: --root FILE"},
	{"key sign", cli_key_sign, "sign the present keys with the root key: --root FILE"},
	{"key root", cli_key_root,
	 "make a root key that replaces the present one: --root FILE --new-root FILE"},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static bool is_first_word(const struct command *command, const char *word)
{
	size_t len = strcspn(command->name, " ");

	return strlen(word) == len && strncmp(command->name, word, len) == 0;
}

static bool is_command(const char *word)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (is_first_word(&commands[i], word))
			return true;
	}
	return false;
}

/* Of all commands, or of those that begin with this word. */
static void usage(FILE *out, const char *word)
{
	fprintf(out,
		"restante %s: a federated relay node for end-to-end encrypted messaging\n\n"
		"usage: restante COMMAND [--config FILE] [options]\n\n",
		RESTANTE_VERSION);
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (word == NULL || is_first_word(&commands[i], word))
			fprintf(out, "  %-18s %s\n", commands[i].name, commands[i].help);
	}
	fprintf(out, "\n--config is " DEFAULT_CONFIG " unless given.\n");
}

static bool asks_for_help(int n, char **words)
{
	for (int i = 0; i < n; i++) {
		if (strcmp(words[i], "--help") == 0)
			return true;
	}
	return false;
}

/* `--name value` pairs and up to two words; false for anything else. */
static bool options_parse(int n, char **words, struct options *options)
{
	for (int i = 0; i < n; i++) {
		const char **target;

		if (words[i][0] != '-' && options->second == NULL) {
			*(options->word == NULL ? &options->word : &options->second) = words[i];
			continue;
		}
		target = strcmp(words[i], "--config") == 0     ? &options->config
			 : strcmp(words[i], "--domain") == 0   ? &options->domain
			 : strcmp(words[i], "--dir") == 0      ? &options->dir
			 : strcmp(words[i], "--days") == 0     ? &options->days
			 : strcmp(words[i], "--kid") == 0      ? &options->kid
			 : strcmp(words[i], "--root") == 0     ? &options->root
			 : strcmp(words[i], "--new-root") == 0 ? &options->new_root
							       : NULL;

		if (target == NULL || i + 1 == n) {
			fprintf(stderr, "restante: %s: unknown option, or no value\n",
				words[i]);
			return false;
		}
		*target = words[++i];
	}
	return true;
}

static int words_taken(const struct command *command)
{
	int count = 0;

	for (const char *c = strchr(command->name, ' '); c != NULL; c = strchr(c + 1, ' '))
		count += isupper((unsigned char)c[1]) != 0;
	return count;
}

static bool words_fit(const struct command *command, const struct options *options)
{
	int taken = words_taken(command);
	int given = (options->word != NULL) + (options->second != NULL);

	if (given < taken)
		fprintf(stderr, "usage: restante %s\n", command->name);
	else if (given > taken)
		fprintf(stderr, "restante: %s: one word too many\n",
			taken == 0 ? options->word : options->second);
	return given == taken;
}

/* How many words name this command: 0, if it is another one that is named. */
static int command_words(const struct command *command, int n, char **words)
{
	const char *name = command->name;
	int count = 0;

	while (*name != '\0' && !isupper((unsigned char)*name)) {
		size_t len = strcspn(name, " ");

		if (count == n || strlen(words[count]) != len ||
		    strncmp(words[count], name, len) != 0)
			return 0;
		count++;
		name += len + (name[len] == ' ');
	}
	return count;
}

static int run(int argc, char **argv)
{
	struct options options = {.config = DEFAULT_CONFIG};

	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
		usage(stdout, NULL);
		return 0;
	}
	if (argc >= 3 && is_command(argv[1]) && asks_for_help(argc - 2, argv + 2)) {
		usage(stdout, argv[1]);
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
		if (!options_parse(argc - 1 - words, argv + 1 + words, &options) ||
		    !words_fit(&commands[i], &options))
			return 2;
		return commands[i].run(&options);
	}
	usage(stderr, NULL);
	return 2;
}

/* What could not be printed was not told: a token, or the records of a zone file. */
int main(int argc, char **argv)
{
	int status = run(argc, argv);

	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return status;
	perror("restante: standard output");
	return status != 0 ? status : 1;
}
