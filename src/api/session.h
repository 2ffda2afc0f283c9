/* SPDX-License-Identifier: MIT
 *
 * Sessions: the pair of an access token and a refresh token that every way in ends with.
 */
#ifndef API_SESSION_H
#define API_SESSION_H

#include "handler.h"

#include "restante/ops_accounts.h"
#include "restante/token.h"

/* A refresh token to be stored by an operation and told by session_answer(). */
struct session_token {
	char text[OPAQUE_TOKEN_SIZE];
};

void session_token_make(struct request *request, struct session_token *token,
			struct new_session *session_out);

struct session_facts {
	int status; /* 200 or 201 */
	const char *user;
	uint8_t device_id;
	int64_t generation;
	int64_t issued_at_ms;
	int64_t list_version;
};
void session_answer(struct request *request, const struct session_facts *facts,
		    const struct session_token *token);

#endif
