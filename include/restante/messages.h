/* SPDX-License-Identifier: MIT
 *
 * Messages, envelopes and mailbox items (docs/protocol.md sections 2.6, 2.7 and 3).
 *
 * Content is opaque and stays base64 from the sender's request to the recipient's socket:
 * it is validated once and never decoded. What is stored in a mailbox is the text of the
 * item's JSON object without `seq`, so that delivery only has to splice the number in.
 */
#ifndef RESTANTE_MESSAGES_H
#define RESTANTE_MESSAGES_H

#include "restante/accounts.h"

#define MESSAGE_ID_SIZE 16
#define SOCKET_SEND_MAX 64 /* messages in one frame */
#define ACK_SEQS_MAX	1000

struct envelope {
	uint8_t device_id;
	uint16_t registration_id;
	uint8_t type;
	struct bytes content; /* base64 text, validated */
};

struct message_request {
	struct address to;
	uint8_t id[MESSAGE_ID_SIZE];
	char id_text[37];
	int64_t timestamp_ms; /* the client's, opaque */
	int64_t list_version;
	bool urgent;
	bool ephemeral;
	int64_t expires_in_ms;	    /* 0: as long as the node allows */
	struct envelope *envelopes; /* in order of device_id, no device twice, at least one */
	size_t n_envelopes;
};

/* content_max: decoded bytes of one envelope; more is ERR_TOO_LARGE. */
enum err message_decode(struct arena *arena, struct bytes json, size_t content_max,
			struct message_request *message_out,
			struct problem *problem) MUST_CHECK;

/* --- mailbox items ------------------------------------------------------------------ */

enum item_kind { ITEM_ENVELOPE = 1, ITEM_RECEIPT = 2, ITEM_SEND_RESULT = 3 };

/* The stored body of an envelope: `{"kind":"envelope",…}`. */
struct envelope_item {
	const char *id_text;
	const char *from;
	uint8_t from_device;
	int64_t timestamp_ms;
	int64_t server_timestamp_ms;
	bool urgent;
	bool ephemeral;
	const struct envelope *envelope;
};
struct bytes envelope_item_encode(struct arena *arena, const struct envelope_item *item);

struct bytes receipt_item_encode(struct arena *arena, const char *id_text, const char *from,
				 const uint8_t *devices, size_t n_devices, int64_t now_ms);

/* detail: further members as JSON text without braces, such as `"list_version":7`; or empty. */
struct bytes send_result_item_encode(struct arena *arena, const char *id_text, const char *to,
				     const char *code, struct bytes detail);

struct mailbox_item {
	int64_t seq; /* 0: ephemeral */
	enum item_kind kind;
	struct bytes body;
};
/* An item as it goes out: the body with its seq in front. */
void item_write(struct text *out, const struct mailbox_item *item);
struct bytes mailbox_encode(struct arena *arena, const struct mailbox_item *items, size_t count,
			    bool more);

struct ack_request {
	int64_t up_to; /* 0: seqs */
	int64_t *seqs;
	size_t n_seqs;
};
DECODER(ack_decode, struct ack_request);

/* --- answers to a send -------------------------------------------------------------- */

/* What is wrong with a device list: details of 409 and 410. */
struct list_mismatch {
	uint8_t missing[DEVICES_MAX], extra[DEVICES_MAX], stale[DEVICES_MAX];
	size_t n_missing, n_extra, n_stale;
	int64_t list_version;
};
struct bytes list_mismatch_encode(struct arena *arena, const struct list_mismatch *mismatch);

/* The numbers are stored: never change them. */
enum message_status {
	MESSAGE_STORED,
	MESSAGE_QUEUED,
	MESSAGE_RELAYED,
	MESSAGE_DELIVERED,
	MESSAGE_FAILED,
	MESSAGE_UNKNOWN
};
const char *message_status_name(enum message_status status);

struct send_answer {
	const char *id_text;
	enum message_status status;
	int64_t server_timestamp_ms;
	const uint8_t *over_quota;
	size_t n_over_quota;
};
/* `{"id":…,"status":…}`: the body of a 200 or 202, and an entry of send_result's results. */
struct bytes send_answer_encode(struct arena *arena, const struct send_answer *answer);
/* `{"id":…,"code":…,"status_code":…,"details":…}`: an entry for a message that was refused. */
struct bytes send_refusal_encode(struct arena *arena, const char *id_text, enum err err,
				 struct bytes details);

struct message_info {
	const char *id_text;
	const char *to;
	enum message_status status;
	int64_t server_timestamp_ms;
	uint8_t taken_by[DEVICES_MAX];
	size_t n_taken_by;
	const char *code; /* failed: why; else NULL */
};
struct bytes message_info_encode(struct arena *arena, const struct message_info *info);

/* --- frames of the WebSocket -------------------------------------------------------- */

enum frame_type { FRAME_AUTH, FRAME_SEND, FRAME_ACK, FRAME_PING };

struct frame {
	enum frame_type type;
	const char *token;	/* auth */
	struct ack_request ack; /* ack */
	/* send: each message decoded by itself, so that one bad one does not spoil the rest.
	 * errs[i] says how it went; where it failed only id_text may be set (else ""). */
	struct message_request *messages;
	enum err *errs;
	struct problem *problems;
	size_t n_messages;
};
enum err frame_decode(struct arena *arena, struct bytes json, size_t content_max,
		      struct frame *frame_out, struct problem *problem) MUST_CHECK;

/* `{"type":"envelope","envelopes":[` … `]}` for the items in front, at least one: up to where
 * the kind changes, or whether they are acknowledged. */
struct bytes items_frame_encode(struct arena *arena, const struct mailbox_item *items,
				size_t count, size_t *taken_out);

#endif
