/* SPDX-License-Identifier: MIT
 *
 * Store operations on messages and mailboxes.
 */
#ifndef RESTANTE_OPS_MESSAGES_H
#define RESTANTE_OPS_MESSAGES_H

#include "restante/ops_accounts.h"

/* One send, local or remote, in one step: idempotence, consent, device list, quota, then
 * mailboxes or outbox. Sending accepts the recipient. Ephemeral ones only make effects.
 *
 * ERR_OK: status and effects. ERR_DEVICES_MISMATCH, ERR_STALE_DEVICES: mismatch.
 * ERR_UNAVAILABLE, for ephemeral ones also where the recipient has not accepted the sender.
 * ERR_REQUEST_WAITING, ERR_TOO_LARGE: of a stranger to an account that wants requests.
 * ERR_OVER_QUOTA: no mailbox had room, the outbox is full, or the account has its share of
 * it. ERR_VALIDATION: the device has used this id for another recipient. */
struct op_send {
	struct store_op op;
	struct caller caller;
	const struct message_request *message;
	const char *token; /* remote: goes with the item, for receipts */
	/* out */
	enum message_status status; /* STORED, QUEUED or RELAYED */
	bool duplicate;		    /* accepted before: no effects */
	int64_t server_timestamp_ms;
	uint8_t *over_quota;
	size_t n_over_quota;
	struct list_mismatch mismatch;
	struct effects effects;
};

/* ERR_NOT_FOUND. */
struct op_message_get {
	struct store_op op;
	struct caller caller;
	uint8_t id[MESSAGE_ID_SIZE];
	/* out */
	struct message_info info;
};

/* Items after a seq, in order; at least one if there is any, else at most `limit` and
 * about `max_bytes`. Expired ones are passed over. `socket_key`: for that socket of the device
 * (op_socket_open), or 0; `displaced`: it has another one by now. */
struct op_mailbox_read {
	struct store_op op;
	struct caller caller;
	int64_t socket_key;
	int64_t after;
	size_t limit;
	size_t max_bytes;
	/* out */
	bool displaced;
	struct mailbox_item *items;
	size_t count;
	bool more;
};

/* Deletes items and makes receipts for envelopes whose sender the account has accepted,
 * where it has receipts on. None for what an account has written to itself. */
struct op_mailbox_ack {
	struct store_op op;
	struct caller caller;
	const struct ack_request *ack;
	/* out */
	int64_t removed;
	struct effects effects;
};

/* Housekeeping of everything that ages, at most `limit` rows of each kind: mailbox items,
 * sent and received ids, tokens, claims, nonces, subscriptions, lists. */
struct op_expire {
	struct store_op op;
	size_t limit;
	/* out */
	int64_t removed;
	int64_t envelopes_removed;
	bool more;
};

/* The operator says that the database was restored from a backup: the next start of the node
 * acts on it. */
struct op_restore_mark {
	struct store_op op;
};

#endif
