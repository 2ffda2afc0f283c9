/* SPDX-License-Identifier: MIT
 *
 * This node's own server document (docs/protocol.md section 4.1). The last one is kept in
 * data_dir/document.json, as it is served: revision, hash chain and the times of the keys
 * go on from there. The last one that the root has signed is in root_document.json, and
 * carried along with every other.
 */
#include "key_schedule.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#define DOCUMENT_FILE	  "document.json"
#define ROOT_FILE	  "root_document.json"
#define DOCUMENT_LIFE_MS  (7 * DAYS_MS)
#define TRANSACTION_ITEMS 1000
#define TRANSACTION_BYTES (INT64_C(4) << 20) /* a larger body is never read */

static enum err fail(const char *path, const char *doing, const char *why)
{
	log_error(config, "file=%s failed=%s reason=%s", log_quote(path), doing,
		  log_quote(why));
	return ERR_INTERNAL;
}

/* The files */

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

static enum err file_replace(const struct own_document *own, const char *name,
			     struct bytes content)
{
	const char *folder = own->config->node_data_dir;
	const char *path = arena_printf(own->arena, "%s/%s", folder, name);
	const char *temporary = arena_printf(own->arena, "%s.new", path);

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

static enum err last_read(const struct config *config, struct arena *arena,
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

/* Without it the document is published all the same: peers remember what they have followed.
 */
static enum err root_signed_read(const struct own_document *own,
				 struct server_document *signed_out, bool *found_out)
{
	const char *path =
		arena_printf(own->arena, "%s/" ROOT_FILE, own->config->node_data_dir);
	const uint8_t *root =
		own->next_root != NULL ? own->root->public_key : own->root_public_key;
	struct bytes content;
	enum err err = file_read(own->arena, path, &content);

	*found_out = false;
	if (err != ERR_OK)
		return err == ERR_NOT_FOUND ? ERR_OK : err;
	*found_out = root != NULL &&
		     document_decode(own->arena, content, signed_out) == ERR_OK &&
		     strcmp(signed_out->server, own->config->node_domain) == 0 &&
		     document_signed_by(signed_out, root);
	if (!*found_out)
		log_error(config,
			  "file=%s reason=\"no document that the root of this node has "
			  "signed; not published\"",
			  log_quote(path));
	return ERR_OK;
}

/* The document */

static void fill(struct own_document *own)
{
	const struct config *config = own->config;
	struct server_document *document = &own->document;
	const char *url = config->federation_url;
	const char *api_url = config->federation_api_url;

	if (url[0] == '\0')
		url = arena_printf(own->arena, "https://%s", config->node_domain);
	snprintf(document->server, sizeof document->server, "%s", config->node_domain);
	snprintf(document->federation_url, sizeof document->federation_url, "%s", url);
	document->api_url = api_url[0] != '\0' ? api_url : url;
	document->has_root = own->root_public_key != NULL;
	if (document->has_root)
		memcpy(document->root_key, own->root_public_key, sizeof document->root_key);
	document->issued_at_ms = own->now_ms;
	document->valid_until_ms = own->now_ms + DOCUMENT_LIFE_MS;
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
		  const struct server_document *root_signed, int64_t now_ms)
{
	document->revision = now_ms;
	if (root_signed != NULL && root_signed->revision >= document->revision)
		document->revision = root_signed->revision + 1;
	document->has_previous = last != NULL;
	if (last == NULL)
		return;
	if (last->revision >= document->revision)
		document->revision = last->revision + 1;
	crypto_sha256(last->raw, document->previous);
}

/* The same document, signed by the root alone; where it hands over, by the next one too, so
 * that whoever knows either finds it signed. */
static enum err root_sign(const struct own_document *own, struct bytes *wrapper_out,
			  struct server_document *signed_out)
{
	struct server_document document = own->document;
	struct sign_key signers[2] = {*own->root};
	size_t n_signers = 1;

	if (own->next_root != NULL) {
		signers[n_signers] = *own->next_root;
		snprintf(signers[n_signers++].kid, sizeof signers[0].kid, "next-root");
	}
	document.root_signed = NULL;
	*wrapper_out = document_encode(own->arena, &document, signers, n_signers);
	crypto_wipe(signers, sizeof signers);
	if (document_decode(own->arena, *wrapper_out, signed_out) == ERR_OK)
		return ERR_OK;
	log_error(config, "reason=\"the server document is not valid\"");
	return ERR_VALIDATION;
}

/* Signed by all keys. What others would refuse, for example by its federation URL, is not
 * published. */
static enum err sign(struct own_document *own)
{
	const char *reason = "it cannot be read back";

	own->wrapper = document_encode(own->arena, &own->document, own->keys, own->n_keys);
	if (document_decode(own->arena, own->wrapper, &own->document) == ERR_OK &&
	    document_verify(&own->document, own->config->node_domain, own->now_ms, &reason) ==
		    ERR_OK)
		return ERR_OK;
	log_error(config, "reason=\"the server document is not valid: %s\"", reason);
	return ERR_VALIDATION;
}

static enum err publish(struct own_document *own)
{
	struct server_document *root_signed = arena_new(own->arena, struct server_document);
	struct bytes root_wrapper = {0};
	enum err err = ERR_OK;

	if (own->root != NULL) {
		err = root_sign(own, &root_wrapper, root_signed);
		own->document.root_signed = root_signed;
	}
	if (err == ERR_OK)
		err = sign(own);
	if (err == ERR_OK && own->root != NULL)
		err = file_replace(own, ROOT_FILE, root_wrapper);
	return err == ERR_OK ? file_replace(own, DOCUMENT_FILE, own->wrapper) : err;
}

static enum err make(struct own_document *own)
{
	struct server_document *root_signed = arena_new(own->arena, struct server_document);
	struct server_document last;
	bool has_last, has_root_signed;
	enum err err = last_read(own->config, own->arena, &last, &has_last);

	if (err == ERR_OK)
		err = root_signed_read(own, root_signed, &has_root_signed);
	if (err == ERR_OK)
		err = key_schedule(own, has_last ? &last : NULL);
	if (err != ERR_OK)
		return err;
	fill(own);
	own->document.root_signed = has_root_signed ? root_signed : NULL;
	chain(&own->document, has_last ? &last : NULL, own->document.root_signed, own->now_ms);
	return publish(own);
}

enum err federation_own_document(struct own_document *own)
{
	/* Of the running node and of a command only one at a time goes on from the files. */
	int fd = open(own->config->node_data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err err;

	own->document = (struct server_document){0};
	if (fd < 0 || flock(fd, LOCK_EX) != 0)
		err = fail(own->config->node_data_dir, "lock", strerror(errno));
	else
		err = make(own);
	if (fd >= 0)
		close(fd);
	return err;
}

enum err federation_own_keys(struct own_document *own)
{
	struct server_document last;
	bool has_last;
	enum err err = last_read(own->config, own->arena, &last, &has_last);

	own->document = (struct server_document){0};
	return err == ERR_OK ? key_schedule(own, has_last ? &last : NULL) : err;
}

enum err federation_last_document(const struct config *config, struct arena *arena,
				  struct server_document *document_out)
{
	bool found;
	enum err err = last_read(config, arena, document_out, &found);

	return err == ERR_OK && !found ? ERR_NOT_FOUND : err;
}
