/* SPDX-License-Identifier: MIT
 *
 * How many there are of each name. Any thread; an entry belongs to one at a time.
 */
#ifndef RESTANTE_NET_TALLY_H
#define RESTANTE_NET_TALLY_H

#include <stddef.h>

struct tally;
struct tally_entry;

/* Quick for up to about this many names at once. */
struct tally *tally_create(size_t names);
void tally_destroy(struct tally **tally);

/* One more of this name (copied); the entry is for tally_remove(). */
struct tally_entry *tally_add(struct tally *tally, const char *name);
/* One less. The entry is NULL afterwards. */
void tally_remove(struct tally *tally, struct tally_entry **entry);
size_t tally_of(struct tally *tally, const char *name);

#endif
