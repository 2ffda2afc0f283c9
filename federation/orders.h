/* SPDX-License-Identifier: MIT
 *
 * What the operator says about other nodes by `restante peer`: the commands leave orders in the
 * store, where the federation thread looks for them. Federation thread, but for orders_load().
 */
#ifndef FEDERATION_ORDERS_H
#define FEDERATION_ORDERS_H

#include "outbox.h"

struct orders;

struct orders *orders_create(struct policy *policy, struct discovery *discovery,
			     struct outboxes *outboxes);
void orders_destroy(struct orders **orders);
/* Before the thread starts, so that nobody gets past the operator's words. Waits. Orders that
 * are there already have been carried out in the store. */
enum err orders_load(struct orders *orders, struct store *store) MUST_CHECK;
void orders_tick(struct orders *orders); /* about once a second */

#endif
