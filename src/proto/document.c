/* SPDX-License-Identifier: MIT
 *
 * Writing and reading the server document and the wrapper with its signatures
 * (docs/protocol.md section 4.1). Any thread.
 */
#include "restante/document.h"

#include "restante/crypto.h"

#include "json.h"
#include "write.h"

#include <stdio.h>

#define URL_TEXT_MAX		  512
#define SOFTWARE_MAX		  64
#define ABUSE_MAX		  256
#define DOCUMENT_EXPECTED	  4096

/* For documents that say nothing about a limit. */
#define DEFAULT_TRANSACTION_ITEMS 1000
#define DEFAULT_TRANSACTION_BYTES (4 * 1024 * 1024)
#define DEFAULT_CONTENT_BYTES	  (96 * 1024)

static const char root_kid[] = "root";

/* Writing */

static void member_text(struct text *out, const char *name, const char *value)
{
	text_printf(out, "\"%s\":", name);
	json_write_string(out, value != NULL ? value : "");
}

static void member_bytes_or_null(struct text *out, const char *name, bool present,
				 const uint8_t bytes[32])
{
	text_printf(out, ",\"%s\":", name);
	if (present)
		json_write_base64(out, bytes_of(bytes, 32));
	else
		text_puts(out, "null");
}

static void keys_write(struct text *out, const struct server_document *document)
{
	text_puts(out, ",\"keys\":[");
	for (size_t i = 0; i < document->n_keys; i++) {
		const struct server_key *key = &document->keys[i];

		text_printf(out, "%s{\"kid\":\"%s\",\"public_key\":", i > 0 ? "," : "",
			    key->kid);
		json_write_base64(out, bytes_of(key->public_key, sizeof key->public_key));
		text_printf(out, ",\"not_before\":%lld,\"not_after\":%lld}",
			    (long long)key->not_before_ms, (long long)key->not_after_ms);
	}
	text_puts(out, "]");
}

static void document_write(struct text *out, const struct server_document *document)
{
	text_puts(out, "{");
	member_text(out, "server", document->server);
	text_puts(out, ",");
	member_text(out, "federation", document->federation_url);
	text_puts(out, ",");
	member_text(out, "api", document->api_url);
	keys_write(out, document);
	member_bytes_or_null(out, "root_key", document->has_root, document->root_key);
	text_printf(out, ",\"revision\":%lld", (long long)document->revision);
	member_bytes_or_null(out, "previous", document->has_previous, document->previous);
	text_printf(out,
		    ",\"issued_at\":%lld,\"valid_until\":%lld,"
		    "\"limits\":{\"transaction_items\":%lld,\"transaction_bytes\":%lld,"
		    "\"content_bytes\":%lld},\"software\":{",
		    (long long)document->issued_at_ms, (long long)document->valid_until_ms,
		    (long long)document->transaction_items,
		    (long long)document->transaction_bytes, (long long)document->content_bytes);
	member_text(out, "name", document->software);
	text_puts(out, ",");
	member_text(out, "version", document->software_version);
	text_puts(out, "},");
	member_text(out, "abuse", document->abuse);
	text_puts(out, "}");
}

static void signature_write(struct text *out, bool first, const char *kid,
			    const uint8_t signature[ED25519_SIGNATURE_SIZE])
{
	text_printf(out, "%s\"%s\":", first ? "" : ",", kid);
	json_write_base64(out, bytes_of(signature, ED25519_SIGNATURE_SIZE));
}

static void root_signed_write(struct text *out, const struct server_document *document)
{
	text_puts(out, ",\"root_signed\":{\"document\":");
	json_write_base64(out, document->raw);
	text_puts(out, ",\"signatures\":{");
	for (size_t i = 0; i < document->n_signatures; i++)
		signature_write(out, i == 0, document->signatures[i].kid,
				document->signatures[i].signature);
	text_puts(out, "}}");
}

struct bytes document_encode(struct arena *arena, const struct server_document *document,
			     const struct sign_key *signers, size_t n_signers)
{
	uint8_t signature[ED25519_SIGNATURE_SIZE];
	struct text raw, out;

	text_init(&raw, arena, DOCUMENT_EXPECTED);
	document_write(&raw, document);
	text_init(&out, arena, 2 * raw.len + DOCUMENT_EXPECTED);
	text_puts(&out, "{\"document\":");
	json_write_base64(&out, text_bytes(&raw));
	text_puts(&out, ",\"signatures\":{");
	for (size_t i = 0; i < n_signers; i++) {
		sign_message(&signers[i], text_bytes(&raw), signature);
		signature_write(&out, i == 0, signers[i].kid, signature);
	}
	text_puts(&out, "}");
	if (document->root_signed != NULL)
		root_signed_write(&out, document->root_signed);
	text_puts(&out, "}");
	return text_bytes(&out);
}

/* Reading */

static void kid_read(struct json value, struct bytes kid, char kid_out[KID_MAX + 1])
{
	if (!kid_is_valid(kid)) {
		json_fail(value, ERR_VALIDATION, "is not a key id");
		return;
	}
	memcpy(kid_out, kid.data, kid.len);
	kid_out[kid.len] = '\0';
}

static void public_key_read(struct json value, uint8_t key_out[ED25519_PUBLIC_SIZE])
{
	json_base64_exact(value, ED25519_PUBLIC_SIZE, key_out);
	if (!json_failed(&value) && !ed25519_key_is_valid(key_out))
		json_fail(value, ERR_VALIDATION, "is not an Ed25519 key");
}

static bool has_kid(const struct server_document *document, const char *kid)
{
	/* The name of the root key is no key id: its signature would stand for two. */
	return strcmp(kid, root_kid) == 0 || document_key(document, kid) != NULL;
}

static void keys_read(struct json value, struct server_document *document)
{
	struct json array = json_as_array(value, 1, SERVER_KEYS_MAX);

	for (size_t i = 0; i < json_count(&array) && !json_failed(&array); i++) {
		struct server_key key = {0};
		struct json object = json_as_object(json_at(&array, i));
		struct json kid = json_get(&object, "kid");

		kid_read(kid, json_text(kid, 1, KID_MAX), key.kid);
		public_key_read(json_get(&object, "public_key"), key.public_key);
		key.not_before_ms = json_int(json_get(&object, "not_before"), 0, JSON_INT_MAX);
		key.not_after_ms = json_int(json_get(&object, "not_after"), 0, JSON_INT_MAX);
		if (!json_failed(&array) && has_kid(document, key.kid))
			json_fail(kid, ERR_VALIDATION, "occurs twice");
		document->keys[document->n_keys++] = key;
	}
}

static void server_read(struct json value, char server_out[DOMAIN_SIZE])
{
	struct bytes server = json_text(value, 1, DOMAIN_SIZE - 1);

	if (!domain_is_valid(server))
		json_fail(value, ERR_VALIDATION, "is not a domain");
	memcpy(server_out, server.data, server.len);
	server_out[server.len] = '\0';
}

static void federation_read(struct json value, struct server_document *document)
{
	struct bytes url = json_text(value, 1, sizeof document->federation_url - 1);

	if (federation_url_parse(url, document->host, &document->port) != ERR_OK) {
		json_fail(value, ERR_VALIDATION, "is not https://host[:port]");
		return;
	}
	memcpy(document->federation_url, url.data, url.len);
	document->federation_url[url.len] = '\0';
	if (document->port == 443)
		snprintf(document->authority, sizeof document->authority, "%s", document->host);
	else
		snprintf(document->authority, sizeof document->authority, "%s:%d",
			 document->host, document->port);
}

static int64_t limit_read(const struct json *limits, const char *name, int64_t fallback)
{
	return json_int_or(json_get(limits, name), 1, JSON_INT_MAX, fallback);
}

static const char *text_or_empty(struct json value, size_t max)
{
	return json_is_present(value) ? json_text_copy(value, 0, max) : "";
}

static void details_read(const struct json *root, struct server_document *document)
{
	struct json limits = json_get(root, "limits");
	struct json software = json_get(root, "software");

	if (json_is_present(limits))
		limits = json_as_object(limits);
	if (json_is_present(software))
		software = json_as_object(software);
	document->transaction_items =
		limit_read(&limits, "transaction_items", DEFAULT_TRANSACTION_ITEMS);
	document->transaction_bytes =
		limit_read(&limits, "transaction_bytes", DEFAULT_TRANSACTION_BYTES);
	document->content_bytes = limit_read(&limits, "content_bytes", DEFAULT_CONTENT_BYTES);
	document->software = text_or_empty(json_get(&software, "name"), SOFTWARE_MAX);
	document->software_version =
		text_or_empty(json_get(&software, "version"), SOFTWARE_MAX);
	document->api_url = text_or_empty(json_get(root, "api"), URL_TEXT_MAX);
	document->abuse = text_or_empty(json_get(root, "abuse"), ABUSE_MAX);
}

static enum err document_read(struct arena *arena, struct server_document *document)
{
	struct json_source source;
	struct json root = json_open(&source, arena, document->raw, NULL);
	struct json root_key = json_get(&root, "root_key");
	struct json previous = json_get(&root, "previous");

	server_read(json_get(&root, "server"), document->server);
	federation_read(json_get(&root, "federation"), document);
	keys_read(json_get(&root, "keys"), document);
	document->has_root = json_is_given(root_key);
	if (document->has_root)
		public_key_read(root_key, document->root_key);
	document->revision = json_int(json_get(&root, "revision"), 0, JSON_INT_MAX);
	document->has_previous = json_is_given(previous);
	if (document->has_previous)
		json_base64_exact(previous, sizeof document->previous, document->previous);
	document->issued_at_ms = json_int(json_get(&root, "issued_at"), 0, JSON_INT_MAX);
	document->valid_until_ms = json_int(json_get(&root, "valid_until"), 0, JSON_INT_MAX);
	details_read(&root, document);
	return json_close(&source);
}

static void signatures_read(struct json value, struct server_document *document)
{
	struct json object = json_as_object(value);
	struct json member;
	size_t index = 0;

	while (!json_failed(&object) && json_next(&object, &index, &member)) {
		struct document_signature signature = {0};

		if (document->n_signatures == SERVER_KEYS_MAX + 1) {
			json_fail(object, ERR_VALIDATION, "has too many entries");
			return;
		}
		kid_read(member, bytes_of_text(member.name), signature.kid);
		json_base64_exact(member, sizeof signature.signature, signature.signature);
		document->signatures[document->n_signatures++] = signature;
	}
}

static void signed_read(const struct json *object, struct server_document *document)
{
	document->raw = json_base64(json_get(object, "document"), 1, DOCUMENT_WIRE_MAX);
	signatures_read(json_get(object, "signatures"), document);
}

enum err document_decode(struct arena *arena, struct bytes wrapper,
			 struct server_document *document_out)
{
	struct server_document document = {0}, *by_root = NULL;
	struct json_source source;
	struct json root, root_signed;

	if (wrapper.len > DOCUMENT_WIRE_MAX)
		return ERR_PEER_INVALID;
	root = json_open(&source, arena, wrapper, NULL);
	signed_read(&root, &document);
	root_signed = json_get(&root, "root_signed");
	if (json_is_present(root_signed)) {
		by_root = arena_new(arena, struct server_document);
		root_signed = json_as_object(root_signed);
		signed_read(&root_signed, by_root);
	}
	if (json_close(&source) != ERR_OK || document_read(arena, &document) != ERR_OK ||
	    (by_root != NULL && document_read(arena, by_root) != ERR_OK))
		return ERR_PEER_INVALID;
	document.root_signed = by_root;
	*document_out = document;
	return ERR_OK;
}
