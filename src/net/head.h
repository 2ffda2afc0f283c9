/* SPDX-License-Identifier: MIT
 *
 * The head of an HTTP/1.x request, read strictly (RFC 9112): what could be understood
 * in two ways is refused, because a proxy before us may understand it the other way
 * (request smuggling). Pure functions over bytes.
 */
#ifndef RESTANTE_NET_HEAD_H
#define RESTANTE_NET_HEAD_H

#include "restante/bytes.h"
#include "restante/err.h"

#define HEAD_MAX_BYTES	 (16 * 1024)
#define HEAD_MAX_HEADERS 100

enum head_end {
	HEAD_INCOMPLETE,
	HEAD_COMPLETE,
	HEAD_MALFORMED,
};

/* Values are views into the head; data is NULL where a header is absent. */
struct head {
	struct bytes method;
	struct bytes path;
	struct bytes query;
	bool http_1_1;
	bool close; /* the client wants no further request on this connection */
	bool connection_upgrade;
	size_t length; /* of the body; only if content_length is there */
	struct bytes host;
	struct bytes content_length;
	struct bytes transfer_encoding;
	struct bytes content_type;
	struct bytes content_digest;
	struct bytes signature;
	struct bytes signature_input;
	struct bytes destination;
	struct bytes authorization;
	struct bytes origin;
	struct bytes expect;
	struct bytes upgrade;
	struct bytes websocket_key;
	struct bytes websocket_version;
	struct bytes requested_method; /* access-control-request-method */
	struct bytes forwarded_for;    /* the last element of the last x-forwarded-for */
};

/* Looks for the empty line that ends a head. *scanned is where to begin and, when more
 * bytes are needed, where to begin the next time. *len_out is set on HEAD_COMPLETE. */
enum head_end head_find_end(struct bytes data, size_t *scanned, size_t *len_out);

/* data: a whole head as head_find_end() found it. On an error *reason_out says in
 * words what is wrong; what was read before is in *head_out. */
enum err head_parse(struct bytes data, struct head *head_out, const char **reason_out);

/* Whether a list of comma-separated tokens holds this one (lower case). */
bool head_has_token(struct bytes list, const char *token);

/* ASCII only, token in lower case. */
bool head_equals(struct bytes value, const char *token);

#endif
