/* SPDX-License-Identifier: MIT
 *
 * The states of a destination: UP is sent to as items come; BACKOFF is tried again after a
 * growing wait; PARKED has failed for days and is probed now and then; BLOCKED (by policy)
 * and KEY_CONFLICT hold what waits. Pure.
 */
#include "states.h"

#include <assert.h>

#define UP		   DESTINATION_UP
#define BACKOFF		   DESTINATION_BACKOFF
#define PARKED		   DESTINATION_PARKED
#define BLOCKED		   DESTINATION_BLOCKED
#define CONFLICT	   DESTINATION_KEY_CONFLICT

#define RETRY_AFTER_MIN_MS (1 * SECONDS_MS)

/* Policy is above all: only the operator ends BLOCKED. A conflict is not ended by a failure,
 * for an unreachable node has not shown its keys. */
static const enum destination_state table[DESTINATION_EVENT_COUNT][DESTINATION_STATE_COUNT] = {
	/* from:		 UP	   BACKOFF   PARKED    BLOCKED	KEY_CONFLICT */
	[ON_DELIVERED] = {UP, UP, UP, BLOCKED, UP},
	[ON_FAILED] = {BACKOFF, BACKOFF, PARKED, BLOCKED, CONFLICT},
	[ON_FAILED_LONG] = {BACKOFF, PARKED, PARKED, BLOCKED, CONFLICT},
	[ON_HEARD] = {UP, BACKOFF, PARKED, BLOCKED, CONFLICT},
	[ON_CONFLICT] = {CONFLICT, CONFLICT, CONFLICT, BLOCKED, CONFLICT},
	[ON_AGREED] = {UP, BACKOFF, PARKED, BLOCKED, UP},
	[ON_DENIED] = {BLOCKED, BLOCKED, BLOCKED, BLOCKED, BLOCKED},
	[ON_ALLOWED] = {UP, BACKOFF, PARKED, UP, CONFLICT},
	[ON_EMPTIED] = {UP, UP, UP, BLOCKED, CONFLICT},
};

static const char *const state_names[DESTINATION_STATE_COUNT] = {
	[UP] = "up",	       [BACKOFF] = "backoff",	    [PARKED] = "parked",
	[BLOCKED] = "blocked", [CONFLICT] = "key_conflict",
};

static const char *const event_names[DESTINATION_EVENT_COUNT] = {
	[ON_DELIVERED] = "delivered",	  [ON_FAILED] = "failed",
	[ON_FAILED_LONG] = "failed_long", [ON_HEARD] = "heard",
	[ON_CONFLICT] = "conflict",	  [ON_AGREED] = "agreed",
	[ON_DENIED] = "denied",		  [ON_ALLOWED] = "allowed",
	[ON_EMPTIED] = "emptied",
};

enum destination_state state_after(enum destination_state state, enum destination_event event)
{
	assert((size_t)state < DESTINATION_STATE_COUNT && event < DESTINATION_EVENT_COUNT);
	return table[event][state];
}

const char *destination_state_name(enum destination_state state)
{
	assert((size_t)state < DESTINATION_STATE_COUNT);
	return state_names[state];
}

const char *destination_event_name(enum destination_event event)
{
	assert(event < DESTINATION_EVENT_COUNT);
	return event_names[event];
}

static int64_t jitter(int64_t wait_ms, uint32_t dice)
{
	return wait_ms * (800 + (int64_t)dice) / 1000;
}

int64_t backoff_ms(const struct schedule *schedule, int64_t failures)
{
	int64_t wait = schedule->backoff_first_ms;

	for (int64_t i = 1; i < failures && wait < schedule->backoff_max_ms; i++)
		wait *= 2;
	return wait < schedule->backoff_max_ms ? wait : schedule->backoff_max_ms;
}

/* Never before the time that the destination asked for. */
static int64_t retry_after_ms(int64_t asked_ms, uint32_t dice)
{
	if (asked_ms < RETRY_AFTER_MIN_MS)
		asked_ms = RETRY_AFTER_MIN_MS;
	if (asked_ms > RETRY_AFTER_MAX_MS)
		asked_ms = RETRY_AFTER_MAX_MS;
	return asked_ms + asked_ms * (int64_t)dice / 2000;
}

static int64_t next_wait_ms(const struct destination *destination,
			    const struct schedule *schedule,
			    const struct destination_move *move)
{
	if (destination->state == CONFLICT)
		return jitter(CONFLICT_CHECK_MS, move->dice);
	if (move->retry_after_ms > 0)
		return retry_after_ms(move->retry_after_ms, move->dice);
	if (destination->state == PARKED)
		return jitter(PARKED_PROBE_MS, move->dice);
	return jitter(backoff_ms(schedule, destination->failures), move->dice);
}

static bool fail(struct destination *destination, const struct schedule *schedule,
		 const struct destination_move *move)
{
	destination->failures++;
	if (destination->failing_since_ms == 0)
		destination->failing_since_ms = move->now_ms;
	destination->next_try_ms = move->now_ms + next_wait_ms(destination, schedule, move);
	return true;
}

static bool settle_down(struct destination *destination, bool moved)
{
	destination->failures = 0;
	destination->failing_since_ms = 0;
	destination->next_try_ms = 0;
	return moved;
}

bool destination_apply(struct destination *destination, const struct schedule *schedule,
		       const struct destination_move *move)
{
	enum destination_state before = destination->state;
	enum destination_event event = move->event;

	if (event == ON_FAILED && destination->failing_since_ms > 0 &&
	    move->now_ms - destination->failing_since_ms >= PARK_AFTER_MS)
		event = ON_FAILED_LONG;
	destination->state = state_after(before, event);
	if (destination->state == BLOCKED || destination->state == UP)
		return settle_down(destination, destination->state != before);
	if (event == ON_HEARD && destination->state != CONFLICT) {
		destination->next_try_ms = move->now_ms;
		return false;
	}
	if (event == ON_CONFLICT) {
		destination->next_try_ms =
			move->now_ms + next_wait_ms(destination, schedule, move);
		return true;
	}
	if (event == ON_FAILED || event == ON_FAILED_LONG)
		return fail(destination, schedule, move);
	return false;
}

/* What waits longer was put off by a clock that has been set back since. */
static int64_t longest_wait_ms(const struct destination *destination,
			       const struct schedule *schedule)
{
	int64_t wait_ms = schedule->backoff_max_ms;

	if (destination->state == PARKED)
		wait_ms = PARKED_PROBE_MS;
	else if (destination->state == CONFLICT)
		wait_ms = CONFLICT_CHECK_MS;
	if (wait_ms < RETRY_AFTER_MAX_MS)
		wait_ms = RETRY_AFTER_MAX_MS;
	return 2 * wait_ms;
}

bool destination_is_due(const struct destination *destination, const struct schedule *schedule,
			int64_t now_ms)
{
	if (destination->state == BLOCKED)
		return false;
	return destination->state == UP || destination->next_try_ms <= now_ms ||
	       destination->next_try_ms > now_ms + longest_wait_ms(destination, schedule);
}

void destination_resume(struct destination *destination, const struct schedule *schedule,
			int64_t now_ms, uint32_t dice)
{
	if (destination->state == UP || destination->next_try_ms == 0)
		return;
	if (destination_is_due(destination, schedule, now_ms))
		destination->next_try_ms =
			now_ms + schedule->backoff_first_ms * (int64_t)dice / JITTER_STEPS;
}
