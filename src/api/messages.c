/* SPDX-License-Identifier: MIT
 *
 * Sending, the status of what was sent, and the mailbox, by HTTP (docs/protocol.md sections
 * 2.6 and 2.7). Net thread.
 */
#include "handlers.h"
#include "handler.h"
#include "send.h"

#include "restante/crypto.h"
#include "restante/metrics.h"

#define MAILBOX_LIMIT_MAX 100
#define MAILBOX_BYTES_MAX ((size_t)4 << 20)

static void message_stored(struct message *message)
{
	struct op_send *op = (struct op_send *)message;
	struct request *request = op->op.context;

	send_count(op);
	if (op->op.err == ERR_OK)
		request_reply(request, send_status(op), send_body(request->arena, op));
	else
		request_fail_with(request, op->op.err, send_message(op),
				  send_details(request->arena, op));
}

void message_send(struct request *request)
{
	struct message_request *message = arena_new(request->arena, struct message_request);
	struct node *node = request_node(request);
	struct problem problem = {0};
	struct op_send *op;
	int64_t wait_ms;
	enum err err;

	err = message_decode(request->arena, request->body,
			     (size_t)node->config->limits_content, message, &problem);
	if (err != ERR_OK) {
		request_refuse(request, err, &problem);
		return;
	}
	op = ask(request, SEND, struct op_send, message_stored);
	err = send_prepare(node, &request->caller, message, op, &wait_ms);
	if (err == ERR_RATE_LIMITED)
		request_limit(request, wait_ms);
	else if (err != ERR_OK)
		request_fail(request, err, "to", NULL);
	else
		request_post(request, &op->op);
}

static void message_found(struct message *message)
{
	struct op_message_get *op = (struct op_message_get *)message;
	struct request *request = request_back(&op->op);

	if (request != NULL)
		request_ok(request, message_info_encode(request->arena, &op->info));
}

void message_status(struct request *request)
{
	struct op_message_get *op =
		ask(request, MESSAGE_GET, struct op_message_get, message_found);

	if (uuid7_parse(request->param, op->id) != ERR_OK) {
		request_fail(request, ERR_NOT_FOUND, NULL, NULL);
		return;
	}
	op->caller = request->caller;
	request_post(request, &op->op);
}

/* --- mailbox ------------------------------------------------------------------------ */

/* A query parameter that is a whole number of at most 16 digits; false: answered with 400. */
static bool query_number(struct request *request, const char *name, int64_t fallback,
			 int64_t *value_out)
{
	struct bytes text;
	bool malformed = false;
	int64_t value = 0;

	*value_out = fallback;
	if (!request_query(request, name, &text, &malformed) && !malformed)
		return true;
	malformed = malformed || text.len == 0 || text.len > 15;
	for (size_t i = 0; !malformed && i < text.len; i++) {
		malformed = text.data[i] < '0' || text.data[i] > '9';
		value = value * 10 + (text.data[i] - '0');
	}
	if (malformed)
		request_fail(request, ERR_VALIDATION, name, "a whole number is needed");
	else
		*value_out = value;
	return !malformed;
}

static void mailbox_listed(struct message *message)
{
	struct op_mailbox_read *op = (struct op_mailbox_read *)message;
	struct request *request = request_back(&op->op);

	if (request != NULL)
		request_ok(request,
			   mailbox_encode(request->arena, op->items, op->count, op->more));
}

void mailbox_list(struct request *request)
{
	struct op_mailbox_read *op =
		ask(request, MAILBOX_READ, struct op_mailbox_read, mailbox_listed);
	int64_t limit;

	if (!query_number(request, "after", 0, &op->after) ||
	    !query_number(request, "limit", MAILBOX_LIMIT_MAX, &limit))
		return;
	if (limit < 1) {
		request_fail(request, ERR_VALIDATION, "limit", "at least 1");
		return;
	}
	op->limit = limit < MAILBOX_LIMIT_MAX ? (size_t)limit : MAILBOX_LIMIT_MAX;
	op->max_bytes = MAILBOX_BYTES_MAX;
	op->caller = request->caller;
	request_post(request, &op->op);
}

static void mailbox_acked(struct message *message)
{
	struct op_mailbox_ack *op = (struct op_mailbox_ack *)message;
	struct request *request = request_back(&op->op);

	if (request == NULL)
		return;
	metric_add(METRIC_envelopes_acked_total, op->removed);
	request_ok(request, bytes_of_text(arena_printf(request->arena, "{\"removed\":%lld}",
						       (long long)op->removed)));
}

void mailbox_acknowledge(struct request *request)
{
	struct ack_request *ack = arena_new(request->arena, struct ack_request);
	struct problem problem = {0};
	struct op_mailbox_ack *op;
	enum err err = ack_decode(request->arena, request->body, ack, &problem);

	if (err != ERR_OK) {
		request_refuse(request, err, &problem);
		return;
	}
	op = ask(request, MAILBOX_ACK, struct op_mailbox_ack, mailbox_acked);
	op->caller = request->caller;
	op->ack = ack;
	request_post(request, &op->op);
}
