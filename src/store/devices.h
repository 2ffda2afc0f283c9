/* SPDX-License-Identifier: MIT
 *
 * What the operations on accounts, sessions, devices and keys share among themselves.
 */
#ifndef STORE_DEVICES_H
#define STORE_DEVICES_H

#include "db.h"

#define CLOSE_UNAUTHORIZED   4401
#define CLOSE_DISPLACED	     4409
#define CLOSE_DEVICE_REMOVED 4410

enum prekey_kind { PREKEY_EC = 1, PREKEY_PQ = 2 }; /* stored: never change them */

/* (sessions.c) Adds a refresh token; issued_at_out: of the access token with it. */
enum err db_session_put(struct db *db, int64_t generation, const struct new_session *session,
			int64_t now_ms, int64_t *issued_at_out) MUST_CHECK;
/* Ends every token issued to the device until now. */
enum err db_session_end_all(struct db *db, struct store_op *op, struct effects *effects,
			    int64_t generation) MUST_CHECK;

/* (devices.c) The keys of the upload have been checked for number. */
enum err db_device_add(struct db *db, int64_t account_key, uint8_t device_id,
		       const struct key_upload *upload, int64_t now_ms,
		       int64_t *generation_out) MUST_CHECK;
/* A device with its tokens, keys, claims, mailbox and socket. */
enum err db_device_drop(struct db *db, struct store_op *op, struct effects *effects,
			int64_t generation) MUST_CHECK;
/* Generations of an account's devices in order of id, in the operation's arena. */
struct generations {
	int64_t *generations;
	size_t count;
};
enum err db_generations_load(struct db *db, int64_t account_key, struct arena *arena,
			     struct generations *out) MUST_CHECK;

/* (prekeys.c) ERR_TOO_LARGE where the device would have more waiting than it may:
 * `generation` 0 for one that has none yet, or keeps none of them. */
enum err db_prekeys_check(struct db *db, int64_t generation,
			  const struct key_upload *upload) MUST_CHECK;
enum err db_prekeys_put(struct db *db, int64_t generation,
			const struct key_upload *upload) MUST_CHECK;
enum err db_prekeys_drop(struct db *db, int64_t generation) MUST_CHECK;
/* How many are waiting. */
enum err db_prekeys_count(struct db *db, int64_t generation, enum prekey_kind kind,
			  int64_t *count_out) MUST_CHECK;
/* Takes the oldest that is waiting, for good; not present when there is none. */
enum err db_prekey_take(struct db *db, int64_t generation, enum prekey_kind kind,
			struct arena *arena, struct prekey *prekey_out) MUST_CHECK;

/* (lists.c) The account behind a local address, if `requester` may reach it: else
 * ERR_UNAVAILABLE; and what it has said about the requester. */
enum err db_reachable_find(struct db *db, const struct address *address, const char *requester,
			   struct db_account *account_out,
			   enum consent_state *state_out) MUST_CHECK;

#endif
