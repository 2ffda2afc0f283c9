/* SPDX-License-Identifier: MIT
 *
 * A node: all the parts of the daemon put together, from its configuration. What the
 * commands of the program are made of.
 */
#ifndef RESTANTE_NODE_H
#define RESTANTE_NODE_H

#include "restante/config.h"
#include "restante/err.h"
#include "restante/sign.h"
#include "restante/store.h"

struct node;

/* Everything up to the listening socket; says in the log what went wrong. */
enum err node_create(const struct config *config, struct node **node_out) MUST_CHECK;
/* Serves until node_stop(). */
void node_run(struct node *node);
void node_stop(struct node *node);   /* from signal handlers too */
void node_reload(struct node *node); /* the same: certificates */
void node_destroy(struct node **node);

/* --- what lies in the data folder ------------------------------------------------------ */

#define NODE_KEYS_MAX 8

struct node_keys {
	struct sign_key live[NODE_KEYS_MAX]; /* data_dir/keys/KID.key; the first one signs:
						the one whose file is the oldest */
	size_t n_live;
	bool has_root;
	uint8_t root_public_key[32];	     /* data_dir/keys/root.pub */
	uint8_t token_secret[SECRET_SIZE];   /* data_dir/keys/token.secret: access tokens */
	uint8_t receipt_secret[SECRET_SIZE]; /* …/receipt.secret: tokens of receipts, nonces */
};

/* Makes the folders, a first server key k1, the secrets, and a root key, whose file is left
 * at root_path for its owner to take away. ERR_FORBIDDEN where there are keys already. */
enum err node_keys_create(const char *data_dir, const char *root_path) MUST_CHECK;

/* One more server key. It is published from the next start on, and signs requests only when
 * those that are older have been removed. ERR_FORBIDDEN: not a kid, or one that was used;
 * the log says so. */
enum err node_key_add(const struct config *config, const char *kid) MUST_CHECK;

/* Secrets that are missing; where there are no keys at all nothing is made. */
enum err node_secrets_create(const char *data_dir) MUST_CHECK;

/* These change nothing. The log says what is wrong, and with which file; ERR_NOT_FOUND: it is
 * not there. The first loads keys and secrets; the others leave what they do not load alone. */
enum err node_keys_load(const char *data_dir, struct node_keys *keys_out) MUST_CHECK;
enum err node_server_keys_load(const char *data_dir, struct node_keys *keys) MUST_CHECK;
enum err node_secrets_load(const char *data_dir, struct node_keys *keys) MUST_CHECK;
void node_keys_wipe(struct node_keys *keys);

void node_store_config(const struct config *config, struct store_config *store_out);

#endif
