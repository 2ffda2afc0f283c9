/* SPDX-License-Identifier: MIT
 *
 * restante key list, rotate, revoke, sign, root: the life of server keys (docs/federation.md).
 */
#include "cli.h"

#include "restante/crypto.h"
#include "restante/node.h"

#include <stdio.h>

#define RELOAD "Have a running node take it over: systemctl reload restante\n"

static enum err print_list(const struct config *config)
{
	struct arena *arena = arena_create();
	struct own_document own;
	struct node_keys keys;
	enum err err = node_keys_plan(config, arena, &keys, &own);

	for (size_t i = 0; i < own.document.n_keys && err == ERR_OK; i++) {
		const struct server_key *key = &own.document.keys[i];

		printf("%-8s %-27s %s\n", key->kid, cli_key_phase(arena, &own, i),
		       base64_encode(arena, bytes_of(key->public_key, 32)));
	}
	node_keys_wipe(&keys);
	arena_destroy(&arena);
	return err;
}

/* What is to be done for a key that was made. */
static enum err print_made(const struct config *config, const char *kid)
{
	struct arena *arena = arena_create();
	struct own_document own;
	struct node_keys keys;
	enum err err = node_keys_plan(config, arena, &keys, &own);

	for (size_t i = 0; i < own.n_keys && err == ERR_OK; i++) {
		if (strcmp(own.keys[i].kid, kid) != 0)
			continue;
		printf("New server key: %s/keys/%s.key\n\nPublish this record besides:\n\n",
		       config->node_data_dir, kid);
		cli_print_txt(&own, i);
		printf("\n");
	}
	node_keys_wipe(&keys);
	arena_destroy(&arena);
	return err;
}

int cli_key_list(const struct options *options)
{
	struct config config;
	enum err err;

	if (!cli_config(options, &config))
		return 1;
	err = print_list(&config);
	config_free(&config);
	return err == ERR_OK ? 0 : 1;
}

/* What has become of the keys, and what is to be done now. */
static enum err print_change(const struct config *config, const char *said)
{
	enum err err = print_list(config);

	if (err == ERR_OK)
		printf("\n%s%s", said, RELOAD);
	return err;
}

static bool has_root(const struct options *options, const char *command)
{
	if (options->root != NULL)
		return true;
	fprintf(stderr, "restante: key %s needs --root, the file of the root key\n", command);
	return false;
}

int cli_key_rotate(const struct options *options)
{
	char kid[KID_MAX + 1];
	struct config config;
	enum err err;

	if (!cli_config(options, &config))
		return 1;
	err = node_key_rotate(&config, options->kid, kid);
	if (err == ERR_OK)
		err = print_made(&config, kid);
	if (err == ERR_OK)
		err = print_change(&config, "");
	config_free(&config);
	return err == ERR_OK ? 0 : 1;
}

int cli_key_revoke(const struct options *options)
{
	char made[KID_MAX + 1];
	struct config config;
	enum err err;

	if (!has_root(options, "revoke"))
		return 2;
	if (!cli_config(options, &config))
		return 1;
	err = node_key_revoke(&config, options->word, options->root, made);
	if (err == ERR_OK)
		printf("%s is revoked: its file is now %s/keys/%s.key.revoked\n\n"
		       "Remove its TXT record.\n\n",
		       options->word, config.node_data_dir, options->word);
	if (err == ERR_OK && made[0] != '\0')
		err = print_made(&config, made);
	if (err == ERR_OK)
		err = print_change(&config, "");
	config_free(&config);
	return err == ERR_OK ? 0 : 1;
}

int cli_key_sign(const struct options *options)
{
	struct config config;
	enum err err;

	if (!has_root(options, "sign"))
		return 2;
	if (!cli_config(options, &config))
		return 1;
	err = node_key_sign(&config, options->root);
	if (err == ERR_OK)
		err = print_change(&config, "Signed by the root key. ");
	config_free(&config);
	return err == ERR_OK ? 0 : 1;
}

int cli_key_root(const struct options *options)
{
	struct config config;
	enum err err;

	if (options->root == NULL || options->new_root == NULL) {
		fprintf(stderr,
			"restante: key root needs --root, the file of the root key, and "
			"--new-root, where the new one is to be\n");
		return 2;
	}
	if (!cli_config(options, &config))
		return 1;
	err = node_key_root(&config, options->root, options->new_root);
	if (err == ERR_OK)
		printf("New root key: %s\n\n"
		       "Move it off this machine and keep it safe. The former one is of no use "
		       "any more to\nnodes that have seen this.\n\n%s",
		       options->new_root, RELOAD);
	config_free(&config);
	return err == ERR_OK ? 0 : 1;
}
