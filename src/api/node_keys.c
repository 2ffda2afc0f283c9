/* SPDX-License-Identifier: MIT
 *
 * The keys and secrets in the data folder:
 *
 *   keys/KID.key         server keys, Ed25519; all sign the document, what else they are for
 *                        is in federation/key_schedule.c
 *   keys/root.pub        public part of the offline root key, base64
 *   keys/token.secret    MAC of access tokens
 *   keys/receipt.secret  MAC of receipt tokens and of login nonces
 */
#include "node_keys.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"
#include "restante/private_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const secret_names[] = {"token.secret", "receipt.secret"};

#define N_SECRETS (sizeof(secret_names) / sizeof(secret_names[0]))

enum err keys_fail(enum err err, const char *path, const char *why)
{
	log_error(config, "path=%s reason=%s", log_quote(path), log_quote(why));
	return err;
}

enum err keys_path(char out[PATH_SIZE], const char *data_dir, const char *name)
{
	if (snprintf(out, PATH_SIZE, "%s/keys/%s", data_dir, name) < PATH_SIZE)
		return ERR_OK;
	return keys_fail(ERR_VALIDATION, data_dir, strerror(ENAMETOOLONG));
}

enum err keys_make_folder(const char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return ERR_OK;
	return keys_fail(ERR_INTERNAL, path, strerror(errno));
}

/* --- making ------------------------------------------------------------------------- */

enum err keys_write_root_public(const char *data_dir, const struct sign_key *root)
{
	char path[PATH_SIZE], text[64];
	enum err err = keys_path(path, data_dir, "root.pub");

	base64_encode_to(bytes_of(root->public_key, sizeof(root->public_key)), text);
	strcat(text, "\n");
	return err == ERR_OK ? private_file_replace(path, bytes_of_text(text)) : err;
}

enum err node_secrets_create(const char *data_dir)
{
	uint8_t secret[SECRET_SIZE];
	char path[PATH_SIZE];
	enum err err = keys_path(path, data_dir, "");

	if (err == ERR_OK && access(path, F_OK) != 0)
		return ERR_OK; /* loading the keys will say so */
	for (size_t i = 0; i < N_SECRETS && err == ERR_OK; i++) {
		err = keys_path(path, data_dir, secret_names[i]);
		if (err == ERR_OK)
			err = secret_file_load_or_create(path, secret);
	}
	crypto_wipe(secret, sizeof(secret));
	return err;
}

enum err keys_create(const char *kid, const char *path, struct sign_key *key_out)
{
	enum err err = sign_key_create(bytes_of_text(kid), key_out);

	return err == ERR_OK ? sign_key_save(key_out, path) : err;
}

enum err node_keys_create(const char *data_dir, const char *root_path)
{
	char folder[PATH_SIZE], key_path[PATH_SIZE], root_pub[PATH_SIZE];
	struct sign_key key = {0}, root = {0};
	enum err err = keys_path(folder, data_dir, "");

	if (err == ERR_OK)
		err = keys_path(key_path, data_dir, "k1.key");
	if (err == ERR_OK)
		err = keys_path(root_pub, data_dir, "root.pub");
	if (err != ERR_OK)
		return err;
	if (access(root_pub, F_OK) == 0 || access(key_path, F_OK) == 0)
		return ERR_FORBIDDEN;
	err = keys_make_folder(data_dir);
	if (err == ERR_OK)
		err = keys_make_folder(folder);
	if (err == ERR_OK)
		err = keys_create("k1", key_path, &key);
	if (err == ERR_OK)
		err = keys_create("root", root_path, &root);
	if (err == ERR_OK)
		err = keys_write_root_public(data_dir, &root);
	if (err == ERR_OK)
		err = node_secrets_create(data_dir);
	crypto_wipe(&key, sizeof(key));
	crypto_wipe(&root, sizeof(root));
	return err;
}

/* --- loading ------------------------------------------------------------------------ */

struct key_file {
	char kid[KID_MAX + 1];
	int64_t made_ms; /* last written, and keys are written once */
};

static int is_older(const void *a, const void *b)
{
	const struct key_file *one = a, *other = b;

	if (one->made_ms != other->made_ms)
		return one->made_ms < other->made_ms ? -1 : 1;
	return strcmp(one->kid, other->kid);
}

/* False for names without the end of a key file. */
static bool kid_of_name(const char *name, struct bytes *kid_out)
{
	size_t len = strlen(name);

	if (len <= 4 || strcmp(name + len - 4, ".key") != 0)
		return false;
	*kid_out = bytes_of(name, len - 4);
	return true;
}

static enum err key_file_find(const char *data_dir, const char *name, struct bytes kid,
			      struct key_file *file_out)
{
	char path[PATH_SIZE];
	enum err err = keys_path(path, data_dir, name);
	struct stat st;

	if (err != ERR_OK)
		return err;
	if (!kid_is_valid(kid) || strcmp(name, "root.key") == 0)
		return keys_fail(ERR_VALIDATION, path,
				 "not the name of a server key; move it away");
	if (stat(path, &st) != 0)
		return keys_fail(ERR_INTERNAL, path, strerror(errno));
	*file_out = (struct key_file){.made_ms = st.st_mtim.tv_sec * SECONDS_MS +
						 st.st_mtim.tv_nsec / 1000000};
	memcpy(file_out->kid, kid.data, kid.len);
	return ERR_OK;
}

static enum err key_files_find(const char *data_dir, struct key_file files[NODE_KEYS_MAX],
			       size_t *n_out)
{
	char folder[PATH_SIZE];
	enum err err = keys_path(folder, data_dir, "");
	DIR *dir = err == ERR_OK ? opendir(folder) : NULL;
	struct dirent *entry;
	struct bytes kid;

	*n_out = 0;
	if (err == ERR_OK && dir == NULL && errno != ENOENT)
		err = keys_fail(ERR_INTERNAL, folder, strerror(errno));
	while (err == ERR_OK && dir != NULL && (entry = readdir(dir)) != NULL) {
		if (!kid_of_name(entry->d_name, &kid))
			continue;
		err = *n_out < NODE_KEYS_MAX
			      ? key_file_find(data_dir, entry->d_name, kid, &files[(*n_out)++])
			      : keys_fail(ERR_VALIDATION, folder, "more than 8 server keys");
	}
	if (dir != NULL)
		closedir(dir);
	if (err == ERR_OK && *n_out == 0)
		err = keys_fail(
			ERR_NOT_FOUND, folder,
			"no server key; take it from the backup, or restante key rotate "
			"makes a new one");
	return err;
}

static enum err load_one(const char *data_dir, const char *kid, struct sign_key *key_out)
{
	char path[PATH_SIZE], name[KID_MAX + sizeof ".key"];
	enum err err;

	snprintf(name, sizeof(name), "%.*s.key", KID_MAX, kid);
	err = keys_path(path, data_dir, name);
	if (err == ERR_OK)
		err = sign_key_load(path, key_out);
	if (err == ERR_OK && strcmp(key_out->kid, kid) != 0)
		err = keys_fail(ERR_VALIDATION, path, "the key in it has another key id");
	return err;
}

static enum err load_server(const char *data_dir, struct node_keys *keys)
{
	struct key_file files[NODE_KEYS_MAX];
	size_t n = 0;
	enum err err = key_files_find(data_dir, files, &n);

	if (err != ERR_OK)
		return err;
	qsort(files, n, sizeof(files[0]), is_older);
	crypto_wipe(keys->server, sizeof(keys->server));
	for (size_t i = 0; i < n && err == ERR_OK; i++) {
		err = load_one(data_dir, files[i].kid, &keys->server[i]);
		keys->made_ms[i] = files[i].made_ms;
	}
	keys->n_server = n;
	return err;
}

static enum err load_root(const char *data_dir, struct node_keys *keys)
{
	char path[PATH_SIZE], line[128] = "";
	enum err err = keys_path(path, data_dir, "root.pub");
	FILE *file;

	if (err != ERR_OK)
		return err;
	keys->has_root = false;
	file = fopen(path, "r");
	if (file == NULL && errno == ENOENT)
		return ERR_OK; /* a node without a root key: allowed */
	if (file == NULL)
		return keys_fail(ERR_INTERNAL, path, strerror(errno));
	if (fgets(line, sizeof(line), file) == NULL)
		line[0] = '\0';
	fclose(file);
	line[strcspn(line, "\n")] = '\0';
	keys->has_root = base64_decode_exact(bytes_of_text(line), sizeof(keys->root_public_key),
					     keys->root_public_key) == ERR_OK;
	return keys->has_root ? ERR_OK : keys_fail(ERR_VALIDATION, path, "not a public key");
}

enum err node_server_keys_load(const char *data_dir, struct node_keys *keys)
{
	enum err err = load_server(data_dir, keys);

	return err == ERR_OK ? load_root(data_dir, keys) : err;
}

enum err node_secrets_load(const char *data_dir, struct node_keys *keys)
{
	uint8_t *const secrets[N_SECRETS] = {keys->token_secret, keys->receipt_secret};
	char path[PATH_SIZE];
	enum err err = ERR_OK;

	for (size_t i = 0; i < N_SECRETS && err == ERR_OK; i++) {
		err = keys_path(path, data_dir, secret_names[i]);
		if (err == ERR_OK)
			err = secret_file_load(path, secrets[i]);
		if (err == ERR_NOT_FOUND)
			keys_fail(err, path,
				  "missing; take it from the backup, or restante serve makes a "
				  "new one");
	}
	return err;
}

enum err node_keys_load(const char *data_dir, struct node_keys *keys_out)
{
	struct node_keys keys = {0};
	enum err err = node_server_keys_load(data_dir, &keys);

	if (err == ERR_OK)
		err = node_secrets_load(data_dir, &keys);
	if (err == ERR_OK)
		*keys_out = keys;
	crypto_wipe(&keys, sizeof(keys));
	return err;
}

void node_keys_wipe(struct node_keys *keys)
{
	crypto_wipe(keys, sizeof(*keys));
}

void node_keys_own(const struct node_keys *keys, int64_t now_ms, struct own_document *own)
{
	own->keys = keys->server;
	own->made_ms = keys->made_ms;
	own->n_keys = keys->n_server;
	own->root_public_key = keys->has_root ? keys->root_public_key : NULL;
	own->now_ms = now_ms;
}

enum err node_keys_plan(const struct config *config, struct arena *arena,
			struct node_keys *keys_out, struct own_document *own_out)
{
	enum err err;

	*keys_out = (struct node_keys){0};
	*own_out = (struct own_document){.config = config, .arena = arena};
	err = node_server_keys_load(config->node_data_dir, keys_out);
	if (err != ERR_OK)
		return err;
	node_keys_own(keys_out, clock_now_ms(), own_out);
	return federation_own_keys(own_out);
}
