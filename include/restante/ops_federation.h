/* SPDX-License-Identifier: MIT
 *
 * Store operations of federation: transactions from other nodes, the outboxes, and what
 * is known of peers.
 *
 * Positions: each destination numbers its outbox items 1, 2, 3… for ever. A stream begins
 * behind a position, its `base`: the number on the wire (seq) is position - base.
 */
#ifndef RESTANTE_OPS_FEDERATION_H
#define RESTANTE_OPS_FEDERATION_H

#include "restante/ops_accounts.h"
#include "restante/transaction.h"

/* A transaction from another node, all its items and the stream's row in one step
 * (docs/protocol.md section 4.6). Receipts' generations have been filled in from their
 * tokens, or the items marked bad. ERR_STREAM_RESET. Ephemeral items only make effects. */
struct op_transaction {
	struct store_op op;
	const char *origin;
	const struct transaction *transaction;
	uint8_t digest[HASH_SIZE];
	/* out */
	bool replay;
	struct bytes answer; /* results, JSON */
	struct effects effects;
};

enum destination_state {
	DESTINATION_UP,
	DESTINATION_BACKOFF,
	DESTINATION_PARKED,
	DESTINATION_BLOCKED,
	DESTINATION_KEY_CONFLICT
};

struct destination {
	char domain[DOMAIN_SIZE];
	enum destination_state state;
	char stream[STREAM_SIZE]; /* "" before the first */
	int64_t base;
	int64_t acked;		  /* last position settled */
	int64_t offered;	  /* last position that may have been sent */
	int64_t last;		  /* last position given out */
	int64_t failures;	  /* in a row */
	int64_t failing_since_ms; /* 0: not */
	int64_t next_try_ms;
};

/* At start: all destinations with anything waiting or not UP. */
struct op_destinations_load {
	struct store_op op;
	/* out */
	struct destination *destinations;
	size_t count;
};

/* Stores state, offered, failures, failing_since and next_try of one. offered never goes
 * back by it. */
struct op_destination_put {
	struct store_op op;
	struct destination destination;
};

struct outbox_item {
	int64_t position;
	int64_t expires_ms;
	enum fed_kind kind;
	struct bytes body;
};

/* Items after a position, in order, without gaps; limits as in op_mailbox_read. */
struct op_outbox_read {
	struct store_op op;
	const char *domain;
	int64_t after;
	size_t limit;
	size_t max_bytes;
	/* out */
	struct outbox_item *items;
	size_t count;
	bool more;
};

/* Everything up to a position is settled: gone from the outbox. `results` (seq holds the
 * position) are those that ended otherwise than ok or duplicate: senders of messages get a
 * send_result, their status becomes failed (or, RESULT_UNKNOWN, unknown); stale_list also
 * refreshes the remembered list of that account. over_quota is no failure of the message:
 * its send_result says which devices did not get it. */
struct op_outbox_settle {
	struct store_op op;
	const char *domain;
	int64_t up_to;
	const struct item_result *results;
	size_t n_results;
	/* out */
	struct effects effects;
};

/* A new stream: base becomes acked, offered too. */
struct op_outbox_reset {
	struct store_op op;
	const char *domain;
	char stream[STREAM_SIZE];
	/* out */
	struct destination destination;
};

/* Items of a domain whose time is over, at most `limit`. Not while a transaction is under
 * way. Never offered: they become void and their senders are told `expired`. Offered: their
 * senders are told `unknown`, the items are removed, and a new stream is needed
 * (`reset_needed`): the caller follows with op_outbox_reset. Positions above `acked` stay
 * contiguous either way: what was offered is removed only as a prefix. With nothing offered
 * in front of them, expired and void items are removed too, and `base` moves along, so that
 * the numbers on the wire go on: a node that is gone for good does not fill its outbox with
 * voids. What the caller holds of `destination` and of items is out of date afterwards. */
struct op_outbox_expire {
	struct store_op op;
	const char *domain;
	size_t limit;
	/* out */
	struct destination destination; /* after */
	int64_t expired; /* items dealt with: `limit` of them, and there may be more */
	bool reset_needed;
	struct effects effects;
};

/* What is known of a domain, as bytes that only federation reads. ERR_NOT_FOUND. */
struct op_peer_load {
	struct store_op op;
	const char *domain;
	/* out */
	struct bytes document; /* wrapper as fetched; empty: none */
	int64_t fetched_ms;
	struct bytes trust; /* pins and state, JSON or text of federation/trust.c */
};

struct op_peer_put {
	struct store_op op;
	const char *domain;
	struct bytes document;
	int64_t fetched_ms;
	struct bytes trust;
};

#endif
