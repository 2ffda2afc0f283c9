/* SPDX-License-Identifier: MIT
 *
 * News: what one of several processes on a database tells the others of what it has committed.
 * Each is a word: a letter for its kind, and values behind it. Words go with the transaction,
 * through the SQL function tell(), which finds out whom they concern; they come in payloads,
 * one a line.
 */
#ifndef STORE_NEWS_H
#define STORE_NEWS_H

#include "restante/effects.h"
#include "restante/text.h"

/* Adds what of these effects concerns other processes, as elements of the array that tell()
 * takes. An ephemeral item that is too large for a payload is left out. */
void news_write(struct text *out, const struct effects *effects);

/* Adds what a payload says to the effects. ERR_VALIDATION: it says something else, too. */
enum err news_read(struct arena *arena, struct bytes payload,
		   struct effects *effects) MUST_CHECK;

#endif
