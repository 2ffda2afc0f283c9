/* SPDX-License-Identifier: MIT
 *
 * Store operations of federation: transactions from other nodes, the outboxes, and what
 * is known of peers.
 *
 * Positions: each destination numbers its outbox items without gaps, upwards for ever. A
 * stream begins
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

/* Forgets a destination that is UP and has nothing waiting; else nothing happens. Its row is
 * made anew when something comes for it, and begins behind all positions that were ever given
 * out for one that was removed. */
struct op_destination_remove {
	struct store_op op;
	const char *domain; /* NULL: all such */
	/* out */
	int64_t removed;
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

/* `before`: the trust that it goes on from, as PEER_LOAD has found it; empty: nothing was
 * known. ERR_NOT_FOUND: something else is known by now. The operator has had it forgotten, or
 * another process has stored what it found. */
struct op_peer_put {
	struct store_op op;
	const char *domain;
	struct bytes before;
	struct bytes document;
	int64_t fetched_ms;
	struct bytes trust;
};

/* --- the operator's orders (restante peer) ----------------------------------------------- */

enum peer_order_kind {
	PEER_ORDER_BLOCK, /* no dealings with this domain, until ALLOW */
	PEER_ORDER_ALLOW,
	PEER_ORDER_REPIN, /* forget its keys: those that it shows next are pinned */
	PEER_ORDER_FLUSH  /* try now what waits for it */
};

/* Gives an order. What the database can do of it is done at once, so that it also holds for a
 * node that is not running; a running one finds the order by PEER_ORDERS_READ. ERR_NOT_FOUND
 * for REPIN and FLUSH: nothing is known of this domain. */
struct op_peer_order {
	struct store_op op;
	const char *domain;
	enum peer_order_kind kind;
};

struct peer_order {
	char domain[DOMAIN_SIZE];
	enum peer_order_kind kind;
};

struct peer_policy {
	char domain[DOMAIN_SIZE];
	bool allowed;
};

/* Orders behind `after`, in order, or what holds now: then no orders, but all policies. */
struct op_peer_orders_read {
	struct store_op op;
	bool now;
	int64_t after;
	/* out */
	int64_t newest; /* to go on from */
	struct peer_order *orders;
	size_t n_orders;
	struct peer_policy *policies;
	size_t n_policies;
};

/* One domain of which anything is known. */
struct peer_status {
	char domain[DOMAIN_SIZE];
	bool has_destination; /* something has been sent there, or was to be */
	struct destination destination;
	int64_t oldest_ms; /* when the first of what waits came; 0: nothing waits */
	bool has_origin;   /* it has sent transactions here */
	bool has_policy;
	bool allowed;	    /* the operator's word, with has_policy */
	int64_t fetched_ms; /* its document; 0: none */
	struct bytes trust; /* as in op_peer_load; empty: none */
};

/* All of them by name, or that of one domain. */
struct op_peers_list {
	struct store_op op;
	const char *domain; /* NULL: all */
	/* out */
	struct peer_status *peers;
	size_t count;
};

#endif
