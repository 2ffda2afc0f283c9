/* SPDX-License-Identifier: MIT
 *
 * What the messages hold: who sent it to whom as the how-manieth, when, and bytes that follow
 * from that, so that a receiver can check all of it without having seen the sender.
 */
#ifndef BENCH_CONTENT_H
#define BENCH_CONTENT_H

#include "buffer.h"

#define CONTENT_HEAD 32
#define CONTENT_MAX  65536

/* The head, little endian. tests/bench/many_peer.py reads it too. */
struct content {
	uint32_t flow; /* one run of the generator */
	uint32_t sender;
	uint32_t recipient;
	uint32_t size;
	uint64_t number;  /* from 0, of this sender to this recipient */
	uint64_t sent_ns; /* monotonic: when it was to be sent */
};

uint64_t now_ns(void);

void content_write(const struct content *content, uint8_t *out);	    /* size bytes */
void content_write_text(const struct content *content, struct buffer *out); /* in base64 */
/* Ends the program if a byte of it is not as written. */
struct content content_read(struct bytes bytes);

#endif
