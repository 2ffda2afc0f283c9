/* SPDX-License-Identifier: MIT
 *
 * What the answer to a transaction means for the sender (docs/protocol.md section 4.6).
 */
#ifndef FEDERATION_VERDICT_H
#define FEDERATION_VERDICT_H

#include "restante/err.h"

#include <stddef.h>

enum verdict {
	VERDICT_TAKEN, /* the results say how each item ended */
	VERDICT_RESET, /* a new stream is needed */
	VERDICT_HALVE, /* one of the items is not wanted: find out which */
	VERDICT_BAD,   /* it is this one, and it ends so */
	VERDICT_TOO_LARGE,
	VERDICT_SMALLER,  /* something on the way wants less at once */
	VERDICT_CONFLICT, /* the keys of the destination are not trusted */
	VERDICT_DENIED,	  /* by this node's policy */
	VERDICT_LATER,
	VERDICT_PAUSE, /* this node had no room to try, or nothing at hand to send */
	VERDICT_COUNT
};

struct reply {
	enum err err;	  /* ERR_OK: a validly signed answer */
	int status;	  /* of any answer; 0: none came */
	const char *code; /* of the error object in a signed one, or "" */
	size_t n_items;	  /* that the transaction had */
};

enum verdict verdict_of(const struct reply *reply);
const char *verdict_name(enum verdict verdict);

#endif
