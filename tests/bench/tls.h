/* SPDX-License-Identifier: MIT
 *
 * Connections to nodes on this machine, with TLS or without, and HTTP: requests, answers, and
 * calls that wait for their answer.
 */
#ifndef BENCH_TLS_H
#define BENCH_TLS_H

#include "buffer.h"

#include <openssl/ssl.h>
#include <sys/types.h>

struct tls {
	int fd;
	SSL *ssl; /* NULL: without TLS */
};

struct tls_context {
	SSL_CTX *ssl; /* NULL: without TLS */
};

struct tls_context tls_context_create(const char *ca_file); /* NULL: without TLS */
void tls_context_destroy(struct tls_context *context);

/* To a port of 127.0.0.1 where the domain's node listens; from other addresses of this machine
 * when there are many. */
struct tls tls_connect(const struct tls_context *context, const char *domain, uint16_t port);
void tls_close(struct tls *tls);
/* What was read or written; 0 if nothing can be now. A connection that is gone ends the
 * program. */
size_t tls_read(struct tls *tls, uint8_t *out, size_t size);
size_t tls_write(struct tls *tls, struct bytes bytes);
void tls_write_all(struct tls *tls, struct bytes bytes);
void tls_read_some(struct tls *tls, struct buffer *in); /* waits for it */
/* Reads until the head of an HTTP answer is there; answers its length. in_out may then
 * hold more. */
size_t tls_read_head(struct tls *tls, struct buffer *in_out);

/* Appends a request; token may be NULL. */
void http_write(struct buffer *out, const char *domain, const char *method, const char *path,
		const char *token, struct bytes body);
/* The answer to it at the front of what has come, with its length; false if not all of it is
 * there. Anything but a 2xx ends the program. */
bool http_read(struct bytes in, const char *path, struct bytes *body_out, size_t *len_out);
/* The body of the answer, valid until the next call with this buffer. */
struct bytes http_call(struct tls *tls, struct buffer *buffer, const char *domain,
		       const char *method, const char *path, const char *token,
		       struct bytes body);

#endif
