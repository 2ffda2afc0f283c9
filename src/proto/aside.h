/* SPDX-License-Identifier: MIT
 *
 * Setting long base64 aside before a body is parsed: it is most of every message, and
 * jansson reads byte by byte (a message of 3 KB took 39 microseconds, so it takes 10).
 * A string of long base64 is replaced by a short one that says where it stood. No string
 * of the body can look like that: a body that has U+FFFF or any escape is left as it is.
 * Names of members are never replaced, so that none comes twice unnoticed. Any thread.
 */
#ifndef RESTANTE_PROTO_ASIDE_H
#define RESTANTE_PROTO_ASIDE_H

#include "restante/arena.h"

/* True: the shorter text is in the arena. False: there was nothing to set aside. */
bool aside_put(struct arena *arena, struct bytes text, struct bytes *short_out);
/* What a string of the shorter text stands for: a piece of the text that was given to
 * aside_put(), or itself. */
struct bytes aside_resolve(struct bytes text, struct bytes string);

#endif
