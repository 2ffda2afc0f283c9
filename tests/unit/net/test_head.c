/* SPDX-License-Identifier: MIT
 *
 * The strict reader of request heads.
 */
#include "head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#define HEAD(lines) lines "\r\n"
#define GET	    "GET / HTTP/1.1\r\nHost: a\r\n"

static enum head_end end_of(const char *data, size_t len, size_t *head_len)
{
	size_t scanned = 0;

	return head_find_end(bytes_of(data, len), &scanned, head_len);
}

static enum err parse(const char *data, struct head *head)
{
	const char *reason = NULL;
	size_t len = 0;
	enum err err;

	assert_int_equal(HEAD_COMPLETE, end_of(data, strlen(data), &len));
	assert_int_equal(strlen(data), len);
	err = head_parse(bytes_of(data, len), head, &reason);
	assert_true(err == ERR_OK || reason != NULL);
	return err;
}

static enum err parse_only(const char *data)
{
	struct head head;

	return parse(data, &head);
}

static void assert_text(const char *expected, struct bytes actual)
{
	assert_non_null(actual.data);
	assert_int_equal(strlen(expected), actual.len);
	assert_memory_equal(expected, actual.data, actual.len);
}

static void finds_the_end_in_pieces(void **state)
{
	static const char data[] = GET "\r\nrest";
	size_t scanned = 0;
	size_t len = 0;

	(void)state;
	for (size_t n = 0; n < sizeof data - 6; n++)
		assert_int_equal(HEAD_INCOMPLETE,
				 head_find_end(bytes_of(data, n), &scanned, &len));
	assert_int_equal(HEAD_COMPLETE,
			 head_find_end(bytes_of(data, sizeof data - 1), &scanned, &len));
	assert_int_equal(sizeof data - 5, len);
}

static void refuses_bytes_that_are_no_lines(void **state)
{
	static const struct {
		const char *data;
		size_t len;
	} cases[] = {
#define CASE(text) {text, sizeof(text) - 1}
		CASE("GET / HTTP/1.1\nHost: a\n\n"),
		CASE("GET / HTTP/1.1\r\nHost: a\n"),
		CASE("GET / HTTP/1.1\rHost: a"),
		CASE("GET / HTTP/1.1\r\nHost: a\0b\r\n"),
		CASE("GET / HTTP/1.1\r\nHost: \x7f"),
		CASE("GET / HTTP/1.1\r\nX: \x1b[0m\r\n"),
		CASE("\r\nGET / HTTP/1.1\r\n"),
		CASE("\n"),
		CASE("\r\r"),
		CASE("\x16\x03\x01"),
#undef CASE
	};
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(HEAD_MALFORMED, end_of(cases[i].data, cases[i].len, &len));
}

static void reads_a_request(void **state)
{
	struct head head;

	(void)state;
	assert_int_equal(
		ERR_OK,
		parse(HEAD("POST /a/b%40c?x=1&y HTTP/1.1\r\nhOsT: a.example:8443\r\n"
			   "Content-Length: 12\r\nContent-Type:application/json\r\n"
			   "Authorization:\t Bearer x \t\r\nSignature: r=:AA==:\r\n"
			   "Signature-Input: r=(\"@method\")\r\nContent-Digest: d\r\n"
			   "Restante-Destination: b.example\r\nOrigin: https://c.example\r\n"
			   "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 1.1.1.1, "
			   "192.0.2.2\r\n"
			   "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
			   "Expect: 100-Continue\r\nX-Empty:\r\n"),
		      &head));
	assert_text("POST", head.method);
	assert_text("/a/b%40c", head.path);
	assert_text("x=1&y", head.query);
	assert_text("a.example:8443", head.host);
	assert_int_equal(12, head.length);
	assert_text("application/json", head.content_type);
	assert_text("Bearer x", head.authorization);
	assert_text("r=:AA==:", head.signature);
	assert_text("r=(\"@method\")", head.signature_input);
	assert_text("d", head.content_digest);
	assert_text("b.example", head.destination);
	assert_text("https://c.example", head.origin);
	assert_text("192.0.2.2", head.forwarded_for);
	assert_true(head.http_1_1);
	assert_true(head.connection_upgrade);
	assert_false(head.close);
	assert_true(head_has_token(head.upgrade, "websocket"));
}

static void knows_when_the_connection_ends(void **state)
{
	struct head head;

	(void)state;
	assert_int_equal(ERR_OK, parse(HEAD(GET "Connection: foo , CLOSE\r\n"), &head));
	assert_true(head.close);
	assert_int_equal(ERR_OK, parse(HEAD("GET / HTTP/1.0\r\n"), &head));
	assert_true(head.close);
	assert_int_equal(ERR_OK, parse(HEAD(GET "Connection: closed\r\n"), &head));
	assert_false(head.close);
}

static void refuses_request_lines(void **state)
{
	static const char *const lines[] = {
		"GET http://a/ HTTP/1.1",
		"GET a HTTP/1.1",
		"GET * HTTP/1.1",
		"GET  / HTTP/1.1",
		"GET / HTTP/1.1 ",
		"GET /  HTTP/1.1",
		"GET /",
		"GET",
		" GET / HTTP/1.1",
		"GET / HTTP/2.0",
		"GET / HTTP/0.9",
		"GET / http/1.1",
		"GET / HTTP/1.1x",
		"GET /a b HTTP/1.1",
		"GET /\x80 HTTP/1.1",
		"GET /a#b HTTP/1.1",
		"GET /a\\b HTTP/1.1",
		"G(T / HTTP/1.1",
		"GET /\t HTTP/1.1",
		"CONNECT a:1 HTTP/1.1",
		"GET /<x> HTTP/1.1",
	};
	char data[256];

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		snprintf(data, sizeof data, "%s\r\nHost: a\r\n\r\n", lines[i]);
		assert_int_equal(ERR_VALIDATION, parse_only(data));
	}
}

static void refuses_header_lines(void **state)
{
	static const char *const lines[] = {
		"X : a",
		" X: a",
		"\tX: a",
		"X",
		": a",
		"X Y: a",
		"X\t: a",
		"\"X\": a",
		"Transfer-Encoding : chunked",
		"X: a\r\n folded",
		"X: a\r\n\tfolded",
		"\x80: a",
	};
	char data[256];

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		snprintf(data, sizeof data, GET "%s\r\n\r\n", lines[i]);
		assert_int_equal(ERR_VALIDATION, parse_only(data));
	}
}

static void refuses_what_comes_twice(void **state)
{
	static const char *const names[] = {
		"Host",
		"Content-Length",
		"Content-Type",
		"Content-Digest",
		"Signature",
		"Signature-Input",
		"Restante-Destination",
		"Authorization",
		"Origin",
		"Expect",
		"Upgrade",
		"Sec-WebSocket-Key",
		"Sec-WebSocket-Version",
		"Transfer-Encoding",
	};
	char data[256];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		snprintf(data, sizeof data, "GET / HTTP/1.1\r\n%s: 1\r\n%s: 1\r\n\r\n",
			 names[i], names[i]);
		assert_int_equal(ERR_VALIDATION, parse_only(data));
	}
}

static void refuses_lengths(void **state)
{
	static const char *const values[] = {
		"+5",
		"-1",
		"5abc",
		"0x5",
		"5 5",
		"5,5",
		"5, 5",
		"",
		"1e3",
		"5.0",
		"18446744073709551616",
		"0000000000000005",
		"\"5\"",
	};
	char data[256];

	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		snprintf(data, sizeof data, GET "Content-Length: %s\r\n\r\n", values[i]);
		assert_int_equal(ERR_VALIDATION, parse_only(data));
	}
}

static void refuses_transfer_encoding(void **state)
{
	(void)state;
	assert_int_equal(ERR_LENGTH_REQUIRED,
			 parse_only(HEAD(GET "Transfer-Encoding: chunked\r\n")));
	assert_int_equal(ERR_LENGTH_REQUIRED,
			 parse_only(HEAD(GET "transfer-encoding:identity\r\n")));
	assert_int_equal(
		ERR_VALIDATION,
		parse_only(HEAD(GET "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")));
	assert_int_equal(
		ERR_VALIDATION,
		parse_only(HEAD(GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")));
}

static void refuses_hosts_and_expectations(void **state)
{
	(void)state;
	assert_int_equal(ERR_VALIDATION, parse_only(HEAD("GET / HTTP/1.1\r\n")));
	assert_int_equal(ERR_VALIDATION, parse_only(HEAD("GET / HTTP/1.1\r\nHost:\r\n")));
	assert_int_equal(ERR_VALIDATION, parse_only(HEAD("GET / HTTP/1.1\r\nHost: a, b\r\n")));
	assert_int_equal(ERR_VALIDATION, parse_only(HEAD("GET / HTTP/1.1\r\nHost: a/b\r\n")));
	assert_int_equal(ERR_OK, parse_only(HEAD("GET / HTTP/1.1\r\nHost: [::1]:80\r\n")));
	assert_int_equal(ERR_VALIDATION, parse_only(HEAD(GET "Expect: 200-ok\r\n")));
}

static void counts_headers(void **state)
{
	char data[HEAD_MAX_BYTES] = "GET / HTTP/1.1\r\nHost: a\r\n";

	(void)state;
	for (int i = 1; i < HEAD_MAX_HEADERS; i++)
		strcat(data, "X: y\r\n");
	strcat(data, "\r\n");
	assert_int_equal(ERR_OK, parse_only(data));
	data[strlen(data) - 2] = '\0';
	strcat(data, "X: y\r\n\r\n");
	assert_int_equal(ERR_HEADERS_TOO_LARGE, parse_only(data));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_end_in_pieces),
		cmocka_unit_test(refuses_bytes_that_are_no_lines),
		cmocka_unit_test(reads_a_request),
		cmocka_unit_test(knows_when_the_connection_ends),
		cmocka_unit_test(refuses_request_lines),
		cmocka_unit_test(refuses_header_lines),
		cmocka_unit_test(refuses_what_comes_twice),
		cmocka_unit_test(refuses_lengths),
		cmocka_unit_test(refuses_transfer_encoding),
		cmocka_unit_test(refuses_hosts_and_expectations),
		cmocka_unit_test(counts_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
