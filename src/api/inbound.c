/* SPDX-License-Identifier: MIT
 *
 * Requests of other nodes (docs/protocol.md sections 4.4 to 4.7). The checks come in the
 * order of the protocol's table; the first that fails ends the request. Answers are signed
 * from the moment on that the request's own signature has verified. Net thread.
 *
 *   inbound_begin --> (federation: which key?) --> inbound_key_found --> handler --> store
 */
#include "handlers.h"
#include "handler.h"

#include "restante/clock.h"
#include "restante/log.h"
#include "restante/metrics.h"
#include "restante/ops_federation.h"
#include "restante/ops_keys.h"

#define SUBSCRIPTION_MS (30 * DAYS_MS)
#define ORIGIN_NEW_MS	(7 * DAYS_MS)

struct inbound {
	struct peer_query query; /* first: it comes back as a message */
	struct request *request;
	struct s2s_params params;
	struct s2s_target target;
	bool verified;
	void (*accepted)(struct request *request); /* all checks passed */
};

/* --- answering ---------------------------------------------------------------------- */

static const char *copy(struct request *request, struct bytes bytes)
{
	return arena_text(request->arena, bytes);
}

/* Signed, once there is somebody to sign for. */
static void inbound_reply(struct request *request, int status, struct bytes body)
{
	struct node *node = request_node(request);
	const struct inbound *inbound = request->job;
	struct s2s_headers signature;

	if (!inbound->verified) {
		request_reply(request, status, body);
		return;
	}
	s2s_response_sign(request->arena, &node->signer, node->config->node_domain,
			  &inbound->target, inbound->params.nonce, status, body, clock_now_ms(),
			  &signature);
	struct header headers[] = {
		{"content-digest", signature.content_digest},
		{"signature-input", signature.signature_input},
		{"signature", signature.signature},
		{"retry-after", "5"},
	};
	request_reply_with(request, status, "application/json", body, headers,
			   status == 429 || status == 503 ? 4 : 3);
}

static void inbound_count(const struct request *request, enum err err)
{
	const struct inbound *inbound = request->job;

	metric_inc(inbound_refused_total);
	log_info(inbound_refused, "origin=%s code=%s source=%s",
		 inbound->params.origin[0] != '\0' ? inbound->params.origin : "-",
		 err_code(err), request->source);
}

static void inbound_refuse_with(struct request *request, enum err err, struct bytes details)
{
	inbound_count(request, err);
	inbound_reply(request, err_status(err),
		      error_encode(request->arena, err, NULL, details));
}

static void inbound_refuse(struct request *request, enum err err, const char *field)
{
	inbound_refuse_with(request, err, details_encode(request->arena, field));
}

/* --- the checks --------------------------------------------------------------------- */

static enum err inbound_check_head(struct request *request, struct inbound *inbound)
{
	struct node *node = request_node(request);
	enum err err = s2s_request_parse(request->content_digest, request->signature_input,
					 request->signature, &inbound->params);

	if (err != ERR_OK)
		return err;
	if (request->destination.len == 0)
		return ERR_SIG_MISSING;
	if (request->query.len > 0)
		return ERR_SIG_FORMAT;
	if (!policy_allows(node->shared->policy, inbound->params.origin))
		return ERR_FEDERATION_DENIED;
	if (!bytes_equal(request->destination, bytes_of_text(node->config->node_domain)))
		return ERR_SIG_DESTINATION;
	return ERR_OK;
}

/* Anybody may claim to be anybody until the signature has verified: what the check of it
 * costs is counted for the source address. */
static enum err inbound_check_source(struct request *request, const struct inbound *inbound)
{
	struct node *node = request_node(request);
	struct bytes source = bytes_of_text(request->source);

	request->retry_after_ms = limit_take(node, LIMIT_INBOUND_SOURCE, source);
	if (request->retry_after_ms == 0 &&
	    !origin_is_known(node->shared->origins, inbound->params.origin))
		request->retry_after_ms = limit_take(node, LIMIT_UNKNOWN_ORIGIN, source);
	return request->retry_after_ms > 0 ? ERR_RATE_LIMITED : ERR_OK;
}

enum err inbound_precheck(struct request *request)
{
	struct inbound *inbound = arena_new(request->arena, struct inbound);
	enum err err;

	request->job = inbound;
	inbound->request = request;
	err = inbound_check_head(request, inbound);
	if (err == ERR_OK)
		err = inbound_check_source(request, inbound);
	if (err != ERR_OK)
		inbound_count(request, err);
	return err;
}

/* So often, and not twice. */
static enum err inbound_check_rate(struct node *node, const struct inbound *inbound)
{
	const char *origin = inbound->params.origin;
	int64_t now_ms = clock_now_ms();
	bool is_new = now_ms - inbound->query.known_since_ms < ORIGIN_NEW_MS;
	enum limit limit = is_new ? LIMIT_ORIGIN_NEW : LIMIT_ORIGIN;

	return limit_take(node, limit, bytes_of_text(origin)) > 0
		       ? ERR_RATE_LIMITED
		       : nonces_add(node->shared->nonces, origin, is_new, inbound->params.nonce,
				    now_ms);
}

static enum err inbound_check_signature(struct request *request, struct inbound *inbound)
{
	struct node *node = request_node(request);
	enum err err = inbound->query.err;

	/* Why the keys cannot be had is for our log: whoever asks could be anybody. */
	if (err == ERR_PEER_UNREACHABLE || err == ERR_PEER_INVALID || err == ERR_PEER_TIMEOUT)
		err = ERR_SIG_KEY_UNKNOWN;
	if (err == ERR_OK)
		err = s2s_request_verify(&inbound->params, &inbound->target,
					 inbound->query.public_key);
	if (err != ERR_OK)
		return err;
	inbound->verified = true;
	err = inbound_check_rate(node, inbound);
	if (err == ERR_OK)
		err = s2s_digest_check(request->content_digest, request->body);
	return err;
}

static void inbound_key_found(struct message *message)
{
	struct inbound *inbound = (struct inbound *)message;
	struct request *request = inbound->request;
	struct node *node = request_node(request);
	enum err err = inbound_check_signature(request, inbound);

	if (err != ERR_OK) {
		inbound_refuse(request, err, NULL);
		return;
	}
	origin_know(node->shared->origins, inbound->params.origin);
	if (node->shared->federation != NULL)
		federation_heard(node->shared->federation, inbound->params.origin);
	inbound->accepted(request);
}

static void inbound_begin(struct request *request, void (*accepted)(struct request *request))
{
	struct node *node = request_node(request);
	struct inbound *inbound = request->job; /* from inbound_precheck() */

	inbound->accepted = accepted;
	if (s2s_clock_check(&inbound->params, clock_now_ms()) != ERR_OK) {
		inbound_refuse_with(
			request, ERR_SIG_CLOCK,
			bytes_of_text(arena_printf(request->arena, "{\"server_time\":%lld}",
						   (long long)clock_now_ms())));
		return;
	}
	inbound->target.authority = node->authority;
	inbound->target.path = copy(request, request->path);
	inbound->target.destination = node->config->node_domain;
	inbound->target.content_digest = request->content_digest;
	memcpy(inbound->query.domain, inbound->params.origin, sizeof(inbound->query.domain));
	memcpy(inbound->query.kid, inbound->params.kid, sizeof(inbound->query.kid));
	inbound->query.message.reply_to = node->inbox;
	inbound->query.message.returned = inbound_key_found;
	if (!node_post_query(node, &inbound->query))
		inbound_refuse(request, ERR_BUSY, NULL);
}

static const char *inbound_origin(const struct request *request)
{
	const struct inbound *inbound = request->job;

	return inbound->params.origin;
}

/* --- transactions ------------------------------------------------------------------- */

static int64_t messages_of(const struct transaction *transaction)
{
	int64_t n = 0;

	for (size_t i = 0; i < transaction->n_items; i++)
		n += transaction->items[i].kind == FED_MESSAGE;
	return n;
}

static void transaction_stored(struct message *message)
{
	struct op_transaction *op = (struct op_transaction *)message;
	struct request *request = op->op.context;

	if (op->op.err != ERR_OK) {
		if (op->op.err == ERR_STREAM_RESET) {
			metric_inc(stream_resets_total);
			log_warn(stream_reset, "origin=%s seq=%lld", op->origin,
				 (long long)op->transaction->seq);
		}
		inbound_refuse(request, op->op.err, NULL);
		return;
	}
	metric_inc(transactions_received_total);
	if (!op->replay)
		metric_add(METRIC_messages_received_total, messages_of(op->transaction));
	log_debug(inbound, "origin=%s items=%zu replay=%d", op->origin,
		  op->transaction->n_items, op->replay);
	inbound_reply(request, 200, op->answer);
}

/* A receipt counts only with the token that this node made for it. */
static void check_receipts(struct node *node, const struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->n_items; i++) {
		struct fed_item *item = &transaction->items[i];

		if (item->kind == FED_RECEIPT && !item->bad)
			item->bad = !receipt_token_check(node, item->token, item->message.id,
							 item->to.text, item->from.text,
							 &item->generation);
	}
}

static void transaction_accepted(struct request *request)
{
	struct node *node = request_node(request);
	const struct inbound *inbound = request->job;
	struct transaction *transaction = arena_new(request->arena, struct transaction);
	struct op_transaction *op =
		ask(request, TRANSACTION, struct op_transaction, transaction_stored);
	struct problem problem = {0};
	enum err err =
		transaction_decode(request->arena, request->body, inbound_origin(request),
				   (size_t)node->config->limits_content, transaction, &problem);

	if (err != ERR_OK) {
		inbound_refuse(request, err, problem.field);
		return;
	}
	check_receipts(node, transaction);
	op->origin = inbound_origin(request);
	op->transaction = transaction;
	memcpy(op->digest, inbound->params.digest, sizeof(op->digest)); /* has been checked */
	if (!node_post(node, &op->op))
		inbound_refuse(request, ERR_BUSY, NULL);
}

void inbound_transaction(struct request *request)
{
	inbound_begin(request, transaction_accepted);
}

/* --- claims ------------------------------------------------------------------------- */

static void inbound_claimed(struct message *message)
{
	struct op_claim *op = (struct op_claim *)message;
	struct request *request = op->op.context;

	if (op->op.err != ERR_OK) {
		inbound_refuse(request, op->op.err, NULL);
		return;
	}
	inbound_reply(request, 200, op->answer);
}

/* Is the requester a user of the origin, and do neither it nor the origin, which could
 * make up any number of users, ask too often about this address? */
static enum err requester_check(struct request *request, const struct address *requester,
				const struct address *address, enum limit of_user,
				enum limit of_origin)
{
	struct node *node = request_node(request);
	const char *origin = inbound_origin(request);
	const char *user_key =
		arena_printf(request->arena, "%s\n%s", requester->text, address->text);
	const char *origin_key = arena_printf(request->arena, "%s\n%s", origin, address->text);

	if (strcmp(requester->domain, origin) != 0)
		return ERR_FORBIDDEN;
	if (limit_take(node, of_origin, bytes_of_text(origin_key)) > 0 ||
	    limit_take(node, of_user, bytes_of_text(user_key)) > 0)
		return ERR_RATE_LIMITED;
	return ERR_OK;
}

static void claim_accepted(struct request *request)
{
	struct claim_request *claim = arena_new(request->arena, struct claim_request);
	struct op_claim *op = ask(request, CLAIM, struct op_claim, inbound_claimed);
	struct problem problem = {0};
	enum err err = claim_decode(request->arena, request->body, true, claim, &problem);

	if (err == ERR_OK)
		err = requester_check(request, &claim->requester, &claim->address,
				      LIMIT_CLAIM_PEER, LIMIT_CLAIM_ORIGIN);
	if (err != ERR_OK) {
		inbound_refuse(request, err, problem.field);
		return;
	}
	op->claimer = inbound_origin(request);
	op->claim = claim;
	if (!node_post(request_node(request), &op->op))
		inbound_refuse(request, ERR_BUSY, NULL);
}

void inbound_claim(struct request *request)
{
	inbound_begin(request, claim_accepted);
}

/* --- device lists ------------------------------------------------------------------- */

static void inbound_subscribed(struct message *message)
{
	struct op_device_subscribe *op = (struct op_device_subscribe *)message;
	struct request *request = op->op.context;

	if (op->op.err != ERR_OK)
		inbound_refuse(request, op->op.err, NULL);
	else
		inbound_reply(request, 200, device_list_encode(request->arena, &op->list));
}

static void device_list_accepted(struct request *request)
{
	struct op_device_subscribe *op =
		ask(request, DEVICE_SUBSCRIBE, struct op_device_subscribe, inbound_subscribed);
	struct list_request in;
	struct problem problem = {0};
	enum err err = list_request_decode(request->body, &in, &problem);

	if (err == ERR_OK)
		err = requester_check(request, &in.requester, &in.address, LIMIT_LISTS_PEER,
				      LIMIT_LISTS_ORIGIN);
	if (err != ERR_OK) {
		inbound_refuse(request, err, problem.field);
		return;
	}
	op->origin = inbound_origin(request);
	op->requester = in.requester;
	op->address = in.address;
	op->until_ms = op->op.now_ms + SUBSCRIPTION_MS;
	if (!node_post(request_node(request), &op->op))
		inbound_refuse(request, ERR_BUSY, NULL);
}

void inbound_device_list(struct request *request)
{
	inbound_begin(request, device_list_accepted);
}
