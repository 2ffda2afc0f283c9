/* SPDX-License-Identifier: MIT
 *
 * What the contract tests of messages, mailboxes, transactions and outboxes share.
 * Operations come back by value, with their outcome in op.err.
 */
#ifndef TEST_STORE_MAIL_H
#define TEST_STORE_MAIL_H

#include "contract.h"
#include "fault.h"

#include <sched.h>

#define REMOTE "rita@b.example"

/* --- messages ------------------------------------------------------------------------- */

/* A new message without envelopes. */
static UNUSED struct message_request *mail_new(struct contract *contract, const char *to)
{
	struct message_request *message = arena_new(contract->arena, struct message_request);

	assert_int_equal(address_parse(bytes_of_text(to), &message->to), ERR_OK);
	uuid7_create(contract_now, message->id);
	uuid7_format(message->id, message->id_text);
	message->timestamp_ms = contract_now;
	message->urgent = true;
	message->envelopes = arena_array(contract->arena, struct envelope, DEVICES_MAX);
	return message;
}

static UNUSED void mail_add(struct message_request *message, uint8_t device_id,
			    uint16_t registration_id)
{
	message->envelopes[message->n_envelopes++] = (struct envelope){
		.device_id = device_id,
		.registration_id = registration_id,
		.type = 3,
		.content = bytes_of_text("c2VhbGVk"),
	};
}

/* For the devices of one local account, in order of id, ended by NULL. */
static UNUSED struct message_request *
mail_to_devices(struct contract *contract, const struct contract_device *const *devices)
{
	struct message_request *message = mail_new(contract, devices[0]->address.text);

	for (size_t i = 0; devices[i] != NULL; i++)
		mail_add(message, devices[i]->caller.device_id, devices[i]->registration_id);
	return message;
}
#define MAIL_TO(contract, ...)                                                                 \
	mail_to_devices((contract), (const struct contract_device *const[]){__VA_ARGS__, NULL})

/* For device 1 of a remote account. */
static UNUSED struct message_request *mail_to_remote(struct contract *contract, const char *to)
{
	struct message_request *message = mail_new(contract, to);

	mail_add(message, 1, 4711);
	return message;
}

static UNUSED struct op_send mail_send(struct contract *contract,
				       const struct contract_device *from,
				       const struct message_request *message)
{
	struct op_send send = {.caller = from->caller, .message = message, .token = "token"};

	RUN(contract, SEND, &send);
	return send;
}

/* As one batch. They are on their way back afterwards. */
static UNUSED void mail_post_together(struct contract *contract, struct op_send *sends,
				      size_t count)
{
	struct op_invite_create first = {0};

	contract_prepare(contract, &first.op, STORE_INVITE_CREATE);
	fault_hold_lane(true);
	assert_true(store_post(contract->store, &first.op));
	while (!fault_lane_is_held())
		sched_yield();
	for (size_t i = 0; i < count; i++) {
		contract_prepare(contract, &sends[i].op, STORE_SEND);
		assert_true(store_post(contract->store, &sends[i].op));
	}
	fault_hold_lane(false);
	assert_ptr_equal(inbox_wait(contract->inbox, 1), &first.op.message);
}

static UNUSED void mail_send_together(struct contract *contract, struct op_send *sends,
				      size_t count)
{
	mail_post_together(contract, sends, count);
	for (size_t i = 0; i < count; i++)
		assert_non_null(inbox_wait(contract->inbox, 1));
}

static UNUSED void mail_send_ok(struct contract *contract, const struct contract_device *from,
				const struct message_request *message)
{
	assert_int_equal(mail_send(contract, from, message).op.err, ERR_OK);
}

static UNUSED struct message_info mail_status(struct contract *contract,
					      const struct contract_device *from,
					      const struct message_request *message)
{
	struct op_message_get get = {.caller = from->caller};

	memcpy(get.id, message->id, MESSAGE_ID_SIZE);
	RUN_OK(contract, MESSAGE_GET, &get);
	return get.info;
}

static UNUSED bool mail_has(struct bytes body, const char *part)
{
	return memmem(body.data, body.len, part, strlen(part)) != NULL;
}

/* --- mailboxes ------------------------------------------------------------------------ */

static UNUSED struct op_mailbox_read mail_read(struct contract *contract,
					       const struct contract_device *device)
{
	struct op_mailbox_read read = {
		.caller = device->caller, .limit = 100, .max_bytes = 1 << 20};

	RUN_OK(contract, MAILBOX_READ, &read);
	return read;
}

static UNUSED size_t mail_count(struct contract *contract, const struct contract_device *device)
{
	return mail_read(contract, device).count;
}

/* The one item of a mailbox. */
static UNUSED struct mailbox_item mail_only(struct contract *contract,
					    const struct contract_device *device)
{
	struct op_mailbox_read read = mail_read(contract, device);

	assert_int_equal(read.count, 1);
	return read.items[0];
}

static UNUSED struct op_mailbox_ack
mail_ack(struct contract *contract, const struct contract_device *device, int64_t up_to)
{
	struct ack_request request = {.up_to = up_to};
	struct op_mailbox_ack ack = {.caller = device->caller, .ack = &request};

	RUN_OK(contract, MAILBOX_ACK, &ack);
	return ack;
}

static UNUSED void mail_ack_all(struct contract *contract, const struct contract_device *device)
{
	mail_ack(contract, device, INT64_MAX);
}

/* --- from other nodes ----------------------------------------------------------------- */

static UNUSED struct fed_item fed_message(const struct message_request *message,
					  const char *from)
{
	struct fed_item item = {
		.kind = FED_MESSAGE,
		.from_device = 1,
		.to = message->to,
		.message = *message,
		.expires_at_ms = contract_now + 30 * DAYS_MS,
		.token = "their token",
	};

	assert_int_equal(address_parse(bytes_of_text(from), &item.from), ERR_OK);
	return item;
}

static UNUSED struct fed_item fed_receipt(const struct message_request *message,
					  const struct contract_device *to, uint8_t device_id)
{
	struct fed_item item = {
		.kind = FED_RECEIPT,
		.from = message->to,
		.to = to->address,
		.devices = {device_id},
		.n_devices = 1,
		.generation = to->caller.generation,
	};

	memcpy(item.message.id, message->id, MESSAGE_ID_SIZE);
	memcpy(item.message.id_text, message->id_text, sizeof message->id_text);
	return item;
}

/* A transaction of another node. The digest is made of its first byte alone. */
static UNUSED struct op_transaction fed_take_from(struct contract *contract, const char *origin,
						  const char *stream, int64_t seq,
						  uint8_t digest, struct fed_item *items,
						  size_t n_items)
{
	struct transaction transaction = {.seq = seq, .items = items, .n_items = n_items};
	struct op_transaction op = {
		.origin = origin, .transaction = &transaction, .digest = {digest}};

	snprintf(transaction.stream, sizeof transaction.stream, "%s", stream);
	RUN(contract, TRANSACTION, &op);
	return op;
}

static UNUSED struct op_transaction fed_take(struct contract *contract, const char *stream,
					     int64_t seq, uint8_t digest,
					     struct fed_item *items, size_t n_items)
{
	return fed_take_from(contract, "b.example", stream, seq, digest, items, n_items);
}

/* One item as the next of a stream; the answer as text. */
static UNUSED const char *fed_take_one(struct contract *contract, int64_t seq,
				       struct fed_item item)
{
	struct op_transaction op = fed_take(contract, "stream", seq, (uint8_t)seq, &item, 1);

	assert_int_equal(op.op.err, ERR_OK);
	return (const char *)op.answer.data;
}

/* --- outboxes ------------------------------------------------------------------------- */

static UNUSED struct op_outbox_read outbox_read(struct contract *contract, const char *domain,
						int64_t after)
{
	struct op_outbox_read read = {
		.domain = domain, .after = after, .limit = 100, .max_bytes = 1 << 20};

	RUN_OK(contract, OUTBOX_READ, &read);
	return read;
}

static UNUSED struct op_outbox_settle outbox_settle(struct contract *contract,
						    const char *domain, int64_t up_to,
						    const struct item_result *results,
						    size_t n_results)
{
	struct op_outbox_settle settle = {
		.domain = domain, .up_to = up_to, .results = results, .n_results = n_results};

	RUN_OK(contract, OUTBOX_SETTLE, &settle);
	return settle;
}

/* As it is loaded at start; all zero where it is not. */
static UNUSED struct destination destination_load(struct contract *contract, const char *domain)
{
	struct op_destinations_load load = {0};

	RUN_OK(contract, DESTINATIONS_LOAD, &load);
	for (size_t i = 0; i < load.count; i++)
		if (strcmp(load.destinations[i].domain, domain) == 0)
			return load.destinations[i];
	return (struct destination){0};
}

#endif
