/* SPDX-License-Identifier: MIT
 *
 * Prekeys, bundles and device lists (docs/protocol.md sections 2.1 and 2.4): their
 * shapes inside the program, and their JSON. Decoded keys are checked for format and
 * signature by keys_check().
 */
#ifndef RESTANTE_KEYS_H
#define RESTANTE_KEYS_H

#include "restante/address.h"
#include "restante/problem.h"
#include "restante/text.h"
#include "restante/verify.h"

#define PREKEY_UPLOAD_MAX 100
#define PREKEYS_LOW	  20
#define DEVICES_MAX	  127
#define CLAIM_ID_MAX	  64

struct prekey {
	bool present;
	uint32_t id;
	struct bytes public_key; /* raw bytes */
	struct bytes signature;	 /* empty for one-time EC keys */
};

struct prekey_list {
	struct prekey *keys;
	size_t count;
};

/* The parts of PUT keys and of a device object; absent ones are zero. */
struct key_upload {
	char name[65];
	uint16_t registration_id; /* 0: absent */
	bool has_identity;
	enum key_scheme scheme;
	struct bytes identity_key;
	struct prekey signed_prekey;
	struct prekey_list one_time; /* EC */
	struct prekey_list pq;
	struct prekey pq_last_resort;
};

/* One device in a device list or, with its prekeys, in a set of bundles. */
struct device_keys {
	uint8_t device_id;
	uint16_t registration_id;
	enum key_scheme scheme;
	struct bytes identity_key;
	struct prekey signed_prekey; /* bundles only */
	struct prekey one_time;
	struct prekey pq;
};

struct device_list {
	struct address address;
	int64_t list_version;
	struct device_keys *devices; /* in order of device_id */
	size_t count;
};

struct claim_request {
	char claim_id[CLAIM_ID_MAX + 1];
	struct address requester; /* between nodes only; else empty */
	struct address address;
	uint8_t devices[DEVICES_MAX];
	size_t n_devices; /* 0: all */
};

/* Body of PUT keys. */
enum err key_upload_decode(struct arena *arena, struct bytes json,
			   struct key_upload *upload_out, struct problem *problem) MUST_CHECK;
/* Formats and signatures of everything in the upload, against its own identity key or,
 * where it has none, the one given. ERR_VALIDATION or ERR_BAD_SIGNATURE. */
enum err key_upload_check(const struct key_upload *upload, enum key_scheme scheme,
			  struct bytes identity_key, struct problem *problem) MUST_CHECK;

/* `between_nodes`: requester is required. */
enum err claim_decode(struct arena *arena, struct bytes json, bool between_nodes,
		      struct claim_request *claim_out, struct problem *problem) MUST_CHECK;
struct bytes claim_encode(struct arena *arena, const struct claim_request *claim);
bool claim_id_is_valid(struct bytes id);

struct bytes bundles_encode(struct arena *arena, const struct device_list *list);
struct bytes device_list_encode(struct arena *arena, const struct device_list *list);
/* `devices` of a device list alone, as it stands in send_results. */
void device_entries_write(struct text *out, const struct device_list *list);
/* From another node: bundles and device lists share this; prekeys may be absent. What
 * another node says about keys is checked for format only; clients check signatures. */
enum err device_list_decode(struct arena *arena, struct bytes json,
			    struct device_list *list_out) MUST_CHECK;

/* devices/list between nodes: {requester, address}. */
struct list_request {
	struct address requester;
	struct address address;
};
enum err list_request_decode(struct bytes json, struct list_request *request_out,
			     struct problem *problem) MUST_CHECK;
struct bytes list_request_encode(struct arena *arena, const struct list_request *request);

#endif
