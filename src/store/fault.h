/* SPDX-License-Identifier: MIT
 *
 * Faults for tests: what a broken disk does to a database, on demand. Unarmed, which is
 * always so outside the tests, each check is one relaxed load. Any thread.
 */
#ifndef STORE_FAULT_H
#define STORE_FAULT_H

#include "restante/store.h"

/* Of all statements from now on, the nth (from 1) fails, once. 0: none. */
void fault_arm_statement(int64_t nth);
/* The next n commits fail. */
void fault_arm_commits(int64_t n);
/* This operation fails whenever it is run. NULL: none. */
void fault_poison(const struct store_op *op);

/* The write lane takes one batch more and then stands still until it is let go, so that a
 * test knows what arrives together. */
void fault_hold_lane(bool hold);
bool fault_lane_is_held(void);

/* Called by the write lane when it has taken a batch. */
void fault_wait_while_held(void);
/* Asked by the store: is this one to fail? */
bool fault_statement(void);
bool fault_commit(void);
bool fault_is_poisoned(const struct store_op *op);

#endif
