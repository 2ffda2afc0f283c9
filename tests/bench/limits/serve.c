/* SPDX-License-Identifier: MIT
 *
 * libwebsockets alone, in the roles it has for HTTP and WebSockets, with the loop that a node
 * uses.
 */
#include "limits.h"

#include "restante/log.h"

#include <libwebsockets.h>
#include <stdio.h>

#define ANSWER	   "{}"
#define ANSWER_LEN 2

struct peer {
	unsigned owed; /* frames */
};

static int http_answer(struct lws *wsi)
{
	uint8_t head[LWS_PRE + 512];
	uint8_t *start = head + LWS_PRE;
	uint8_t *p = start;
	uint8_t *end = head + sizeof head - 1;

	if (lws_add_http_common_headers(wsi, HTTP_STATUS_OK, "application/json", ANSWER_LEN, &p,
					end) != 0 ||
	    lws_finalize_write_http_header(wsi, start, &p, end) != 0)
		return -1;
	lws_callback_on_writable(wsi);
	return 0;
}

static int answer_write(struct lws *wsi, enum lws_write_protocol protocol)
{
	uint8_t room[LWS_PRE + ANSWER_LEN];

	memcpy(room + LWS_PRE, ANSWER, ANSWER_LEN);
	return lws_write(wsi, room + LWS_PRE, ANSWER_LEN, protocol) < ANSWER_LEN ? -1 : 0;
}

static int http_write_body(struct lws *wsi)
{
	if (answer_write(wsi, LWS_WRITE_HTTP_FINAL) != 0)
		return -1;
	return lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
}

static int frame_answer(struct lws *wsi, struct peer *peer)
{
	if (peer->owed == 0)
		return 0;
	if (--peer->owed > 0)
		lws_callback_on_writable(wsi);
	return answer_write(wsi, LWS_WRITE_TEXT);
}

static int event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		 size_t len)
{
	struct peer *peer = user;

	(void)in;
	(void)len;
	switch (reason) {
	case LWS_CALLBACK_HTTP:
		return http_answer(wsi);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return http_write_body(wsi);
	case LWS_CALLBACK_RECEIVE:
		peer->owed++;
		lws_callback_on_writable(wsi);
		return 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return frame_answer(wsi, peer);
	default:
		return 0;
	}
}

void limit_serve(const char *certificate, const char *key)
{
	static const struct lws_protocols protocols[] = {
		{.name = "limit",
		 .callback = event,
		 .per_session_data_size = sizeof(struct peer)},
		{0},
	};
	struct lws_context_creation_info info = {
		.iface = "127.0.0.1",
		.alpn = "http/1.1",
		.protocols = protocols,
		.ssl_cert_filepath = certificate,
		.ssl_private_key_filepath = key,
		.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
	};
	struct lws_context *context;
	struct lws_vhost *vhost;

	lws_set_log_level(LLL_ERR, NULL);
	context = lws_create_context(&info);
	vhost = context == NULL ? NULL : lws_create_vhost(context, &info);
	if (vhost == NULL)
		fatal("libwebsockets does not start");
	printf("{\"port\":%d}\n", lws_get_vhost_listen_port(vhost));
	fflush(stdout);
	for (;;)
		lws_service(context, 0);
}
