/* SPDX-License-Identifier: MIT
 *
 * Making a server key and taking one out of use, and what only the root key can do: the
 * commands `restante key …` (docs/federation.md). None of them needs the node to stop.
 */
#include "node_keys.h"

#include "restante/clock.h"
#include "restante/crypto.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- key ids ------------------------------------------------------------------------ */

/* What is known of the key ids that were used. */
struct used {
	const char *kid; /* is it one of them? NULL: whichever */
	bool found;
	unsigned long last; /* the highest N of all kN */
	size_t files;
};

/* The N of kN; 0 for a name of another kind. */
static unsigned long number_of(const char *kid)
{
	size_t digits = kid[0] == 'k' ? strspn(kid + 1, "0123456789") : 0;

	return digits > 0 && digits <= 9 && kid[1 + digits] == '\0' ? strtoul(kid + 1, NULL, 10)
								    : 0;
}

static void note_kid(struct used *used, const char *kid)
{
	unsigned long number = number_of(kid);

	if (number > used->last)
		used->last = number;
	if (used->kid != NULL && strcmp(kid, used->kid) == 0)
		used->found = true;
}

/* KID.key, or a key file under which name ever that was one: KID.key.revoked. */
static void note_file(struct used *used, const char *name)
{
	const char *end = strstr(name, ".key");
	char kid[KID_MAX + 1];

	if (end == NULL || end - name > KID_MAX)
		return;
	snprintf(kid, sizeof(kid), "%.*s", (int)(end - name), name);
	note_kid(used, kid);
	used->files += strcmp(end, ".key") == 0;
}

static enum err find_used(const struct config *config, struct used *used)
{
	struct server_document last = {0};
	struct arena *arena = arena_create();
	struct dirent *entry;
	char folder[PATH_SIZE];
	enum err err = federation_last_document(config, arena, &last);
	DIR *dir = NULL;

	if (err == ERR_NOT_FOUND)
		err = ERR_OK;
	for (size_t i = 0; i < last.n_keys && err == ERR_OK; i++)
		note_kid(used, last.keys[i].kid);
	arena_destroy(&arena);
	if (err == ERR_OK)
		err = keys_path(folder, config->node_data_dir, "");
	if (err == ERR_OK)
		err = keys_make_folder(folder);
	if (err == ERR_OK)
		dir = opendir(folder);
	if (err == ERR_OK && dir == NULL)
		err = keys_fail(ERR_INTERNAL, folder, strerror(errno));
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		note_file(used, entry->d_name);
	if (dir != NULL)
		closedir(dir);
	return err;
}

static enum err choose_kid(const struct config *config, const char *wanted,
			   char kid_out[KID_MAX + 1])
{
	struct used used = {.kid = wanted};
	enum err err;

	if (wanted != NULL &&
	    (!kid_is_valid(bytes_of_text(wanted)) || strcmp(wanted, "root") == 0))
		return keys_fail(ERR_FORBIDDEN, wanted, "not a key id: 1 to 32 of a-z 0-9 _ -");
	err = find_used(config, &used);
	if (err != ERR_OK)
		return err;
	if (used.found)
		return keys_fail(ERR_FORBIDDEN, wanted,
				 "this key id was used before; take another");
	if (used.files >= NODE_KEYS_MAX)
		return keys_fail(ERR_FORBIDDEN, config->node_data_dir,
				 "8 server keys; move the file of one that has ended away");
	if (wanted != NULL)
		snprintf(kid_out, KID_MAX + 1, "%s", wanted);
	else
		snprintf(kid_out, KID_MAX + 1, "k%lu", used.last + 1);
	return ERR_OK;
}

/* --- changing ----------------------------------------------------------------------- */

static enum err key_path(char path_out[PATH_SIZE], const struct config *config, const char *kid,
			 const char *end)
{
	char name[KID_MAX + sizeof(".key.revoked")];

	snprintf(name, sizeof(name), "%.*s.key%s", KID_MAX, kid, end);
	return keys_path(path_out, config->node_data_dir, name);
}

static enum err make_key(const struct config *config, const char *wanted,
			 char kid_out[KID_MAX + 1])
{
	char path[PATH_SIZE];
	struct sign_key key = {0};
	enum err err = choose_kid(config, wanted, kid_out);

	if (err == ERR_OK)
		err = key_path(path, config, kid_out, "");
	if (err == ERR_OK)
		err = keys_create(kid_out, path, &key);
	crypto_wipe(&key, sizeof(key));
	return err;
}

/* By the root, which may hand over to the next one; NULL: not. */
static enum err publish(const struct config *config, const struct node_keys *keys,
			const struct sign_key *root, const struct sign_key *next_root)
{
	struct own_document own = {.config = config,
				   .root = root,
				   .next_root = next_root,
				   .arena = arena_create()};
	enum err err;

	node_keys_own(keys, clock_now_ms(), &own);
	err = federation_own_document(&own);
	arena_destroy(&own.arena);
	return err;
}

enum err node_key_rotate(const struct config *config, const char *kid,
			 char kid_out[KID_MAX + 1])
{
	struct node_keys keys = {0};
	enum err err = make_key(config, kid, kid_out);

	if (err == ERR_OK)
		err = node_server_keys_load(config->node_data_dir, &keys);
	if (err == ERR_OK)
		err = publish(config, &keys, NULL, NULL);
	node_keys_wipe(&keys);
	return err;
}

/* --- with the root key -------------------------------------------------------------- */

static enum err load_root(const char *path, const struct node_keys *keys,
			  struct sign_key *root_out)
{
	enum err err = sign_key_load(path, root_out);

	if (err == ERR_NOT_FOUND)
		return keys_fail(err, path, strerror(ENOENT));
	if (err == ERR_OK && (!keys->has_root || strcmp(root_out->kid, "root") != 0 ||
			      memcmp(root_out->public_key, keys->root_public_key, 32) != 0))
		return keys_fail(ERR_FORBIDDEN, path, "not the root key of this node");
	return err;
}

/* The keys that would be left are those that have not ended. */
static enum err another_is_left(const struct config *config, const char *kid, bool *left_out)
{
	struct arena *arena = arena_create();
	struct own_document own;
	struct node_keys keys;
	enum err err = node_keys_plan(config, arena, &keys, &own);
	bool found = false;

	*left_out = false;
	for (size_t i = 0; i < keys.n_server && err == ERR_OK; i++) {
		if (strcmp(keys.server[i].kid, kid) == 0)
			found = true;
		else if (federation_key_phase(&own, i) != KEY_ENDED)
			*left_out = true;
	}
	if (err == ERR_OK && !found)
		err = keys_fail(ERR_NOT_FOUND, kid, "there is no such server key");
	node_keys_wipe(&keys);
	arena_destroy(&arena);
	return err;
}

static void remove_key(struct node_keys *keys, const char *kid)
{
	size_t left = 0;

	for (size_t i = 0; i < keys->n_server; i++) {
		if (strcmp(keys->server[i].kid, kid) == 0)
			continue;
		keys->server[left] = keys->server[i];
		keys->made_ms[left++] = keys->made_ms[i];
	}
	keys->n_server = left;
}

/* Its name is no longer that of a key. */
static enum err put_away(const struct config *config, const char *kid)
{
	char path[PATH_SIZE], away[PATH_SIZE];
	enum err err = key_path(path, config, kid, "");

	if (err == ERR_OK)
		err = key_path(away, config, kid, ".revoked");
	if (err == ERR_OK && rename(path, away) != 0)
		err = keys_fail(ERR_INTERNAL, path, strerror(errno));
	return err;
}

/* Published first: a key that the last document lists as ended does not come back, whatever
 * becomes of its file. */
enum err node_key_revoke(const struct config *config, const char *kid, const char *root_path,
			 char made_out[KID_MAX + 1])
{
	struct node_keys keys = {0};
	struct sign_key root = {0};
	bool another = true;
	enum err err = node_server_keys_load(config->node_data_dir, &keys);

	made_out[0] = '\0';
	if (err == ERR_OK)
		err = load_root(root_path, &keys, &root);
	if (err == ERR_OK)
		err = another_is_left(config, kid, &another);
	if (err == ERR_OK && !another) {
		err = make_key(config, NULL, made_out);
		if (err == ERR_OK)
			err = node_server_keys_load(config->node_data_dir, &keys);
	}
	remove_key(&keys, kid);
	if (err == ERR_OK)
		err = publish(config, &keys, &root, NULL);
	if (err == ERR_OK)
		err = put_away(config, kid);
	node_keys_wipe(&keys);
	crypto_wipe(&root, sizeof(root));
	return err;
}

enum err node_key_sign(const struct config *config, const char *root_path)
{
	struct node_keys keys = {0};
	struct sign_key root = {0};
	enum err err = node_server_keys_load(config->node_data_dir, &keys);

	if (err == ERR_OK)
		err = load_root(root_path, &keys, &root);
	if (err == ERR_OK)
		err = publish(config, &keys, &root, NULL);
	node_keys_wipe(&keys);
	crypto_wipe(&root, sizeof(root));
	return err;
}

/* Where a run before this one was cut short the new key is there already. */
static enum err load_or_make_root(const char *path, const struct sign_key *old,
				  struct sign_key *root_out)
{
	enum err err = sign_key_load(path, root_out);

	if (err == ERR_NOT_FOUND)
		return keys_create("root", path, root_out);
	if (err == ERR_OK && strcmp(root_out->kid, "root") != 0)
		return keys_fail(ERR_FORBIDDEN, path, "not a root key");
	if (err == ERR_OK && memcmp(root_out->public_key, old->public_key, 32) == 0)
		return keys_fail(ERR_FORBIDDEN, path, "the root key that is to be replaced");
	return err;
}

/* Published first: until root.pub is the new one's, all this can be done again. */
enum err node_key_root(const struct config *config, const char *root_path, const char *new_path)
{
	struct node_keys keys = {0};
	struct sign_key root = {0}, next = {0};
	enum err err = node_server_keys_load(config->node_data_dir, &keys);

	if (err == ERR_OK)
		err = load_root(root_path, &keys, &root);
	if (err == ERR_OK)
		err = load_or_make_root(new_path, &root, &next);
	memcpy(keys.root_public_key, next.public_key, sizeof(keys.root_public_key));
	if (err == ERR_OK)
		err = publish(config, &keys, &root, &next);
	if (err == ERR_OK)
		err = keys_write_root_public(config->node_data_dir, &next);
	node_keys_wipe(&keys);
	crypto_wipe(&root, sizeof(root));
	crypto_wipe(&next, sizeof(next));
	return err;
}
