/* SPDX-License-Identifier: MIT
 *
 * Store operations on accounts, sessions, devices and consent. Members are "in" up to the
 * line that says out. An operation with a caller answers ERR_UNAUTHORIZED when the device
 * of that generation is gone or its tokens ended after caller.issued_at_ms.
 * Secrets (tokens, invites) are stored as SHA-256 of their text.
 *
 * Operations that open a session say in `issued_at_ms` when the access token for it is to
 * have been issued: now_ms, or a little later where the device's tokens until then have
 * ended in this very moment.
 */
#ifndef RESTANTE_OPS_ACCOUNTS_H
#define RESTANTE_OPS_ACCOUNTS_H

#include "restante/accounts.h"
#include "restante/caller.h"
#include "restante/effects.h"
#include "restante/store.h"

#define HASH_SIZE 32

/* A fresh refresh token, to be stored. */
struct new_session {
	uint8_t refresh_hash[HASH_SIZE];
	int64_t refresh_expires_ms;
};

/* ERR_USERNAME_TAKEN (also for deleted accounts), ERR_INVITE_INVALID; ERR_TOO_LARGE: more
 * prekeys than may wait. Device id 1. */
struct op_register {
	struct store_op op;
	const char *user;
	const char *password_hash;	 /* NULL: none */
	const uint8_t *invite_hash;	 /* NULL: none needed; else it is used up */
	const struct key_upload *device; /* checked */
	struct new_session session;
	/* out */
	uint8_t device_id;
	int64_t generation;
	int64_t list_version;
	int64_t issued_at_ms;
};

struct op_invite_create {
	struct store_op op;
	uint8_t invite_hash[HASH_SIZE];
	int64_t expires_ms;
};

/* What a login or a password check needs. ERR_NOT_FOUND where account or device is not
 * there; device_id 0: the account alone. */
struct op_login_lookup {
	struct store_op op;
	const char *user;
	uint8_t device_id;
	/* out */
	const char *password_hash; /* NULL: none */
	int64_t generation;
	enum key_scheme scheme;
	struct bytes identity_key;
};

/* Opens a session of a device whose owner has been authenticated. `nonce_hash`: of a
 * login challenge, which is used up; used before: ERR_LOGIN_FAILED. `password_hash`: the
 * one that was verified; changed meanwhile: ERR_LOGIN_FAILED. ERR_LOGIN_FAILED also when
 * the generation is gone. */
struct op_session_open {
	struct store_op op;
	int64_t generation;
	const uint8_t *nonce_hash; /* NULL: by password */
	int64_t nonce_expires_ms;
	const char *password_hash; /* NULL: by signature */
	struct new_session session;
	/* out */
	int64_t list_version;
	int64_t issued_at_ms;
};

/* Trades a refresh token for the next. Unknown or expired:
 * ERR_UNAUTHORIZED. Used before: every session of the device ends, ERR_UNAUTHORIZED. */
struct op_session_refresh {
	struct store_op op;
	uint8_t old_hash[HASH_SIZE];
	struct new_session session;
	/* out */
	char user[USER_SIZE];
	uint8_t device_id;
	int64_t generation;
	int64_t list_version;
	int64_t issued_at_ms;
	struct effects effects;
};

/* Logout: all tokens issued to this device until now end. */
struct op_session_end {
	struct store_op op;
	struct caller caller;
	/* out */
	struct effects effects;
};

/* For opening a socket: is the caller still good, and how many prekeys are left.
 * Marks the device as seen at most once an hour (by the write lane's next chance, or not). */
struct op_caller_check {
	struct store_op op;
	struct caller caller;
	/* out */
	int64_t one_time;
	int64_t pq;
};

/* ERR_LOGIN_FAILED when the account's password is no longer `old_hash` (NULL: none). Ends
 * the sessions of the other devices and the link tokens. */
struct op_password_set {
	struct store_op op;
	struct caller caller;
	const char *old_hash;
	const char *new_hash;
	/* out */
	struct effects effects;
};

struct op_account_get {
	struct store_op op;
	struct caller caller;
	/* out */
	struct account_info account; /* address too */
	const char *password_hash;   /* NULL: none */
};

struct op_account_patch {
	struct store_op op;
	struct caller caller;
	struct account_patch patch;
	/* out */
	struct account_info account;
};

/* Everything of the account goes; the name stays as a tombstone. */
struct op_account_delete {
	struct store_op op;
	struct caller caller;
	const char *password_hash; /* verified; changed meanwhile: ERR_LOGIN_FAILED */
	/* out */
	struct effects effects;
};

struct op_devices_get {
	struct store_op op;
	struct caller caller;
	/* out */
	int64_t list_version;
	struct device_info *devices;
	size_t count;
};

struct op_device_rename {
	struct store_op op;
	struct caller caller;
	uint8_t device_id;
	const char *name;
};

/* ERR_NOT_FOUND. ERR_LAST_DEVICE where nobody could enter the account any more. Tells the
 * account's other devices, subscribed domains and accounts that have accepted this one. */
struct op_device_remove {
	struct store_op op;
	struct caller caller;
	uint8_t device_id;
	/* out */
	int64_t list_version;
	struct effects effects;
};

struct op_link_token_create {
	struct store_op op;
	struct caller caller;
	uint8_t token_hash[HASH_SIZE];
	int64_t expires_ms;
};

/* A new device, with the least free id. By token: unknown, expired or used is
 * ERR_LINK_TOKEN_INVALID, and the token is used up in the same step. Or by a verified
 * password of `user`; changed meanwhile: ERR_LOGIN_FAILED. ERR_DEVICE_LIMIT, which leaves
 * the token good; ERR_TOO_LARGE as in op_register. */
struct op_device_link {
	struct store_op op;
	const uint8_t *token_hash;
	const char *user;
	const char *password_hash;
	const struct key_upload *device;
	struct new_session session;
	/* out */
	char linked_user[USER_SIZE];
	uint8_t device_id;
	int64_t generation;
	int64_t list_version;
	int64_t issued_at_ms;
	struct effects effects;
};

struct op_consent_get {
	struct store_op op;
	struct caller caller;
	/* out */
	struct consent_entry *entries;
	size_t count;
};

/* CONSENT_ACCEPTED, CONSENT_BLOCKED, or CONSENT_NONE, which only takes effect on an entry
 * that is in state `from`, where from is not CONSENT_NONE: so that ending a block does not
 * forget an acceptance. ERR_OVER_QUOTA: there are entries about as many others as there may be.
 */
struct op_consent_set {
	struct store_op op;
	struct caller caller;
	struct address address;
	enum consent_state state;
	enum consent_state
		from; /* for CONSENT_NONE: CONSENT_BLOCKED, or NONE for any but blocked */
};

#endif
