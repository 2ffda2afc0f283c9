/* SPDX-License-Identifier: MIT
 *
 * A call goes: policy, discovery, signature, transfer, verification. It starts over once,
 * with a renewed document, when the peer answers 401 or signs with a key not known here.
 *
 * A call that is over while discovery still works for it is abandoned: its caller has been
 * told, and it is freed when discovery comes back.
 */
#include "call.h"

#include "loop.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"
#include "restante/signature.h"
#include "restante/transaction.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define CONTENT_TYPE	   "application/json"
#define CONNECT_TIMEOUT_MS 5000
#define LEAST_TIME_MS	   500 /* with less left a call is not begun */

enum call_step { CALL_DISCOVERY, CALL_TRANSFER, CALL_ABANDONED };

struct call {
	struct call *next, *prev;
	struct calls *calls;
	struct call_request request;
	char domain[DOMAIN_SIZE];
	enum call_step step;
	bool renewed;
	int64_t deadline_ms; /* monotonic */
	struct peer_wait wait;
	struct transfer *transfer;
	struct arena *arena; /* of one try */
	struct bytes body;
	/* of the peer, as it was when the request was signed */
	struct trust trust;
	struct targets targets;
	char authority[AUTHORITY_SIZE];
	struct bytes digest;
	char nonce[S2S_NONCE_SIZE];
};

struct calls {
	struct loop *loop;
	struct discovery *discovery;
	const struct config *config;
	struct policy *policy;
	struct sign_key key;
	struct call *first;
};

struct calls *calls_create(const struct federation_config *config, struct loop *loop,
			   struct discovery *discovery)
{
	struct calls *calls = calloc(1, sizeof *calls);

	if (calls == NULL)
		fatal("out of memory");
	calls->loop = loop;
	calls->discovery = discovery;
	calls->config = config->config;
	calls->policy = config->policy;
	calls->key = *config->key;
	return calls;
}

void calls_key_set(struct calls *calls, const struct sign_key *key)
{
	calls->key = *key;
}

static void call_free(struct call *call)
{
	if (call->prev != NULL)
		call->prev->next = call->next;
	else
		call->calls->first = call->next;
	if (call->next != NULL)
		call->next->prev = call->prev;
	arena_destroy(&call->arena);
	free(call);
}

void calls_destroy(struct calls **calls)
{
	if (*calls == NULL)
		return;
	while ((*calls)->first != NULL)
		call_free((*calls)->first);
	crypto_wipe(&(*calls)->key, sizeof(*calls)->key);
	free(*calls);
	*calls = NULL;
}

static void call_finish(struct call *call, const struct call_answer *answer)
{
	bool waited_for = call->step == CALL_DISCOVERY;

	if (call->transfer != NULL)
		transfer_cancel(&call->transfer);
	call->step = CALL_ABANDONED;
	call->request.done(call->request.context, answer);
	if (!waited_for)
		call_free(call);
}

static void call_fail(struct call *call, enum err err, int status)
{
	struct call_answer answer = {.err = err, .status = status};

	/* The second try may not have reached anybody, but the first did. */
	if (err == ERR_PEER_UNREACHABLE && call->renewed)
		answer.err = ERR_PEER_INVALID;
	call_finish(call, &answer);
}

/* --- the answer ------------------------------------------------------------------------ */

/* Seconds only: a date would need the peer's clock to agree with ours. */
static int64_t retry_after_read(struct bytes value)
{
	int64_t seconds = 0;

	if (value.len == 0 || value.len > 9)
		return 0;
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] < '0' || value.data[i] > '9')
			return 0;
		seconds = 10 * seconds + (value.data[i] - '0');
	}
	return seconds * SECONDS_MS;
}

/* ERR_SIG_KEY_UNKNOWN: a newer document may know the key. Else a reason why the answer is
 * no verdict. */
static enum err answer_verify(const struct call *call, const struct transfer_answer *answer)
{
	const struct s2s_target target = {
		.authority = call->authority,
		.path = call->request.path,
		.destination = call->domain,
		.content_digest = call->digest,
	};
	const struct server_key *key;
	struct s2s_params params;
	enum err err;

	if (!bytes_equal(answer->content_type, bytes_of_text(CONTENT_TYPE)))
		return ERR_SIG_FORMAT;
	err = s2s_response_parse(answer->content_digest, answer->signature_input,
				 answer->signature, call->domain, call->nonce, clock_now_ms(),
				 &params);
	if (err != ERR_OK)
		return err;
	key = trust_key(&call->trust, params.kid, clock_now_ms());
	if (key == NULL)
		return ERR_SIG_KEY_UNKNOWN;
	return s2s_response_verify(&params, &target, answer->status, answer->content_digest,
				   answer->body, key->public_key);
}

static void call_discover(struct call *call, bool renew)
{
	call->step = CALL_DISCOVERY;
	discovery_get(call->calls->discovery, call->domain, renew, &call->wait);
}

static void call_answered(void *context, const struct transfer_answer *answer)
{
	struct call *call = context;
	struct call_answer result = {.status = answer->status};
	enum err err;

	call->transfer = NULL;
	if (answer->err != ERR_OK) {
		log_debug(delivery, "domain=%s path=%s err=%s detail=%s", call->domain,
			  call->request.path, err_code(answer->err),
			  log_quote(answer->error != NULL ? answer->error : ""));
		call_fail(call, answer->err, answer->status);
		return;
	}
	err = answer_verify(call, answer);
	if (err != ERR_OK) {
		result.hint = error_hint_decode(call->arena, answer->body);
		log_debug(delivery, "domain=%s path=%s err=%s status=%d", call->domain,
			  call->request.path, err_code(err), answer->status);
	}
	if ((err == ERR_SIG_KEY_UNKNOWN || answer->status == 401) && !call->renewed) {
		call->renewed = true;
		call_discover(call, true);
		return;
	}
	result.err = err == ERR_OK ? ERR_OK : ERR_PEER_INVALID;
	if (err == ERR_OK)
		result.body = answer->body;
	if (answer->status == 429 || answer->status == 503)
		result.retry_after_ms = retry_after_read(answer->retry_after);
	call_finish(call, &result);
}

/* --- the request ----------------------------------------------------------------------- */

static void call_send(struct call *call, int timeout_ms)
{
	struct s2s_headers headers;
	struct transfer_request request = {
		.targets = &call->targets,
		.host = call->authority,
		.content_type = CONTENT_TYPE,
		.body = call->body,
		.signature = &headers,
		.destination = call->domain,
		.answer_max = call->request.answer_max,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.timeout_ms = timeout_ms,
	};

	s2s_request_sign(call->arena, &call->calls->key, call->calls->config->node_domain,
			 call->authority, call->request.path, call->domain, call->body,
			 clock_now_ms(), &headers, call->nonce);
	call->digest = bytes_of_text(headers.content_digest);
	request.url = arena_printf(call->arena, "https://%s%s", call->targets.tls_name,
				   call->request.path);
	call->step = CALL_TRANSFER;
	call->transfer = transfer_start(call->calls->loop, &request, call_answered, call);
}

static void call_found(struct peer_wait *wait, enum err err, const struct peer *peer)
{
	struct call *call = (struct call *)(void *)((char *)wait - offsetof(struct call, wait));
	int64_t left = call->deadline_ms - clock_monotonic_ms();

	if (call->step == CALL_ABANDONED) {
		call_free(call);
		return;
	}
	call->step = CALL_TRANSFER; /* discovery has let go of it */
	if (err == ERR_OK && peer->trust.conflict)
		err = ERR_KEY_CONFLICT;
	else if (err == ERR_OK && left < LEAST_TIME_MS)
		err = ERR_PEER_TIMEOUT;
	if (err == ERR_OK && call->body.len == 0) {
		call->body = call->request.prepare(call->request.context, peer);
		if (call->body.len == 0)
			err = ERR_VALIDATION;
	}
	if (err != ERR_OK) {
		call_fail(call, err, 0);
		return;
	}
	call->trust = peer->trust;
	call->targets = peer->targets;
	memcpy(call->authority, peer->document.authority, sizeof call->authority);
	call_send(call, (int)left);
}

enum err call_start(struct calls *calls, const struct call_request *request)
{
	struct call *call;

	if (!policy_allows(calls->policy, request->domain))
		return ERR_FEDERATION_DENIED;
	call = calloc(1, sizeof *call);
	if (call == NULL)
		fatal("out of memory");
	call->calls = calls;
	call->request = *request;
	snprintf(call->domain, sizeof call->domain, "%s", request->domain);
	call->request.domain = call->domain;
	call->deadline_ms = clock_monotonic_ms() + request->timeout_ms;
	call->arena = arena_create();
	call->wait.done = call_found;
	call->next = calls->first;
	if (call->next != NULL)
		call->next->prev = call;
	calls->first = call;
	call_discover(call, false);
	return ERR_OK;
}

void calls_tick(struct calls *calls)
{
	int64_t now = clock_monotonic_ms();
	struct call *next;

	/* Transfers end by themselves; discovery, which is shared, is not ended by one call. */
	for (struct call *call = calls->first; call != NULL; call = next) {
		next = call->next;
		if (call->step == CALL_DISCOVERY && now >= call->deadline_ms)
			call_fail(call, ERR_PEER_TIMEOUT, 0);
	}
}

void calls_abandon(struct calls *calls)
{
	struct call *next;

	for (struct call *call = calls->first; call != NULL; call = next) {
		next = call->next;
		if (call->step != CALL_ABANDONED)
			call_fail(call, ERR_BUSY, 0);
	}
}
