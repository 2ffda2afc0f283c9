/* SPDX-License-Identifier: MIT
 *
 * The WebSocket of a device (docs/protocol.md section 3). A socket is anonymous until its
 * token has been checked, here and in the store; then live has a session for it. Frames
 * that send are answered in their order. Net thread.
 *
 *   opened --auth--> checking --good--> session --close--> gone
 */
#include "send.h"

#include "restante/clock.h"
#include "restante/metrics.h"
#include "restante/ops_processes.h"

#include <stdlib.h>

#define AUTH_TIMEOUT_MS (10 * SECONDS_MS)
/* With more operations than this in the store, or frames of more than this many bytes, the
 * socket is not read. */
#define PENDING_MAX	256
#define UNDER_WAY_MAX	((size_t)8 << 20)

/* A socket and what is under way for it; it outlives the socket until that is back. */
struct client {
	struct node *node;
	struct socket *socket;		/* NULL once closed */
	struct session *session;	/* NULL until authenticated */
	struct client *next, *previous; /* those that have not authenticated yet */
	int64_t opened_ms;
	bool checking;
	struct batch *batches, **last_batch; /* in the order of their frames */
	size_t pending;			     /* operations in the store */
	size_t under_way;		     /* bytes of the frames that these are for */
};

/* Sockets that must authenticate soon. */
static void waiting_add(struct client *client)
{
	struct client **first = &client->node->waiting;

	client->next = *first;
	if (*first != NULL)
		(*first)->previous = client;
	*first = client;
}

static void waiting_remove(struct client *client)
{
	if (client->previous != NULL)
		client->previous->next = client->next;
	else if (client->node->waiting == client)
		client->node->waiting = client->next;
	if (client->next != NULL)
		client->next->previous = client->previous;
	client->next = client->previous = NULL;
}

void sockets_tick(struct node *node, int64_t now_ms)
{
	struct client *next;

	for (struct client *client = node->waiting; client != NULL; client = next) {
		next = client->next;
		if (client->opened_ms + AUTH_TIMEOUT_MS < now_ms && client->socket != NULL)
			socket_close(client->socket, CLOSE_UNAUTHORIZED, "no token in time");
	}
}

/* --- operations --------------------------------------------------------------------- */

/* A new operation for this client, in an arena of its own unless one is given. */
static void *client_op(struct client *client, struct arena *arena, enum store_kind kind,
		       size_t size, void (*returned)(struct message *message))
{
	struct store_op *op = arena_alloc(arena, size);

	op->kind = kind;
	op->arena = arena;
	op->now_ms = clock_now_ms();
	op->context = client;
	op->message.reply_to = client->node->inbox;
	op->message.returned = returned;
	return op;
}

/* Not read while its token is checked, for what follows needs a session, nor while much of
 * it is in the store. */
static void client_pace(struct client *client)
{
	socket_pause(client->socket, client->checking || client->pending >= PENDING_MAX ||
					     client->under_way > UNDER_WAY_MAX);
}

/* A frame is worked on, until client_put_down(). */
static void client_take_up(struct client *client, size_t frame_len)
{
	client->under_way += frame_len;
	server_hold(client->node->server, frame_len);
	client_pace(client);
}

/* Before client_back(), which goes on reading. */
static void client_put_down(struct client *client, size_t frame_len)
{
	client->under_way -= frame_len;
	server_release(client->node->server, frame_len);
}

static bool client_post(struct client *client, struct store_op *op)
{
	if (!node_post(client->node, op))
		return false;
	client->pending++;
	client_pace(client);
	return true;
}

/* An operation is back. False: so was the last of a client that is gone. */
static bool client_back(struct client *client)
{
	client->pending--;
	if (client->socket != NULL) {
		client_pace(client);
		return true;
	}
	if (client->pending == 0)
		free(client);
	return false;
}

static void client_say(struct client *client, struct bytes text)
{
	if (client->socket != NULL)
		socket_send(client->socket, text);
}

static void client_error(struct client *client, struct arena *arena, enum err err,
			 const struct problem *problem)
{
	const char *message =
		problem->message != NULL ? problem->message : "The frame was refused.";
	struct text frame;

	text_init(&frame, arena, 256);
	text_printf(&frame, "{\"type\":\"error\",\"code\":\"%s\",\"message\":", err_code(err));
	text_json_string(&frame, bytes_of_text(message));
	text_puts(&frame, ",\"details\":");
	text_add(&frame, details_encode(arena, problem->field));
	text_puts(&frame, "}");
	client_say(client, text_bytes(&frame));
}

/* --- auth --------------------------------------------------------------------------- */

static void client_welcome(struct client *client, struct arena *arena,
			   const struct caller *caller)
{
	int64_t left_s = (caller->expires_at_ms - clock_now_ms()) / SECONDS_MS;
	struct text frame;

	text_init(&frame, arena, 256);
	text_printf(&frame,
		    "{\"type\":\"auth\",\"address\":\"%s@%s\",\"device_id\":%u,\"expires_in\":%"
		    "lld}",
		    caller->user, client->node->config->node_domain, caller->device_id,
		    (long long)(left_s > 0 ? left_s : 0));
	client_say(client, text_bytes(&frame));
}

static void client_warn_low(struct client *client, struct arena *arena,
			    const struct op_caller_check *op)
{
	struct text frame;

	if (op->one_time >= PREKEYS_LOW && op->pq >= PREKEYS_LOW)
		return;
	text_init(&frame, arena, 128);
	text_printf(&frame,
		    "{\"type\":\"prekeys_low\",\"one_time_prekeys\":%lld,\"pq_prekeys\":%lld}",
		    (long long)op->one_time, (long long)op->pq);
	client_say(client, text_bytes(&frame));
}

static void client_begin(struct client *client, const struct caller *caller, int64_t socket_key)
{
	waiting_remove(client);
	client->session = session_open(client->node->live, caller, socket_key, client->socket);
	socket_trust(client->socket);
}

static void claimed(struct message *message)
{
	struct op_socket_open *op = (struct op_socket_open *)message;
	struct client *client = op->op.context;
	struct node *node = client->node;
	struct arena *arena = op->op.arena;

	client->checking = false;
	if (!client_back(client))
		socket_release(node, op->caller.generation, op->socket_key);
	else if (op->op.err == ERR_UNAUTHORIZED)
		socket_close(client->socket, CLOSE_UNAUTHORIZED, "session ended");
	else if (op->op.err != ERR_OK)
		socket_close(client->socket, 1013, "try again later");
	else
		client_begin(client, &op->caller, op->socket_key);
	arena_destroy(&arena);
}

/* Other processes have to know whom to tell of what comes for this device. */
static void client_claim(struct client *client, const struct caller *caller)
{
	struct arena *arena = arena_create();
	struct op_socket_open *op =
		client_op(client, arena, STORE_SOCKET_OPEN, sizeof(*op), claimed);

	op->caller = *caller;
	client->checking = true;
	if (client_post(client, &op->op))
		return;
	client->checking = false;
	socket_close(client->socket, 1013, "try again later");
	arena_destroy(&arena);
}

static void caller_checked(struct message *message)
{
	struct op_caller_check *op = (struct op_caller_check *)message;
	struct client *client = op->op.context;
	struct arena *arena = op->op.arena;

	client->checking = false;
	if (!client_back(client)) {
		arena_destroy(&arena);
		return;
	}
	if (op->op.err == ERR_UNAUTHORIZED) {
		socket_close(client->socket, CLOSE_UNAUTHORIZED, "session ended");
	} else if (op->op.err != ERR_OK) {
		socket_close(client->socket, 1013, "try again later");
	} else if (client->session != NULL) {
		session_renew(client->session, &op->caller);
		client_welcome(client, arena, &op->caller);
	} else {
		client_welcome(client, arena, &op->caller);
		client_warn_low(client, arena, op);
		if (client->node->shared->store != NULL &&
		    store_is_shared(client->node->shared->store))
			client_claim(client, &op->caller);
		else
			client_begin(client, &op->caller, 0);
	}
	arena_destroy(&arena);
}

/* The token is in order; the store says whether its device still is. */
static void client_authenticate(struct client *client, const struct caller *caller)
{
	struct arena *arena;
	struct op_caller_check *op;

	if (client->checking)
		return;
	if (client->session != NULL &&
	    session_caller(client->session)->generation != caller->generation) {
		socket_close(client->socket, CLOSE_UNAUTHORIZED, "token of another device");
		return;
	}
	arena = arena_create();
	op = client_op(client, arena, STORE_CALLER_CHECK, sizeof(*op), caller_checked);
	op->caller = *caller;
	client->checking = true;
	if (!client_post(client, &op->op)) {
		client->checking = false;
		socket_close(client->socket, 1013, "try again later");
		arena_destroy(&arena);
	}
}

static void frame_auth(struct client *client, const struct frame *frame)
{
	struct caller caller;
	enum err err = api_token_check(client->node, bytes_of_text(frame->token), &caller);

	if (err == ERR_OK)
		client_authenticate(client, &caller);
	else
		socket_close(client->socket, CLOSE_UNAUTHORIZED,
			     err == ERR_TOKEN_EXPIRED ? "token expired" : "invalid token");
}

/* --- send --------------------------------------------------------------------------- */

/* The messages of one frame; answered together when the last is back. Each operation has
 * an arena of its own, for the store may work on one while another is back already. */
struct batch {
	struct batch *next;
	struct arena *arena; /* net thread's */
	struct client *client;
	struct frame frame;
	struct bytes *results;
	size_t len;  /* of the frame */
	size_t left; /* in the store */
};

struct batch_send {
	struct op_send op;
	struct batch *batch;
	size_t index;
};

static struct bytes refusal_of(struct batch *batch, size_t i, enum err err,
			       struct bytes details)
{
	return send_refusal_encode(batch->arena, batch->frame.messages[i].id_text, err,
				   details);
}

static void batch_answer(struct batch *batch)
{
	struct text frame;

	text_init(&frame, batch->arena, 128 * (batch->frame.n_messages + 1));
	text_puts(&frame, "{\"type\":\"send_result\",\"results\":[");
	for (size_t i = 0; i < batch->frame.n_messages; i++) {
		if (i > 0)
			text_puts(&frame, ",");
		text_add(&frame, batch->results[i]);
	}
	text_puts(&frame, "]}");
	client_say(batch->client, text_bytes(&frame));
}

/* Those in front that are done; whoever is refused at once waits for those before. */
static void client_answer(struct client *client)
{
	struct batch *batch;

	while ((batch = client->batches) != NULL && batch->left == 0) {
		struct arena *arena = batch->arena;

		client->batches = batch->next;
		if (client->batches == NULL)
			client->last_batch = &client->batches;
		batch_answer(batch);
		client_put_down(client, batch->len);
		arena_destroy(&arena);
	}
}

static void batch_message_stored(struct message *message)
{
	struct batch_send *send = (struct batch_send *)message;
	struct batch *batch = send->batch;
	struct client *client = batch->client;
	struct arena *arena = send->op.op.arena;

	send_count(&send->op);
	if (send->op.op.err == ERR_OK)
		batch->results[send->index] = send_body(batch->arena, &send->op);
	else
		batch->results[send->index] = refusal_of(batch, send->index, send->op.op.err,
							 send_details(batch->arena, &send->op));
	arena_destroy(&arena);
	batch->left--;
	client_answer(client);
	client_back(client);
}

static struct bytes wait_details(struct arena *arena, int64_t wait_ms)
{
	return bytes_of_text(
		arena_printf(arena, "{\"retry_after\":%lld}",
			     (long long)((wait_ms + SECONDS_MS - 1) / SECONDS_MS)));
}

static void batch_add(struct batch *batch, size_t i)
{
	struct client *client = batch->client;
	struct arena *arena;
	struct batch_send *send;
	int64_t wait_ms;
	enum err err;

	if (batch->frame.errs[i] != ERR_OK) {
		batch->results[i] = refusal_of(
			batch, i, batch->frame.errs[i],
			details_encode(batch->arena, batch->frame.problems[i].field));
		return;
	}
	arena = arena_create();
	send = client_op(client, arena, STORE_SEND, sizeof(*send), batch_message_stored);
	send->batch = batch;
	send->index = i;
	err = send_prepare(client->node, session_caller(client->session),
			   &batch->frame.messages[i], &send->op, &wait_ms);
	if (err == ERR_OK && client_post(client, &send->op.op)) {
		batch->left++;
		return;
	}
	batch->results[i] =
		refusal_of(batch, i, err != ERR_OK ? err : ERR_BUSY,
			   err == ERR_RATE_LIMITED ? wait_details(batch->arena, wait_ms)
						   : bytes_of_text("{}"));
	arena_destroy(&arena);
}

/* Takes over the frame and its arena. */
static void frame_send(struct client *client, struct arena *arena, const struct frame *frame,
		       size_t len)
{
	struct batch *batch = arena_new(arena, struct batch);

	batch->arena = arena;
	batch->client = client;
	batch->frame = *frame;
	batch->len = len;
	batch->results = arena_array(arena, struct bytes, frame->n_messages);
	*client->last_batch = batch;
	client->last_batch = &batch->next;
	client_take_up(client, len);
	for (size_t i = 0; i < frame->n_messages; i++)
		batch_add(batch, i);
	client_answer(client);
	client_pace(client);
}

/* --- ack ---------------------------------------------------------------------------- */

struct client_ack {
	struct op_mailbox_ack op;
	struct ack_request request;
	size_t len; /* of the frame */
};

static void frame_acked(struct message *message)
{
	struct client_ack *ack = (struct client_ack *)message;
	struct client *client = ack->op.op.context;
	struct arena *arena = ack->op.op.arena;

	metric_add(METRIC_envelopes_acked_total, ack->op.removed);
	client_put_down(client, ack->len);
	if (client_back(client) && ack->op.op.err != ERR_OK)
		client_error(client, arena, ack->op.op.err, &(struct problem){0});
	arena_destroy(&arena);
}

/* Takes over the frame and its arena. */
static void frame_ack(struct client *client, struct arena *arena, const struct frame *frame,
		      size_t len)
{
	struct client_ack *ack =
		client_op(client, arena, STORE_MAILBOX_ACK, sizeof(*ack), frame_acked);

	ack->request = frame->ack;
	ack->op.caller = *session_caller(client->session);
	ack->op.ack = &ack->request;
	ack->len = len;
	if (client_post(client, &ack->op.op)) {
		client_take_up(client, len);
		return;
	}
	client_error(client, arena, ERR_BUSY, &(struct problem){0});
	arena_destroy(&arena);
}

/* --- the socket --------------------------------------------------------------------- */

static void frame_handle(struct client *client, struct arena *arena, const struct frame *frame,
			 size_t len)
{
	if (frame->type == FRAME_SEND) {
		frame_send(client, arena, frame, len);
	} else if (frame->type == FRAME_ACK) {
		frame_ack(client, arena, frame, len);
	} else {
		if (frame->type == FRAME_AUTH)
			frame_auth(client, frame);
		else
			client_say(client, bytes_of_text("{\"type\":\"pong\"}"));
		arena_destroy(&arena);
	}
}

/* Whatever is in a frame, reading it costs. */
static bool frame_is_too_many(struct client *client)
{
	int64_t generation;

	if (client->session == NULL)
		return false;
	generation = session_caller(client->session)->generation;
	return limit_take(client->node, LIMIT_FRAMES,
			  bytes_of(&generation, sizeof(generation))) > 0;
}

static void client_decode(struct client *client, struct socket *socket, struct bytes text)
{
	struct arena *arena = arena_create();
	struct problem problem = {0};
	struct frame frame;
	enum err err = frame_decode(arena, text, (size_t)client->node->config->limits_content,
				    &frame, &problem);

	if (err != ERR_OK) {
		client_error(client, arena, err, &problem);
		socket_close(socket, CLOSE_MALFORMED, "malformed frame");
		arena_destroy(&arena);
	} else if (client->session == NULL && frame.type != FRAME_AUTH) {
		socket_close(socket, CLOSE_UNAUTHORIZED, "auth comes first");
		arena_destroy(&arena);
	} else {
		frame_handle(client, arena, &frame, text.len);
	}
}

static void client_frame(struct socket *socket, void *context, struct bytes text)
{
	struct client *client = context;

	if (frame_is_too_many(client))
		socket_close(socket, CLOSE_LIMITED, "too many frames");
	else
		client_decode(client, socket, text);
}

static enum err client_open(struct socket *socket, struct request *request, void **context_out)
{
	struct node *node = request->context;
	struct client *client;
	struct caller caller;
	bool has_token = request->authorization.len > 0;

	request->retry_after_ms =
		limit_take(node, LIMIT_SOCKETS, bytes_of_text(request->source));
	if (request->retry_after_ms > 0)
		return ERR_RATE_LIMITED;
	if (has_token) {
		enum err err = api_authorize(request);

		if (err != ERR_OK)
			return err;
		caller = request->caller;
	}
	client = calloc(1, sizeof(*client));
	if (client == NULL)
		return ERR_BUSY;
	client->node = node;
	client->socket = socket;
	client->last_batch = &client->batches;
	client->opened_ms = clock_monotonic_ms();
	waiting_add(client);
	*context_out = client;
	if (has_token)
		client_authenticate(client, &caller);
	return ERR_OK;
}

static void client_drained(struct socket *socket, void *context)
{
	struct client *client = context;

	(void)socket;
	if (client->session != NULL)
		session_drained(client->session);
}

static void client_closed(struct socket *socket, void *context)
{
	struct client *client = context;

	(void)socket;
	if (client->session != NULL) {
		socket_release(client->node, session_caller(client->session)->generation,
			       session_socket_key(client->session));
		session_close(&client->session);
	} else {
		waiting_remove(client);
	}
	client->socket = NULL;
	if (client->pending == 0)
		free(client);
}

const struct socket_handlers api_sockets = {
	.open = client_open,
	.frame = client_frame,
	.drained = client_drained,
	.closed = client_closed,
};
