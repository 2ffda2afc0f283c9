/* SPDX-License-Identifier: MIT
 *
 * Walks over the XML that an XMPP server has written (RFC 6120, section 4), without copying:
 * only as much of XML as servers write into streams. What is not so ends the program.
 */
#ifndef BENCH_STANZA_H
#define BENCH_STANZA_H

#include "restante/bytes.h"

/* The first whole element at the top of a stream; of the stream's own element the opening tag.
 * Answers how many bytes it takes with what stands before it, 0 if it has not come as a whole.
 */
size_t stanza_read(struct bytes in, struct bytes *stanza_out);

bool stanza_is(struct bytes stanza, const char *name);
/* Of its opening tag; no bytes if it has none of this name. Entities stay as they are. */
struct bytes stanza_attribute(struct bytes stanza, const char *name);
/* What stands in the first element of this name, which has no attributes, within the stanza;
 * no bytes if there is none. */
struct bytes stanza_text(struct bytes stanza, const char *name);

#endif
