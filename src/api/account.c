/* SPDX-License-Identifier: MIT
 *
 * The caller's account: settings, password, deletion, consent and blocks (docs/protocol.md
 * sections 2.2 and 2.5). Net thread.
 */
#include "handlers.h"
#include "slow.h"

#include "restante/log.h"
#include "restante/ops_accounts.h"

/* --- settings ----------------------------------------------------------------------- */

static void account_answer(struct request *request, struct account_info *account)
{
	struct address own;

	request_own_address(request, &own);
	account->address = own.text;
	request_ok(request, account_encode(request->arena, account));
}

static void account_got(struct message *message)
{
	struct op_account_get *op = (struct op_account_get *)message;
	struct request *request = request_back(&op->op);

	if (request != NULL)
		account_answer(request, &op->account);
}

void account_get(struct request *request)
{
	struct op_account_get *op =
		ask(request, ACCOUNT_GET, struct op_account_get, account_got);

	op->caller = request->caller;
	request_post(request, &op->op);
}

static void account_changed(struct message *message)
{
	struct op_account_patch *op = (struct op_account_patch *)message;
	struct request *request = request_back(&op->op);

	if (request != NULL)
		account_answer(request, &op->account);
}

void account_change(struct request *request)
{
	struct op_account_patch *op =
		ask(request, ACCOUNT_PATCH, struct op_account_patch, account_changed);
	struct problem problem = {0};
	enum err err;

	err = account_patch_decode(request->arena, request->body, &op->patch, &problem);
	if (err != ERR_OK) {
		request_refuse(request, err, &problem);
		return;
	}
	op->caller = request->caller;
	request_post(request, &op->op);
}

/* --- password and deletion ---------------------------------------------------------- */

/* Both need the present password, where there is one: the account is fetched, the password
 * verified on the pool, and the hash that it was verified against goes with the operation,
 * which fails if it has changed since. */
struct proof {
	const char *current;	 /* what the caller says it is; NULL: nothing */
	const char *replacement; /* NULL: delete the account */
	const char *hash;	 /* of the present one; NULL: none is set */
};

static void password_was_set(struct message *message)
{
	struct op_password_set *op = (struct op_password_set *)message;
	struct request *request = request_back(&op->op);

	if (request == NULL)
		return;
	log_info(account, "result=password_changed");
	request_ok_empty(request);
}

static void account_deleted(struct message *message)
{
	struct op_account_delete *op = (struct op_account_delete *)message;
	struct request *request = request_back(&op->op);

	if (request == NULL)
		return;
	log_info(account, "result=deleted");
	request_ok_empty(request);
}

static void proof_given(struct message *message)
{
	struct slow_job *job = (struct slow_job *)message;
	struct request *request = job->request;
	const struct proof *proof = request->job;

	if (!slow_went_well(job))
		return;
	if (proof->replacement != NULL) {
		struct op_password_set *op =
			ask(request, PASSWORD_SET, struct op_password_set, password_was_set);

		op->caller = request->caller;
		op->old_hash = proof->hash;
		op->new_hash = job->hash;
		request_post(request, &op->op);
	} else {
		struct op_account_delete *op =
			ask(request, ACCOUNT_DELETE, struct op_account_delete, account_deleted);

		op->caller = request->caller;
		op->password_hash = proof->hash;
		request_post(request, &op->op);
	}
}

static void proof_account_got(struct message *message)
{
	struct op_account_get *op = (struct op_account_get *)message;
	struct request *request = request_back(&op->op);
	struct proof *proof;
	struct slow_job *job;

	if (request == NULL)
		return;
	proof = request->job;
	proof->hash = op->password_hash;
	if (proof->hash != NULL && proof->current == NULL) {
		request_fail(request, ERR_LOGIN_FAILED, NULL, "the present password is needed");
		return;
	}
	job = slow_new(request);
	if (proof->hash != NULL) {
		job->verify_password = proof->current;
		job->verify_hash = proof->hash;
	}
	job->hash_password = proof->replacement;
	slow_post(job, proof_given);
}

static void proof_begin(struct request *request, const char *current, const char *replacement)
{
	struct proof *proof = arena_new(request->arena, struct proof);
	struct op_account_get *op;

	if (!request_permit(request, LIMIT_LOGIN_ACCOUNT, request->source,
			    request->caller.user))
		return;
	proof->current = current;
	proof->replacement = replacement;
	request->job = proof;
	op = ask(request, ACCOUNT_GET, struct op_account_get, proof_account_got);
	op->caller = request->caller;
	request_post(request, &op->op);
}

void account_password(struct request *request)
{
	struct password_request in;
	struct problem problem = {0};
	enum err err = password_decode(request->arena, request->body, &in, &problem);

	if (err != ERR_OK)
		request_refuse(request, err, &problem);
	else
		proof_begin(request, in.current_password, in.password);
}

void account_remove(struct request *request)
{
	struct problem problem = {0};
	const char *current = NULL;
	enum err err = ERR_OK;

	if (request->body.len > 0)
		err = text_member_decode(request->arena, request->body, "password",
					 PASSWORD_MAX, true, &current, &problem);
	if (err != ERR_OK)
		request_refuse(request, err, &problem);
	else
		proof_begin(request, current, NULL);
}

/* --- consent ------------------------------------------------------------------------ */

static void consent_got(struct message *message)
{
	struct op_consent_get *op = (struct op_consent_get *)message;
	struct request *request = request_back(&op->op);

	if (request != NULL)
		request_ok(request, consent_encode(request->arena, op->entries, op->count));
}

void consent_list(struct request *request)
{
	struct op_consent_get *op =
		ask(request, CONSENT_GET, struct op_consent_get, consent_got);

	op->caller = request->caller;
	request_post(request, &op->op);
}

static void consent_was_set(struct message *message)
{
	struct request *request = request_back((struct store_op *)message);

	if (request != NULL)
		request_ok_empty(request);
}

static void consent_set(struct request *request, enum consent_state state,
			enum consent_state from)
{
	struct op_consent_set *op =
		ask(request, CONSENT_SET, struct op_consent_set, consent_was_set);

	if (!request_address(request, &op->address) || !request_bare(request))
		return;
	op->caller = request->caller;
	op->state = state;
	op->from = from;
	request_post(request, &op->op);
}

void consent_accept(struct request *request)
{
	consent_set(request, CONSENT_ACCEPTED, CONSENT_NONE);
}

void consent_forget(struct request *request)
{
	consent_set(request, CONSENT_NONE, CONSENT_NONE);
}

void block_put(struct request *request)
{
	consent_set(request, CONSENT_BLOCKED, CONSENT_NONE);
}

void block_end(struct request *request)
{
	consent_set(request, CONSENT_NONE, CONSENT_BLOCKED);
}
