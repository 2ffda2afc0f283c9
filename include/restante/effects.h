/* SPDX-License-Identifier: MIT
 *
 * What has to be told to sockets and to the federation thread once an operation is
 * committed. Lists in the operation's arena; those with a last one are in order. Telling is a
 * hint: who misses it finds everything in the store.
 */
#ifndef RESTANTE_EFFECTS_H
#define RESTANTE_EFFECTS_H

#include "restante/arena.h"
#include "restante/messages.h"

/* A mailbox got an item (seq > 0), or an ephemeral one wants to be pushed (seq 0).
 *
 * `previous` is the item before this one in the same mailbox: who has not been told of that one
 * does not take this one for the next. 0: none that was still there. An item that has been
 * removed meanwhile may be named too. News of another process have no body, and INT64_MAX here:
 * such an item is read. */
struct delivery {
	struct delivery *next;
	int64_t generation;
	int64_t previous;
	struct mailbox_item item;
};

/* An item was put into the outbox of a domain, or is ephemeral (position 0). */
struct outbound {
	struct outbound *next;
	char domain[DOMAIN_SIZE];
	int64_t position;
	int64_t holder;	   /* the process that sends there; 0: this one */
	struct bytes body; /* empty in news: it is in the store */
};

/* Sessions of a device ended: its socket is closed with this code. */
struct session_end {
	struct session_end *next;
	int64_t generation;
	int64_t socket_key; /* that one alone (op_socket_open); 0: whichever there is */
	int64_t process;    /* that has the socket; 0: whichever has the device's */
	uint16_t code;
};

/* The device list of an address changed; this device should hear of it. */
struct list_hint {
	struct list_hint *next;
	int64_t generation;
	const char *address;
	int64_t list_version;
};

/* A device is running out of one-time prekeys. */
struct prekeys_low {
	struct prekeys_low *next;
	int64_t generation;
	int64_t one_time;
	int64_t pq;
};

/* Items have been removed from the device's mailbox: there is room for more. */
struct acked {
	struct acked *next;
	int64_t generation;
	const struct ack_request *request;
};

struct named {
	struct named *next;
	char domain[DOMAIN_SIZE];
};

struct effects {
	struct effects *next; /* of the following operation (store_config.told) */
	struct delivery *deliveries, *last_delivery;
	struct outbound *outbound, *last_outbound;
	struct list_hint *list_hints, *last_list_hint;
	struct prekeys_low *low, *last_low;
	struct session_end *ended;
	struct acked *acked;
	/* Of several processes that serve one database. */
	struct named *changed; /* what is remembered of these domains is out of date */
	struct named *heard;   /* these have called: what waits for them may be sent */
	int processes;	       /* that there are now; 0: no change */
	bool lease;	       /* there are destinations that no process sends to */
	bool refresh;	       /* news may have been missed: read whatever there is */
};

/* Adding to them; what they point to is not copied, except the address. `previous`: the item
 * before in the same mailbox; `holder`: the process that sends there, 0: this one. */
void effects_deliver(struct effects *effects, struct arena *arena, int64_t generation,
		     int64_t previous, const struct mailbox_item *item);
void effects_outbound(struct effects *effects, struct arena *arena, const char *domain,
		      int64_t holder, int64_t position, struct bytes body);
void effects_end(struct effects *effects, struct arena *arena, int64_t generation,
		 int64_t socket_key, uint16_t code);
void effects_hint(struct effects *effects, struct arena *arena, int64_t generation,
		  const char *address, int64_t list_version);
void effects_low(struct effects *effects, struct arena *arena, int64_t generation,
		 int64_t one_time, int64_t pq);
void effects_ack(struct effects *effects, struct arena *arena, int64_t generation,
		 const struct ack_request *request);
void effects_name(struct named **list, struct arena *arena, const char *domain);

#endif
