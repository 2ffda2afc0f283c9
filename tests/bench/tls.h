/* SPDX-License-Identifier: MIT
 *
 * TLS connections to nodes on this machine, and plain HTTP calls over them that wait for
 * their answer.
 */
#ifndef BENCH_TLS_H
#define BENCH_TLS_H

#include "buffer.h"

#include <openssl/ssl.h>

struct tls {
	int fd;
	SSL *ssl;
};

struct tls_context {
	SSL_CTX *ssl;
};

struct tls_context tls_context_create(const char *ca_file);
void tls_context_destroy(struct tls_context *context);

/* To a port of 127.0.0.1 where the domain's node listens. */
struct tls tls_connect(const struct tls_context *context, const char *domain, uint16_t port);
void tls_close(struct tls *tls);
void tls_write_all(struct tls *tls, struct bytes bytes);
/* Reads until the head of an HTTP answer is there; answers its length. in_out may then
 * hold more. */
size_t tls_read_head(struct tls *tls, struct buffer *in_out);

/* The body of the answer, valid until the next call with this buffer. Anything but
 * a 2xx ends the program. token may be NULL. */
struct bytes http_call(struct tls *tls, struct buffer *buffer, const char *domain,
		       const char *method, const char *path, const char *token,
		       struct bytes body);

#endif
