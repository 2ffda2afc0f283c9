/* SPDX-License-Identifier: MIT
 *
 * Federation: one thread with curl's multi interface and c-ares that finds other nodes,
 * keeps what is trusted about them, sends the outboxes and makes calls to other nodes.
 * Other threads talk to it through messages. Only functions that say so may be called
 * from elsewhere.
 */
#ifndef RESTANTE_FEDERATION_H
#define RESTANTE_FEDERATION_H

#include "restante/config.h"
#include "restante/document.h"
#include "restante/effects.h"
#include "restante/inbox.h"
#include "restante/ops_federation.h"
#include "restante/store.h"

struct federation;

/* With which domains this node talks: its configuration, and what the operator says about
 * single ones while it runs (`restante peer block`, `allow`). */
struct policy;

struct policy *policy_create(const struct config *config); /* which outlives it */
void policy_destroy(struct policy **policy);
/* Any thread. Never with itself. What the configuration denies, or the operator, is denied;
 * what the operator allows needs no entry in an allowlist, but mode closed stays closed. */
bool policy_allows(struct policy *policy, const char *domain);
/* The operator's word about a domain, in place of the one before. One thread at a time. */
void policy_say(struct policy *policy, const char *domain, bool allowed);

struct federation_config {
	const struct config *config; /* outlives the thread */
	struct policy *policy;	     /* too; gets the operator's words from the store */
	const struct sign_key *key;  /* signs; is copied */
	struct store *store;
};

/* *federation_out is set before the thread begins. ERR_STORE: the operator's words could not be
 * read. */
enum err federation_start(const struct federation_config *config,
			  struct federation **federation_out) MUST_CHECK;
/* Stops sending, waits for what is in flight up to a few seconds, joins. The store must still
 * be open; messages posted by others come back with ERR_BUSY, and nothing more is taken. */
void federation_stop(struct federation *federation);
/* It has been stopped, and nobody calls any more. */
void federation_destroy(struct federation **federation);

/* --- from any thread ------------------------------------------------------------------ */

/* Outbound items of a chain of effects, but for those of other processes: they have been
 * committed to outboxes, or are ephemeral. Copies them. Never fails: what it has no room for is
 * read from the store later (ephemeral items are dropped). */
void federation_submit(struct federation *federation, const struct effects *effects);

/* Destinations that no process sends to become this one's, and whatever waits for those that
 * are is looked for. */
void federation_load(struct federation *federation);

/* Another process has stored other keys of this domain. */
void federation_peer_changed(struct federation *federation, const char *domain);

/* A valid signed request has come from this domain: it is up. Cheap; may be ignored. */
void federation_heard(struct federation *federation, const char *domain);

/* From now on this key signs. It is copied. */
bool federation_key_set(struct federation *federation, const struct sign_key *key) MUST_CHECK;

/* Which key does a domain have under this kid? From the cache, else by discovery. */
struct peer_query {
	struct message message;
	char domain[DOMAIN_SIZE];
	char kid[33];
	/* out: ERR_OK, ERR_SIG_KEY_UNKNOWN, ERR_KEY_CONFLICT, ERR_PEER_UNREACHABLE,
	 * ERR_PEER_INVALID, ERR_PEER_TIMEOUT, ERR_BUSY */
	enum err err;
	uint8_t public_key[32];
	int64_t known_since_ms; /* when its keys were pinned */
};
bool federation_query(struct federation *federation, struct peer_query *query) MUST_CHECK;

/* A signed call to another node with a short deadline (8 s), not repeated. */
enum remote_path { REMOTE_CLAIM, REMOTE_DEVICE_LIST };

struct remote_call {
	struct message message;
	struct arena *arena;
	char domain[DOMAIN_SIZE];
	enum remote_path path;
	struct bytes body;
	/* out: ERR_OK: a signed answer, whatever its status. Else ERR_PEER_UNREACHABLE,
	 * ERR_PEER_INVALID, ERR_PEER_TIMEOUT, ERR_KEY_CONFLICT, ERR_FEDERATION_DENIED, ERR_BUSY
	 */
	enum err err;
	int status;
	struct bytes answer; /* in the arena */
};
bool federation_call(struct federation *federation, struct remote_call *call) MUST_CHECK;

/* What the store has as `trust` of a peer, for people. Pure. ERR_VALIDATION: unreadable. */
enum peer_keys_state {
	PEER_KEYS_NONE,
	PEER_KEYS_UNVERIFIED, /* pinned; TXT has not matched yet */
	PEER_KEYS_VERIFIED,
	PEER_KEYS_CONFLICT
};

struct peer_keys {
	enum peer_keys_state state;
	bool verified;
	int64_t pinned_ms;
	struct server_key keys[2 * SERVER_KEYS_MAX]; /* what is pinned, in a conflict too */
	size_t n_keys;
	bool has_root;
	uint8_t root_key[32];
	bool refuted; /* validated TXT speaks against the pinned keys */
	struct server_key shown[SERVER_KEYS_MAX]; /* in a conflict: those of its document */
	size_t n_shown;
	int64_t shown_since_ms; /* validated TXT has named them; 0: it has not */
};
enum err federation_peer_keys(struct bytes trust, struct peer_keys *keys_out) MUST_CHECK;
const char *destination_state_name(enum destination_state state);

/* This node's own document, and what its keys are for. */
struct own_document {
	/* in */
	const struct config *config;
	const struct sign_key *keys; /* those that there are files of; all sign the document */
	const int64_t *made_ms;	     /* the times of the files: count without a document */
	size_t n_keys;
	bool some_unreadable; /* there may be files of others, which cannot be used now */
	const uint8_t *root_public_key;	  /* NULL: none */
	const struct sign_key *root;	  /* makes it a document of the root; NULL: as usual */
	const struct sign_key *next_root; /* to which that hands over: root_public_key is its */
	int64_t now_ms;			  /* from before the files were looked for */
	struct arena *arena;
	/* out */
	struct server_document document; /* its keys are `keys`, then others, mostly ended */
	struct bytes wrapper;
	size_t signer;	 /* of `keys`: signs requests and responses */
	int64_t next_ms; /* when that or the end of a key changes, and a new document is due;
			  * INT64_MAX: never */
};

/* Goes on from the files document.json and root_document.json of the data folder, and
 * replaces them. May be called in several processes at once. */
enum err federation_own_document(struct own_document *own) MUST_CHECK;
/* The same without writing anything: of the document, only the keys. */
enum err federation_own_keys(struct own_document *own) MUST_CHECK;
/* The last document that was published. ERR_NOT_FOUND: there is none. */
enum err federation_last_document(const struct config *config, struct arena *arena,
				  struct server_document *document_out) MUST_CHECK;

enum key_phase {
	KEY_COMING, /* signs from its not_before on */
	KEY_SIGNS,
	KEY_LEAVING, /* what it signs is accepted until its not_after */
	KEY_ENDED
};
/* Of a key of own->document. */
enum key_phase federation_key_phase(const struct own_document *own, size_t i);

#endif
