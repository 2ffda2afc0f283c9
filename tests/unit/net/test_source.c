/* SPDX-License-Identifier: MIT
 *
 * Where a connection comes from.
 */
#include "source.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void assert_address(const char *text, const char *source, bool loopback)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address = {0};
	char out[SOURCE_MAX];

	if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1)
		address.any.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1)
		address.any.sa_family = AF_INET6;
	source_of_address(&address.any, out);
	assert_string_equal(source, out);
	assert_int_equal(loopback, source_is_loopback(&address.any));
}

static void tells_sources_apart(void **state)
{
	(void)state;
	assert_address("127.0.0.1", "127.0.0.1", true);
	assert_address("127.9.9.9", "127.9.9.9", true);
	assert_address("::ffff:127.0.0.1", "127.0.0.1", true);
	assert_address("::1", "::/64", true);
	assert_address("::2", "::/64", false);
	assert_address("128.0.0.1", "128.0.0.1", false);
	assert_address("::ffff:192.0.2.1", "192.0.2.1", false);
	assert_address("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", false);
	assert_address("", "unknown", false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_sources_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
