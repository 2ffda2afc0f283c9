/* SPDX-License-Identifier: MIT
 *
 * Whether a server document is valid for a domain now, and the URL in it (docs/protocol.md
 * section 4.1). Any thread.
 */
#include "restante/document.h"

#include "restante/clock.h"

#define LIFE_MAX_MS (7 * DAYS_MS)
#define EARLY_MS    (300 * SECONDS_MS)
#define PORT_HTTPS  443
#define PORT_MAX    65535

const struct server_key *document_key(const struct server_document *document, const char *kid)
{
	for (size_t i = 0; i < document->n_keys; i++)
		if (strcmp(document->keys[i].kid, kid) == 0)
			return &document->keys[i];
	return NULL;
}

static const struct document_signature *find_signature(const struct server_document *document,
						       const char *kid)
{
	for (size_t i = 0; i < document->n_signatures; i++)
		if (strcmp(document->signatures[i].kid, kid) == 0)
			return &document->signatures[i];
	return NULL;
}

/* Under whatever name: the key may be one that the document itself no longer has. */
bool document_signed_by(const struct server_document *document, const uint8_t public_key[32])
{
	for (size_t i = 0; i < document->n_signatures; i++)
		if (ed25519_verify(public_key, document->raw,
				   document->signatures[i].signature) == ERR_OK)
			return true;
	return false;
}

static bool is_live(const struct server_key *key, int64_t now_ms)
{
	return key->not_before_ms <= now_ms && now_ms <= key->not_after_ms;
}

/* The key of the document that this signature names, NULL if it has none. */
static const uint8_t *named_key(const struct server_document *document,
				const struct document_signature *signature)
{
	const struct server_key *key;

	if (strcmp(signature->kid, "root") == 0)
		return document->has_root ? document->root_key : NULL;
	key = document_key(document, signature->kid);
	return key != NULL ? key->public_key : NULL;
}

static const char *check_times(const struct server_document *document, int64_t now_ms)
{
	if (now_ms < document->issued_at_ms - EARLY_MS)
		return "issued in the future";
	if (now_ms > document->valid_until_ms)
		return "expired";
	if (document->valid_until_ms < document->issued_at_ms)
		return "ends before it begins";
	if (document->valid_until_ms - document->issued_at_ms > LIFE_MAX_MS)
		return "valid for more than 7 days";
	return NULL;
}

static const char *check_signatures(const struct server_document *document, int64_t now_ms)
{
	size_t n_live = 0;

	for (size_t i = 0; i < document->n_keys; i++) {
		if (!is_live(&document->keys[i], now_ms))
			continue;
		n_live++;
		if (find_signature(document, document->keys[i].kid) == NULL)
			return "not signed by every live key";
	}
	if (n_live == 0)
		return "no live key";
	for (size_t i = 0; i < document->n_signatures; i++) {
		const struct document_signature *signature = &document->signatures[i];
		const uint8_t *key = named_key(document, signature);

		if (key != NULL &&
		    ed25519_verify(key, document->raw, signature->signature) != ERR_OK)
			return "a signature does not verify";
	}
	return NULL;
}

enum err document_verify(const struct server_document *document, const char *domain,
			 int64_t now_ms, const char **reason_out)
{
	const char *reason = NULL;

	if (strcmp(document->server, domain) != 0)
		reason = "of another domain";
	if (reason == NULL)
		reason = check_times(document, now_ms);
	if (reason == NULL)
		reason = check_signatures(document, now_ms);
	if (reason == NULL)
		return ERR_OK;
	*reason_out = reason;
	return ERR_PEER_INVALID;
}

static bool port_parse(struct bytes text, int *port_out)
{
	int port = 0;

	if (text.len < 1 || text.len > 5 || text.data[0] == '0')
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		port = port * 10 + text.data[i] - '0';
	}
	*port_out = port;
	return port <= PORT_MAX;
}

enum err federation_url_parse(struct bytes url, char host_out[DOMAIN_SIZE], int *port_out)
{
	static const char scheme[] = "https://";
	size_t n = sizeof scheme - 1;
	struct bytes host;
	const uint8_t *colon;
	int port = PORT_HTTPS;

	if (url.len <= n || memcmp(url.data, scheme, n) != 0)
		return ERR_VALIDATION;
	host = bytes_of(url.data + n, url.len - n);
	colon = memchr(host.data, ':', host.len);
	if (colon != NULL) {
		size_t host_len = (size_t)(colon - host.data);

		if (!port_parse(bytes_of(colon + 1, host.len - host_len - 1), &port))
			return ERR_VALIDATION;
		host.len = host_len;
	}
	/* A domain is never the text of an IP address. */
	if (!domain_is_valid(host))
		return ERR_VALIDATION;
	memcpy(host_out, host.data, host.len);
	host_out[host.len] = '\0';
	*port_out = port;
	return ERR_OK;
}
