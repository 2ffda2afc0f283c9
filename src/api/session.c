/* SPDX-License-Identifier: MIT
 *
 * What every way into an account ends with. Net thread.
 */
#include "session.h"

#include "restante/clock.h"

void session_token_make(struct request *request, struct session_token *token,
			struct new_session *session_out)
{
	const struct config *config = request_node(request)->config;

	opaque_token_create(token->text);
	opaque_token_hash(bytes_of_text(token->text), session_out->refresh_hash);
	session_out->refresh_expires_ms = clock_now_ms() + config->accounts_refresh_token_life;
}

void session_answer(struct request *request, const struct session_facts *facts,
		    const struct session_token *token)
{
	struct node *node = request_node(request);
	struct caller caller = {.device_id = facts->device_id, .generation = facts->generation};
	struct session_reply reply = {.device_id = facts->device_id,
				      .refresh_token = token->text,
				      .list_version = facts->list_version};
	struct address address;

	memcpy(caller.user, facts->user, strlen(facts->user) + 1);
	caller.issued_at_ms = facts->issued_at_ms;
	caller.expires_at_ms = caller.issued_at_ms + node->config->accounts_access_token_life;
	address_make(facts->user, node->config->node_domain, &address);
	reply.address = address.text;
	reply.access_token = token_issue(node->keys.token_secret, node->config->node_domain,
					 &caller, request->arena);
	reply.expires_in_s = node->config->accounts_access_token_life / SECONDS_MS;
	request_reply(request, facts->status, session_encode(request->arena, &reply));
}
