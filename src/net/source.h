/* SPDX-License-Identifier: MIT
 *
 * Where a request comes from, as rate limits see it: an IPv4 address or an IPv6 network
 * of 64 bits, which is what one customer gets.
 */
#ifndef RESTANTE_NET_SOURCE_H
#define RESTANTE_NET_SOURCE_H

#include "restante/bytes.h"

#include <sys/socket.h>

#define SOURCE_MAX 64

void source_of_address(const struct sockaddr *address, char out[SOURCE_MAX]);
/* 127.0.0.0/8, also as IPv6 writes it, or ::1. */
bool source_is_loopback(const struct sockaddr *address);
/* False, and out untouched, if the text is no address. */
bool source_of_text(struct bytes text, char out[SOURCE_MAX]);

#endif
