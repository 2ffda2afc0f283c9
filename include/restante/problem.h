/* SPDX-License-Identifier: MIT
 *
 * Why a decoder refused its input: what the uniform error object will say.
 */
#ifndef RESTANTE_PROBLEM_H
#define RESTANTE_PROBLEM_H

#include "restante/err.h"

struct problem {
	const char *field;   /* "envelopes[2].content"; NULL for the whole */
	const char *message; /* for people; NULL for the usual one */
};

#endif
