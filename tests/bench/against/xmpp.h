/* SPDX-License-Identifier: MIT
 *
 * The same runs (run.h) with an XMPP server: TLS from the first byte (XEP-0368) or none, SASL
 * PLAIN, messages of type chat to bare addresses. An account's token is its password.
 */
#ifndef BENCH_XMPP_H
#define BENCH_XMPP_H

#include "run.h"

/* One stream for each device, logged in and available (RFC 6120, RFC 6121). */
extern const struct protocol xmpp_stream;

/* In-band registration (XEP-0077). */
void xmpp_register(const struct tls_context *context, const char *domain, uint16_t port,
		   const char *name, size_t count);
void xmpp_send(const struct run *run);
void xmpp_receive(const struct run *run);

#endif
