/* SPDX-License-Identifier: MIT
 *
 * TLS of the server. OpenSSL does it, inside libwebsockets.
 */
#include "net.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#define OLD_PROTOCOLS (SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1)
/* The nearest to a session cache we need are the tickets of TLS 1.3. */
#define HARDENING     (SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION)

void tls_configure(const struct server_config *config, struct lws_context_creation_info *info)
{
	/* Also where no certificate is used: HTTP/2 is never offered. */
	info->alpn = "http/1.1";
	if (config->certificate == NULL)
		return;
	info->options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	info->ssl_cert_filepath = config->certificate;
	info->ssl_private_key_filepath = config->key;
	info->ssl_options_set = OLD_PROTOCOLS | HARDENING;
}

void tls_share_tickets(struct server *server, void *ssl_context)
{
	struct server *first = server->first;
	long done = server == first
			    ? SSL_CTX_get_tlsext_ticket_keys(ssl_context, first->ticket_keys,
							     sizeof first->ticket_keys)
			    : SSL_CTX_set_tlsext_ticket_keys(ssl_context, first->ticket_keys,
							     sizeof first->ticket_keys);

	if (done != 1)
		fatal("cannot share the keys of TLS tickets");
}

static int ignore_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			size_t len)
{
	(void)wsi;
	(void)reason;
	(void)user;
	(void)in;
	(void)len;
	return 0;
}

/* libwebsockets loads new files into the context that is in use, and leaves it broken
 * when they are bad; so they are loaded into a virtual host of no use first. */
static bool files_are_good(struct server *server)
{
	static const struct lws_protocols protocols[] = {
		{.name = "none", .callback = ignore_event},
		{0},
	};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.vhost_name = "reload",
		.protocols = protocols,
	};
	struct lws_vhost *trial;

	tls_configure(server->config, &info);
	trial = lws_create_vhost(server->lws, &info);
	if (trial == NULL)
		return false;
	lws_vhost_destroy(trial);
	return true;
}

void tls_reload(struct server *server)
{
	const struct server_config *config = server->config;

	if (config->certificate == NULL)
		return;
	if (!files_are_good(server)) {
		log_error(tls, "reloaded=no file=%s", log_quote(config->certificate));
		return;
	}
	tls_use_files(server);
	for (struct server *s = server->further; s != NULL; s = s->further) {
		atomic_store(&s->files_are_new, true);
		lws_cancel_service(s->lws);
	}
	log_info(tls, "reloaded=yes file=%s", log_quote(config->certificate));
}

void tls_use_files(struct server *server)
{
	lws_tls_cert_updated(server->lws, server->config->certificate, server->config->key,
			     NULL, 0, NULL, 0);
}

/* Not before: libwebsockets would not notice what came with the end of the handshake. */
void tls_read_ahead(struct connection *connection)
{
	SSL *ssl = lws_get_ssl(connection->wsi);

	if (ssl != NULL)
		SSL_set_read_ahead(ssl, 1);
}

int tls_read_more(struct connection *connection, uint8_t record[TLS_RECORD_MAX])
{
	SSL *ssl = lws_get_ssl(connection->wsi);
	int n;

	if (ssl == NULL || SSL_has_pending(ssl) == 0)
		return 0;
	ERR_clear_error();
	n = SSL_read(ssl, record, TLS_RECORD_MAX);
	if (n > 0)
		return n;
	switch (SSL_get_error(ssl, n)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_WANT_WRITE:
		lws_callback_on_writable(connection->wsi);
		return 0;
	default:
		return -1;
	}
}
