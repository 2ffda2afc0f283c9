/* SPDX-License-Identifier: MIT
 *
 * Why something was refused, and the uniform error object that says so (docs/protocol.md
 * section 1).
 */
#ifndef RESTANTE_PROBLEM_H
#define RESTANTE_PROBLEM_H

#include "restante/text.h"

/* What a decoder found wrong with its input. */
struct problem {
	const char *field;   /* "envelopes[2].content"; NULL for the whole */
	const char *message; /* for people; NULL for the usual one */
};

/* `{"field":…}`, or `{}` where field is NULL. */
struct bytes details_encode(struct arena *arena, const char *field);
/* The whole object; message NULL: the usual one of that error; details empty: `{}`. */
struct bytes error_encode(struct arena *arena, enum err err, const char *message,
			  struct bytes details);

#endif
