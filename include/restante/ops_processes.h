/* SPDX-License-Identifier: MIT
 *
 * Store operations of several processes that serve one database (store_is_shared()): which of
 * them has the socket of a device, and which sends to a destination. What one of them has to
 * hear of the others comes as news (store.h).
 */
#ifndef RESTANTE_OPS_PROCESSES_H
#define RESTANTE_OPS_PROCESSES_H

#include "restante/ops_accounts.h"

/* A socket of this device is here from now on: whatever comes into its mailbox after this is
 * told here. Where another process has had one, it is told to close it (CLOSE_DISPLACED).
 * ERR_UNAUTHORIZED. */
struct op_socket_open {
	struct store_op op;
	struct caller caller;
	/* out */
	int64_t socket_key; /* > 0; larger than that of any former socket */
	struct effects effects;
};

/* It is gone. Nothing happens if it is no longer the device's last one. */
struct op_socket_close {
	struct store_op op;
	int64_t generation;
	int64_t socket_key;
};

/* All destinations that no process sends to become this one's. */
struct op_destinations_lease {
	struct store_op op;
	/* out */
	int64_t taken;
};

/* That process has ended without a word: its sockets are gone, its destinations are to be
 * leased. It will not write any more. Nothing happens where that has been said before. */
struct op_process_bury {
	struct store_op op;
	int64_t process_key;
	/* out */
	struct effects effects;
};

#endif
