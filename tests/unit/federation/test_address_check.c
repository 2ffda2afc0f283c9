/* SPDX-License-Identifier: MIT
 *
 * Addresses that other people's DNS must not lead to: the first and last of each special
 * range, and what stands right beside them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

static bool allowed(const char *text, bool allow_private)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return address_is_allowed((struct sockaddr *)&v4, allow_private);
	assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	return address_is_allowed((struct sockaddr *)&v6, allow_private);
}

static const char *const special[] = {
	"0.0.0.0",
	"0.255.255.255",
	"10.0.0.0",
	"10.255.255.255",
	"100.64.0.0",
	"100.127.255.255",
	"127.0.0.1",
	"127.255.255.255",
	"169.254.0.0",
	"169.254.169.254",
	"172.16.0.0",
	"172.31.255.255",
	"192.0.0.0",
	"192.0.0.255",
	"192.0.2.1",
	"192.88.99.1",
	"192.168.0.0",
	"192.168.255.255",
	"198.18.0.0",
	"198.19.255.255",
	"198.51.100.1",
	"203.0.113.1",
	"224.0.0.1",
	"239.255.255.255",
	"240.0.0.1",
	"255.255.255.255",
	"::",
	"::1",
	"::7f00:1",
	"::ffff:127.0.0.1",
	"::ffff:8.8.8.8",
	"::ffff:0:127.0.0.1",
	"64:ff9b::7f00:1",
	"64:ff9b:1::1",
	"64:ff9b:1:ffff::1",
	"100::1",
	"200::1",
	"3ff:ffff::1",
	"1fff:ffff::1",
	"2001::1",
	"2001:1ff:ffff::1",
	"2001:db8::1",
	"2001:db8:ffff::1",
	"2002:7f00:1::1",
	"3fff::1",
	"3fff:fff::1",
	"4000::1",
	"5f00::1",
	"fc00::1",
	"fdff:ffff::1",
	"fe80::1",
	"febf::1",
	"fec0::1",
	"ff00::1",
	"ff02::1",
	"ffff::1",
};

static const char *const global[] = {
	"1.0.0.0",	   "9.255.255.255",   "11.0.0.0",     "100.63.255.255",
	"100.128.0.0",	   "126.255.255.255", "128.0.0.0",    "169.253.255.255",
	"169.255.0.0",	   "172.15.255.255",  "172.32.0.0",   "192.0.1.0",
	"192.0.3.0",	   "192.88.98.255",   "192.88.100.0", "192.167.255.255",
	"192.169.0.0",	   "198.17.255.255",  "198.20.0.0",   "198.51.99.255",
	"198.51.101.0",	   "203.0.112.255",   "203.0.114.0",  "223.255.255.255",
	"2001:200::1",	   "2001:db7::1",     "2001:db9::1",  "2003::1",
	"2606:4700::1111", "2a01:4f8::1",     "3ffe::1",      "3fff:1000::1",
};

static void special_addresses_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
		if (allowed(special[i], false))
			fail_msg("%s is allowed", special[i]);
}

static void their_neighbours_are_not(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof global / sizeof global[0]; i++)
		if (!allowed(global[i], false))
			fail_msg("%s is refused", global[i]);
}

static void the_operator_may_allow_them(void **state)
{
	(void)state;
	assert_true(allowed("127.0.0.1", true));
	assert_true(allowed("::1", true));
	assert_true(allowed("10.1.2.3", true));
}

static void other_kinds_of_addresses_are_refused(void **state)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};

	(void)state;
	assert_false(address_is_allowed((struct sockaddr *)&local, false));
	assert_false(address_is_allowed((struct sockaddr *)&local, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(special_addresses_are_refused),
		cmocka_unit_test(their_neighbours_are_not),
		cmocka_unit_test(the_operator_may_allow_them),
		cmocka_unit_test(other_kinds_of_addresses_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
