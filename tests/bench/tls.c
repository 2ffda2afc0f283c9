/* SPDX-License-Identifier: MIT
 *
 * Connections and HTTP (tls.h).
 */
#include "tls.h"

#include "restante/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_SIZE	     16384
#define CONNECTIONS_A_SOURCE 10000 /* well below the ports that an address has */

struct tls_context tls_context_create(const char *ca_file)
{
	struct tls_context context = {0};

	if (ca_file == NULL)
		return context;
	context.ssl = SSL_CTX_new(TLS_client_method());
	if (context.ssl == NULL)
		fatal("no TLS");
	if (SSL_CTX_load_verify_locations(context.ssl, ca_file, NULL) != 1)
		fatal("%s: not a certificate", ca_file);
	SSL_CTX_set_verify(context.ssl, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(context.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
					      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					      SSL_MODE_RELEASE_BUFFERS);
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
	static uint32_t connections;
	struct sockaddr_in source = {
		.sin_family = AF_INET,
		.sin_addr.s_addr =
			htonl(INADDR_LOOPBACK + connections++ / CONNECTIONS_A_SOURCE),
	};
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	if (fd < 0 || bind(fd, (struct sockaddr *)&source, sizeof source) != 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
		fatal("port %u: %s", port, strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

struct tls tls_connect(const struct tls_context *context, const char *domain, uint16_t port)
{
	struct tls tls = {.fd = tcp_connect(port)};

	if (context->ssl == NULL)
		return tls;
	tls.ssl = SSL_new(context->ssl);
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

/* Of a call that took or brought nothing. */
static size_t not_now(const struct tls *tls, int result)
{
	int error = SSL_ERROR_SYSCALL;

	if (tls->ssl != NULL)
		error = SSL_get_error(tls->ssl, result);
	else if (result < 0 && errno == EAGAIN)
		error = SSL_ERROR_WANT_READ;
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		fatal("the node has closed a connection");
	return 0;
}

size_t tls_read(struct tls *tls, uint8_t *out, size_t size)
{
	int n = tls->ssl != NULL ? SSL_read(tls->ssl, out, (int)size)
				 : (int)read(tls->fd, out, size);

	return n > 0 ? (size_t)n : not_now(tls, n);
}

size_t tls_write(struct tls *tls, struct bytes bytes)
{
	int n = tls->ssl != NULL ? SSL_write(tls->ssl, bytes.data, (int)bytes.len)
				 : (int)write(tls->fd, bytes.data, bytes.len);

	return n > 0 ? (size_t)n : not_now(tls, n);
}

void tls_write_all(struct tls *tls, struct bytes bytes)
{
	while (bytes.len > 0) {
		size_t n = tls_write(tls, bytes);

		bytes = bytes_of(bytes.data + n, bytes.len - n);
	}
}

void tls_read_some(struct tls *tls, struct buffer *in)
{
	int on = 1;

	/* A server that waits for this before it sends its next piece waits 40 ms otherwise. */
	setsockopt(tls->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
	buffer_grow(in, tls_read(tls, buffer_room(in, READ_SIZE), READ_SIZE));
}

/* Its length; 0 if it has not come as a whole. */
static size_t head_len(struct bytes in)
{
	const uint8_t *end = in.len == 0 ? NULL : memmem(in.data, in.len, "\r\n\r\n", 4);

	return end == NULL ? 0 : (size_t)(end - in.data) + 4;
}

size_t tls_read_head(struct tls *tls, struct buffer *in_out)
{
	size_t len;

	while ((len = head_len(buffer_bytes(in_out))) == 0)
		tls_read_some(tls, in_out);
	return len;
}

static size_t content_length(struct bytes head)
{
	static const char name[] = "\r\ncontent-length: ";

	for (size_t i = 0; i + sizeof name <= head.len; i++)
		if (strncasecmp((const char *)head.data + i, name, sizeof name - 1) == 0)
			return strtoul((const char *)head.data + i + sizeof name - 1, NULL, 10);
	fatal("an answer has no Content-Length");
}

void http_write(struct buffer *out, const char *domain, const char *method, const char *path,
		const char *token, struct bytes body)
{
	buffer_printf(out,
		      "%s /api/v1/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
		      "Content-Length: %zu\r\n%s%s%s\r\n",
		      method, path, domain, body.len,
		      token != NULL ? "Authorization: Bearer " : "", token != NULL ? token : "",
		      token != NULL ? "\r\n" : "");
	buffer_add(out, body);
}

bool http_read(struct bytes in, const char *path, struct bytes *body_out, size_t *len_out)
{
	size_t head = head_len(in);

	if (head == 0)
		return false;
	*len_out = head + content_length(bytes_of(in.data, head));
	if (in.len < *len_out)
		return false;
	if (memcmp(in.data, "HTTP/1.1 2", 10) != 0)
		fatal("%s: %.*s", path, (int)*len_out, (const char *)in.data);
	*body_out = bytes_of(in.data + head, *len_out - head);
	return true;
}

struct bytes http_call(struct tls *tls, struct buffer *buffer, const char *domain,
		       const char *method, const char *path, const char *token,
		       struct bytes body)
{
	struct bytes answer;
	size_t len;

	buffer_drop(buffer, buffer_bytes(buffer).len);
	http_write(buffer, domain, method, path, token, body);
	tls_write_all(tls, buffer_bytes(buffer));
	buffer_drop(buffer, buffer_bytes(buffer).len);
	while (!http_read(buffer_bytes(buffer), path, &answer, &len))
		tls_read_some(tls, buffer);
	return answer;
}
