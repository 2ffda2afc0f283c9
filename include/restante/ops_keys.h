/* SPDX-License-Identifier: MIT
 *
 * Store operations on keys and device lists.
 */
#ifndef RESTANTE_OPS_KEYS_H
#define RESTANTE_OPS_KEYS_H

#include "restante/ops_accounts.h"

/* A checked upload. Key ids ever uploaded by this device are ignored. More than the
 * limit waiting: ERR_TOO_LARGE, nothing is stored. A new identity key or registration id
 * raises the list version. The caller has verified signatures against `identity_key`: when
 * that is no longer the device's and the upload brings none, ERR_BAD_SIGNATURE. */
struct op_keys_put {
	struct store_op op;
	struct caller caller;
	const struct key_upload *upload;
	enum key_scheme scheme; /* what signatures were verified against */
	struct bytes identity_key;
	/* out */
	int64_t one_time;
	int64_t pq;
	int64_t list_version;
	struct effects effects;
};

/* Also gives the identity key that an upload is to be verified against. */
struct op_keys_stats {
	struct store_op op;
	struct caller caller;
	/* out */
	struct key_stats stats;
	enum key_scheme scheme;
	struct bytes identity_key;
};

/* Takes bundles of a local account: idempotent by (claimer, claim id) for 24 h, whose answer
 * is kept as the bytes that go out. The same claim id for another request: ERR_VALIDATION.
 * ERR_UNAVAILABLE as for sending. Requesters whom the account has not accepted leave a
 * reserve of one-time keys. */
struct op_claim {
	struct store_op op;
	const char *claimer; /* "g17": a local generation; or the origin's domain */
	const struct claim_request *claim; /* requester is set */
	const struct caller
		*caller; /* local: checked, and its own device left out; else NULL */
	/* out */
	struct bytes answer; /* bundles, JSON */
	struct effects effects;
};

/* The device list of a local account. ERR_UNAVAILABLE as for sending. */
struct op_device_list {
	struct store_op op;
	struct address requester;
	struct address address;
	const struct caller *caller; /* NULL: another node asks */
	/* out */
	struct device_list list;
};

/* The same for another node, which is told about changes from now on. */
struct op_device_subscribe {
	struct store_op op;
	const char *origin;
	struct address requester;
	struct address address;
	int64_t until_ms;
	/* out */
	struct device_list list;
};

/* Remembers the list of a remote account, unless a newer one is known. */
struct op_remote_list_put {
	struct store_op op;
	const struct device_list *list;
};

#endif
