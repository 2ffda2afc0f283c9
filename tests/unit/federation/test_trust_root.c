/* SPDX-License-Identifier: MIT
 *
 * The life of another node's keys (docs/protocol.md section 4.3): peers that slept through a
 * rotation, keys that have ended, and documents that the root has signed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "trust_fixture.h"

/* A document with one that the root has signed, both as they come off the wire. */
static enum trust_verdict decide_with(struct fixture *f, struct spec spec,
				      struct spec root_signed, struct txt_answer txt)
{
	struct server_document document = make(f, &spec), by_root = make(f, &root_signed);

	document.root_signed = &by_root;
	return trust_decide(&f->trust, &document, &txt, NOW);
}

static const struct spec of_k2 = {{K2, -1}, {K2, -1}, ROOT, 30, NOW, 0};
static const struct spec root_for_k2 = {{K2, -1}, {ROOT, -1}, ROOT, 20, NOW, 0};
static const struct spec root_for_k1 = {{K1, -1}, {ROOT, -1}, ROOT, 15, NOW, 0};

/* Rotation */

static void a_sleeper_believes_a_retired_key_that_it_still_has(void **state)
{
	struct fixture *f = *state;
	struct server_document document =
		make(f, &(struct spec){{K1, K2, -1}, {K1, K2, -1}, ROOT, 11, NOW, 0});

	pin(f);
	document.keys[0].not_after_ms = NOW - DAYS_MS;
	assert_int_equal(trust_decide(&f->trust, &document, &absent, NOW), TRUST_ROTATED);
	assert_true(believes(f, K2, NOW));
	assert_false(believes(f, K1, NOW));
}

static void a_key_is_believed_by_a_clock_that_is_behind(void **state)
{
	struct fixture *f = *state;

	pin(f);
	f->trust.keys[0].not_before_ms = NOW;
	assert_true(believes(f, K1, NOW - 300 * SECONDS_MS));
	assert_false(believes(f, K1, NOW - 301 * SECONDS_MS));
}

/* K1 and K2 are pinned, and K1 has ended. */
static void pin_ended(struct fixture *f)
{
	struct server_document document;

	assert_int_equal(
		decide(f, (struct spec){{K1, K2, -1}, {K1, K2, -1}, ROOT, 10, 0, 0}, absent),
		TRUST_FIRST_USE);
	document = make(f, &(struct spec){{K1, K2, -1}, {K2, -1}, ROOT, 11, NOW, 0});
	document.keys[0].not_after_ms = NOW - 1;
	assert_int_equal(trust_decide(&f->trust, &document, &absent, NOW), TRUST_SAME);
}

static void a_key_that_has_ended_does_not_bring_itself_back(void **state)
{
	struct fixture *f = *state;
	struct server_document document;

	pin_ended(f);
	assert_int_equal(decide(f, (struct spec){{K1, -1}, {K1, -1}, ROOT, 99, 0, 0}, absent),
			 TRUST_CONFLICT);
	document = make(f, &(struct spec){{K1, K2, -1}, {K1, -1}, ROOT, 99, NOW, 0});
	document.keys[1].not_after_ms = NOW - 1;
	assert_int_equal(trust_decide(&f->trust, &document, &absent, NOW), TRUST_CONFLICT);
	assert_int_equal(decide(f,
				(struct spec){{STRANGER, -1}, {K1, STRANGER, -1}, -1, 99, 0, 0},
				absent),
			 TRUST_CONFLICT);
	assert_false(believes(f, K1, NOW) || believes(f, STRANGER, NOW));
	assert_true(believes(f, K2, NOW));
}

static void a_domain_may_be_silent_for_more_than_a_year(void **state)
{
	struct fixture *f = *state;
	struct spec spec = {{K2, -1}, {K2, -1}, ROOT, 12, NOW + 400 * DAYS_MS, 0};

	pin_ended(f);
	assert_int_equal(decide(f, spec, absent), TRUST_SAME);
	assert_true(believes(f, K2, NOW + 500 * DAYS_MS));
	/* Its key that had ended before has not come back by that. */
	spec = (struct spec){{K1, -1}, {K1, -1}, ROOT, 13, NOW + 800 * DAYS_MS, 0};
	assert_int_equal(decide(f, spec, absent), TRUST_CONFLICT);
}

static void a_key_that_has_not_begun_may_step_in(void **state)
{
	struct fixture *f = *state;
	struct server_document document =
		make(f, &(struct spec){{K1, K2, -1}, {K1, K2, -1}, ROOT, 11, NOW, 0});

	pin(f);
	document.keys[1].not_before_ms = NOW + 2 * DAYS_MS;
	assert_int_equal(trust_decide(&f->trust, &document, &absent, NOW), TRUST_ROTATED);
	assert_false(believes(f, K2, NOW));
	document = make(f, &(struct spec){{K1, K2, -1}, {K2, -1}, ROOT, 12, NOW, 0});
	document.keys[0].not_after_ms = NOW - 1;
	assert_int_equal(trust_decide(&f->trust, &document, &absent, NOW), TRUST_SAME);
	assert_true(believes(f, K2, NOW));
	assert_false(believes(f, K1, NOW));
}

/* The root */

static void a_sleeper_follows_the_root_whatever_has_happened_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct spec long_ago = root_for_k2;

	pin(f);
	/* Who has stolen k1 has moved the pin, far into the future. */
	assert_int_equal(decide(f,
				(struct spec){{STRANGER, -1},
					      {K1, STRANGER, -1},
					      ROOT,
					      NOW + 999 * DAYS_MS,
					      0,
					      0},
				absent),
			 TRUST_ROTATED);
	long_ago.now = NOW - 100 * DAYS_MS; /* long past its valid_until */
	assert_int_equal(decide_with(f, of_k2, long_ago, absent), TRUST_ROTATED_BY_ROOT);
	assert_true(believes(f, K2, NOW));
	assert_false(believes(f, K1, NOW) || believes(f, STRANGER, NOW));
	assert_int_equal(f->trust.revision, 30);
	assert_int_equal(f->trust.root_revision, 20);
	/* The same again is nothing new. */
	assert_int_equal(decide_with(f, of_k2, long_ago, absent), TRUST_SAME);
}

static void keys_may_rotate_on_from_those_that_the_root_has_signed(void **state)
{
	struct fixture *f = *state;
	const struct spec spec = {{K3, -1}, {K2, K3, -1}, ROOT, 40, NOW, 0};

	pin(f);
	assert_int_equal(decide_with(f, spec, root_for_k2, absent), TRUST_ROTATED_BY_ROOT);
	assert_true(believes(f, K3, NOW) && believes(f, K2, NOW));
	assert_false(believes(f, K1, NOW));
}

static void what_the_root_has_not_vouched_for_is_judged_as_ever(void **state)
{
	struct fixture *f = *state;
	const struct spec stolen = {{K1, -1}, {K1, -1}, ROOT, 40, NOW, 0};

	pin(f);
	/* The keys are those of the root's document all the same. */
	assert_int_equal(decide_with(f, stolen, root_for_k2, absent), TRUST_CONFLICT);
	assert_true(believes(f, K2, NOW));
	assert_false(believes(f, K1, NOW));
}

static void an_older_document_of_the_root_cannot_be_shown_again(void **state)
{
	struct fixture *f = *state;
	const struct spec stolen = {{K1, -1}, {K1, -1}, ROOT, 99, NOW, 0};
	const struct spec stolen_direct = {{K1, -1}, {K1, ROOT, -1}, ROOT, 15, NOW, 0};

	pin(f);
	assert_int_equal(decide_with(f, of_k2, root_for_k2, absent), TRUST_ROTATED_BY_ROOT);
	assert_int_equal(decide_with(f, stolen, root_for_k1, absent), TRUST_CONFLICT);
	assert_int_equal(decide(f, stolen_direct, absent), TRUST_CONFLICT);
	f->trust.revision = 10; /* also where the pin itself was made anew */
	assert_int_equal(decide(f, stolen_direct, absent), TRUST_CONFLICT);
	assert_true(believes(f, K2, NOW));
	assert_false(believes(f, K1, NOW));
	assert_int_equal(f->trust.root_revision, 20);
}

static void only_the_pinned_root_and_only_for_this_domain(void **state)
{
	struct fixture *f = *state;
	struct server_document document, root_signed;
	struct spec other_root = root_for_k2;

	pin(f);
	other_root.signers[0] = OTHER_ROOT;
	assert_int_equal(decide_with(f, of_k2, other_root, absent), TRUST_CONFLICT);
	document = make(f, &of_k2);
	root_signed = make(f, &root_for_k2);
	document.root_signed = &root_signed;
	snprintf(root_signed.server, sizeof root_signed.server, "b.example");
	assert_int_equal(trust_decide(&f->trust, &document, &absent, NOW), TRUST_CONFLICT);
	assert_int_equal(f->trust.root_revision, 0);
	assert_true(believes(f, K1, NOW));
}

/* What was signed before the pin was made is not newer than the pin. */
static void the_first_use_knows_how_far_the_root_has_spoken(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decide_with(f, of_k2, root_for_k1, absent), TRUST_FIRST_USE);
	assert_int_equal(f->trust.root_revision, 15);
	assert_int_equal(decide_with(f, of_k2, root_for_k1, absent), TRUST_SAME);
	assert_true(believes(f, K2, NOW));
	assert_false(believes(f, K1, NOW));
}

static void a_root_that_comes_later_has_spoken_before(void **state)
{
	struct fixture *f = *state;
	const struct spec without = {{K2, -1}, {K2, -1}, -1, 10, NOW, 0};

	assert_int_equal(decide(f, without, absent), TRUST_FIRST_USE);
	assert_int_equal(decide_with(f, of_k2, root_for_k1, absent), TRUST_SAME);
	assert_int_equal(f->trust.root_revision, 15);
	assert_int_equal(decide_with(f, of_k2, root_for_k1, absent), TRUST_SAME);
	assert_true(believes(f, K2, NOW));
}

static void the_root_can_replace_itself(void **state)
{
	struct fixture *f = *state;
	struct spec spec = root_for_k2;

	pin(f);
	spec.root = OTHER_ROOT;
	assert_int_equal(decide_with(f, of_k2, spec, absent), TRUST_ROTATED_BY_ROOT);
	assert_memory_equal(f->trust.root_key, f->keys[OTHER_ROOT].public_key, 32);
	spec = (struct spec){{K3, -1}, {ROOT, -1}, ROOT, 50, NOW, 0};
	assert_int_equal(decide_with(f, of_k2, spec, absent), TRUST_SAME);
	assert_false(believes(f, K3, NOW));
}

static void the_root_stands_above_txt_until_that_is_looked_at_again(void **state)
{
	struct fixture *f = *state;
	const struct txt_answer of_k1 = txt_of(f, true, K1, -1);

	pin(f);
	assert_int_equal(decide_with(f, of_k2, root_for_k2, of_k1), TRUST_ROTATED_BY_ROOT);
	assert_true(believes(f, K2, NOW));
	assert_int_equal(decide_with(f, of_k2, root_for_k2, of_k1), TRUST_CONFLICT);
	assert_int_equal(decide_with(f, of_k2, root_for_k2, txt_of(f, true, K2, -1)),
			 TRUST_SAME);
	assert_true(believes(f, K2, NOW));
}

static void how_far_the_root_has_spoken_survives_the_store(void **state)
{
	struct fixture *f = *state;
	struct trust again;
	char *text;

	pin(f);
	assert_int_equal(decide_with(f, of_k2, root_for_k2, absent), TRUST_ROTATED_BY_ROOT);
	assert_int_equal(trust_decode(trust_encode(f->arena, &f->trust), &again), ERR_OK);
	assert_memory_equal(&again, &f->trust, sizeof again);
	/* As it was written before there was a revision. */
	text = arena_text(f->arena, trust_encode(f->arena, &f->trust));
	memmove(strstr(text, "= 20\n") + 1, strstr(text, "\nkey"),
		strlen(strstr(text, "\nkey")) + 1);
	assert_int_equal(trust_decode(bytes_of_text(text), &again), ERR_OK);
	assert_true(again.has_root);
	assert_int_equal(again.root_revision, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_sleeper_believes_a_retired_key_that_it_still_has),
		TEST(a_key_is_believed_by_a_clock_that_is_behind),
		TEST(a_key_that_has_ended_does_not_bring_itself_back),
		TEST(a_domain_may_be_silent_for_more_than_a_year),
		TEST(a_key_that_has_not_begun_may_step_in),
		TEST(a_sleeper_follows_the_root_whatever_has_happened_meanwhile),
		TEST(keys_may_rotate_on_from_those_that_the_root_has_signed),
		TEST(what_the_root_has_not_vouched_for_is_judged_as_ever),
		TEST(an_older_document_of_the_root_cannot_be_shown_again),
		TEST(only_the_pinned_root_and_only_for_this_domain),
		TEST(the_first_use_knows_how_far_the_root_has_spoken),
		TEST(a_root_that_comes_later_has_spoken_before),
		TEST(the_root_can_replace_itself),
		TEST(the_root_stands_above_txt_until_that_is_looked_at_again),
		TEST(how_far_the_root_has_spoken_survives_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
