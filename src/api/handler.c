/* SPDX-License-Identifier: MIT
 *
 * What handlers have in common. Net thread.
 */
#include "handler.h"

#include "restante/accounts.h"
#include "restante/clock.h"
#include "restante/log.h"
#include "restante/metrics.h"

void *request_op(struct request *request, enum store_kind kind, size_t size,
		 void (*returned)(struct message *message))
{
	struct store_op *op = arena_alloc(request->arena, size);

	op->kind = kind;
	op->arena = request->arena;
	op->now_ms = clock_now_ms();
	op->context = request;
	op->message.reply_to = request_node(request)->inbox;
	op->message.returned = returned;
	return op;
}

void request_post(struct request *request, struct store_op *op)
{
	if (!node_post(request_node(request), op))
		request_fail(request, ERR_BUSY, NULL, NULL);
}

struct request *request_back(struct store_op *op)
{
	struct request *request = op->context;

	if (op->err == ERR_OK)
		return request;
	request_fail(request, op->err, NULL, NULL);
	return NULL;
}

void request_refuse(struct request *request, enum err err, const struct problem *problem)
{
	request_fail(request, err, problem->field, problem->message);
}

bool request_bare(struct request *request)
{
	struct problem problem = {0};
	bool object;
	enum err err = ERR_OK;

	if (request->body.len > 0)
		err = empty_decode(request->arena, request->body, &object, &problem);
	if (err != ERR_OK)
		request_refuse(request, err, &problem);
	return err == ERR_OK;
}

void request_ok(struct request *request, struct bytes json)
{
	request_reply(request, 200, json);
}

void request_ok_empty(struct request *request)
{
	request_reply(request, 200, bytes_of_text("{}"));
}

bool request_permit(struct request *request, enum limit limit, const char *first,
		    const char *second)
{
	const char *key =
		second == NULL ? first : arena_printf(request->arena, "%s\n%s", first, second);
	int64_t wait_ms = limit_take(request_node(request), limit, bytes_of_text(key));

	if (wait_ms > 0)
		request_limit(request, wait_ms);
	return wait_ms == 0;
}

bool request_address(struct request *request, struct address *address_out)
{
	if (address_parse(request->param, address_out) == ERR_OK)
		return true;
	request_fail(request, ERR_VALIDATION, "address", "an address is user@domain");
	return false;
}

bool request_device_id(struct request *request, uint8_t *device_id_out)
{
	unsigned id = 0;

	for (size_t i = 0; i < request->param.len; i++) {
		uint8_t c = request->param.data[i];

		id = c >= '0' && c <= '9' && id <= DEVICES_MAX ? id * 10 + (c - '0')
							       : DEVICES_MAX + 1;
	}
	if (id >= 1 && id <= DEVICES_MAX && request->param.data[0] != '0') {
		*device_id_out = (uint8_t)id;
		return true;
	}
	request_fail(request, ERR_NOT_FOUND, NULL, NULL);
	return false;
}

void request_own_address(const struct request *request, struct address *address_out)
{
	address_make(request->caller.user, request_node(request)->config->node_domain,
		     address_out);
}
