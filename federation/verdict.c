/* SPDX-License-Identifier: MIT
 *
 * Judging answers. Only a validly signed answer is a verdict on items or streams; an
 * unsigned one may come from anything on the way. Pure.
 */
#include "verdict.h"

#include <assert.h>
#include <string.h>

static const char *const names[VERDICT_COUNT] = {
	[VERDICT_TAKEN] = "taken",	     [VERDICT_RESET] = "stream_reset",
	[VERDICT_HALVE] = "halve",	     [VERDICT_BAD] = "bad",
	[VERDICT_TOO_LARGE] = "too_large",   [VERDICT_SMALLER] = "smaller",
	[VERDICT_CONFLICT] = "key_conflict", [VERDICT_DENIED] = "denied",
	[VERDICT_LATER] = "later",	     [VERDICT_PAUSE] = "pause",
};

const char *verdict_name(enum verdict verdict)
{
	assert(verdict < VERDICT_COUNT);
	return names[verdict];
}

static enum verdict signed_verdict(const struct reply *reply)
{
	switch (reply->status) {
	case 200:
		return VERDICT_TAKEN;
	case 400:
		return reply->n_items > 1 ? VERDICT_HALVE : VERDICT_BAD;
	case 409:
		return strcmp(reply->code, "STREAM_RESET") == 0 ? VERDICT_RESET : VERDICT_LATER;
	case 413:
		return reply->n_items > 1 ? VERDICT_HALVE : VERDICT_TOO_LARGE;
	default:
		return VERDICT_LATER;
	}
}

enum verdict verdict_of(const struct reply *reply)
{
	if (reply->err == ERR_OK)
		return signed_verdict(reply);
	if (reply->err == ERR_KEY_CONFLICT)
		return VERDICT_CONFLICT;
	if (reply->err == ERR_FEDERATION_DENIED)
		return VERDICT_DENIED;
	if (reply->err == ERR_BUSY || reply->err == ERR_VALIDATION)
		return VERDICT_PAUSE;
	/* One item that something on the way finds too large is tried again until it expires:
	 * a proxy cannot have it thrown away. */
	if (reply->status == 413 && reply->n_items > 1)
		return VERDICT_SMALLER;
	return VERDICT_LATER;
}
