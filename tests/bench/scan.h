/* SPDX-License-Identifier: MIT
 *
 * Walks over JSON that a node has written, without copying: it is compact and well formed,
 * and what is not ends the program. Strings are taken as they are, escapes and all.
 */
#ifndef BENCH_SCAN_H
#define BENCH_SCAN_H

#include "restante/bytes.h"

struct scan {
	const uint8_t *at;
	const uint8_t *end;
};

/* Into an object or array: its members or elements come one by one. */
struct scan scan_into(struct bytes value);
bool scan_member(struct scan *scan, struct bytes *name_out, struct bytes *value_out);
bool scan_element(struct scan *scan, struct bytes *value_out);

/* A member of an object; no bytes if it has none of this name. */
struct bytes scan_get(struct bytes object, const char *name);
struct bytes scan_string(struct bytes value); /* what is between the quotes */
int64_t scan_number(struct bytes value);

#endif
