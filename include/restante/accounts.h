/* SPDX-License-Identifier: MIT
 *
 * Requests and answers about accounts, sessions, devices and consent (docs/protocol.md
 * sections 2.2, 2.3 and 2.5). Text members are NUL-terminated, in the arena, and NULL
 * where absent, unless a size is given.
 */
#ifndef RESTANTE_ACCOUNTS_H
#define RESTANTE_ACCOUNTS_H

#include "restante/keys.h"

struct register_request {
	char user[USER_SIZE];
	const char *password;
	const char *invite;
	struct key_upload device; /* identity, registration id and signed prekey are there */
};

struct login_request {
	char user[USER_SIZE];
	uint8_t device_id;
	const char *password; /* either this */
	const char *nonce;    /* or these */
	struct bytes signature;
};

struct link_request {
	const char *token;    /* either this */
	char user[USER_SIZE]; /* or these */
	const char *password;
	struct key_upload device;
};

struct password_request {
	const char *password;
	const char *current_password;
};

/* What an account does with first messages of addresses that it has neither accepted nor
 * blocked. The numbers are stored: never change them. */
enum strangers { STRANGERS_REFUSE, STRANGERS_REQUEST, STRANGERS_ACCEPT };
const char *strangers_name(enum strangers strangers);
enum err strangers_parse(struct bytes text, enum strangers *strangers_out) MUST_CHECK;

struct account_patch {
	bool has_strangers;
	enum strangers strangers;
	bool has_receipts, receipts;
};

/* Every decoder: ERR_OK, or ERR_VALIDATION with the problem. */
#define DECODER(name, type)                                                                    \
	enum err name(struct arena *arena, struct bytes json, type *out,                       \
		      struct problem *problem) MUST_CHECK

DECODER(register_decode, struct register_request);
DECODER(login_decode, struct login_request);
DECODER(link_decode, struct link_request);
DECODER(password_decode, struct password_request);
DECODER(account_patch_decode, struct account_patch);
/* {refresh_token}, {name}, {password?}: one text member; optional gives NULL. */
enum err text_member_decode(struct arena *arena, struct bytes json, const char *name,
			    size_t max, bool optional, const char **out,
			    struct problem *problem) MUST_CHECK;
/* A body that is an object, whatever its members. */
DECODER(empty_decode, bool);

struct session_reply {
	const char *address;
	uint8_t device_id;
	const char *access_token;
	const char *refresh_token;
	int64_t expires_in_s;
	int64_t list_version;
};
struct bytes session_encode(struct arena *arena, const struct session_reply *session);

struct account_info {
	const char *address;
	enum strangers strangers;
	bool receipts;
	bool has_password;
	int64_t list_version;
};
struct bytes account_encode(struct arena *arena, const struct account_info *account);

/* One device, as its owner sees it. */
struct device_info {
	uint8_t device_id;
	uint16_t registration_id;
	const char *name;
	int64_t created_at_ms;
	int64_t last_seen_ms;
};
struct bytes devices_encode(struct arena *arena, int64_t list_version, uint8_t current,
			    const struct device_info *devices, size_t count);

struct key_stats {
	int64_t one_time;
	int64_t pq;
	bool pq_last_resort;
	uint32_t signed_prekey_id;
	int64_t signed_prekey_age_s;
};
struct bytes key_stats_encode(struct arena *arena, const struct key_stats *stats);

enum consent_state { CONSENT_NONE, CONSENT_REQUESTED, CONSENT_ACCEPTED, CONSENT_BLOCKED };
struct consent_entry {
	const char *address;
	enum consent_state state;
	int64_t since_ms;
};
struct bytes consent_encode(struct arena *arena, const struct consent_entry *entries,
			    size_t count);

#endif
