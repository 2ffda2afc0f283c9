/* SPDX-License-Identifier: MIT
 *
 * One send, by HTTP or by a socket: the operation is the same.
 */
#ifndef API_SEND_H
#define API_SEND_H

#include "node.h"

#include "restante/ops_messages.h"

/* Fills an operation for this message, whose head is set. ERR_FEDERATION_DENIED, or
 * ERR_RATE_LIMITED and how many milliseconds the sender has to wait. */
enum err send_prepare(struct node *node, const struct caller *caller,
		      const struct message_request *message, struct op_send *op,
		      int64_t *wait_ms_out) MUST_CHECK;
/* After it has come back. */
void send_count(const struct op_send *op);
/* Its answer: status, and the body of a 200 or 202, or the message (NULL: the usual one) and
 * the details of a refusal. */
int send_status(const struct op_send *op);
struct bytes send_body(struct arena *arena, const struct op_send *op);
const char *send_message(const struct op_send *op);
struct bytes send_details(struct arena *arena, const struct op_send *op);

#endif
