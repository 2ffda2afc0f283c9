/* SPDX-License-Identifier: MIT
 *
 * One send, by HTTP or by a socket (docs/protocol.md section 2.6). Net thread.
 */
#include "send.h"

#include "restante/metrics.h"

#include <stdio.h>

/* For another domain: what its node brings back with a receipt. */
static void send_token(struct node *node, const struct caller *caller, struct op_send *op)
{
	struct address from;

	address_make(caller->user, node->config->node_domain, &from);
	op->token = receipt_token_make(node, op->op.arena, caller->generation, op->message->id,
				       from.text, op->message->to.text);
}

enum err send_prepare(struct node *node, const struct caller *caller,
		      const struct message_request *message, struct op_send *op,
		      int64_t *wait_ms_out)
{
	char key[32 + ADDRESS_SIZE];
	int len = snprintf(key, sizeof(key), "%lld\n%s", (long long)caller->generation,
			   message->to.text);
	bool remote = strcmp(message->to.domain, node->config->node_domain) != 0;

	*wait_ms_out = limit_take(node, LIMIT_SEND_ALL, bytes_of_text(caller->user));
	if (*wait_ms_out == 0)
		*wait_ms_out = limit_take(node, LIMIT_SEND, bytes_of(key, (size_t)len));
	if (*wait_ms_out > 0)
		return ERR_RATE_LIMITED;
	if (remote && !policy_allows(node->shared->policy, message->to.domain))
		return ERR_FEDERATION_DENIED;
	op->caller = *caller;
	op->message = message;
	if (remote)
		send_token(node, caller, op);
	return ERR_OK;
}

void send_count(const struct op_send *op)
{
	if (op->op.err == ERR_OK && !op->duplicate)
		metric_inc(messages_accepted_total);
}

int send_status(const struct op_send *op)
{
	if (op->op.err != ERR_OK)
		return err_status(op->op.err);
	return op->status == MESSAGE_QUEUED ? 202 : 200;
}

struct bytes send_body(struct arena *arena, const struct op_send *op)
{
	struct send_answer answer = {.id_text = op->message->id_text,
				     .status = op->status,
				     .server_timestamp_ms = op->server_timestamp_ms,
				     .over_quota = op->over_quota,
				     .n_over_quota = op->n_over_quota};

	return send_answer_encode(arena, &answer);
}

const char *send_message(const struct op_send *op)
{
	if (op->op.err == ERR_VALIDATION)
		return "this id was used for another recipient";
	if (op->op.err == ERR_TOO_LARGE)
		return "a first message to somebody must be small";
	return NULL;
}

struct bytes send_details(struct arena *arena, const struct op_send *op)
{
	if (op->op.err == ERR_DEVICES_MISMATCH || op->op.err == ERR_STALE_DEVICES)
		return list_mismatch_encode(arena, &op->mismatch);
	if (op->op.err == ERR_VALIDATION)
		return bytes_of_text("{\"field\":\"id\"}");
	if (op->op.err == ERR_TOO_LARGE)
		return bytes_of_text("{\"field\":\"envelopes\"}");
	return bytes_of_text("{}");
}
