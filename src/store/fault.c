/* SPDX-License-Identifier: MIT
 *
 * Faults that tests arm: a few atomics.
 */
#include "fault.h"

#include <stdatomic.h>
#include <time.h>

enum hold { LET_GO, HOLD, HELD };

static _Atomic int64_t statements;
static _Atomic int64_t commits;
static const struct store_op *_Atomic poisoned;
static _Atomic int holding = LET_GO;

void fault_arm_statement(int64_t nth)
{
	atomic_store(&statements, nth);
}

void fault_arm_commits(int64_t n)
{
	atomic_store(&commits, n);
}

void fault_poison(const struct store_op *op)
{
	atomic_store(&poisoned, op);
}

bool fault_statement(void)
{
	if (atomic_load_explicit(&statements, memory_order_relaxed) <= 0)
		return false;
	return atomic_fetch_sub(&statements, 1) == 1;
}

bool fault_commit(void)
{
	if (atomic_load_explicit(&commits, memory_order_relaxed) <= 0)
		return false;
	return atomic_fetch_sub(&commits, 1) > 0;
}

bool fault_is_poisoned(const struct store_op *op)
{
	return atomic_load_explicit(&poisoned, memory_order_relaxed) == op;
}

void fault_hold_lane(bool hold)
{
	atomic_store(&holding, hold ? HOLD : LET_GO);
}

bool fault_lane_is_held(void)
{
	return atomic_load(&holding) == HELD;
}

void fault_wait_while_held(void)
{
	int expected = HOLD;

	if (atomic_load_explicit(&holding, memory_order_relaxed) == LET_GO)
		return;
	atomic_compare_exchange_strong(&holding, &expected, HELD);
	while (atomic_load(&holding) != LET_GO)
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}
