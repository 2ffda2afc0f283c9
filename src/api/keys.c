/* SPDX-License-Identifier: MIT
 *
 * Uploading keys, and asking for those of others, here or on another node
 * (docs/protocol.md section 2.4). Net thread.
 */
#include "handlers.h"
#include "slow.h"

#include "restante/crypto.h"
#include "restante/ops_keys.h"

#include <stdio.h>

/* --- upload ------------------------------------------------------------------------- */

struct upload {
	struct key_upload in;
	struct op_keys_stats *device; /* what signatures are verified against */
};

static void keys_stored(struct message *message)
{
	struct op_keys_put *op = (struct op_keys_put *)message;
	struct request *request = request_back(&op->op);

	if (request == NULL)
		return;
	request_ok(
		request,
		bytes_of_text(arena_printf(
			request->arena,
			"{\"one_time_prekeys\":%lld,\"pq_prekeys\":%lld,\"list_version\":%lld}",
			(long long)op->one_time, (long long)op->pq,
			(long long)op->list_version)));
}

static void upload_checked(struct message *message)
{
	struct slow_job *job = (struct slow_job *)message;
	struct request *request = job->request;
	const struct upload *upload = request->job;
	struct op_keys_put *op;

	if (!slow_went_well(job))
		return;
	op = ask(request, KEYS_PUT, struct op_keys_put, keys_stored);
	op->caller = request->caller;
	op->upload = &upload->in;
	op->scheme = upload->device->scheme;
	op->identity_key = upload->device->identity_key;
	request_post(request, &op->op);
}

static void upload_device_found(struct message *message)
{
	struct op_keys_stats *op = (struct op_keys_stats *)message;
	struct request *request = request_back(&op->op);
	struct upload *upload;
	struct slow_job *job;

	if (request == NULL)
		return;
	upload = request->job;
	upload->device = op;
	job = slow_new(request);
	job->upload = &upload->in;
	job->scheme = op->scheme;
	job->identity_key = op->identity_key;
	slow_post(job, upload_checked);
}

void keys_upload(struct request *request)
{
	struct upload *upload = arena_new(request->arena, struct upload);
	struct problem problem = {0};
	struct op_keys_stats *op;
	enum err err;

	err = key_upload_decode(request->arena, request->body, &upload->in, &problem);
	if (err != ERR_OK) {
		request_refuse(request, err, &problem);
		return;
	}
	request->job = upload;
	op = ask(request, KEYS_STATS, struct op_keys_stats, upload_device_found);
	op->caller = request->caller;
	request_post(request, &op->op);
}

static void keys_counted(struct message *message)
{
	struct op_keys_stats *op = (struct op_keys_stats *)message;
	struct request *request = request_back(&op->op);

	if (request != NULL)
		request_ok(request, key_stats_encode(request->arena, &op->stats));
}

void keys_count(struct request *request)
{
	struct op_keys_stats *op = ask(request, KEYS_STATS, struct op_keys_stats, keys_counted);

	op->caller = request->caller;
	request_post(request, &op->op);
}

/* --- from another node -------------------------------------------------------------- */

struct remote {
	struct remote_call call;
	struct request *request;
	struct address address;
	bool all_devices; /* the answer will be the whole list */
	struct device_list list;
};

static bool is_local(struct request *request, const struct address *address)
{
	return strcmp(address->domain, request_node(request)->config->node_domain) == 0;
}

static void remote_reply(struct request *request)
{
	const struct remote *remote = request->job;

	request_ok(request, remote->call.path == REMOTE_CLAIM
				    ? bundles_encode(request->arena, &remote->list)
				    : device_list_encode(request->arena, &remote->list));
}

/* Remembering is for later; the answer is good without. */
static void remote_remembered(struct message *message)
{
	remote_reply(((struct store_op *)message)->context);
}

/* The error for the client when the other node's verdict is not 200. */
static enum err remote_refusal(int status)
{
	switch (status) {
	case 400:
		return ERR_VALIDATION; /* a claim id used for something else */
	case 404:
		return ERR_UNAVAILABLE;
	case 403:
		return ERR_FEDERATION_DENIED;
	case 429:
	case 503:
		return ERR_BUSY;
	default:
		return ERR_PEER_INVALID;
	}
}

static void remote_answered(struct message *message)
{
	struct remote *remote = (struct remote *)message;
	struct request *request = remote->request;
	struct op_remote_list_put *op;
	enum err err = remote->call.err;

	if (err == ERR_OK && remote->call.status != 200)
		err = remote_refusal(remote->call.status);
	if (err == ERR_OK)
		err = device_list_decode(request->arena, remote->call.answer, &remote->list);
	if (err == ERR_OK && strcmp(remote->list.address.text, remote->address.text) != 0)
		err = ERR_PEER_INVALID;
	if (err != ERR_OK) {
		request_fail(request, err, NULL, NULL);
		return;
	}
	if (!remote->all_devices) {
		remote_reply(request);
		return;
	}
	op = ask(request, REMOTE_LIST_PUT, struct op_remote_list_put, remote_remembered);
	op->list = &remote->list;
	if (!node_post(request_node(request), &op->op))
		remote_reply(request);
}

static void remote_ask(struct request *request, enum remote_path path,
		       const struct address *address, bool all_devices, struct bytes body)
{
	struct remote *remote = arena_new(request->arena, struct remote);

	remote->request = request;
	remote->address = *address;
	remote->all_devices = all_devices;
	remote->call.arena = request->arena;
	remote->call.path = path;
	remote->call.body = body;
	memcpy(remote->call.domain, address->domain, sizeof(remote->call.domain));
	remote->call.message.reply_to = request_node(request)->inbox;
	remote->call.message.returned = remote_answered;
	request->job = remote;
	if (!node_post_call(request_node(request), &remote->call))
		request_fail(request, ERR_BUSY, NULL, NULL);
}

/* --- device lists ------------------------------------------------------------------- */

static void device_list_got(struct message *message)
{
	struct op_device_list *op = (struct op_device_list *)message;
	struct request *request = request_back(&op->op);

	if (request != NULL)
		request_ok(request, device_list_encode(request->arena, &op->list));
}

void keys_devices(struct request *request)
{
	struct op_device_list *op =
		ask(request, DEVICE_LIST, struct op_device_list, device_list_got);

	if (!request_permit(request, LIMIT_LISTS, request->caller.user, NULL) ||
	    !request_address(request, &op->address))
		return;
	request_own_address(request, &op->requester);
	op->caller = &request->caller;
	if (is_local(request, &op->address)) {
		request_post(request, &op->op);
	} else {
		struct list_request ask_for = {.requester = op->requester,
					       .address = op->address};

		remote_ask(request, REMOTE_DEVICE_LIST, &op->address, true,
			   list_request_encode(request->arena, &ask_for));
	}
}

/* --- claims ------------------------------------------------------------------------- */

static void keys_claimed(struct message *message)
{
	struct op_claim *op = (struct op_claim *)message;
	struct request *request = request_back(&op->op);

	if (request == NULL)
		return;
	request_ok(request, op->answer);
}

/* The claim id between nodes: unique for this node, which the client's is only for it. */
static void claim_id_for_peer(int64_t generation, char claim_id[CLAIM_ID_MAX + 1])
{
	char text[CLAIM_ID_MAX + 32];
	uint8_t hash[SHA256_SIZE];

	snprintf(text, sizeof(text), "%lld %s", (long long)generation, claim_id);
	crypto_sha256(bytes_of_text(text), hash);
	hex_encode(bytes_of(hash, 16), claim_id);
}

static void claim_begin(struct request *request, struct claim_request *claim)
{
	struct op_claim *op;

	if (!request_permit(request, LIMIT_CLAIM, request->caller.user, claim->address.text))
		return;
	request_own_address(request, &claim->requester);
	if (!is_local(request, &claim->address)) {
		claim_id_for_peer(request->caller.generation, claim->claim_id);
		remote_ask(request, REMOTE_CLAIM, &claim->address, claim->n_devices == 0,
			   claim_encode(request->arena, claim));
		return;
	}
	op = ask(request, CLAIM, struct op_claim, keys_claimed);
	op->claimer =
		arena_printf(request->arena, "g%lld", (long long)request->caller.generation);
	op->claim = claim;
	op->caller = &request->caller;
	request_post(request, &op->op);
}

void keys_claim(struct request *request)
{
	struct claim_request *claim = arena_new(request->arena, struct claim_request);
	struct problem problem = {0};
	enum err err = claim_decode(request->arena, request->body, false, claim, &problem);

	if (err != ERR_OK)
		request_refuse(request, err, &problem);
	else
		claim_begin(request, claim);
}

void keys_bundle(struct request *request)
{
	struct claim_request *claim = arena_new(request->arena, struct claim_request);
	uint8_t random[16];

	if (!request_address(request, &claim->address))
		return;
	crypto_random(random, sizeof(random));
	hex_encode(bytes_of(random, sizeof(random)), claim->claim_id);
	claim_begin(request, claim);
}
