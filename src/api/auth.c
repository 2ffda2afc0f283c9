/* SPDX-License-Identifier: MIT
 *
 * Ways in and out: register, login by password or by a device's signature, refresh,
 * logout (docs/protocol.md section 2.2). Net thread.
 */
#include "handlers.h"
#include "session.h"
#include "slow.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"

#define NONCE_LIFE_S 300

/* --- register ----------------------------------------------------------------------- */

struct registration {
	struct register_request in;
	struct session_token token;
};

static void account_registered(struct message *message)
{
	struct op_register *op = (struct op_register *)message;
	struct request *request = request_back(&op->op);
	struct registration *registration;

	if (request == NULL)
		return;
	registration = request->job;
	log_info(account, "result=registered");
	session_answer(request,
		       &(struct session_facts){.status = 201,
					       .user = op->user,
					       .device_id = op->device_id,
					       .generation = op->generation,
					       .issued_at_ms = op->issued_at_ms,
					       .list_version = op->list_version},
		       &registration->token);
}

static void registration_checked(struct message *message)
{
	struct slow_job *job = (struct slow_job *)message;
	struct request *request = job->request;
	struct registration *registration = request->job;
	struct op_register *op;

	if (!slow_went_well(job))
		return;
	op = ask(request, REGISTER, struct op_register, account_registered);
	op->user = registration->in.user;
	op->device = &registration->in.device;
	if (job->hash_password != NULL)
		op->password_hash = job->hash;
	if (registration->in.invite != NULL) {
		uint8_t *hash = arena_alloc(request->arena, HASH_SIZE);

		opaque_token_hash(bytes_of_text(registration->in.invite), hash);
		op->invite_hash = hash;
	}
	session_token_make(request, &registration->token, &op->session);
	request_post(request, &op->op);
}

/* May one register here, with or without this invite? */
static enum err registration_policy(const struct config *config, const char *invite)
{
	if (strcmp(config->accounts_registration, "closed") == 0)
		return ERR_REGISTRATION_CLOSED;
	if (strcmp(config->accounts_registration, "invite") == 0 && invite == NULL)
		return ERR_INVITE_INVALID;
	return ERR_OK;
}

void auth_register(struct request *request)
{
	struct registration *registration = arena_new(request->arena, struct registration);
	struct problem problem = {0};
	struct slow_job *job;
	enum err err;

	if (!request_permit(request, LIMIT_REGISTER, request->source, NULL))
		return;
	err = register_decode(request->arena, request->body, &registration->in, &problem);
	if (err == ERR_OK)
		err = registration_policy(request_node(request)->config,
					  registration->in.invite);
	if (err != ERR_OK) {
		request_refuse(request, err, &problem);
		return;
	}
	if (strcmp(request_node(request)->config->accounts_registration, "open") == 0)
		registration->in.invite = NULL; /* not needed, so not used up */
	request->job = registration;
	job = slow_new(request);
	job->upload = &registration->in.device;
	job->hash_password = registration->in.password;
	slow_post(job, registration_checked);
}

/* --- challenge ---------------------------------------------------------------------- */

/* A nonce is remembered by nobody until it is used: it carries its time, and a MAC. */
struct nonce_bytes {
	uint8_t time[8]; /* milliseconds, big-endian */
	uint8_t random[16];
	uint8_t mac[SHA256_SIZE];
};

static void nonce_seal(struct node *node, const struct nonce_bytes *nonce,
		       uint8_t mac_out[SHA256_SIZE])
{
	uint8_t input[sizeof("login") + 24];

	memcpy(input, "login", sizeof("login"));
	memcpy(input + sizeof("login"), nonce, 24);
	crypto_mac(node->keys.receipt_secret, bytes_of(input, sizeof(input)), mac_out);
}

static char *nonce_make(struct request *request)
{
	struct nonce_bytes nonce;
	uint64_t now_ms = (uint64_t)clock_now_ms();

	for (int i = 0; i < 8; i++)
		nonce.time[i] = (uint8_t)(now_ms >> (56 - 8 * i));
	crypto_random(nonce.random, sizeof(nonce.random));
	nonce_seal(request_node(request), &nonce, nonce.mac);
	return base64url_encode(request->arena, bytes_of(&nonce, sizeof(nonce)));
}

/* Made by this node and not too old; whether it was used is the store's to say. */
static bool nonce_is_good(struct node *node, const char *text, int64_t *expires_ms_out)
{
	struct nonce_bytes nonce;
	uint8_t mac[SHA256_SIZE];
	uint64_t time_ms = 0;

	if (base64url_decode_exact(bytes_of_text(text), sizeof(nonce), (uint8_t *)&nonce) !=
	    ERR_OK)
		return false;
	nonce_seal(node, &nonce, mac);
	if (!crypto_equal(mac, nonce.mac, sizeof(mac)))
		return false; /* nothing in it means anything */
	for (int i = 0; i < 8; i++)
		time_ms = time_ms << 8 | nonce.time[i];
	*expires_ms_out = (int64_t)time_ms + NONCE_LIFE_S * SECONDS_MS;
	return *expires_ms_out > clock_now_ms();
}

void auth_challenge(struct request *request)
{
	struct text answer;

	if (!request_permit(request, LIMIT_SESSION, request->source, NULL) ||
	    !request_bare(request))
		return;
	text_init(&answer, request->arena, 128);
	text_printf(&answer, "{\"nonce\":\"%s\",\"expires_in\":%d}", nonce_make(request),
		    NONCE_LIFE_S);
	request_ok(request, text_bytes(&answer));
}

/* --- login -------------------------------------------------------------------------- */

struct login {
	struct login_request in;
	int64_t nonce_expires_ms;
	struct op_login_lookup *found;
	struct session_token token;
};

static void login_fail(struct request *request)
{
	log_info(login_failed, "source=%s", request->source);
	request_fail(request, ERR_LOGIN_FAILED, NULL, NULL);
}

static void login_opened(struct message *message)
{
	struct op_session_open *op = (struct op_session_open *)message;
	struct request *request = request_back(&op->op);
	struct login *login;

	if (request == NULL)
		return;
	login = request->job;
	session_answer(request,
		       &(struct session_facts){.status = 200,
					       .user = login->in.user,
					       .device_id = login->in.device_id,
					       .generation = op->generation,
					       .issued_at_ms = op->issued_at_ms,
					       .list_version = op->list_version},
		       &login->token);
}

static void login_open(struct request *request)
{
	struct login *login = request->job;
	struct op_session_open *op =
		ask(request, SESSION_OPEN, struct op_session_open, login_opened);

	op->generation = login->found->generation;
	if (login->in.password != NULL) {
		op->password_hash = login->found->password_hash;
	} else {
		uint8_t *hash = arena_alloc(request->arena, HASH_SIZE);

		crypto_sha256(bytes_of_text(login->in.nonce), hash);
		op->nonce_hash = hash;
		op->nonce_expires_ms = login->nonce_expires_ms;
	}
	session_token_make(request, &login->token, &op->session);
	request_post(request, &op->op);
}

static void login_password_checked(struct message *message)
{
	struct slow_job *job = (struct slow_job *)message;
	struct login *login = job->request->job;

	if (job->err == ERR_OK && login->found->op.err == ERR_OK &&
	    login->found->password_hash != NULL)
		login_open(job->request);
	else
		login_fail(job->request);
}

/* The bytes that a device signs to log in: never what the server chose alone. */
static struct bytes login_message(struct request *request, const struct login *login)
{
	const char *domain = request_node(request)->config->node_domain;
	struct text text;

	text_init(&text, request->arena, 256);
	text_add(&text, bytes_of("restante-login-1", sizeof("restante-login-1")));
	text_add(&text, bytes_of(domain, strlen(domain) + 1));
	text_printf(&text, "%s@%s", login->in.user, domain);
	text_add(&text, bytes_of("", 1));
	text_printf(&text, "%u", login->in.device_id);
	text_add(&text, bytes_of("", 1));
	text_puts(&text, login->in.nonce);
	return text_bytes(&text);
}

/* A missing account takes as long as a wrong signature: one is checked against a key that
 * nobody has. */
static bool login_signature_is_good(struct request *request, const struct login *login,
				    const struct op_login_lookup *found)
{
	static const uint8_t nobody[33] = {0x05, 0x09}; /* the base point of Curve25519 */
	bool there = found->op.err == ERR_OK;
	enum err err =
		scheme_verify(there ? found->scheme : SCHEME_SIGNAL,
			      there ? found->identity_key : bytes_of(nobody, sizeof(nobody)),
			      login_message(request, login), login->in.signature);

	return there && err == ERR_OK;
}

static void login_looked_up(struct message *message)
{
	struct op_login_lookup *op = (struct op_login_lookup *)message;
	struct request *request = op->op.context;
	struct login *login = request->job;

	if (op->op.err != ERR_OK && op->op.err != ERR_NOT_FOUND) {
		request_fail(request, op->op.err, NULL, NULL);
		return;
	}
	login->found = op;
	if (login->in.password != NULL) {
		struct slow_job *job = slow_new(request);

		/* A missing account takes as long as a wrong password. */
		job->verify_password = login->in.password;
		job->verify_hash = op->op.err == ERR_OK && op->password_hash != NULL
					   ? op->password_hash
					   : request_node(request)->shared->no_password_hash;
		slow_post(job, login_password_checked);
	} else if (login_signature_is_good(request, login, op)) {
		login_open(request);
	} else {
		login_fail(request);
	}
}

void auth_login(struct request *request)
{
	struct login *login = arena_new(request->arena, struct login);
	struct problem problem = {0};
	struct op_login_lookup *op;
	enum err err;

	if (!request_permit(request, LIMIT_LOGIN, request->source, NULL))
		return;
	err = login_decode(request->arena, request->body, &login->in, &problem);
	if (err != ERR_OK) {
		request_refuse(request, err, &problem);
		return;
	}
	if (!request_permit(request, LIMIT_LOGIN_ACCOUNT, request->source, login->in.user))
		return;
	if (login->in.password == NULL &&
	    !nonce_is_good(request_node(request), login->in.nonce, &login->nonce_expires_ms)) {
		login_fail(request);
		return;
	}
	request->job = login;
	op = ask(request, LOGIN_LOOKUP, struct op_login_lookup, login_looked_up);
	op->user = login->in.user;
	op->device_id = login->in.device_id;
	request_post(request, &op->op);
}

/* --- refresh and logout ------------------------------------------------------------- */

static void session_refreshed(struct message *message)
{
	struct op_session_refresh *op = (struct op_session_refresh *)message;
	struct request *request = op->op.context;

	if (op->op.err != ERR_OK) {
		request_fail(request, op->op.err, NULL,
			     op->op.err == ERR_UNAUTHORIZED
				     ? "The refresh token is not valid any more: log in."
				     : NULL);
		return;
	}
	session_answer(request,
		       &(struct session_facts){.status = 200,
					       .user = op->user,
					       .device_id = op->device_id,
					       .generation = op->generation,
					       .issued_at_ms = op->issued_at_ms,
					       .list_version = op->list_version},
		       request->job);
}

void auth_refresh(struct request *request)
{
	struct session_token *token = arena_new(request->arena, struct session_token);
	struct problem problem = {0};
	struct op_session_refresh *op;
	const char *old;
	enum err err;

	if (!request_permit(request, LIMIT_SESSION, request->source, NULL))
		return;
	err = text_member_decode(request->arena, request->body, "refresh_token", 256, false,
				 &old, &problem);
	if (err != ERR_OK) {
		request_refuse(request, err, &problem);
		return;
	}
	request->job = token;
	op = ask(request, SESSION_REFRESH, struct op_session_refresh, session_refreshed);
	opaque_token_hash(bytes_of_text(old), op->old_hash);
	session_token_make(request, token, &op->session);
	request_post(request, &op->op);
}

static void session_ended(struct message *message)
{
	struct op_session_end *op = (struct op_session_end *)message;
	struct request *request = request_back(&op->op);

	if (request == NULL)
		return;
	request_ok_empty(request);
}

void auth_logout(struct request *request)
{
	struct op_session_end *op =
		ask(request, SESSION_END, struct op_session_end, session_ended);

	if (!request_bare(request))
		return;
	op->caller = request->caller;
	request_post(request, &op->op);
}
