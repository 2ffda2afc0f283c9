/* SPDX-License-Identifier: MIT
 *
 * Many devices with their connections, all on one thread: WebSockets (docs/protocol.md,
 * section 3), or HTTP with one call after the other.
 * Anything that is not as it should be ends the program.
 */
#ifndef BENCH_DEVICE_H
#define BENCH_DEVICE_H

#include "account.h"

struct device {
	const struct account *account;
	size_t index; /* of the account in its file */
	struct tls tls;
	struct buffer in;
	struct buffer out;
	struct buffer text; /* the frame or body that is being written */
	bool waits_to_write;
};

struct devices {
	int epoll;
	struct device *list;
	size_t count;
	bool http; /* else WebSockets */
	void *owner;
	/* A frame has come, or the body of an answer; also during devices_open(). */
	void (*received)(struct devices *devices, struct device *device, struct bytes frame);
};

/* Connects one for each account; returns when they all are. The caller has set http,
 * owner and received. */
void devices_open(struct devices *devices, const struct tls_context *tls,
		  const struct accounts *accounts);
void devices_close(struct devices *devices);
/* Waits at most this long, reads and writes whatever can be. */
void devices_turn(struct devices *devices, uint64_t wait_ns);

/* Sends what is in device->text as one text frame. */
void device_send(struct devices *devices, struct device *device);
/* Sends it as the body of an HTTP call. */
void device_call(struct devices *devices, struct device *device, const char *method,
		 const char *path);

#endif
