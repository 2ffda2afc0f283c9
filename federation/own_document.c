/* SPDX-License-Identifier: MIT
 *
 * This node's own server document (docs/protocol.md section 4.1). The last one is kept in
 * data_dir/document.json, as it is served: revision, hash chain and the times of the keys
 * go on from there.
 *
 * Times of keys: a key that is new begins a day ago, for peers whose clocks are behind, and
 * ends in a year, counted from the newest document that has it. A key that the node no
 * longer has stays in the document for that year with its end at the time it was first
 * missed, so that peers stop to accept it as soon as they fetch the document.
 */
#include "restante/federation.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DOCUMENT_FILE	  "document.json"
#define DOCUMENT_LIFE_MS  (7 * DAYS_MS)
#define KEY_EARLY_MS	  DAYS_MS
#define KEY_LIFE_MS	  (365 * DAYS_MS)
#define TRANSACTION_ITEMS 1000
#define TRANSACTION_BYTES (INT64_C(4) << 20) /* a larger body is never read */

static enum err fail(const char *path, const char *doing, const char *why)
{
	log_error(config, "file=%s failed=%s reason=%s", log_quote(path), doing,
		  log_quote(why));
	return ERR_INTERNAL;
}

/* The file */

static bool write_synced(const char *path, struct bytes content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	size_t done = 0;
	bool ok = fd >= 0;

	while (ok && done < content.len) {
		ssize_t n = write(fd, content.data + done, content.len - done);

		ok = n >= 0 || errno == EINTR;
		done += n > 0 ? (size_t)n : 0;
	}
	ok = ok && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static enum err file_replace(struct arena *arena, const char *folder, struct bytes content)
{
	const char *path = arena_printf(arena, "%s/" DOCUMENT_FILE, folder);
	const char *temporary = arena_printf(arena, "%s.new", path);

	if (!write_synced(temporary, content))
		return fail(path, "write", strerror(errno));
	if (rename(temporary, path) != 0 || !sync_folder(folder))
		return fail(path, "replace", strerror(errno));
	return ERR_OK;
}

/* ERR_NOT_FOUND where there is no such file. */
static enum err file_read(struct arena *arena, const char *path, struct bytes *content_out)
{
	uint8_t *buffer = arena_alloc(arena, DOCUMENT_WIRE_MAX + 1);
	FILE *file = fopen(path, "rbe");
	size_t len;
	bool ok;

	if (file == NULL)
		return errno == ENOENT ? ERR_NOT_FOUND : fail(path, "open", strerror(errno));
	len = fread(buffer, 1, DOCUMENT_WIRE_MAX + 1, file);
	ok = ferror(file) == 0;
	fclose(file);
	if (!ok)
		return fail(path, "read", strerror(errno));
	*content_out = bytes_of(buffer, len);
	return ERR_OK;
}

static enum err last_read(struct arena *arena, const struct config *config,
			  struct server_document *last_out, bool *found_out)
{
	const char *path = arena_printf(arena, "%s/" DOCUMENT_FILE, config->node_data_dir);
	struct bytes content;
	enum err err = file_read(arena, path, &content);

	*found_out = false;
	if (err == ERR_NOT_FOUND)
		return ERR_OK;
	if (err != ERR_OK)
		return err;
	err = document_decode(arena, content, last_out);
	*found_out = err == ERR_OK && strcmp(last_out->server, config->node_domain) == 0;
	/* Revisions are times, so that a new one is above the lost one all the same. */
	if (!*found_out)
		log_warn(config, "file=%s reason=\"no document of this node, begun anew\"",
			 log_quote(path));
	return ERR_OK;
}

/* Keys */

static bool is_same_key(const struct server_key *a, const char *kid, const uint8_t *public_key)
{
	return strcmp(a->kid, kid) == 0 && memcmp(a->public_key, public_key, 32) == 0;
}

static void key_add(struct server_document *document, const struct server_document *last,
		    const struct sign_key *key, int64_t now_ms)
{
	struct server_key *added = &document->keys[document->n_keys++];

	memcpy(added->kid, key->kid, sizeof added->kid);
	memcpy(added->public_key, key->public_key, sizeof added->public_key);
	added->not_before_ms = now_ms - KEY_EARLY_MS;
	added->not_after_ms = now_ms + KEY_LIFE_MS;
	for (size_t i = 0; i < last->n_keys; i++)
		if (is_same_key(&last->keys[i], key->kid, key->public_key) &&
		    last->keys[i].not_before_ms < added->not_before_ms)
			added->not_before_ms = last->keys[i].not_before_ms;
}

static void keys_add_ended(struct server_document *document, const struct server_document *last,
			   int64_t now_ms)
{
	for (size_t i = 0; i < last->n_keys && document->n_keys < SERVER_KEYS_MAX; i++) {
		struct server_key key = last->keys[i];

		if (document_key(document, key.kid) != NULL)
			continue;
		if (key.not_after_ms >= now_ms)
			key.not_after_ms = now_ms - 1;
		if (now_ms - key.not_after_ms < KEY_LIFE_MS)
			document->keys[document->n_keys++] = key;
	}
}

static enum err keys_check(const struct server_document *last, const struct sign_key *keys,
			   size_t n_keys)
{
	if (n_keys < 1 || n_keys > SERVER_KEYS_MAX) {
		log_error(config, "reason=\"a node has 1 to %d server keys\" keys=%zu",
			  SERVER_KEYS_MAX, n_keys);
		return ERR_VALIDATION;
	}
	for (size_t i = 0; i < n_keys; i++) {
		const struct server_key *before = document_key(last, keys[i].kid);

		if (before == NULL || is_same_key(before, keys[i].kid, keys[i].public_key))
			continue;
		log_error(config, "reason=\"this key id was published for another key\" kid=%s",
			  keys[i].kid);
		return ERR_VALIDATION;
	}
	return ERR_OK;
}

/* The document */

static void fill(struct server_document *document, struct arena *arena,
		 const struct config *config, int64_t now_ms)
{
	const char *url = config->federation_url;
	const char *api_url = config->federation_api_url;

	if (url[0] == '\0')
		url = arena_printf(arena, "https://%s", config->node_domain);
	snprintf(document->server, sizeof document->server, "%s", config->node_domain);
	snprintf(document->federation_url, sizeof document->federation_url, "%s", url);
	document->api_url = api_url[0] != '\0' ? api_url : url;
	document->issued_at_ms = now_ms;
	document->valid_until_ms = now_ms + DOCUMENT_LIFE_MS;
	document->transaction_items = TRANSACTION_ITEMS;
	document->transaction_bytes = config->limits_body < TRANSACTION_BYTES
					      ? config->limits_body
					      : TRANSACTION_BYTES;
	document->content_bytes = config->limits_content;
	document->software = "restante";
	document->software_version = RESTANTE_VERSION;
	document->abuse = config->node_abuse_contact;
}

static void chain(struct server_document *document, const struct server_document *last,
		  bool found, int64_t now_ms)
{
	document->revision = now_ms;
	document->has_previous = found;
	if (!found)
		return;
	if (last->revision >= now_ms)
		document->revision = last->revision + 1;
	crypto_sha256(last->raw, document->previous);
}

enum err federation_own_document(const struct config *config, const struct sign_key *keys,
				 size_t n_keys, const uint8_t *root_public_key, int64_t now_ms,
				 struct arena *arena, struct server_document *document_out,
				 struct bytes *wrapper_out)
{
	struct server_document last = {0}, document = {0};
	const char *reason = "it cannot be read back";
	struct bytes wrapper;
	bool found;
	enum err err = last_read(arena, config, &last, &found);

	if (err != ERR_OK)
		return err;
	if (!found)
		last = (struct server_document){0};
	err = keys_check(&last, keys, n_keys);
	if (err != ERR_OK)
		return err;
	fill(&document, arena, config, now_ms);
	chain(&document, &last, found, now_ms);
	for (size_t i = 0; i < n_keys; i++)
		key_add(&document, &last, &keys[i], now_ms);
	keys_add_ended(&document, &last, now_ms);
	document.has_root = root_public_key != NULL;
	if (document.has_root)
		memcpy(document.root_key, root_public_key, sizeof document.root_key);
	wrapper = document_encode(arena, &document, keys, n_keys);
	/* What others would refuse, for example by its federation URL, is not published. */
	if (document_decode(arena, wrapper, &document) != ERR_OK ||
	    document_verify(&document, config->node_domain, now_ms, &reason) != ERR_OK) {
		log_error(config, "reason=\"the server document is not valid: %s\"", reason);
		return ERR_VALIDATION;
	}
	err = file_replace(arena, config->node_data_dir, wrapper);
	if (err != ERR_OK)
		return err;
	*document_out = document;
	*wrapper_out = wrapper;
	return ERR_OK;
}

bool federation_kid_was_used(const struct config *config, const char *kid)
{
	struct arena *arena = arena_create();
	struct server_document last;
	bool found = false;
	bool used = last_read(arena, config, &last, &found) == ERR_OK && found &&
		    document_key(&last, kid) != NULL;

	arena_destroy(&arena);
	return used;
}
