/* SPDX-License-Identifier: MIT
 *
 * Runs of the generator: one sends, another receives, each in a process of its own. All count
 * time by the same monotonic clock. What is measured is printed as one JSON object.
 */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "device.h"

struct run {
	struct tls_context tls;
	struct accounts accounts; /* whose devices run */
	struct accounts to;	  /* of those who send */
	uint32_t flow;		  /* content of another flow is an error */
	size_t messages;	  /* in all */
	size_t receipts;	  /* that those who send wait for */
	size_t size;		  /* of a content */
	size_t window;		  /* messages of one device without an answer */
	size_t array;		  /* messages in a frame */
	double rate;		  /* messages a second; 0: as fast as the window allows */
	size_t senders;		  /* that those who receive hear from */
	bool busy;		  /* the node may refuse messages because it is */
	bool http;		  /* calls instead of frames */
	size_t count;		  /* of prekeys */
	uint64_t deadline_ns;
};

void run_send(const struct run *run);
void run_receive(const struct run *run);
/* Empty exchanges (--http: calls) and claims, over and over: how long each takes. */
void run_echo(const struct run *run);
void run_claim(const struct run *run);
/* Is connected until its standard input ends. */
void run_idle(const struct run *run, const struct protocol *protocol);

/* Is it because the node is busy, and may it be? */
bool run_may_be_refused(const struct run *run, struct bytes refusal);
/* On standard output: all devices are. */
void run_say_connected(void);
/* Ends the program when the time is over. */
void run_check_time(const struct run *run, const char *what, size_t done, size_t of);

#endif
