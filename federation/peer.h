/* SPDX-License-Identifier: MIT
 *
 * What the federation thread knows of one domain, and how it finds out: DNS, the server
 * document, the pin. Federation thread only.
 */
#ifndef FEDERATION_PEER_H
#define FEDERATION_PEER_H

#include "restante/document.h"
#include "restante/federation.h"

#define TARGETS_MAX	     16
#define TARGET_ADDRESSES_MAX 8

/* Where to connect, in the order to try: one address and port each. */
struct target {
	char host[DOMAIN_SIZE]; /* SRV target or the domain itself: for the log */
	char address[46];	/* numeric; resolved here, so curl resolves nothing */
	uint16_t port;
};

struct targets {
	struct target items[TARGETS_MAX];
	size_t count;
	char tls_name[DOMAIN_SIZE]; /* what the certificate must be for */
};

/* --- trust.c: pure (docs/protocol.md section 4.3) -------------------------------------- */

struct txt_key {
	char kid[33];
	uint8_t public_key[32];
};

struct txt_answer {
	bool failed;	/* could not be asked: neither absent nor different */
	bool present;	/* at least one record of ours, all well-formed */
	bool validated; /* by DNSSEC */
	struct txt_key keys[SERVER_KEYS_MAX];
	size_t n_keys;
};

/* The pin: accepted keys with their times, the root, the revision they came with, and that of
 * the last document that was followed because the root had signed it. */
struct trust {
	bool pinned;
	struct server_key keys[2 * SERVER_KEYS_MAX];
	size_t n_keys;
	bool has_root;
	uint8_t root_key[32];
	int64_t root_revision;
	int64_t revision;
	int64_t pinned_ms;
	bool verified; /* TXT has matched at least once */
	bool conflict;
	/* Validated TXT contradicts the pinned keys themselves: until it matches again, what
	 * they sign is not accepted either. Comes with `conflict`. */
	bool refuted;
	/* The set of keys that waits behind a conflict, and since when validated TXT has
	 * matched it without a break: 0 if it has not. */
	uint8_t candidate[32]; /* SHA-256 of kids and keys */
	int64_t candidate_since_ms;
	/* What the document has that a conflict is about: for people, who compare. */
	struct server_key shown[SERVER_KEYS_MAX];
	size_t n_shown;
};

enum trust_verdict {
	TRUST_FIRST_USE,
	TRUST_SAME,
	TRUST_SAME_TXT_DIFFERS, /* go on, warn */
	TRUST_ROTATED,
	TRUST_ROTATED_BY_ROOT,
	TRUST_REPINNED,
	TRUST_CONFLICT
};

/* Decides about a document that is valid in itself, and brings the trust up to date. */
enum trust_verdict trust_decide(struct trust *trust, const struct server_document *document,
				const struct txt_answer *txt, int64_t now_ms);
const char *trust_verdict_name(enum trust_verdict verdict);
/* A pinned key with this kid, within its time and not refuted; NULL. */
const struct server_key *trust_key(const struct trust *trust, const char *kid, int64_t now_ms);
struct bytes trust_encode(struct arena *arena, const struct trust *trust);
enum err trust_decode(struct bytes text, struct trust *trust_out) MUST_CHECK;

/* --- discovery.c ----------------------------------------------------------------------- */

struct discovery;

/* A peer ready for use. Lives until the next turn of the loop: callers copy what they keep. */
struct peer {
	char domain[DOMAIN_SIZE];
	struct server_document document; /* strings live with the peer */
	struct trust trust;
	struct targets targets; /* for requests */
	int64_t refresh_ms;	/* when the document is fetched anew */
};

/* One who waits. done() is called exactly once, from the loop, never inside the call that
 * asked. err: ERR_OK with a peer (which may be in conflict: peer->trust.conflict);
 * ERR_PEER_UNREACHABLE, ERR_PEER_INVALID, ERR_PEER_TIMEOUT, ERR_BUSY (too many lookups, or
 * the store). */
struct peer_wait {
	struct peer_wait *next;
	bool stranger; /* asked for by somebody whom this node may not know: that has less room
			*/
	void (*done)(struct peer_wait *wait, enum err err, const struct peer *peer);
};

struct loop; /* loop.h: curl multi and c-ares */

/* Operations of the store that discovery posts come back to `inbox`, the federation thread's.
 */
struct discovery *discovery_create(struct loop *loop, const struct federation_config *config,
				   struct inbox *inbox);
/* Waiters that are left are not told. The loop may not be turned again after this. */
void discovery_destroy(struct discovery **discovery);
/* Operations that the store has not given back yet: none may be left when discovery_destroy()
 * is called. */
size_t discovery_pending(const struct discovery *discovery);
/* The peer from the cache if it is fresh, else after finding out; equal requests share one
 * discovery. `renew`: at least a minute old counts as stale (unknown kid, 401). */
void discovery_get(struct discovery *discovery, const char *domain, bool renew,
		   struct peer_wait *wait);
/* Is there a peer of this domain in the cache, fresh or not? */
bool discovery_knows(const struct discovery *discovery, const char *domain);
/* The operator has had its keys forgotten: nothing that was known so far, or that a lookup
 * under way may have begun with, is told any more. Who waits gets what is found now. */
void discovery_forget(struct discovery *discovery, const char *domain);
/* Another process has stored other keys of it: who asks next has it looked for. Until then, and
 * for those who are under way with what was known, nothing changes. */
void discovery_outdate(struct discovery *discovery, const char *domain);
/* What failed lately, or is in conflict, is looked for again as soon as it is asked for. */
void discovery_retry(struct discovery *discovery, const char *domain);
/* Timers of the cache: call about once a second. */
void discovery_tick(struct discovery *discovery);

#endif
