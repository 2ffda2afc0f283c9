/* SPDX-License-Identifier: MIT
 *
 * With whom a node federates, by configuration.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/federation.h"

static struct config config_of(const char *mode, const char *const *allow, size_t n_allow,
			       const char *const *deny, size_t n_deny)
{
	return (struct config){.node_domain = "own.example",
			       .federation_mode = mode,
			       .federation_allow = {allow, n_allow},
			       .federation_deny = {deny, n_deny}};
}

static const char *const listed[] = {"a.example", ".below.example"};

static void open_means_all_but_the_denied(void **state)
{
	struct config config = config_of("open", NULL, 0, listed, 2);

	(void)state;
	assert_true(federation_allows(&config, "b.example"));
	assert_true(federation_allows(&config, "x.a.example"));
	assert_false(federation_allows(&config, "a.example"));
	assert_false(federation_allows(&config, "below.example"));
	assert_false(federation_allows(&config, "x.below.example"));
	assert_false(federation_allows(&config, "y.x.below.example"));
	assert_true(federation_allows(&config, "notbelow.example"));
	assert_true(federation_allows(&config, "below.example.org"));
}

static void allowlist_means_the_allowed_alone(void **state)
{
	struct config config = config_of("allowlist", listed, 2, NULL, 0);

	(void)state;
	assert_true(federation_allows(&config, "a.example"));
	assert_true(federation_allows(&config, "x.below.example"));
	assert_false(federation_allows(&config, "x.a.example"));
	assert_false(federation_allows(&config, "b.example"));
}

static void deny_beats_allow(void **state)
{
	static const char *const deny[] = {"bad.below.example"};
	struct config config = config_of("allowlist", listed, 2, deny, 1);

	(void)state;
	assert_true(federation_allows(&config, "good.below.example"));
	assert_false(federation_allows(&config, "bad.below.example"));
}

static void closed_means_nobody(void **state)
{
	struct config config = config_of("closed", listed, 2, NULL, 0);

	(void)state;
	assert_false(federation_allows(&config, "a.example"));
}

static void nobody_else_is_this_node(void **state)
{
	static const char *const allow[] = {"own.example"};
	struct config config = config_of("allowlist", allow, 1, NULL, 0);

	(void)state;
	assert_false(federation_allows(&config, "own.example"));
	config.federation_mode = "open";
	assert_false(federation_allows(&config, "own.example"));
	assert_true(federation_allows(&config, "sub.own.example"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_means_all_but_the_denied),
		cmocka_unit_test(allowlist_means_the_allowed_alone),
		cmocka_unit_test(deny_beats_allow),
		cmocka_unit_test(closed_means_nobody),
		cmocka_unit_test(nobody_else_is_this_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
