/* SPDX-License-Identifier: MIT
 *
 * What the operations on messages, mailboxes and outboxes share.
 */
#ifndef STORE_MESSAGES_H
#define STORE_MESSAGES_H

#include "db.h"

struct device_ids {
	uint8_t ids[DEVICES_MAX];
	size_t count;
};

/* The devices of an account as far as envelopes go, in order of id. */
struct listed {
	size_t count;
	struct {
		uint8_t device_id;
		uint16_t registration_id;
		int64_t generation; /* of a local account, else 0 */
	} devices[DEVICES_MAX];
};

/* --- deliver.c: messages into the mailboxes of one local account ----------------- */

struct recipient {
	struct db_account account;
	enum consent_state state; /* what it has said about the sender */
	struct listed listed;
};

/* Also ERR_UNAVAILABLE where this sender may not reach the account. */
enum err db_recipient_get(struct db *db, const char *user, const char *sender,
			  struct recipient *recipient_out) MUST_CHECK;

/* The devices of an account but for one; 0: all. */
enum err db_listed_get(struct db *db, int64_t account_key, int64_t but,
		       struct listed *listed_out) MUST_CHECK;

/* Is there one envelope for each device? ERR_STALE_DEVICES or ERR_DEVICES_MISMATCH, and the
 * mismatch but for its list version. */
enum err db_listed_compare(const struct listed *listed, const struct message_request *message,
			   struct list_mismatch *mismatch) MUST_CHECK;

/* A message whose envelopes are those of the recipient's devices. */
struct letter {
	const struct message_request *message;
	const char *sender; /* address */
	uint8_t sender_device;
	int64_t sender_generation; /* of a local sender who may get receipts, else 0 */
	int64_t origin;		   /* hash of a remote one's domain, else 0 */
	const char *token;	   /* of a remote one, else NULL */
	int64_t expires_ms;
};

/* Into the mailboxes that have room; ERR_OVER_QUOTA, and nothing has happened, where none
 * has. A stranger leaves a request. */
enum err db_letter_put(struct db *db, struct store_op *op, struct effects *effects,
		       const struct letter *letter, struct recipient *recipient,
		       struct device_ids *over_quota) MUST_CHECK;

/* Ephemeral: effects only. */
void db_letter_relay(struct store_op *op, struct effects *effects, const struct letter *letter,
		     const struct recipient *recipient);

/* --- requests.c: first messages of strangers ------------------------------------- */

/* May this message come from a sender whom db_recipient_get() lets through? Of a
 * stranger to an account that wants requests only one, and small. ERR_REQUEST_WAITING,
 * ERR_TOO_LARGE, or ERR_UNAVAILABLE where too many others are waiting. */
enum err db_contact_check(struct db *db, const struct recipient *recipient, const char *sender,
			  const struct message_request *message, int64_t now_ms) MUST_CHECK;
/* A request of an address of which nothing has been said. Where too many are waiting it
 * leaves none. */
enum err db_request_put(struct db *db, int64_t account_key, const char *address,
			int64_t now_ms) MUST_CHECK;

/* --- mailbox.c ------------------------------------------------------------------- */

/* Envelopes were removed from a mailbox. */
enum err db_usage_subtract(struct db *db, int64_t generation, int64_t items,
			   int64_t bytes) MUST_CHECK;

/* --- receipts.c ------------------------------------------------------------------ */

/* A receipt from another node for a message that a device here has sent: item->generation.
 * Devices that the sender has heard of before are left out. ERR_NOT_FOUND: no such device,
 * or it has sent no such message to them. */
enum err db_receipt_take(struct db *db, struct store_op *op, struct effects *effects,
			 const struct fed_item *item) MUST_CHECK;

/* --- outbox.c -------------------------------------------------------------------- */

/* What the write lane knows of one outbox. */
struct destination_entry;

/* NULL in entry_out: there has never been anything for this domain. */
enum err db_destination_find(struct db *db, const char *domain,
			     struct destination_entry **entry_out) MUST_CHECK;
int64_t db_destination_key(const struct destination_entry *entry);
int64_t db_destination_last(const struct destination_entry *entry); /* position given out */

/* The row as it is now. */
enum err db_destination_get(struct db *db, const char *domain,
			    struct destination *destination_out) MUST_CHECK;

/* Removes everything up to a position; says that it and `offered` are behind it. */
enum err db_outbox_remove(struct db *db, struct destination_entry *entry,
			  int64_t up_to) MUST_CHECK;

/* An item of so many bytes that was never offered becomes void. */
enum err db_outbox_void(struct db *db, struct destination_entry *entry,
			const struct store_op *op, int64_t position, int64_t bytes) MUST_CHECK;

enum err db_outbox_count(struct db *db) MUST_CHECK; /* sets the metric */

/* --- peers.c --------------------------------------------------------------------- */

/* The remembered list of a remote account. ERR_NOT_FOUND. */
enum err db_remote_list_get(struct db *db, const char *address, struct listed *listed_out,
			    int64_t *list_version_out) MUST_CHECK;
enum err db_remote_list_store(struct db *db, struct arena *arena,
			      const struct device_list *list, int64_t now_ms) MUST_CHECK;
/* Forgets a list that is older than this version. */
enum err db_remote_list_outdate(struct db *db, const char *address,
				int64_t list_version) MUST_CHECK;

#endif
