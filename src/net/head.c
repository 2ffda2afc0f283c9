/* SPDX-License-Identifier: MIT
 *
 * The strict reader of request heads. Lines end in CRLF and nothing else, no line is
 * folded, names are tokens directly followed by their colon, headers that steer how the
 * request is read come at most once.
 */
#include "head.h"

#include <stddef.h>
#include <strings.h>

enum head_end head_find_end(struct bytes data, size_t *scanned, size_t *len_out)
{
	for (size_t i = *scanned; i < data.len; i++) {
		uint8_t c = data.data[i];
		bool after_cr = i > 0 && data.data[i - 1] == '\r';

		if (after_cr != (c == '\n'))
			return HEAD_MALFORMED;
		if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
			return HEAD_MALFORMED;
		if (c != '\n')
			continue;
		if (i == 1) /* an empty line where the request line should be */
			return HEAD_MALFORMED;
		if (data.data[i - 2] == '\n') {
			*len_out = i + 1;
			return HEAD_COMPLETE;
		}
	}
	*scanned = data.len;
	return HEAD_INCOMPLETE;
}

/* token of RFC 9110 section 5.6.2 */
static bool is_token_char(uint8_t c)
{
	if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
		return true;
	return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_token(struct bytes text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (!is_token_char(text.data[i]))
			return false;
	}
	return text.len > 0;
}

static bool is_digits(struct bytes text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
	}
	return text.len > 0;
}

bool head_equals(struct bytes value, const char *token)
{
	return value.len == strlen(token) &&
	       strncasecmp((const char *)value.data, token, value.len) == 0;
}

static struct bytes trim(struct bytes value)
{
	while (value.len > 0 && (value.data[0] == ' ' || value.data[0] == '\t')) {
		value.data++;
		value.len--;
	}
	while (value.len > 0 &&
	       (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
		value.len--;
	return value;
}

/* Cuts off what comes before the first separator, or all of it. */
static struct bytes cut(struct bytes *rest, char separator)
{
	const uint8_t *found = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
	struct bytes part = *rest;

	if (found == NULL) {
		*rest = bytes_of(rest->data + rest->len, 0);
		return part;
	}
	part.len = (size_t)(found - rest->data);
	rest->data += part.len + 1;
	rest->len -= part.len + 1;
	return part;
}

bool head_has_token(struct bytes list, const char *token)
{
	while (list.len > 0) {
		if (head_equals(trim(cut(&list, ',')), token))
			return true;
	}
	return false;
}

/* What RFC 3986 allows in a path or query, so no spaces, quotes, brackets or bytes
 * above ASCII, which proxies like to "repair". */
static bool is_target_char(uint8_t c)
{
	if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
		return true;
	return c != '\0' && strchr("/?%-._~!$&'()*+,;=:@", c) != NULL;
}

static enum err parse_target(struct bytes target, struct head *head, const char **reason_out)
{
	if (target.len == 0 || target.data[0] != '/') {
		*reason_out = "The request target must be a path.";
		return ERR_VALIDATION;
	}
	for (size_t i = 0; i < target.len; i++) {
		if (!is_target_char(target.data[i])) {
			*reason_out = "The request target holds a forbidden character.";
			return ERR_VALIDATION;
		}
	}
	head->path = cut(&target, '?');
	head->query = target;
	return ERR_OK;
}

static enum err parse_request_line(struct bytes line, struct head *head,
				   const char **reason_out)
{
	struct bytes target;

	head->method = cut(&line, ' ');
	target = cut(&line, ' ');
	*reason_out = "The request line is malformed.";
	if (!is_token(head->method))
		return ERR_VALIDATION;
	if (bytes_equal(line, bytes_of_text("HTTP/1.1")))
		head->http_1_1 = true;
	else if (!bytes_equal(line, bytes_of_text("HTTP/1.0")))
		return ERR_VALIDATION;
	head->close = !head->http_1_1;
	return parse_target(target, head, reason_out);
}

/* Headers that are kept; each may come once. */
static const struct {
	const char *name;
	size_t offset;
} kept[] = {
	{"host", offsetof(struct head, host)},
	{"content-length", offsetof(struct head, content_length)},
	{"transfer-encoding", offsetof(struct head, transfer_encoding)},
	{"content-type", offsetof(struct head, content_type)},
	{"content-digest", offsetof(struct head, content_digest)},
	{"signature", offsetof(struct head, signature)},
	{"signature-input", offsetof(struct head, signature_input)},
	{"restante-destination", offsetof(struct head, destination)},
	{"authorization", offsetof(struct head, authorization)},
	{"origin", offsetof(struct head, origin)},
	{"expect", offsetof(struct head, expect)},
	{"upgrade", offsetof(struct head, upgrade)},
	{"sec-websocket-key", offsetof(struct head, websocket_key)},
	{"sec-websocket-version", offsetof(struct head, websocket_version)},
	{"access-control-request-method", offsetof(struct head, requested_method)},
};

static struct bytes *kept_header(struct head *head, struct bytes name)
{
	for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
		if (head_equals(name, kept[i].name))
			return (struct bytes *)(void *)((char *)head + kept[i].offset);
	}
	return NULL;
}

static struct bytes last_element(struct bytes list)
{
	struct bytes last = list;

	while (list.len > 0)
		last = cut(&list, ',');
	return trim(last);
}

static enum err parse_header(struct bytes line, struct head *head, const char **reason_out)
{
	struct bytes name = cut(&line, ':');
	struct bytes *slot;

	/* A line without a colon, a space before the colon and a folded line all end up
	 * as a name that is no token. */
	if (name.data + name.len == line.data || !is_token(name)) {
		*reason_out = "A header line is malformed.";
		return ERR_VALIDATION;
	}
	line = trim(line);
	slot = kept_header(head, name);
	if (slot != NULL && slot->data != NULL) {
		*reason_out = "A header that must come once came twice.";
		return ERR_VALIDATION;
	}
	if (slot != NULL)
		*slot = line;
	if (head_equals(name, "connection")) {
		head->close |= head_has_token(line, "close");
		head->connection_upgrade |= head_has_token(line, "upgrade");
	} else if (head_equals(name, "x-forwarded-for")) {
		head->forwarded_for = last_element(line);
	}
	return ERR_OK;
}

static bool is_host(struct bytes host)
{
	for (size_t i = 0; i < host.len; i++) {
		uint8_t c = host.data[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
		    !(c >= 'A' && c <= 'Z') && (c == '\0' || strchr("-._:[]", c) == NULL))
			return false;
	}
	return host.len > 0;
}

static enum err check_length(struct head *head, const char **reason_out)
{
	if (head->transfer_encoding.data != NULL) {
		*reason_out = "Transfer-Encoding is not accepted, send a Content-Length.";
		return head->content_length.data != NULL ? ERR_VALIDATION : ERR_LENGTH_REQUIRED;
	}
	if (head->content_length.data == NULL)
		return ERR_OK;
	*reason_out = "The Content-Length is not a plain number.";
	if (!is_digits(head->content_length) || head->content_length.len > 15)
		return ERR_VALIDATION;
	for (size_t i = 0; i < head->content_length.len; i++)
		head->length = 10 * head->length + (head->content_length.data[i] - '0');
	return ERR_OK;
}

static enum err check_headers(struct head *head, const char **reason_out)
{
	*reason_out = "The Host header is missing or malformed.";
	if (head->host.data == NULL ? head->http_1_1 : !is_host(head->host))
		return ERR_VALIDATION;
	*reason_out = "Only 100-continue can be expected.";
	if (head->expect.data != NULL && !head_equals(head->expect, "100-continue"))
		return ERR_VALIDATION;
	return check_length(head, reason_out);
}

/* The next line without its CRLF. */
static struct bytes next_line(struct bytes *rest)
{
	struct bytes line = cut(rest, '\n');

	return bytes_of(line.data, line.len - 1);
}

enum err head_parse(struct bytes data, struct head *head_out, const char **reason_out)
{
	struct bytes rest = bytes_of(data.data, data.len - 2);
	enum err err;

	*head_out = (struct head){0};
	err = parse_request_line(next_line(&rest), head_out, reason_out);
	for (size_t n = 0; err == ERR_OK && rest.len > 0; n++) {
		if (n == HEAD_MAX_HEADERS) {
			*reason_out = "Too many headers.";
			return ERR_HEADERS_TOO_LARGE;
		}
		err = parse_header(next_line(&rest), head_out, reason_out);
	}
	return err == ERR_OK ? check_headers(head_out, reason_out) : err;
}
