/* SPDX-License-Identifier: MIT
 *
 * Messages into the mailboxes of a local account, whether its own node or another one
 * brings them: may this sender write, are these all of its devices, is there room. On the
 * write lane.
 */
#include "known.h"
#include "mail.h"

#include <stddef.h>

enum err db_listed_get(struct db *db, int64_t account_key, int64_t but,
		       struct listed *listed_out)
{
	struct query query =
		query_begin(db, "SELECT device_id, registration_id, generation FROM device"
				" WHERE account_key = ?1 AND generation != ?2"
				" ORDER BY device_id");
	size_t count = 0;

	query_int(&query, 1, account_key);
	query_int(&query, 2, but);
	while (count < DEVICES_MAX && query_row(&query)) {
		listed_out->devices[count].device_id = (uint8_t)column_int(&query, 0);
		listed_out->devices[count].registration_id = (uint16_t)column_int(&query, 1);
		listed_out->devices[count++].generation = column_int(&query, 2);
	}
	listed_out->count = count;
	return query_end(&query);
}

/* Without its state. */
static enum err recipient_load(struct db *db, const char *user, struct recipient *recipient)
{
	enum err err = db_account_find(db, user, &recipient->account);

	return err != ERR_OK ? err
			     : db_listed_get(db, recipient->account.account_key, 0,
					     &recipient->listed);
}

static size_t used_size(const struct recipient *recipient)
{
	return offsetof(struct recipient, listed.devices) +
	       recipient->listed.count * sizeof recipient->listed.devices[0];
}

static enum err recipient_find(struct db *db, const char *user, struct recipient *recipient)
{
	enum err err;

	if (known_get(db, known_recipient(user), recipient))
		return ERR_OK;
	err = recipient_load(db, user, recipient);
	if (err == ERR_OK)
		known_put(db, known_recipient(user), recipient, used_size(recipient));
	return err;
}

enum err db_recipient_get(struct db *db, const char *user, const char *sender,
			  struct recipient *recipient_out)
{
	enum err err = recipient_find(db, user, recipient_out);

	if (err == ERR_NOT_FOUND)
		return ERR_UNAVAILABLE;
	return err != ERR_OK ? err
			     : db_consent_check(db, &recipient_out->account, sender,
						&recipient_out->state);
}

/* Both are in order of device id. */
enum err db_listed_compare(const struct listed *listed, const struct message_request *message,
			   struct list_mismatch *mismatch)
{
	size_t d = 0;
	size_t e = 0;

	while (d < listed->count || e < message->n_envelopes) {
		unsigned device = d < listed->count ? listed->devices[d].device_id : UINT8_MAX;
		unsigned named =
			e < message->n_envelopes ? message->envelopes[e].device_id : UINT8_MAX;

		if (device < named)
			mismatch->missing[mismatch->n_missing++] = (uint8_t)device;
		else if (named < device)
			mismatch->extra[mismatch->n_extra++] = (uint8_t)named;
		else if (listed->devices[d].registration_id !=
			 message->envelopes[e].registration_id)
			mismatch->stale[mismatch->n_stale++] = (uint8_t)device;
		d += device <= named;
		e += named <= device;
	}
	if (mismatch->n_stale > 0)
		return ERR_STALE_DEVICES;
	return mismatch->n_missing + mismatch->n_extra > 0 ? ERR_DEVICES_MISMATCH : ERR_OK;
}

static struct bytes body_of(struct store_op *op, const struct letter *letter, size_t index)
{
	const struct message_request *message = letter->message;
	struct envelope_item item = {
		.id_text = message->id_text,
		.from = letter->sender,
		.from_device = letter->sender_device,
		.timestamp_ms = message->timestamp_ms,
		.server_timestamp_ms = op->now_ms,
		.urgent = message->urgent,
		.ephemeral = message->ephemeral,
		.envelope = &message->envelopes[index],
	};

	return envelope_item_encode(op->arena, &item);
}

static enum err envelope_put(struct db *db, struct store_op *op, struct effects *effects,
			     const struct letter *letter, int64_t generation, size_t index)
{
	struct mailbox_put put = {
		.generation = generation,
		.kind = ITEM_ENVELOPE,
		.expires_ms = letter->expires_ms,
		.body = body_of(op, letter, index),
		.origin = letter->origin,
	};

	if (letter->sender_generation != 0 || letter->token != NULL) {
		put.message_id = letter->message->id;
		put.sender = letter->sender;
		put.sender_generation = letter->sender_generation;
		put.token = letter->token;
	}
	return db_mailbox_put(db, op, effects, &put);
}

static enum err request_leave(struct db *db, const struct store_op *op, const char *sender,
			      struct recipient *recipient)
{
	if (recipient->state != CONSENT_NONE)
		return ERR_OK;
	recipient->state = CONSENT_REQUESTED;
	return db_request_put(db, recipient->account.account_key, sender, op->now_ms);
}

enum err db_letter_put(struct db *db, struct store_op *op, struct effects *effects,
		       const struct letter *letter, struct recipient *recipient,
		       struct device_ids *over_quota)
{
	const struct listed *listed = &recipient->listed;
	enum err err = ERR_OK;

	over_quota->count = 0;
	for (size_t i = 0; i < listed->count && err == ERR_OK; i++) {
		err = envelope_put(db, op, effects, letter, listed->devices[i].generation, i);
		if (err == ERR_OVER_QUOTA) {
			over_quota->ids[over_quota->count++] = listed->devices[i].device_id;
			err = ERR_OK;
		}
	}
	if (err != ERR_OK)
		return err;
	if (over_quota->count == listed->count)
		return ERR_OVER_QUOTA;
	return request_leave(db, op, letter->sender, recipient);
}

void db_letter_relay(struct store_op *op, struct effects *effects, const struct letter *letter,
		     const struct recipient *recipient)
{
	for (size_t i = 0; i < recipient->listed.count; i++) {
		struct mailbox_item item = {
			.kind = ITEM_ENVELOPE,
			.body = body_of(op, letter, i),
		};

		effects_deliver(effects, op->arena, recipient->listed.devices[i].generation, 0,
				&item);
	}
}
