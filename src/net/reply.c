/* SPDX-License-Identifier: MIT
 *
 * Answers: the head, the uniform error object and what browsers of other origins need
 * (the Fetch standard, "CORS protocol").
 */
#include "net.h"

#include "restante/problem.h"
#include "router.h"

#include "restante/text.h"

#include <assert.h>
#include <time.h>

/* A body of up to this goes out in one write with its head. */
#define JOINED_BODY_MAX (16 * 1024)
#define JSON_TYPE	"application/json"

static struct exchange *exchange_of(struct request *request)
{
	return (struct exchange *)(void *)request;
}

static const char *reason_phrase(int status)
{
	switch (status) {
	case 101:
		return "Switching Protocols";
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 202:
		return "Accepted";
	case 204:
		return "No Content";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 409:
		return "Conflict";
	case 410:
		return "Gone";
	case 411:
		return "Length Required";
	case 413:
		return "Content Too Large";
	case 415:
		return "Unsupported Media Type";
	case 422:
		return "Unprocessable Content";
	case 426:
		return "Upgrade Required";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	case 507:
		return "Insufficient Storage";
	default:
		return status < 400 ? "OK" : "Error";
	}
}

/* Shown to people when the handler has nothing better to say. */
static const char *date_now(struct server *server)
{
	time_t now = time(NULL);
	struct tm tm;

	if (now != server->date_second) {
		gmtime_r(&now, &tm);
		strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
		server->date_second = now;
	}
	return server->date;
}

/* --- CORS -------------------------------------------------------------------------- */

static bool origin_is_allowed(const struct exchange *x)
{
	const char *const *allowed = x->server->config->cors_origins;

	if (allowed == NULL || x->request.origin.len == 0)
		return false;
	for (; *allowed != NULL; allowed++) {
		if (strcmp(*allowed, "*") == 0 ||
		    bytes_equal(x->request.origin, bytes_of_text(*allowed)))
			return true;
	}
	return false;
}

static void add_origin(struct text *head, const struct exchange *x)
{
	if (x->server->config->cors_origins == NULL)
		return;
	text_puts(head, "vary: Origin\r\n");
	if (!origin_is_allowed(x))
		return;
	text_puts(head, "access-control-allow-origin: ");
	text_add(head, x->request.origin);
	text_puts(head, "\r\naccess-control-expose-headers: Retry-After\r\n");
}

/* "GET, POST, OPTIONS" */
static const char *method_list(const struct exchange *x)
{
	struct text list;

	text_init(&list, x->request.arena, 64);
	for (int m = 0; m < METHOD_COUNT; m++) {
		if ((x->methods & 1U << m) != 0)
			text_printf(&list, "%s, ", router_method_name((enum method)m));
	}
	text_puts(&list, "OPTIONS");
	return list.data;
}

void reply_preflight(struct exchange *exchange)
{
	const struct header headers[] = {
		{"allow", method_list(exchange)},
		{"access-control-allow-methods", method_list(exchange)},
		{"access-control-allow-headers", "Authorization, Content-Type"},
		{"access-control-max-age", "600"},
	};
	bool cross =
		exchange->head.requested_method.data != NULL && origin_is_allowed(exchange);

	request_reply_with(&exchange->request, 204, NULL, bytes_of(NULL, 0), headers,
			   cross ? 4 : 1);
}

/* --- writing ----------------------------------------------------------------------- */

static bool is_header_value(const char *value)
{
	for (; *value != '\0'; value++) {
		if ((unsigned char)*value < 0x20 || *value == 0x7f)
			return false;
	}
	return true;
}

static void add_headers(struct text *head, const struct header *headers, size_t n)
{
	assert(n <= 8);
	for (size_t i = 0; i < n; i++) {
		assert(is_header_value(headers[i].value));
		text_printf(head, "%s: %s\r\n", headers[i].name, headers[i].value);
	}
}

static void add_body_headers(struct text *head, int status, const char *content_type,
			     struct bytes body)
{
	if (status == 204)
		return;
	if (body.len > 0)
		text_printf(head, "content-type: %s\r\n",
			    content_type != NULL ? content_type : JSON_TYPE);
	text_printf(head, "content-length: %zu\r\n", body.len);
}

static void count_reply(int status)
{
	metric_inc(http_requests_total);
	if (status >= 400)
		metric_inc(http_errors_total);
}

static void send_reply(struct connection *c, struct bytes head, struct bytes body)
{
	buffer_add(&c->output, head);
	if (body.len <= JOINED_BODY_MAX)
		buffer_add(&c->output, body);
	else
		c->body = body;
	c->state = CONNECTION_REPLYING;
	c->deadline_ms = NEVER;
	connection_want_write(c);
}

void request_reply_with(struct request *request, int status, const char *content_type,
			struct bytes body, const struct header *headers, size_t n_headers)
{
	struct exchange *x = exchange_of(request);
	struct text head;

	count_reply(status);
	if (request->connection == NULL) {
		exchange_destroy(x);
		return;
	}
	text_init(&head, request->arena, 512);
	text_printf(&head, "HTTP/1.1 %d %s\r\ndate: %s\r\n", status, reason_phrase(status),
		    date_now(x->server));
	add_body_headers(&head, status, content_type, body);
	text_puts(&head, "cache-control: no-store\r\nx-content-type-options: nosniff\r\n");
	add_origin(&head, x);
	add_headers(&head, headers, n_headers);
	if (x->close || x->server->draining) {
		x->close = true;
		text_puts(&head, "connection: close\r\n");
	}
	text_puts(&head, "\r\n");
	send_reply(request->connection, text_bytes(&head), body);
}

void request_reply(struct request *request, int status, struct bytes json)
{
	request_reply_with(request, status, NULL, json, NULL, 0);
}

/* --- errors ------------------------------------------------------------------------ */

static const char *wait_seconds(const struct request *request)
{
	int64_t seconds = (request->retry_after_ms + SECONDS_MS - 1) / SECONDS_MS;

	return arena_printf(request->arena, "%lld", (long long)(seconds > 1 ? seconds : 1));
}

/* What HTTP wants beside the status; returns how many. */
static size_t error_headers(struct exchange *x, int status, struct header headers[1])
{
	switch (status) {
	case 401:
		if (x->request.route != NULL && (x->request.route->flags & ROUTE_SIGNED) != 0)
			return 0;
		headers[0] = (struct header){"www-authenticate", "Bearer"};
		return 1;
	case 405:
		headers[0] = (struct header){"allow", method_list(x)};
		return 1;
	case 429:
		headers[0] = (struct header){"retry-after", wait_seconds(&x->request)};
		return 1;
	case 503:
		headers[0] = (struct header){"retry-after", "1"};
		return 1;
	default:
		return 0;
	}
}

void request_fail_with(struct request *request, enum err err, const char *message,
		       struct bytes details)
{
	int status = err_status(err);
	struct header headers[1];
	size_t n = error_headers(exchange_of(request), status, headers);

	request_reply_with(request, status, NULL,
			   error_encode(request->arena, err, message, details), headers, n);
}

void request_fail(struct request *request, enum err err, const char *field, const char *message)
{
	request_fail_with(request, err, message, details_encode(request->arena, field));
}

void request_limit(struct request *request, int64_t retry_after_ms)
{
	request->retry_after_ms = retry_after_ms;
	request_fail(request, ERR_RATE_LIMITED, NULL, NULL);
}

void reply_fail_with(struct exchange *exchange, int status, enum err err, const char *field,
		     const char *message, const struct header *header)
{
	struct arena *arena = exchange->request.arena;

	metric_inc(http_refused_total);
	request_reply_with(&exchange->request, status, NULL,
			   error_encode(arena, err, message, details_encode(arena, field)),
			   header, 1);
}
