/* SPDX-License-Identifier: MIT
 *
 * Routes, parameters and the addresses requests come from.
 */
#include "router.h"
#include "source.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct route routes[] = {
	{.method = METHOD_GET, .path = "/a"},	 {.method = METHOD_POST, .path = "/a"},
	{.method = METHOD_GET, .path = "/a/b"},	 {.method = METHOD_DELETE, .path = "/a/{}"},
	{.method = METHOD_GET, .path = "/a/{}"}, {0},
};

static struct match match(enum method method, const char *path)
{
	return router_match(routes, method, bytes_of_text(path));
}

static void finds_routes(void **state)
{
	(void)state;
	assert_ptr_equal(&routes[0], match(METHOD_GET, "/a").route);
	assert_ptr_equal(&routes[1], match(METHOD_POST, "/a").route);
	/* A fixed path goes before one with a parameter, as in the table. */
	assert_ptr_equal(&routes[2], match(METHOD_GET, "/a/b").route);
	assert_ptr_equal(&routes[3], match(METHOD_DELETE, "/a/b").route);
	assert_ptr_equal(&routes[4], match(METHOD_GET, "/a/bc").route);
}

static void knows_the_methods_of_a_path(void **state)
{
	(void)state;
	assert_null(match(METHOD_PUT, "/a").route);
	assert_int_equal(1 << METHOD_GET | 1 << METHOD_POST, match(METHOD_PUT, "/a").methods);
	assert_int_equal(1 << METHOD_GET | 1 << METHOD_POST, match(METHOD_COUNT, "/a").methods);
	assert_int_equal(0, match(METHOD_GET, "/b").methods);
	assert_int_equal(METHOD_PATCH, router_method(bytes_of_text("PATCH")));
	assert_int_equal(METHOD_COUNT, router_method(bytes_of_text("patch")));
	assert_int_equal(METHOD_COUNT, router_method(bytes_of_text("HEAD")));
}

static void paths_are_exact(void **state)
{
	static const char *const paths[] = {
		"", "/", "/A", "/a/", "//a", "/%61", "/a/b/", "/a/b/c", "/a//b", "/a/../a/b/c",
	};

	(void)state;
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
		assert_int_equal(0, match(METHOD_GET, paths[i]).methods);
}

static void takes_the_parameter(void **state)
{
	struct arena *arena = arena_create();
	struct match m = match(METHOD_GET, "/a/alice%40a.example");
	struct bytes param = {0};

	(void)state;
	assert_non_null(m.route);
	assert_true(router_decode(arena, m.param, &param));
	assert_true(bytes_equal(param, bytes_of_text("alice@a.example")));
	assert_false(router_decode(arena, bytes_of_text("%4"), &param));
	assert_false(router_decode(arena, bytes_of_text("%"), &param));
	assert_false(router_decode(arena, bytes_of_text("%4g"), &param));
	assert_false(router_decode(arena, bytes_of_text("a%00"), &param));
	assert_false(router_decode(arena, bytes_of_text("%0a"), &param));
	assert_true(router_decode(arena, bytes_of_text("%C3%bc+"), &param));
	assert_true(bytes_equal(param, bytes_of_text("\xc3\xbc+")));
	arena_destroy(&arena);
}

static void reads_queries(void **state)
{
	struct arena *arena = arena_create();
	struct bytes query =
		bytes_of_text("after=12&limit=&x=%20&x2=1&dup=1&dup=1&bad=%zz&flag");
	struct bytes value = {0};
	bool malformed = true;

	(void)state;
	assert_true(router_query(arena, query, "after", &value, &malformed));
	assert_true(bytes_equal(value, bytes_of_text("12")));
	assert_false(malformed);
	assert_true(router_query(arena, query, "limit", &value, &malformed));
	assert_int_equal(0, value.len);
	assert_true(router_query(arena, query, "x", &value, &malformed));
	assert_true(bytes_equal(value, bytes_of_text(" ")));
	assert_false(router_query(arena, query, "dup", &value, &malformed));
	assert_true(malformed);
	assert_false(router_query(arena, query, "bad", &value, &malformed));
	assert_true(malformed);
	assert_false(router_query(arena, query, "flag", &value, &malformed));
	assert_false(malformed);
	assert_false(router_query(arena, query, "afte", &value, &malformed));
	assert_false(malformed);
	assert_false(router_query(arena, bytes_of("", 0), "a", &value, &malformed));
	arena_destroy(&arena);
}

static void names_sources(void **state)
{
	static const struct {
		const char *text;
		const char *source;
	} cases[] = {
		{"192.0.2.7", "192.0.2.7"},
		{"192.0.2.7:4711", "192.0.2.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::/64"},
		{"::ffff:192.0.2.7", "192.0.2.7"},
		{"unknown", NULL},
		{"", NULL},
		{"[", NULL},
		{"192.0.2.777", NULL},
		{"1111111111111111111111111111111111111111111111111111111111111", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char source[SOURCE_MAX] = "untouched";
		bool ok = source_of_text(bytes_of_text(cases[i].text), source);

		assert_int_equal(cases[i].source != NULL, ok);
		assert_string_equal(ok ? cases[i].source : "untouched", source);
	}
}

static void names_peers(void **state)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
	char source[SOURCE_MAX];

	(void)state;
	inet_pton(AF_INET, "192.0.2.7", &ipv4.sin_addr);
	source_of_address((const struct sockaddr *)&ipv4, source);
	assert_string_equal("192.0.2.7", source);
	inet_pton(AF_INET6, "2001:db8::1", &ipv6.sin6_addr);
	source_of_address((const struct sockaddr *)&ipv6, source);
	assert_string_equal("2001:db8::/64", source);
	inet_pton(AF_INET6, "::ffff:192.0.2.9", &ipv6.sin6_addr);
	source_of_address((const struct sockaddr *)&ipv6, source);
	assert_string_equal("192.0.2.9", source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_routes),
		cmocka_unit_test(knows_the_methods_of_a_path),
		cmocka_unit_test(paths_are_exact),
		cmocka_unit_test(takes_the_parameter),
		cmocka_unit_test(reads_queries),
		cmocka_unit_test(names_sources),
		cmocka_unit_test(names_peers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
