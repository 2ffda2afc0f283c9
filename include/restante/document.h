/* SPDX-License-Identifier: MIT
 *
 * The signed server document (docs/protocol.md section 4.1) and the TXT record beside
 * it. Decoding checks form only; document_verify() checks times and signatures; whether
 * to believe it is decided in federation/trust.c.
 */
#ifndef RESTANTE_DOCUMENT_H
#define RESTANTE_DOCUMENT_H

#include "restante/address.h"
#include "restante/problem.h"
#include "restante/sign.h"
#include "restante/text.h"

#define SERVER_KEYS_MAX	  8
#define DOCUMENT_WIRE_MAX (64 * 1024)
#define AUTHORITY_SIZE	  (DOMAIN_SIZE + 6)

struct server_key {
	char kid[33];
	uint8_t public_key[32];
	int64_t not_before_ms;
	int64_t not_after_ms;
};

struct document_signature {
	char kid[33]; /* "root" for the root key */
	uint8_t signature[64];
};

struct server_document {
	char server[DOMAIN_SIZE];
	char federation_url[AUTHORITY_SIZE + 8];
	char authority[AUTHORITY_SIZE]; /* of federation_url: host, and :port unless 443 */
	char host[DOMAIN_SIZE];		/* of federation_url */
	int port;
	const char *api_url;
	struct server_key keys[SERVER_KEYS_MAX];
	size_t n_keys;
	bool has_root;
	uint8_t root_key[32];
	int64_t revision;
	bool has_previous;
	uint8_t previous[32];
	int64_t issued_at_ms;
	int64_t valid_until_ms;
	int64_t transaction_items;
	int64_t transaction_bytes;
	int64_t content_bytes;
	const char *software;
	const char *software_version;
	const char *abuse;

	struct bytes raw; /* the exact bytes that are signed */
	struct document_signature signatures[SERVER_KEYS_MAX + 1];
	size_t n_signatures;

	/* The last document that the root has signed, which the wrapper carries along; NULL:
	 * none. Its form has been checked, nothing else. */
	const struct server_document *root_signed;
};

/* Builds document and wrapper: `{"document":…,"signatures":…,"root_signed":…}`, signed by
 * these keys. */
struct bytes document_encode(struct arena *arena, const struct server_document *document,
			     const struct sign_key *signers, size_t n_signers);

/* Of a wrapper as fetched. */
enum err document_decode(struct arena *arena, struct bytes wrapper,
			 struct server_document *document_out) MUST_CHECK;

/* Section 4.1, last paragraph. ERR_PEER_INVALID with a static reason. */
enum err document_verify(const struct server_document *document, const char *domain,
			 int64_t now_ms, const char **reason_out) MUST_CHECK;

bool document_signed_by(const struct server_document *document, const uint8_t public_key[32]);
const struct server_key *document_key(const struct server_document *document, const char *kid);

/* One TXT record. ERR_NOT_FOUND: not one of ours (ignored); ERR_VALIDATION: malformed. */
enum err txt_decode(struct bytes text, char kid_out[33], uint8_t public_key_out[32]) MUST_CHECK;
void txt_write(struct text *out, const char *kid, const uint8_t public_key[32]);

/* `https://host[:port]` without anything behind it. */
enum err federation_url_parse(struct bytes url, char host_out[DOMAIN_SIZE],
			      int *port_out) MUST_CHECK;

#endif
