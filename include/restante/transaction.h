/* SPDX-License-Identifier: MIT
 *
 * What goes between nodes (docs/protocol.md sections 4.5 to 4.7): items, transactions
 * and their results. An item is stored in the outbox as the bytes that go on the wire.
 */
#ifndef RESTANTE_TRANSACTION_H
#define RESTANTE_TRANSACTION_H

#include "restante/messages.h"

#define STREAM_SIZE		  23 /* 16 bytes base64url, with the NUL */
#define TRANSACTION_ITEMS_MAX	  1000
#define TRANSACTION_EPHEMERAL_MAX 100
#define TOKEN_TEXT_MAX		  128 /* of an item */

enum fed_kind { FED_MESSAGE = 1, FED_RECEIPT = 2, FED_DEVICES_CHANGED = 3, FED_VOID = 4 };

struct fed_item {
	enum fed_kind kind;
	/* False: the item is malformed, or not the origin's to say, and ends as `bad`.
	 * Nothing else in it counts then. Content over the limit ends as `too_large`. */
	bool bad;
	bool too_large;
	struct address from; /* message, receipt; devices_changed: the address */
	uint8_t from_device; /* message */
	struct address to;
	struct message_request
		message; /* message: id, envelopes, timestamp, urgent, list_version */
	int64_t expires_at_ms;
	const char *token;
	uint8_t devices[DEVICES_MAX]; /* receipt */
	size_t n_devices;
	int64_t generation;   /* receipt: the device that sent the message; not decoded,
			       * but set by who has checked the token */
	int64_t list_version; /* devices_changed */
};

struct transaction {
	char stream[STREAM_SIZE]; /* "" when it carries ephemeral items */
	int64_t seq;
	struct fed_item *items;
	size_t n_items;
	struct fed_item *ephemeral;
	size_t n_ephemeral;
};

/* ERR_VALIDATION only for what is wrong with the whole (not JSON, no stream, too many
 * items, an item that is no object); single items are marked. */
enum err transaction_decode(struct arena *arena, struct bytes json, const char *origin,
			    size_t content_max, struct transaction *transaction_out,
			    struct problem *problem) MUST_CHECK;

/* Items as they are stored in the outbox and sent. */
struct bytes fed_message_encode(struct arena *arena, const char *from, uint8_t from_device,
				const struct message_request *message, int64_t expires_at_ms,
				const char *token);
struct bytes fed_receipt_encode(struct arena *arena, const char *id_text, const char *from,
				const char *to, const uint8_t *devices, size_t n_devices,
				int64_t now_ms, const char *token);
struct bytes fed_devices_changed_encode(struct arena *arena, const char *address,
					int64_t list_version);
struct bytes fed_void_encode(void); /* static */

/* The body of a transaction from stored items; stream NULL: they are ephemeral. */
struct bytes transaction_encode(struct arena *arena, const char *stream, int64_t seq,
				const struct bytes *items, size_t n_items);

/* --- results ------------------------------------------------------------------------ */

/* The numbers are stored: never change them. */
enum result_code {
	RESULT_OK,
	RESULT_DUPLICATE,
	RESULT_UNAVAILABLE,
	RESULT_STALE_LIST,
	RESULT_OVER_QUOTA,
	RESULT_TOO_LARGE,
	RESULT_BAD,
	/* made by the sending node itself, never on the wire between nodes */
	RESULT_EXPIRED,
	RESULT_UNKNOWN,
	RESULT_KEY_CONFLICT,
	RESULT_REFUSED,
	/* on the wire too */
	RESULT_REQUEST_WAITING
};
const char *result_code_name(enum result_code code);

struct item_result {
	int64_t seq;
	enum result_code code;
	/* Further members as JSON text without braces: `"list_version":7,"devices":[…]`.
	 * From another node: re-encoded from what was understood. */
	struct bytes detail;
};

/* `{"acked":…,"results":[…]}`; only results other than ok are given. */
struct bytes results_encode(struct arena *arena, int64_t acked,
			    const struct item_result *results, size_t count);
struct fed_results {
	int64_t acked;
	struct item_result *results;
	size_t count;
};
/* Refuses seqs outside [first, last], twice, or unknown codes: a lying peer. */
enum err results_decode(struct arena *arena, struct bytes json, int64_t first, int64_t last,
			struct fed_results *results_out) MUST_CHECK;
/* The list inside a stale_list result's detail, for the cache of remote lists. Where it was
 * left out devices is NULL, and there is only its version. */
enum err stale_list_decode(struct arena *arena, struct bytes detail,
			   const struct address *address,
			   struct device_list *list_out) MUST_CHECK;

/* The code of an error object, "" where it is none. */
const char *error_code_decode(struct arena *arena, struct bytes json);
/* The same of an answer that nobody has signed, for the log: a code that this program has too,
 * static; else NULL. */
const char *error_hint_decode(struct arena *arena, struct bytes json);

#endif
