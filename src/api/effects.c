/* SPDX-License-Identifier: MIT
 *
 * Telling what has been committed: sockets by way of live, other domains by way of the
 * federation thread. Net thread.
 */
#include "node.h"

void node_tell(struct node *node, const struct effects *effects)
{
	live_tell(node->live, effects);
	if (effects->outbound != NULL && node->federation != NULL)
		federation_submit(node->federation, effects->outbound);
}

void node_told(struct message *message, void *receiver)
{
	const struct effects_told *told = (const struct effects_told *)message;

	node_tell(receiver, told->effects);
	inbox_return(message);
}

void node_dispatched(void *context)
{
	struct node *node = context;

	if (node->federation != NULL)
		federation_flush(node->federation);
}
