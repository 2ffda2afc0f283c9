/* SPDX-License-Identifier: MIT
 *
 * With whom a node federates: by configuration, and by the operator's words.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/federation.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

static struct config config_of(const char *mode, const char *const *allow, size_t n_allow,
			       const char *const *deny, size_t n_deny)
{
	return (struct config){.node_domain = "own.example",
			       .federation_mode = mode,
			       .federation_allow = {allow, n_allow},
			       .federation_deny = {deny, n_deny}};
}

/* By configuration alone. */
static bool allows(const struct config *config, const char *domain)
{
	struct policy *policy = policy_create(config);
	bool allowed = policy_allows(policy, domain);

	policy_destroy(&policy);
	return allowed;
}

static const char *const listed[] = {"a.example", ".below.example"};

static void open_means_all_but_the_denied(void **state)
{
	struct config config = config_of("open", NULL, 0, listed, 2);

	(void)state;
	assert_true(allows(&config, "b.example"));
	assert_true(allows(&config, "x.a.example"));
	assert_false(allows(&config, "a.example"));
	assert_false(allows(&config, "below.example"));
	assert_false(allows(&config, "x.below.example"));
	assert_false(allows(&config, "y.x.below.example"));
	assert_true(allows(&config, "notbelow.example"));
	assert_true(allows(&config, "below.example.org"));
}

static void allowlist_means_the_allowed_alone(void **state)
{
	struct config config = config_of("allowlist", listed, 2, NULL, 0);

	(void)state;
	assert_true(allows(&config, "a.example"));
	assert_true(allows(&config, "x.below.example"));
	assert_false(allows(&config, "x.a.example"));
	assert_false(allows(&config, "b.example"));
}

static void deny_beats_allow(void **state)
{
	static const char *const deny[] = {"bad.below.example"};
	struct config config = config_of("allowlist", listed, 2, deny, 1);

	(void)state;
	assert_true(allows(&config, "good.below.example"));
	assert_false(allows(&config, "bad.below.example"));
}

static void closed_means_nobody(void **state)
{
	struct config config = config_of("closed", listed, 2, NULL, 0);

	(void)state;
	assert_false(allows(&config, "a.example"));
}

static void nobody_else_is_this_node(void **state)
{
	static const char *const allow[] = {"own.example"};
	struct config config = config_of("allowlist", allow, 1, NULL, 0);

	(void)state;
	assert_false(allows(&config, "own.example"));
	config.federation_mode = "open";
	assert_false(allows(&config, "own.example"));
	assert_true(allows(&config, "sub.own.example"));
}

static void a_block_is_for_one_domain_until_it_is_allowed(void **state)
{
	struct config config = config_of("open", NULL, 0, NULL, 0);
	struct policy *policy = policy_create(&config);

	(void)state;
	policy_say(policy, "a.example", false);
	assert_false(policy_allows(policy, "a.example"));
	assert_true(policy_allows(policy, "x.a.example"));
	assert_true(policy_allows(policy, "b.example"));
	policy_say(policy, "a.example", true);
	assert_true(policy_allows(policy, "a.example"));
	policy_destroy(&policy);
}

static void an_allowance_does_for_an_entry_in_the_list(void **state)
{
	struct config config = config_of("allowlist", listed, 2, NULL, 0);
	struct policy *policy = policy_create(&config);

	(void)state;
	policy_say(policy, "b.example", true);
	assert_true(policy_allows(policy, "b.example"));
	assert_false(policy_allows(policy, "c.example"));
	policy_say(policy, "a.example", false);
	assert_false(policy_allows(policy, "a.example"));
	policy_destroy(&policy);
}

static void an_allowance_opens_nothing_that_the_configuration_denies(void **state)
{
	struct config config = config_of("open", NULL, 0, listed, 2);
	struct policy *policy = policy_create(&config);

	(void)state;
	policy_say(policy, "a.example", true);
	policy_say(policy, "own.example", true);
	policy_say(policy, "b.example", true);
	assert_false(policy_allows(policy, "a.example"));
	assert_false(policy_allows(policy, "own.example"));
	config.federation_mode = "closed";
	assert_false(policy_allows(policy, "b.example"));
	policy_destroy(&policy);
}

#define WORDS 5000

static void many_words_are_kept_apart(void **state)
{
	struct config config = config_of("open", NULL, 0, NULL, 0);
	struct policy *policy = policy_create(&config);
	char domain[32];

	(void)state;
	for (int i = 0; i < WORDS; i++) {
		snprintf(domain, sizeof domain, "d%d.example", i);
		policy_say(policy, domain, i % 2 == 0);
	}
	for (int i = 0; i < WORDS; i++) {
		snprintf(domain, sizeof domain, "d%d.example", i);
		assert_int_equal(policy_allows(policy, domain), i % 2 == 0);
	}
	policy_destroy(&policy);
}

struct reader {
	struct policy *policy;
	atomic_bool over;
};

static void *read_on(void *context)
{
	struct reader *reader = context;
	size_t denied = 0;

	while (!atomic_load(&reader->over)) {
		denied += !policy_allows(reader->policy, "d7.example");
		/* Said before this thread began, and never since. */
		if (policy_allows(reader->policy, "always.example"))
			return NULL;
	}
	(void)denied;
	return reader;
}

static void words_are_read_while_others_are_said(void **state)
{
	struct config config = config_of("open", NULL, 0, NULL, 0);
	struct reader reader = {.policy = policy_create(&config)};
	char domain[32];
	pthread_t thread;
	void *result;

	(void)state;
	policy_say(reader.policy, "always.example", false);
	assert_int_equal(pthread_create(&thread, NULL, read_on, &reader), 0);
	for (int i = 0; i < WORDS; i++) {
		snprintf(domain, sizeof domain, "d%d.example", i % 3000);
		policy_say(reader.policy, domain, i % 2 == 0);
	}
	atomic_store(&reader.over, true);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, &reader);
	policy_destroy(&reader.policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_means_all_but_the_denied),
		cmocka_unit_test(allowlist_means_the_allowed_alone),
		cmocka_unit_test(deny_beats_allow),
		cmocka_unit_test(closed_means_nobody),
		cmocka_unit_test(nobody_else_is_this_node),
		cmocka_unit_test(a_block_is_for_one_domain_until_it_is_allowed),
		cmocka_unit_test(an_allowance_does_for_an_entry_in_the_list),
		cmocka_unit_test(an_allowance_opens_nothing_that_the_configuration_denies),
		cmocka_unit_test(many_words_are_kept_apart),
		cmocka_unit_test(words_are_read_while_others_are_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
