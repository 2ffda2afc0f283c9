/* SPDX-License-Identifier: MIT
 *
 * What is left in the mailboxes of a run's devices.
 */
#ifndef BENCH_MAILBOX_H
#define BENCH_MAILBOX_H

#include "run.h"

/* Waits until it is nothing: until the node has committed all acknowledgements. What it has not
 * would come again in the next run. All accounts are of one node. */
void mailboxes_wait(const struct run *run, struct devices *devices);

#endif
