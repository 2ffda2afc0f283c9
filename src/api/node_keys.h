/* SPDX-License-Identifier: MIT
 *
 * What node_keys.c and key_change.c share.
 */
#ifndef API_NODE_KEYS_H
#define API_NODE_KEYS_H

#include "restante/node.h"

#define PATH_SIZE 4096

/* Logs it, and returns err. */
enum err keys_fail(enum err err, const char *path, const char *why);
/* A path that is too long is an error and never a file that is not there. */
enum err keys_path(char out[PATH_SIZE], const char *data_dir, const char *name) MUST_CHECK;
/* Also good where there is one. */
enum err keys_make_folder(const char *path) MUST_CHECK;
/* In place of the one there was. */
enum err keys_write_root_public(const char *data_dir, const struct sign_key *root) MUST_CHECK;
/* Makes a key and its file. */
enum err keys_create(const char *kid, const char *path, struct sign_key *key_out) MUST_CHECK;

#endif
