/* SPDX-License-Identifier: MIT
 *
 * TLS connections and HTTP calls (tls.h).
 */
#include "tls.h"

#include "restante/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_SIZE 16384

struct tls_context tls_context_create(const char *ca_file)
{
	struct tls_context context = {.ssl = SSL_CTX_new(TLS_client_method())};

	if (context.ssl == NULL)
		fatal("no TLS");
	if (SSL_CTX_load_verify_locations(context.ssl, ca_file, NULL) != 1)
		fatal("%s: not a certificate", ca_file);
	SSL_CTX_set_verify(context.ssl, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(context.ssl,
			 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return context;
}

void tls_context_destroy(struct tls_context *context)
{
	SSL_CTX_free(context->ssl);
	context->ssl = NULL;
}

static int tcp_connect(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
		fatal("port %u: %s", port, strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

struct tls tls_connect(const struct tls_context *context, const char *domain, uint16_t port)
{
	struct tls tls = {.fd = tcp_connect(port), .ssl = SSL_new(context->ssl)};

	if (tls.ssl == NULL || SSL_set_fd(tls.ssl, tls.fd) != 1 ||
	    SSL_set_tlsext_host_name(tls.ssl, domain) != 1 ||
	    SSL_set1_host(tls.ssl, domain) != 1)
		fatal("no TLS");
	if (SSL_connect(tls.ssl) != 1)
		fatal("%s: TLS fails (%ld)", domain, SSL_get_verify_result(tls.ssl));
	return tls;
}

void tls_close(struct tls *tls)
{
	SSL_free(tls->ssl);
	close(tls->fd);
	*tls = (struct tls){.fd = -1};
}

void tls_write_all(struct tls *tls, struct bytes bytes)
{
	while (bytes.len > 0) {
		int n = SSL_write(tls->ssl, bytes.data, (int)bytes.len);

		if (n <= 0)
			fatal("the node has closed a connection");
		bytes = bytes_of(bytes.data + n, bytes.len - (size_t)n);
	}
}

static void tls_read_some(struct tls *tls, struct buffer *in)
{
	int n = SSL_read(tls->ssl, buffer_room(in, READ_SIZE), READ_SIZE);

	if (n <= 0)
		fatal("the node has closed a connection");
	buffer_grow(in, (size_t)n);
}

size_t tls_read_head(struct tls *tls, struct buffer *in_out)
{
	for (;;) {
		struct bytes got = buffer_bytes(in_out);
		const uint8_t *end =
			got.len == 0 ? NULL : memmem(got.data, got.len, "\r\n\r\n", 4);

		if (end != NULL)
			return (size_t)(end - got.data) + 4;
		tls_read_some(tls, in_out);
	}
}

static size_t content_length(struct bytes head)
{
	static const char name[] = "\r\ncontent-length: ";

	for (size_t i = 0; i + sizeof name <= head.len; i++)
		if (strncasecmp((const char *)head.data + i, name, sizeof name - 1) == 0)
			return strtoul((const char *)head.data + i + sizeof name - 1, NULL, 10);
	fatal("an answer has no Content-Length");
}

struct bytes http_call(struct tls *tls, struct buffer *buffer, const char *domain,
		       const char *method, const char *path, const char *token,
		       struct bytes body)
{
	size_t head;
	size_t len;

	buffer_drop(buffer, buffer_bytes(buffer).len);
	buffer_printf(buffer,
		      "%s /api/v1/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
		      "Content-Length: %zu\r\n%s%s%s\r\n",
		      method, path, domain, body.len,
		      token != NULL ? "Authorization: Bearer " : "", token != NULL ? token : "",
		      token != NULL ? "\r\n" : "");
	buffer_add(buffer, body);
	tls_write_all(tls, buffer_bytes(buffer));
	buffer_drop(buffer, buffer_bytes(buffer).len);

	head = tls_read_head(tls, buffer);
	len = content_length(bytes_of(buffer_bytes(buffer).data, head));
	while (buffer_bytes(buffer).len < head + len)
		tls_read_some(tls, buffer);
	if (memcmp(buffer_bytes(buffer).data, "HTTP/1.1 2", 10) != 0)
		fatal("%s %s: %.*s", method, path, (int)(head + len),
		      (const char *)buffer_bytes(buffer).data);
	return bytes_of(buffer_bytes(buffer).data + head, len);
}
