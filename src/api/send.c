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

int64_t send_prepare(struct node *node, const struct caller *caller,
		     const struct message_request *message, struct op_send *op)
{
	char key[32 + ADDRESS_SIZE];
	int len = snprintf(key, sizeof(key), "%lld\n%s", (long long)caller->generation,
			   message->to.text);
	int64_t wait_ms = limit_take(node, LIMIT_SEND, bytes_of(key, (size_t)len));

	if (wait_ms > 0)
		return wait_ms;
	op->caller = *caller;
	op->message = message;
	if (strcmp(message->to.domain, node->config->node_domain) != 0)
		send_token(node, caller, op);
	return 0;
}

void send_finish(struct node *node, const struct op_send *op)
{
	if (op->op.err != ERR_OK)
		return;
	if (!op->duplicate)
		metric_inc(messages_accepted_total);
	node_tell(node, &op->effects);
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

struct bytes send_details(struct arena *arena, const struct op_send *op)
{
	if (op->op.err == ERR_DEVICES_MISMATCH || op->op.err == ERR_STALE_DEVICES)
		return list_mismatch_encode(arena, &op->mismatch);
	return bytes_of_text("{}");
}
