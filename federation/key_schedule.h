/* SPDX-License-Identifier: MIT
 *
 * When this node's own keys begin, sign and end. Pure.
 */
#ifndef FEDERATION_KEY_SCHEDULE_H
#define FEDERATION_KEY_SCHEDULE_H

#include "restante/federation.h"

/* Fills in the keys of own->document, own->signer and own->next_ms. `last` is the document
 * before it; NULL: there is none. ERR_VALIDATION: no key, too many, one whose key id stood
 * for another, or none that has not ended; the log says so. */
enum err key_schedule(struct own_document *own, const struct server_document *last) MUST_CHECK;

#endif
