/* SPDX-License-Identifier: MIT
 *
 * What handlers have in common. A handler decodes, asks the store for one operation, and
 * ends in a second function, named after what has happened by then:
 *
 *	void consent_get(struct request *request)
 *	{
 *		struct op_consent_get *op = ask(request, CONSENT_GET, struct op_consent_get,
 *consent_got);
 *
 *		op->caller = request->caller;
 *		request_post(request, &op->op);
 *	}
 */
#ifndef API_HANDLER_H
#define API_HANDLER_H

#include "node.h"

#include "restante/problem.h"

static inline struct node *request_node(const struct request *request)
{
	return request->context;
}

/* A new operation in the request's arena, whose context is the request. */
void *request_op(struct request *request, enum store_kind kind, size_t size,
		 void (*returned)(struct message *message));
#define ask(request, kind, type, returned)                                                     \
	((type *)request_op((request), STORE_##kind, sizeof(type), (returned)))

/* Gives the operation to the store, or answers 503. */
void request_post(struct request *request, struct store_op *op);

/* In a returned function: the request, if the operation ended well; else answers with its
 * error and gives NULL. */
struct request *request_back(struct store_op *op);

/* Answers with what a decoder found. */
void request_refuse(struct request *request, enum err err, const struct problem *problem);

/* A body without members that count: absent, or an object; else answers 400. */
bool request_bare(struct request *request);

void request_ok(struct request *request, struct bytes json);
void request_ok_empty(struct request *request); /* {} */

/* Takes a permit or answers 429; true: go on. `second` refines the key, may be NULL. */
bool request_permit(struct request *request, enum limit limit, const char *first,
		    const char *second);

/* The {} of the route as an address or a device id; answers 400 and gives false otherwise. */
bool request_address(struct request *request, struct address *address_out);
bool request_device_id(struct request *request, uint8_t *device_id_out);

/* The caller's own address. */
void request_own_address(const struct request *request, struct address *address_out);

#endif
