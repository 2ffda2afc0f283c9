/* SPDX-License-Identifier: MIT
 *
 * A node: all the parts of the daemon put together, from its configuration. What the
 * commands of the program are made of.
 */
#ifndef RESTANTE_NODE_H
#define RESTANTE_NODE_H

#include "restante/config.h"
#include "restante/err.h"
#include "restante/federation.h"
#include "restante/sign.h"
#include "restante/store.h"

struct node;

/* Everything up to the listening socket; says in the log what went wrong. */
enum err node_create(const struct config *config, struct node **node_out) MUST_CHECK;
/* Serves until node_stop(). */
void node_run(struct node *node);
void node_stop(struct node *node);   /* from signal handlers too */
void node_reload(struct node *node); /* the same: certificates, server keys */
void node_destroy(struct node **node);

/* --- what lies in the data folder ------------------------------------------------------ */

#define NODE_KEYS_MAX 8

struct node_keys {
	struct sign_key server[NODE_KEYS_MAX]; /* data_dir/keys/KID.key */
	int64_t made_ms[NODE_KEYS_MAX];	       /* times of the files, which they are in
						  order of */
	size_t n_server;
	bool has_root;
	uint8_t root_public_key[32];	     /* data_dir/keys/root.pub */
	uint8_t token_secret[SECRET_SIZE];   /* data_dir/keys/token.secret: access tokens */
	uint8_t receipt_secret[SECRET_SIZE]; /* …/receipt.secret: tokens of receipts, nonces */
};

/* Makes the folders, a first server key k1, the secrets, and a root key, whose file is left
 * at root_path for its owner to take away. ERR_FORBIDDEN where there are keys already. */
enum err node_keys_create(const char *data_dir, const char *root_path) MUST_CHECK;

/* These publish a document: files for a running node, which takes them over when it is
 * reloaded. The log says what went wrong. */

/* One more server key, which replaces the others in time. Without a kid it is k and the next
 * number. ERR_FORBIDDEN: not a kid, or one that was used. */
enum err node_key_rotate(const struct config *config, const char *kid,
			 char kid_out[KID_MAX + 1]) MUST_CHECK;
/* Takes a key out of use at once, by the root key in the file root_path. Where no other is
 * left a new one is made, else made_out is "". ERR_NOT_FOUND: there is no such key. */
enum err node_key_revoke(const struct config *config, const char *kid, const char *root_path,
			 char made_out[KID_MAX + 1]) MUST_CHECK;
/* The root signs the keys as they are. */
enum err node_key_sign(const struct config *config, const char *root_path) MUST_CHECK;
/* The root hands over to a new one, whose file is made at new_path. */
enum err node_key_root(const struct config *config, const char *root_path,
		       const char *new_path) MUST_CHECK;

/* Secrets that are missing; where there are no keys at all nothing is made. */
enum err node_secrets_create(const char *data_dir) MUST_CHECK;

/* These change nothing. The log says what is wrong, and with which file; ERR_NOT_FOUND: it is
 * not there. The first loads keys and secrets; the others leave what they do not load alone. */
enum err node_keys_load(const char *data_dir, struct node_keys *keys_out) MUST_CHECK;
enum err node_server_keys_load(const char *data_dir, struct node_keys *keys) MUST_CHECK;
enum err node_secrets_load(const char *data_dir, struct node_keys *keys) MUST_CHECK;
void node_keys_wipe(struct node_keys *keys);
/* What the keys and the time say about a document of this node. */
void node_keys_own(const struct node_keys *keys, int64_t now_ms, struct own_document *own);
/* Loads the server keys, and finds out what they are for; changes nothing. */
enum err node_keys_plan(const struct config *config, struct arena *arena,
			struct node_keys *keys_out, struct own_document *own_out) MUST_CHECK;

void node_store_config(const struct config *config, struct store_config *store_out);

#endif
