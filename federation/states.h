/* SPDX-License-Identifier: MIT
 *
 * The states of a destination and what moves it from one to another. Pure: the one
 * function that moves a real destination, logs it and stores it is outbox_move().
 */
#ifndef FEDERATION_STATES_H
#define FEDERATION_STATES_H

#include "restante/clock.h"
#include "restante/federation.h"

#define PARK_AFTER_MS	   (7 * DAYS_MS)
#define PARKED_PROBE_MS	   (6 * HOURS_MS)
#define CONFLICT_CHECK_MS  (15 * MINUTES_MS)
#define RETRY_AFTER_MAX_MS (1 * HOURS_MS)
#define JITTER_STEPS	   401 /* 0.8, 0.801 … 1.2 */

enum destination_event {
	ON_DELIVERED,	/* a signed verdict came: the destination works */
	ON_FAILED,	/* no verdict */
	ON_FAILED_LONG, /* nor for PARK_AFTER_MS */
	ON_HEARD,	/* a valid signed request came from there */
	ON_CONFLICT,	/* its keys are not those that are trusted */
	ON_AGREED,	/* its keys are trusted */
	ON_DENIED,	/* by this node's policy */
	ON_ALLOWED,
	ON_EMPTIED, /* nothing has waited for it for a while */
	DESTINATION_EVENT_COUNT
};

#define DESTINATION_STATE_COUNT (DESTINATION_KEY_CONFLICT + 1)

/* The transition table. */
enum destination_state state_after(enum destination_state state, enum destination_event event);
const char *destination_event_name(enum destination_event event);

struct schedule {
	int64_t backoff_first_ms;
	int64_t backoff_max_ms;
};

/* How long to wait after so many failures in a row. */
int64_t backoff_ms(const struct schedule *schedule, int64_t failures);

/* What an event came with. */
struct destination_move {
	enum destination_event event; /* never ON_FAILED_LONG: time decides that */
	int64_t now_ms;
	int64_t retry_after_ms; /* 0: not said */
	uint32_t dice;		/* random, below JITTER_STEPS */
};

/* Brings state, failures and next try up to date. True: something changed that has to
 * outlive a restart. */
bool destination_apply(struct destination *destination, const struct schedule *schedule,
		       const struct destination_move *move);

/* May something be sent there now? Also if its time is further away than any wait. */
bool destination_is_due(const struct destination *destination, const struct schedule *schedule,
			int64_t now_ms);

/* After a restart: what is due is spread over the first backoff, but for what the operator
 * wants tried at once (next_try 0). */
void destination_resume(struct destination *destination, const struct schedule *schedule,
			int64_t now_ms, uint32_t dice);

#endif
