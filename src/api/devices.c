/* SPDX-License-Identifier: MIT
 *
 * The devices of an account, and how a new one joins (docs/protocol.md section 2.3). Net
 * thread.
 */
#include "handlers.h"
#include "session.h"
#include "slow.h"

#include "restante/clock.h"
#include "restante/log.h"

#define LINK_TOKEN_LIFE_S 600

static void devices_got(struct message *message)
{
	struct op_devices_get *op = (struct op_devices_get *)message;
	struct request *request = request_back(&op->op);

	if (request != NULL)
		request_ok(request,
			   devices_encode(request->arena, op->list_version,
					  request->caller.device_id, op->devices, op->count));
}

void devices_list(struct request *request)
{
	struct op_devices_get *op =
		ask(request, DEVICES_GET, struct op_devices_get, devices_got);

	op->caller = request->caller;
	request_post(request, &op->op);
}

static void device_renamed(struct message *message)
{
	struct request *request = request_back((struct store_op *)message);

	if (request != NULL)
		request_ok_empty(request);
}

void device_name(struct request *request)
{
	struct op_device_rename *op =
		ask(request, DEVICE_RENAME, struct op_device_rename, device_renamed);
	struct problem problem = {0};
	enum err err;

	if (!request_device_id(request, &op->device_id))
		return;
	err = text_member_decode(request->arena, request->body, "name", 64, false, &op->name,
				 &problem);
	if (err != ERR_OK) {
		request_refuse(request, err, &problem);
		return;
	}
	op->caller = request->caller;
	request_post(request, &op->op);
}

static void device_removed(struct message *message)
{
	struct op_device_remove *op = (struct op_device_remove *)message;
	struct request *request = request_back(&op->op);

	if (request == NULL)
		return;
	log_info(device, "result=removed");
	request_ok(request,
		   bytes_of_text(arena_printf(request->arena, "{\"list_version\":%lld}",
					      (long long)op->list_version)));
}

void device_delete(struct request *request)
{
	struct op_device_remove *op =
		ask(request, DEVICE_REMOVE, struct op_device_remove, device_removed);

	if (!request_device_id(request, &op->device_id))
		return;
	op->caller = request->caller;
	request_post(request, &op->op);
}

/* --- linking ------------------------------------------------------------------------ */

static void link_token_created(struct message *message)
{
	struct request *request = request_back((struct store_op *)message);
	const struct session_token *token;

	if (request == NULL)
		return;
	token = request->job;
	request_ok(request, bytes_of_text(arena_printf(request->arena,
						       "{\"token\":\"%s\",\"expires_in\":%d}",
						       token->text, LINK_TOKEN_LIFE_S)));
}

void device_link_token(struct request *request)
{
	struct session_token *token = arena_new(request->arena, struct session_token);
	struct op_link_token_create *op = ask(request, LINK_TOKEN_CREATE,
					      struct op_link_token_create, link_token_created);

	if (!request_permit(request, LIMIT_LINK, request->caller.user, NULL) ||
	    !request_bare(request))
		return;
	request->job = token;
	opaque_token_create(token->text);
	opaque_token_hash(bytes_of_text(token->text), op->token_hash);
	op->expires_ms = op->op.now_ms + LINK_TOKEN_LIFE_S * SECONDS_MS;
	op->caller = request->caller;
	request_post(request, &op->op);
}

struct linking {
	struct link_request in;
	const char *password_hash; /* by password: what it was verified against */
	struct session_token token;
};

static void device_linked(struct message *message)
{
	struct op_device_link *op = (struct op_device_link *)message;
	struct request *request = request_back(&op->op);
	struct linking *linking;

	if (request == NULL)
		return;
	linking = request->job;
	log_info(device, "result=linked");
	session_answer(request,
		       &(struct session_facts){.status = 201,
					       .user = op->linked_user,
					       .device_id = op->device_id,
					       .generation = op->generation,
					       .issued_at_ms = op->issued_at_ms,
					       .list_version = op->list_version},
		       &linking->token);
}

static void linking_checked(struct message *message)
{
	struct slow_job *job = (struct slow_job *)message;
	struct request *request = job->request;
	struct linking *linking = request->job;
	struct op_device_link *op;

	if (!slow_went_well(job))
		return;
	if (linking->in.token == NULL && linking->password_hash == NULL) {
		request_fail(request, ERR_LOGIN_FAILED, NULL, NULL);
		return;
	}
	op = ask(request, DEVICE_LINK, struct op_device_link, device_linked);
	op->device = &linking->in.device;
	if (linking->in.token != NULL) {
		uint8_t *hash = arena_alloc(request->arena, HASH_SIZE);

		opaque_token_hash(bytes_of_text(linking->in.token), hash);
		op->token_hash = hash;
	} else {
		op->user = linking->in.user;
		op->password_hash = linking->password_hash;
	}
	session_token_make(request, &linking->token, &op->session);
	request_post(request, &op->op);
}

/* By password: a missing account takes as long as a wrong password. */
static void linking_account_found(struct message *message)
{
	struct op_login_lookup *op = (struct op_login_lookup *)message;
	struct request *request = op->op.context;
	struct linking *linking = request->job;
	struct slow_job *job;

	if (op->op.err != ERR_OK && op->op.err != ERR_NOT_FOUND) {
		request_fail(request, op->op.err, NULL, NULL);
		return;
	}
	if (op->op.err == ERR_OK)
		linking->password_hash = op->password_hash;
	job = slow_new(request);
	job->upload = &linking->in.device;
	job->verify_password = linking->in.password;
	job->verify_hash = linking->password_hash != NULL
				   ? linking->password_hash
				   : request_node(request)->shared->no_password_hash;
	slow_post(job, linking_checked);
}

void device_link(struct request *request)
{
	struct linking *linking = arena_new(request->arena, struct linking);
	struct problem problem = {0};
	enum err err;

	if (!request_permit(request, LIMIT_LINK, request->source, NULL))
		return;
	err = link_decode(request->arena, request->body, &linking->in, &problem);
	if (err != ERR_OK) {
		request_refuse(request, err, &problem);
		return;
	}
	request->job = linking;
	if (linking->in.token != NULL) {
		struct slow_job *job = slow_new(request);

		job->upload = &linking->in.device;
		slow_post(job, linking_checked);
	} else if (request_permit(request, LIMIT_LOGIN_ACCOUNT, request->source,
				  linking->in.user)) {
		struct op_login_lookup *op = ask(request, LOGIN_LOOKUP, struct op_login_lookup,
						 linking_account_found);

		op->user = linking->in.user;
		request_post(request, &op->op);
	}
}
