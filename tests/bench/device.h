/* SPDX-License-Identifier: MIT
 *
 * Many devices with their connections, all on one thread: WebSockets (docs/protocol.md,
 * section 3), HTTP with one call after the other, or streams of another protocol.
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

struct devices;

struct protocol {
	/* On a connection that waits: returns when it is ready for what devices send. NULL: a
	 * new connection is. */
	void (*open)(struct device *device);
	/* Takes from device->in what is there as a whole; it may write to device->out. */
	void (*read)(struct devices *devices, struct device *device);
};

extern const struct protocol websocket;
extern const struct protocol http_calls;

struct devices {
	const struct protocol *protocol;
	int epoll;
	struct device *list;
	size_t count;
	void *owner;
	/* A frame or a stanza has come, or the body of an answer; also during devices_open().
	 */
	void (*received)(struct devices *devices, struct device *device, struct bytes frame);
};

/* Connects one for each account; returns when they all are. The caller has set
 * protocol, owner and received. */
void devices_open(struct devices *devices, const struct tls_context *tls,
		  const struct accounts *accounts);
void devices_close(struct devices *devices);
/* Waits at most this long, reads and writes whatever can be. */
void devices_turn(struct devices *devices, uint64_t wait_ns);

/* Sends what is in device->out, as far as it can be sent now. */
void device_flush(struct devices *devices, struct device *device);
/* Sends what is in device->text as one text frame of a WebSocket. */
void device_send(struct devices *devices, struct device *device);
/* Sends it as the body of an HTTP call. */
void device_call(struct devices *devices, struct device *device, const char *method,
		 const char *path);

#endif
