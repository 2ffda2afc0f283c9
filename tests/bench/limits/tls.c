/* SPDX-License-Identifier: MIT
 *
 * OpenSSL alone: two ends of a connection in memory, on one thread.
 */
#include "limits.h"

#include "restante/log.h"

#include <openssl/ssl.h>
#include <stdio.h>

#define PIECE_MAX 16384

struct ends {
	SSL_CTX *contexts[2];
	SSL *client;
	SSL *server;
};

static SSL *end_create(SSL_CTX *context, BIO *bio)
{
	SSL *ssl = SSL_new(context);

	if (ssl == NULL || bio == NULL)
		fatal("no TLS");
	SSL_set_bio(ssl, bio, bio);
	return ssl;
}

static struct ends ends_connect(const char *certificate, const char *key)
{
	struct ends ends = {
		.contexts = {SSL_CTX_new(TLS_client_method()),
			     SSL_CTX_new(TLS_server_method())},
	};
	BIO *bios[2] = {0};
	int done = 0;

	if (SSL_CTX_use_certificate_chain_file(ends.contexts[1], certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ends.contexts[1], key, SSL_FILETYPE_PEM) != 1 ||
	    BIO_new_bio_pair(&bios[0], 4 * PIECE_MAX, &bios[1], 4 * PIECE_MAX) != 1)
		fatal("no TLS with %s", certificate);
	ends.client = end_create(ends.contexts[0], bios[0]);
	ends.server = end_create(ends.contexts[1], bios[1]);
	SSL_set_connect_state(ends.client);
	SSL_set_accept_state(ends.server);
	for (int turns = 0; done != 2; turns++) {
		done = (SSL_do_handshake(ends.client) == 1) +
		       (SSL_do_handshake(ends.server) == 1);
		if (turns == 10)
			fatal("TLS does not come about");
	}
	return ends;
}

static void ends_free(struct ends *ends)
{
	SSL_free(ends->client);
	SSL_free(ends->server);
	SSL_CTX_free(ends->contexts[0]);
	SSL_CTX_free(ends->contexts[1]);
}

/* MB that were written and read, by second of CPU. */
static double carry(const struct ends *ends, size_t piece, size_t bytes)
{
	static uint8_t out[PIECE_MAX];
	static uint8_t in[PIECE_MAX];
	uint64_t began = cpu_ns();

	for (size_t done = 0; done < bytes; done += piece)
		if (SSL_write(ends->client, out, (int)piece) != (int)piece ||
		    SSL_read(ends->server, in, sizeof in) != (int)piece)
			fatal("TLS does not carry");
	return (double)bytes * 1e3 / (double)(cpu_ns() - began);
}

void limit_tls(const char *certificate, const char *key, size_t bytes)
{
	struct ends ends = ends_connect(certificate, key);
	double small = carry(&ends, 512, bytes / 8);
	double large = carry(&ends, PIECE_MAX, bytes);

	printf("{\"cipher\":\"%s\",\"mb_per_cpu_second_512\":%.0f,"
	       "\"mb_per_cpu_second_16384\":%.0f}\n",
	       SSL_get_cipher_name(ends.client), small, large);
	ends_free(&ends);
}
