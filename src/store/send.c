/* SPDX-License-Identifier: MIT
 *
 * Sending, local and remote, and what became of it (docs/protocol.md section 2.6). What
 * could refuse a message comes before the first write.
 */
#include "known.h"
#include "mail.h"

#include "restante/crypto.h"

static void over_quota_set(struct op_send *send, const uint8_t *devices, size_t count)
{
	if (count == 0)
		return;
	send->over_quota = arena_array(send->op.arena, uint8_t, count);
	memcpy(send->over_quota, devices, count);
	send->n_over_quota = count;
}

/* The same message again gets the same answer again; to somebody else it is another one,
 * whose id is taken. */
static enum err sent_find(struct db *db, struct op_send *send, int64_t generation)
{
	struct query query =
		query_begin(db, "SELECT position, sent_ms, over_quota, recipient = ?3 FROM sent"
				" WHERE message_id = ?1 AND generation = ?2");
	bool same = true;
	enum err err;

	query_blob(&query, 1, bytes_of(send->message->id, MESSAGE_ID_SIZE));
	query_int(&query, 2, generation);
	query_text(&query, 3, send->message->to.text);
	if (query_row(&query)) {
		struct bytes over_quota = column_blob(&query, 2, send->op.arena);

		same = column_int(&query, 3) != 0;
		send->duplicate = same;
		send->status = column_is_null(&query, 0) ? MESSAGE_STORED : MESSAGE_QUEUED;
		send->server_timestamp_ms = column_int(&query, 1);
		over_quota_set(send, over_quota.data, over_quota.len);
	}
	err = query_end(&query);
	return err == ERR_OK && !same ? ERR_VALIDATION : err;
}

/* position 0: local. */
static enum err sent_put(struct db *db, struct op_send *send, int64_t generation,
			 int64_t position)
{
	struct query query = query_begin(
		db, "INSERT INTO sent (message_id, generation, recipient, status, sent_ms,"
		    " position, over_quota) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");

	known_drop(db, known_message(KNOWN_UNSENT, send->message->id));
	send->status = position == 0 ? MESSAGE_STORED : MESSAGE_QUEUED;
	send->server_timestamp_ms = send->op.now_ms;
	query_blob(&query, 1, bytes_of(send->message->id, MESSAGE_ID_SIZE));
	query_int(&query, 2, generation);
	query_text(&query, 3, send->message->to.text);
	query_int(&query, 4, send->status);
	query_int(&query, 5, send->op.now_ms);
	if (position == 0)
		query_null(&query, 6);
	else
		query_int(&query, 6, position);
	query_blob(&query, 7, bytes_of(send->over_quota, send->n_over_quota));
	return query_run(&query);
}

static enum err acceptance_put(struct db *db, const struct op_send *send, int64_t account_key)
{
	struct query query = query_begin(
		db, "INSERT INTO consent (account_key, address, state, since_ms)"
		    " SELECT ?1, ?2, ?3, ?4 WHERE " CONSENT_ROOM
		    " ON CONFLICT (account_key, address)"
		    " DO UPDATE SET state = ?3, since_ms = ?4 WHERE consent.state = ?5");

	query_int(&query, 1, account_key);
	query_text(&query, 2, send->message->to.text);
	query_int(&query, 3, CONSENT_ACCEPTED);
	query_int(&query, 4, send->op.now_ms);
	query_int(&query, 5, CONSENT_REQUESTED);
	return query_run(&query);
}

/* Writing to somebody is accepting them, as long as the account may say more; it does not lift
 * a block. */
static enum err recipient_accept(struct db *db, const struct op_send *send, int64_t account_key)
{
	enum consent_state state;
	enum err err = db_consent_get_state(db, account_key, send->message->to.text, &state);

	if (err != ERR_OK || state == CONSENT_ACCEPTED || state == CONSENT_BLOCKED)
		return err;
	known_change(db, known_consent(account_key, send->message->to.text));
	return acceptance_put(db, send, account_key);
}

/* How long a message waits where things wait for `most` at most. */
static int64_t life_of(const struct message_request *message, int64_t most)
{
	return message->expires_in_ms > 0 && message->expires_in_ms < most
		       ? message->expires_in_ms
		       : most;
}

static void relayed(struct op_send *send)
{
	send->status = MESSAGE_RELAYED;
	send->server_timestamp_ms = send->op.now_ms;
}

/* --- to an account of this node --------------------------------------------------------- */

/* An account that writes to itself: all devices but the one that sends. */
static enum err own_devices_get(struct db *db, const struct db_caller *caller,
				struct recipient *recipient_out)
{
	recipient_out->account.account_key = caller->account_key;
	recipient_out->account.list_version = caller->list_version;
	recipient_out->state = CONSENT_ACCEPTED;
	return db_listed_get(db, caller->account_key, caller->generation,
			     &recipient_out->listed);
}

/* Ephemeral messages leave no request: only whom the account has accepted gets through. */
static enum err local_check(struct db *db, struct op_send *send, const struct db_caller *caller,
			    const struct address *from, struct recipient *recipient)
{
	const struct message_request *message = send->message;
	enum err err;

	if (strcmp(message->to.user, caller->user) == 0)
		err = own_devices_get(db, caller, recipient);
	else
		err = db_recipient_get(db, message->to.user, from->text, recipient);
	if (err == ERR_OK && message->ephemeral && recipient->state != CONSENT_ACCEPTED)
		err = ERR_UNAVAILABLE;
	if (err == ERR_OK)
		err = db_contact_check(db, recipient, from->text, message, send->op.now_ms);
	if (err != ERR_OK)
		return err;
	send->mismatch.list_version = recipient->account.list_version;
	return db_listed_compare(&recipient->listed, message, &send->mismatch);
}

static enum err local_store(struct db *db, struct op_send *send, const struct db_caller *caller,
			    const struct letter *letter, struct recipient *recipient)
{
	struct device_ids over_quota;
	enum err err =
		db_letter_put(db, &send->op, &send->effects, letter, recipient, &over_quota);

	if (err != ERR_OK)
		return err;
	over_quota_set(send, over_quota.ids, over_quota.count);
	if (recipient->account.account_key != caller->account_key)
		err = recipient_accept(db, send, caller->account_key);
	return err == ERR_OK ? sent_put(db, send, caller->generation, 0) : err;
}

static enum err send_local(struct db *db, struct op_send *send, const struct db_caller *caller,
			   const struct address *from)
{
	const struct message_request *message = send->message;
	struct recipient recipient = {0};
	struct letter letter = {
		.message = message,
		.sender = from->text,
		.sender_device = caller->device_id,
		.expires_ms = send->op.now_ms + life_of(message, db->config->mailbox_life_ms),
	};
	enum err err = local_check(db, send, caller, from, &recipient);

	if (err != ERR_OK)
		return err;
	/* What an account sends to itself keeps its devices in step: nobody waits for a
	 * receipt of that. */
	if (recipient.account.account_key != caller->account_key)
		letter.sender_generation = caller->generation;
	if (!message->ephemeral)
		return local_store(db, send, caller, &letter, &recipient);
	db_letter_relay(&send->op, &send->effects, &letter, &recipient);
	relayed(send);
	return ERR_OK;
}

/* --- to an account of another node ------------------------------------------------------ */

/* Against the list that was seen last, unless the sender knows a newer one. */
static enum err remote_check(struct db *db, struct op_send *send)
{
	const struct message_request *message = send->message;
	struct listed listed;
	int64_t list_version = 0;
	enum err err = db_remote_list_get(db, message->to.text, &listed, &list_version);

	if (err == ERR_NOT_FOUND)
		return ERR_OK;
	if (err != ERR_OK || list_version < message->list_version)
		return err;
	send->mismatch.list_version = list_version;
	return db_listed_compare(&listed, message, &send->mismatch);
}

static enum err remote_store(struct db *db, struct op_send *send,
			     const struct db_caller *caller, struct bytes item)
{
	const struct message_request *message = send->message;
	struct outbox_put put = {
		.domain = message->to.domain,
		.kind = FED_MESSAGE,
		.expires_ms = send->op.now_ms + life_of(message, db->config->outbox_life_ms),
		.body = item,
		.message_id = message->id,
		.account_key = caller->account_key,
		.generation = caller->generation,
		.recipient = message->to.text,
	};
	int64_t position = 0;
	enum err err = db_outbox_put(db, &send->op, &send->effects, &put, &position);

	if (err == ERR_OK)
		err = recipient_accept(db, send, caller->account_key);
	return err == ERR_OK ? sent_put(db, send, caller->generation, position) : err;
}

/* The item says how long it is good for its recipient, which may be longer than it waits
 * in the outbox. */
static enum err send_remote(struct db *db, struct op_send *send, const struct db_caller *caller,
			    const struct address *from)
{
	const struct message_request *message = send->message;
	int64_t expires_ms = send->op.now_ms + life_of(message, db->config->mailbox_life_ms);
	struct bytes item;
	enum err err = remote_check(db, send);

	if (err != ERR_OK)
		return err;
	item = fed_message_encode(send->op.arena, from->text, caller->device_id, message,
				  expires_ms, send->token);
	if (!message->ephemeral)
		return remote_store(db, send, caller, item);
	effects_outbound(&send->effects, send->op.arena, message->to.domain, 0, 0, item);
	relayed(send);
	return ERR_OK;
}

enum err db_send(struct db *db, struct store_op *op)
{
	struct op_send *send = (struct op_send *)op;
	const struct message_request *message = send->message;
	struct db_caller caller;
	struct address from;
	enum err err = db_caller_get(db, &send->caller, &caller);

	if (err == ERR_OK && !message->ephemeral && !db_is_new(db, KNOWN_UNSENT, message->id))
		err = sent_find(db, send, caller.generation);
	if (err != ERR_OK || send->duplicate)
		return err;
	address_make(caller.user, db->config->domain, &from);
	if (strcmp(message->to.domain, db->config->domain) == 0)
		return send_local(db, send, &caller, &from);
	return send_remote(db, send, &caller, &from);
}

/* --- what became of it ------------------------------------------------------------------ */

static void info_read(const struct query *query, struct op_message_get *get)
{
	struct message_info *info = &get->info;
	struct bytes taken_by = column_blob(query, 3, get->op.arena);
	char id_text[UUID_TEXT_SIZE];

	uuid7_format(get->id, id_text);
	info->id_text = arena_text(get->op.arena, bytes_of_text(id_text));
	info->to = column_text(query, 0, get->op.arena);
	info->status = (enum message_status)column_int(query, 1);
	info->server_timestamp_ms = column_int(query, 2);
	info->n_taken_by = taken_by.len < DEVICES_MAX ? taken_by.len : DEVICES_MAX;
	memcpy(info->taken_by, taken_by.data, info->n_taken_by);
	if (!column_is_null(query, 4))
		info->code = result_code_name((enum result_code)column_int(query, 4));
	/* Settled without a word against it. A destination that has been removed had nothing
	 * waiting. */
	if (info->status == MESSAGE_QUEUED && column_int(query, 5) >= column_int(query, 6))
		info->status = MESSAGE_DELIVERED;
}

enum err db_message_get(struct db *db, struct store_op *op)
{
	struct op_message_get *get = (struct op_message_get *)op;
	struct db_caller caller;
	struct query query;
	enum err found = ERR_NOT_FOUND;
	enum err err = db_caller_get(db, &get->caller, &caller);

	if (err != ERR_OK)
		return err;
	query = query_begin(
		db,
		"SELECT s.recipient, s.status, s.sent_ms, s.taken_by, s.code,"
		" coalesce(d.acked, s.position), s.position FROM sent s LEFT JOIN destination d"
		" ON d.domain = substr(s.recipient, instr(s.recipient, '@') + 1)"
		" WHERE s.message_id = ?1 AND s.generation = ?2");
	query_blob(&query, 1, bytes_of(get->id, MESSAGE_ID_SIZE));
	query_int(&query, 2, caller.generation);
	if (query_row(&query)) {
		info_read(&query, get);
		found = ERR_OK;
	}
	err = query_end(&query);
	return err != ERR_OK ? err : found;
}
