/* SPDX-License-Identifier: MIT
 *
 * restante init: a folder with a commented configuration and fresh keys.
 */
#include "cli.h"

#include "restante/address.h"
#include "restante/node.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static bool write_new(const char *path, const struct text *text)
{
	FILE *file = fopen(path, "wx");
	bool ok;

	if (file == NULL) {
		fprintf(stderr, "restante: %s: %s\n", path, strerror(errno));
		return false;
	}
	ok = fwrite(text->data, 1, text->len, file) == text->len;
	return fclose(file) == 0 && ok;
}

static bool init_files(struct arena *arena, const char *dir, const char *domain)
{
	const struct config_pair given[] = {{"node.domain", domain}};
	const char *config_path = arena_printf(arena, "%s/restante.yaml", dir);
	const char *data_dir = arena_printf(arena, "%s/data", dir);
	const char *root_path = arena_printf(arena, "%s/root.key", dir);
	struct text example;
	enum err err;

	text_init(&example, arena, 8192);
	config_print_example(&example, given, 1);
	if (!write_new(config_path, &example))
		return false;
	err = node_keys_create(data_dir, root_path);
	if (err != ERR_OK) {
		fprintf(stderr, "restante: %s: %s\n", data_dir,
			err == ERR_FORBIDDEN ? "there are keys already" : err_code(err));
		return false;
	}
	printf("Configuration: %s\n"
	       "Keys:          %s/keys\n"
	       "Root key:      %s\n\n"
	       "Move the root key off this machine and keep it safe. Should a server key "
	       "leak,\n"
	       "`restante key revoke` needs it, and other nodes drop that key at once. "
	       "Nothing\n"
	       "else needs it.\n\n"
	       "Next: set the TLS certificate in the configuration, publish the records that\n"
	       "`restante dns --config %s` prints, and start with\n"
	       "`restante serve --config %s`.\n",
	       config_path, data_dir, root_path, config_path, config_path);
	return true;
}

int cli_init(const struct options *options)
{
	const char *dir = options->dir != NULL ? options->dir : ".";
	struct arena *arena;
	bool ok;

	if (options->domain == NULL || !domain_is_valid(bytes_of_text(options->domain))) {
		fprintf(stderr, "restante: init needs --domain, a DNS name in lower case\n");
		return 2;
	}
	if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
		fprintf(stderr, "restante: %s: %s\n", dir, strerror(errno));
		return 1;
	}
	arena = arena_create();
	ok = init_files(arena, dir, options->domain);
	arena_destroy(&arena);
	return ok ? 0 : 1;
}
