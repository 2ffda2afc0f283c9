/* SPDX-License-Identifier: MIT
 *
 * From a path to its route, and from a query to its parameters. Pure functions.
 */
#ifndef RESTANTE_NET_ROUTER_H
#define RESTANTE_NET_ROUTER_H

#include "restante/request.h"

struct match {
	const struct route *route; /* NULL: nothing there for this method */
	struct bytes param;	   /* what {} stands for, still encoded */
	unsigned methods;	   /* those the path knows: 1 << METHOD_... */
};

/* Paths are compared byte by byte: an encoded letter is another path. */
struct match router_match(const struct route *routes, enum method method, struct bytes path);

const char *router_method_name(enum method method);
/* METHOD_COUNT for a method that no route has. */
enum method router_method(struct bytes name);

/* Percent-decoding into the arena; false where an escape is broken or stands for a
 * control character. */
bool router_decode(struct arena *arena, struct bytes encoded, struct bytes *out);

/* See request_query(). */
bool router_query(struct arena *arena, struct bytes query, const char *name,
		  struct bytes *value_out, bool *malformed_out);

#endif
