/* SPDX-License-Identifier: MIT
 *
 * Addresses have one spelling, and everything else is refused.
 */
#include "proto_test.h"

#include "restante/address.h"

#define TEN	       "aaaaaaaaaa"
#define SIXTY	       TEN TEN TEN TEN TEN TEN
#define LONGEST_DOMAIN SIXTY "aaa." SIXTY "aaa." SIXTY "aaa." SIXTY "a" /* 253 characters */

static const struct {
	const char *address;
	bool good;
} table[] = {
	{"alice@a.example", true},
	{"a.b_c-9@xn--bcher-kva.example", true},
	{".@a.b", true},
	{"-_.@1.2.3.4a", true},
	{SIXTY "aaaa@a.example", true},
	{"a@" LONGEST_DOMAIN, true},
	{SIXTY "aaaa@" LONGEST_DOMAIN, true},
	{"", false},
	{"@", false},
	{"alice", false},
	{"alice@", false},
	{"@a.example", false},
	{"Alice@a.example", false},
	{"alice@A.example", false},
	{"al ice@a.example", false},
	{"al\xc3\xaf"
	 "ce@a.example",
	 false},
	{"alice+x@a.example", false},
	{SIXTY "aaaaa@a.example", false},
	{"alice@a@a.example", false},
	{"alice@example", false},
	{"alice@localhost", false},
	{"alice@a.example.", false},
	{"alice@.a.example", false},
	{"alice@a..example", false},
	{"alice@-a.example", false},
	{"alice@a-.example", false},
	{"alice@a_b.example", false},
	{"alice@127.0.0.1", false},
	{"alice@a.123", false},
	{"alice@[::1]", false},
	{"alice@a.example:443", false},
	{"alice@" SIXTY "aaaa.example", false},
	{"a@" LONGEST_DOMAIN "a", false},
	{" alice@a.example", false},
	{"alice@a.example\n", false},
};

static void only_one_spelling_is_an_address(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct address address;
		bool good = address_parse(text(table[i].address), &address) == ERR_OK;

		if (good != table[i].good)
			fail_msg("%s", table[i].address);
		if (good)
			assert_string_equal(address.text, table[i].address);
	}
}

static void an_address_has_two_parts(void **state)
{
	struct address parsed, made;

	(void)state;
	memset(&made, 0, sizeof made);
	assert_int_equal(address_parse(text(ALICE), &parsed), ERR_OK);
	assert_string_equal(parsed.user, "alice");
	assert_string_equal(parsed.domain, "a.example");
	address_make("alice", "a.example", &made);
	assert_memory_equal(&parsed, &made, sizeof made);
}

static void a_nul_ends_nothing(void **state)
{
	struct address address;

	(void)state;
	assert_int_equal(address_parse(bytes_of("a@a.example\0", 12), &address),
			 ERR_VALIDATION);
	assert_int_equal(address_parse(bytes_of("a\0@a.example", 12), &address),
			 ERR_VALIDATION);
	assert_int_equal(address_parse((struct bytes){0}, &address), ERR_VALIDATION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_one_spelling_is_an_address),
		TEST(an_address_has_two_parts),
		TEST(a_nul_ends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
