/* SPDX-License-Identifier: MIT
 *
 * The keys and secrets in the data folder:
 *
 *   keys/KID.key         server keys, Ed25519; the first by name of those that are live signs
 *   keys/root.pub        public part of the offline root key, base64
 *   keys/token.secret    MAC of access tokens
 *   keys/receipt.secret  MAC of receipt tokens and of login nonces
 */
#include "restante/node.h"

#include "restante/crypto.h"
#include "restante/log.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 4096

static bool keys_path(char out[PATH_SIZE], const char *data_dir, const char *name)
{
	return snprintf(out, PATH_SIZE, "%s/keys/%s", data_dir, name) < PATH_SIZE;
}

static enum err make_folder(const char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return ERR_OK;
	log_error(config, "path=%s reason=%s", log_quote(path), log_quote(strerror(errno)));
	return ERR_INTERNAL;
}

/* --- making ------------------------------------------------------------------------- */

static enum err write_root_public(const char *path, const struct sign_key *root)
{
	char text[64];
	FILE *file = fopen(path, "wx");
	bool ok;

	if (file == NULL) {
		log_error(config, "path=%s reason=%s", log_quote(path),
			  log_quote(strerror(errno)));
		return ERR_INTERNAL;
	}
	base64_encode_to(bytes_of(root->public_key, sizeof(root->public_key)), text);
	ok = fprintf(file, "%s\n", text) > 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
	return fclose(file) == 0 && ok ? ERR_OK : ERR_INTERNAL;
}

/* Made where they are missing. */
static enum err load_secrets(const char *data_dir, struct node_keys *keys)
{
	char path[PATH_SIZE];
	enum err err = ERR_VALIDATION;

	if (keys_path(path, data_dir, "token.secret"))
		err = secret_file_load_or_create(path, keys->token_secret);
	if (err == ERR_OK && keys_path(path, data_dir, "receipt.secret"))
		err = secret_file_load_or_create(path, keys->receipt_secret);
	return err;
}

static enum err create_one(const char *kid, const char *path, struct sign_key *key_out)
{
	enum err err = sign_key_create(bytes_of_text(kid), key_out);

	return err == ERR_OK ? sign_key_save(key_out, path) : err;
}

enum err node_keys_create(const char *data_dir, const char *root_path)
{
	char folder[PATH_SIZE], key_path[PATH_SIZE], root_pub[PATH_SIZE];
	struct sign_key key = {0}, root = {0};
	struct node_keys secrets = {0};
	enum err err;

	if (!keys_path(folder, data_dir, "") || !keys_path(key_path, data_dir, "k1.key") ||
	    !keys_path(root_pub, data_dir, "root.pub"))
		return ERR_VALIDATION;
	if (access(root_pub, F_OK) == 0 || access(key_path, F_OK) == 0)
		return ERR_FORBIDDEN;
	err = make_folder(data_dir);
	if (err == ERR_OK)
		err = make_folder(folder);
	if (err == ERR_OK)
		err = create_one("k1", key_path, &key);
	if (err == ERR_OK)
		err = create_one("root", root_path, &root);
	if (err == ERR_OK)
		err = write_root_public(root_pub, &root);
	if (err == ERR_OK)
		err = load_secrets(data_dir, &secrets);
	crypto_wipe(&secrets, sizeof(secrets));
	crypto_wipe(&key, sizeof(key));
	crypto_wipe(&root, sizeof(root));
	return err;
}

/* --- loading ------------------------------------------------------------------------ */

static int is_key_file(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 4 && strcmp(entry->d_name + len - 4, ".key") == 0;
}

static enum err load_live(const char *data_dir, struct node_keys *keys)
{
	char folder[PATH_SIZE], path[PATH_SIZE];
	struct dirent **entries = NULL;
	enum err err = ERR_OK;
	int n;

	if (!keys_path(folder, data_dir, ""))
		return ERR_VALIDATION;
	n = scandir(folder, &entries, is_key_file, alphasort);
	for (int i = 0; i < n; i++) {
		if (err == ERR_OK && keys->n_live < NODE_KEYS_MAX &&
		    keys_path(path, data_dir, entries[i]->d_name))
			err = sign_key_load(path, &keys->live[keys->n_live++]);
		free(entries[i]);
	}
	free(entries);
	if (err == ERR_OK && keys->n_live == 0) {
		log_error(config, "path=%s reason=\"no server key; run restante init\"",
			  log_quote(folder));
		err = ERR_NOT_FOUND;
	}
	return err;
}

static enum err load_root(const char *data_dir, struct node_keys *keys)
{
	char path[PATH_SIZE], line[128] = "";
	FILE *file;

	if (!keys_path(path, data_dir, "root.pub"))
		return ERR_VALIDATION;
	file = fopen(path, "r");
	if (file == NULL)
		return ERR_OK; /* a node without a root key: allowed */
	if (fgets(line, sizeof(line), file) == NULL)
		line[0] = '\0';
	fclose(file);
	line[strcspn(line, "\n")] = '\0';
	keys->has_root = base64_decode_exact(bytes_of_text(line), sizeof(keys->root_public_key),
					     keys->root_public_key) == ERR_OK;
	if (!keys->has_root)
		log_error(config, "path=%s reason=\"not a public key\"", log_quote(path));
	return keys->has_root ? ERR_OK : ERR_VALIDATION;
}

enum err node_keys_load(const char *data_dir, struct node_keys *keys_out)
{
	struct node_keys keys = {0};
	enum err err = load_live(data_dir, &keys);

	if (err == ERR_OK)
		err = load_root(data_dir, &keys);
	if (err == ERR_OK)
		err = load_secrets(data_dir, &keys);
	if (err == ERR_OK)
		*keys_out = keys;
	crypto_wipe(&keys, sizeof(keys));
	return err;
}

void node_keys_wipe(struct node_keys *keys)
{
	crypto_wipe(keys, sizeof(*keys));
}
