/* SPDX-License-Identifier: MIT
 *
 * Whom to believe, row by row of the table of docs/protocol.md section 4.3, and the text
 * form of what is believed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "trust_fixture.h"

/* Row 1 */

static void the_first_keys_are_pinned(void **state)
{
	struct fixture *f = *state;

	assert_false(believes(f, K1, NOW));
	pin(f);
	assert_true(believes(f, K1, NOW));
	assert_false(believes(f, K2, NOW));
	assert_true(f->trust.pinned && f->trust.has_root && !f->trust.conflict);
	assert_false(f->trust.verified);
	assert_int_equal(f->trust.revision, 10);
}

static void the_first_keys_are_verified_by_txt(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decide(f, (struct spec){{K1, -1}, {K1, -1}, -1, 10, 0, 0},
				txt_of(f, false, K1, -1)),
			 TRUST_FIRST_USE);
	assert_true(f->trust.verified);
}

/* Row 2 */

static void the_first_keys_must_not_contradict_txt(void **state)
{
	struct fixture *f = *state;
	const struct spec spec = {{K1, -1}, {K1, -1}, -1, 10, 0, 0};

	assert_int_equal(decide(f, spec, txt_of(f, false, K2, -1)), TRUST_CONFLICT);
	assert_int_equal(decide(f, spec, txt_of(f, true, K2, -1)), TRUST_CONFLICT);
	/* The kid is there, with another key. */
	assert_int_equal(decide(f, spec, txt_of(f, false, K1_AGAIN, -1)), TRUST_CONFLICT);
	assert_int_equal(decide(f, spec, txt_of(f, false, K1, K1_AGAIN)), TRUST_CONFLICT);
	assert_true(f->trust.conflict && !f->trust.pinned);
	assert_false(believes(f, K1, NOW));
	/* Records of keys that the document does not have are no contradiction. */
	assert_int_equal(decide(f, spec, txt_of(f, false, K1, K2)), TRUST_FIRST_USE);
	assert_false(f->trust.conflict);
}

static void a_key_that_is_not_live_needs_no_txt(void **state)
{
	struct fixture *f = *state;
	struct server_document document =
		make(f, &(struct spec){{K1, K2, -1}, {K1, -1}, -1, 10, NOW, 0});
	struct txt_answer txt = txt_of(f, true, K1, -1);

	document.keys[1].not_before_ms = NOW + DAYS_MS;
	assert_int_equal(trust_decide(&f->trust, &document, &txt, NOW), TRUST_FIRST_USE);
	assert_false(believes(f, K2, NOW));
	assert_true(believes(f, K2, NOW + DAYS_MS));
}

/* Row 3 */

static void unsigned_dns_cannot_cut_off_a_pinned_domain(void **state)
{
	struct fixture *f = *state;
	const struct spec spec = {{K1, -1}, {K1, -1}, ROOT, 11, 0, 0};

	pin(f);
	assert_int_equal(decide(f, spec, txt_of(f, false, K2, -1)), TRUST_SAME_TXT_DIFFERS);
	assert_false(f->trust.conflict);
	assert_true(believes(f, K1, NOW));
	assert_int_equal(decide(f, spec, absent), TRUST_SAME);
	assert_int_equal(decide(f, spec, failed), TRUST_SAME);
	assert_false(f->trust.verified);
	assert_int_equal(decide(f, spec, txt_of(f, false, K1, -1)), TRUST_SAME);
	assert_true(f->trust.verified);
}

/* Row 4 */

static void dnssec_can_refute_pinned_keys(void **state)
{
	struct fixture *f = *state;
	const struct spec spec = {{K1, -1}, {K1, -1}, ROOT, 11, 0, 0};

	pin(f);
	assert_int_equal(decide(f, spec, txt_of(f, true, K2, -1)), TRUST_CONFLICT);
	assert_true(f->trust.conflict && f->trust.refuted);
	assert_false(believes(f, K1, NOW));
	/* It does not end because DNS does not answer, or something unsigned says so. */
	assert_int_equal(decide(f, spec, failed), TRUST_CONFLICT);
	assert_int_equal(decide(f, spec, txt_of(f, false, K2, -1)), TRUST_CONFLICT);
	assert_false(believes(f, K1, NOW));
	assert_int_equal(decide(f, spec, txt_of(f, true, K1, -1)), TRUST_SAME);
	assert_false(f->trust.conflict || f->trust.refuted);
	assert_true(believes(f, K1, NOW));
}

/* Row 5 */

static void a_pinned_key_can_name_its_successor(void **state)
{
	struct fixture *f = *state;
	const int64_t end = NOW + 365 * DAYS_MS;

	pin(f);
	assert_int_equal(
		decide(f, (struct spec){{K2, -1}, {K1, K2, -1}, ROOT, 11, 0, 0}, absent),
		TRUST_ROTATED);
	assert_int_equal(f->trust.revision, 11);
	assert_true(believes(f, K2, NOW));
	/* The old one holds until its own end. */
	assert_true(believes(f, K1, end));
	assert_false(believes(f, K1, end + 1));
	/* And both are the same keys from now on. */
	assert_int_equal(decide(f, (struct spec){{K2, -1}, {K2, -1}, ROOT, 12, 0, 0}, absent),
			 TRUST_SAME);
	assert_true(believes(f, K1, NOW));
}

static void a_rotation_needs_a_higher_revision(void **state)
{
	struct fixture *f = *state;

	pin(f);
	for (int64_t revision = 9; revision <= 10; revision++)
		assert_int_equal(
			decide(f,
			       (struct spec){
				       {K2, -1}, {K1, K2, ROOT, -1}, ROOT, revision, 0, 0},
			       absent),
			TRUST_CONFLICT);
	assert_false(believes(f, K2, NOW));
	assert_true(believes(f, K1, NOW));
}

static void a_key_whose_time_is_over_names_no_successor(void **state)
{
	struct fixture *f = *state;
	const int64_t later = NOW + 366 * DAYS_MS;

	pin(f);
	assert_int_equal(
		decide(f, (struct spec){{K2, -1}, {K1, K2, -1}, ROOT, 11, later, 0}, absent),
		TRUST_CONFLICT);
	/* The root key has no time. */
	assert_int_equal(
		decide(f, (struct spec){{K2, -1}, {K2, ROOT, -1}, ROOT, 11, later, 0}, absent),
		TRUST_ROTATED_BY_ROOT);
}

static void the_root_key_ends_old_keys_at_once(void **state)
{
	struct fixture *f = *state;

	pin(f);
	assert_int_equal(
		decide(f, (struct spec){{K2, -1}, {K2, ROOT, -1}, ROOT, 11, 0, 0}, absent),
		TRUST_ROTATED_BY_ROOT);
	assert_true(believes(f, K2, NOW));
	assert_false(believes(f, K1, NOW));
	/* What the old key signs from now on is nothing. */
	assert_int_equal(decide(f, (struct spec){{K1, -1}, {K1, -1}, ROOT, 12, 0, 0}, absent),
			 TRUST_CONFLICT);
	assert_true(believes(f, K2, NOW));
}

/* Held over from a rotation by live keys, until the root says otherwise. */
static void the_root_key_also_ends_keys_that_were_left_out_before(void **state)
{
	struct fixture *f = *state;

	pin(f);
	assert_int_equal(
		decide(f, (struct spec){{K2, -1}, {K1, K2, -1}, ROOT, 11, 0, 0}, absent),
		TRUST_ROTATED);
	assert_int_equal(
		decide(f, (struct spec){{K2, -1}, {K2, ROOT, -1}, ROOT, 12, 0, 0}, absent),
		TRUST_ROTATED_BY_ROOT);
	assert_false(believes(f, K1, NOW));
}

static void live_keys_cannot_replace_the_root(void **state)
{
	struct fixture *f = *state;

	pin(f);
	assert_int_equal(
		decide(f, (struct spec){{K1, -1}, {K1, -1}, OTHER_ROOT, 11, 0, 0}, absent),
		TRUST_SAME);
	assert_memory_equal(f->trust.root_key, f->keys[ROOT].public_key, 32);
	assert_int_equal(decide(f, (struct spec){{K2, -1}, {K1, K2, -1}, -1, 12, 0, 0}, absent),
			 TRUST_ROTATED);
	assert_true(f->trust.has_root);
	assert_memory_equal(f->trust.root_key, f->keys[ROOT].public_key, 32);
	/* It can do so itself. */
	assert_int_equal(decide(f,
				(struct spec){{K2, -1}, {K2, ROOT, -1}, OTHER_ROOT, 13, 0, 0},
				absent),
			 TRUST_ROTATED_BY_ROOT);
	assert_memory_equal(f->trust.root_key, f->keys[OTHER_ROOT].public_key, 32);
}

static void a_root_may_be_added_where_there_was_none(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decide(f, (struct spec){{K1, -1}, {K1, -1}, -1, 10, 0, 0}, absent),
			 TRUST_FIRST_USE);
	assert_int_equal(decide(f, (struct spec){{K1, -1}, {K1, -1}, ROOT, 11, 0, 0}, absent),
			 TRUST_SAME);
	assert_true(f->trust.has_root);
}

static void a_key_id_is_never_given_to_another_key(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		decide(f, (struct spec){{K1, K2, -1}, {K1, K2, -1}, ROOT, 10, 0, 0}, absent),
		TRUST_FIRST_USE);
	assert_int_equal(
		decide(f, (struct spec){{K1_AGAIN, K2, -1}, {K1_AGAIN, K2, -1}, ROOT, 11, 0, 0},
		       absent),
		TRUST_CONFLICT);
	assert_true(believes(f, K1, NOW));
	assert_false(believes(f, K1_AGAIN, NOW));
}

static void a_stolen_key_does_not_outweigh_dnssec(void **state)
{
	struct fixture *f = *state;
	const struct spec spec = {{K2, -1}, {K1, K2, -1}, ROOT, 11, 0, 0};

	pin(f);
	assert_int_equal(decide(f, spec, txt_of(f, true, K1, -1)), TRUST_CONFLICT);
	assert_true(believes(f, K1, NOW));
	assert_int_equal(decide(f, spec, txt_of(f, true, K2, -1)), TRUST_ROTATED);
}

static void a_key_can_be_ended_by_its_document(void **state)
{
	struct fixture *f = *state;
	struct server_document document;

	assert_int_equal(
		decide(f, (struct spec){{K1, K2, -1}, {K1, K2, -1}, -1, 10, 0, 0}, absent),
		TRUST_FIRST_USE);
	document = make(f, &(struct spec){{K1, K2, -1}, {K2, -1}, -1, 11, NOW, 0});
	document.keys[0].not_after_ms = NOW - 1;
	assert_int_equal(trust_decide(&f->trust, &document, &absent, NOW), TRUST_SAME);
	assert_false(believes(f, K1, NOW));
	assert_true(believes(f, K2, NOW));
}

static void an_older_document_changes_nothing(void **state)
{
	struct fixture *f = *state;

	pin(f);
	assert_int_equal(
		decide(f, (struct spec){{K1, -1}, {K1, -1}, ROOT, 9, 0, NOW + DAYS_MS}, absent),
		TRUST_SAME);
	assert_int_equal(f->trust.revision, 10);
	assert_true(believes(f, K1, NOW + 2 * DAYS_MS));
}

/* Row 6 */

static const struct spec stranger = {{STRANGER, -1}, {STRANGER, -1}, -1, 11, 0, 0};

static enum trust_verdict stranger_at(struct fixture *f, int64_t hours, struct txt_answer txt)
{
	struct spec spec = stranger;

	spec.now = NOW + hours * HOURS_MS;
	return decide(f, spec, txt);
}

static void dnssec_makes_other_keys_good_after_72_hours(void **state)
{
	struct fixture *f = *state;
	const struct txt_answer matching = txt_of(f, true, STRANGER, -1);

	pin(f);
	assert_int_equal(stranger_at(f, 0, matching), TRUST_CONFLICT);
	assert_int_equal(stranger_at(f, 40, matching), TRUST_CONFLICT);
	assert_int_equal(stranger_at(f, 50, failed), TRUST_CONFLICT);
	assert_int_equal(stranger_at(f, 71, matching), TRUST_CONFLICT);
	assert_true(believes(f, K1, NOW + 71 * HOURS_MS));
	assert_false(believes(f, STRANGER, NOW + 71 * HOURS_MS));
	assert_int_equal(stranger_at(f, 73, failed), TRUST_CONFLICT);
	assert_int_equal(stranger_at(f, 73, matching), TRUST_REPINNED);
	assert_false(f->trust.conflict);
	assert_false(believes(f, K1, NOW + 73 * HOURS_MS));
	assert_true(believes(f, STRANGER, NOW + 73 * HOURS_MS));
	assert_false(f->trust.has_root);
}

static void a_break_begins_the_72_hours_anew(void **state)
{
	struct fixture *f = *state;
	const struct txt_answer matching = txt_of(f, true, STRANGER, -1);
	const struct txt_answer breaks[] = {absent, txt_of(f, true, K1, -1),
					    txt_of(f, false, STRANGER, -1)};

	for (size_t i = 0; i < 3; i++) {
		f->trust = (struct trust){0};
		pin(f);
		assert_int_equal(stranger_at(f, 0, matching), TRUST_CONFLICT);
		assert_int_equal(stranger_at(f, 71, breaks[i]), TRUST_CONFLICT);
		assert_int_equal(stranger_at(f, 73, matching), TRUST_CONFLICT);
		assert_int_equal(stranger_at(f, 144, matching), TRUST_CONFLICT);
		assert_int_equal(stranger_at(f, 145, matching), TRUST_REPINNED);
	}
}

static void other_candidates_have_their_own_72_hours(void **state)
{
	struct fixture *f = *state;

	pin(f);
	assert_int_equal(stranger_at(f, 0, txt_of(f, true, STRANGER, -1)), TRUST_CONFLICT);
	assert_int_equal(
		decide(f, (struct spec){{K3, -1}, {K3, -1}, -1, 11, NOW + 73 * HOURS_MS, 0},
		       txt_of(f, true, K3, -1)),
		TRUST_CONFLICT);
	assert_int_equal(stranger_at(f, 74, txt_of(f, true, STRANGER, -1)), TRUST_CONFLICT);
	/* The order of the keys makes no other set. */
	f->trust.conflict = false;
	assert_int_equal(
		decide(f,
		       (struct spec){
			       {K2, K3, -1}, {K2, K3, -1}, -1, 11, NOW + 80 * HOURS_MS, 0},
		       txt_of(f, true, K2, K3)),
		TRUST_CONFLICT);
	assert_int_equal(
		decide(f,
		       (struct spec){
			       {K3, K2, -1}, {K2, K3, -1}, -1, 11, NOW + 152 * HOURS_MS, 0},
		       txt_of(f, true, K3, K2)),
		TRUST_REPINNED);
}

/* Row 7 */

static void other_keys_are_a_conflict(void **state)
{
	struct fixture *f = *state;

	pin(f);
	assert_int_equal(decide(f, stranger, absent), TRUST_CONFLICT);
	assert_int_equal(decide(f, stranger, txt_of(f, false, STRANGER, -1)), TRUST_CONFLICT);
	assert_true(f->trust.conflict);
	assert_int_equal(f->trust.n_shown, 1);
	assert_memory_equal(f->trust.shown[0].public_key, f->keys[STRANGER].public_key, 32);
	assert_true(believes(f, K1, NOW));
	assert_false(believes(f, STRANGER, NOW));
	/* It ends when the old keys are back. */
	assert_int_equal(decide(f, (struct spec){{K1, -1}, {K1, -1}, ROOT, 10, 0, 0}, absent),
			 TRUST_SAME);
	assert_false(f->trust.conflict);
	assert_int_equal(f->trust.n_shown, 0);
}

static void a_root_of_the_new_document_alone_signs_for_nothing(void **state)
{
	struct fixture *f = *state;

	pin(f);
	assert_int_equal(decide(f,
				(struct spec){{STRANGER, -1},
					      {STRANGER, OTHER_ROOT, -1},
					      OTHER_ROOT,
					      11,
					      0,
					      0},
				absent),
			 TRUST_CONFLICT);
}

static void the_list_of_pinned_keys_stays_bounded(void **state)
{
	struct fixture *f = *state;

	pin(f);
	f->trust.n_keys = 2 * SERVER_KEYS_MAX;
	for (size_t i = 1; i < f->trust.n_keys; i++) {
		f->trust.keys[i] = f->trust.keys[0];
		f->trust.keys[i].kid[1] = (char)('a' + i);
	}
	assert_int_equal(decide(f,
				(struct spec){{K2, K3, -1}, {K1, K2, K3, -1}, ROOT, 11, 0, 0},
				absent),
			 TRUST_ROTATED);
	assert_int_equal(f->trust.n_keys, 2 * SERVER_KEYS_MAX);
	assert_true(believes(f, K2, NOW) && believes(f, K3, NOW) && believes(f, K1, NOW));
}

/* Text */

static void what_is_believed_survives_the_store(void **state)
{
	struct fixture *f = *state;
	struct trust again;

	assert_int_equal(trust_decode((struct bytes){0}, &again), ERR_OK);
	assert_memory_equal(&again, &f->trust, sizeof again);
	assert_int_equal(decide(f, (struct spec){{K1, -1}, {K1, -1}, -1, 10, 0, 0},
				txt_of(f, true, K2, -1)),
			 TRUST_CONFLICT);
	assert_int_equal(trust_decode(trust_encode(f->arena, &f->trust), &again), ERR_OK);
	assert_memory_equal(&again, &f->trust, sizeof again);
	f->trust = (struct trust){0};
	pin(f);
	assert_int_equal(decide(f,
				(struct spec){{K2, K3, -1}, {K1, K2, K3, -1}, ROOT, 11, 0, 0},
				absent),
			 TRUST_ROTATED);
	assert_int_equal(decide(f, stranger, txt_of(f, true, STRANGER, -1)), TRUST_CONFLICT);
	f->trust.verified = f->trust.refuted = true;
	assert_int_equal(trust_decode(trust_encode(f->arena, &f->trust), &again), ERR_OK);
	assert_memory_equal(&again, &f->trust, sizeof again);
}

static void half_a_text_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct trust again = {.revision = 77};
	struct bytes text;
	const char *bad[] = {
		"restante-trust-2\n",
		"restante-trust-1",
		"restante-trust-1\npin 10 0 0\n",
		"restante-trust-1\nkey k1 AAAA 0 1\n",
		"restante-trust-1\nwhat\n",
		"restante-trust-1\n\n",
		"restante-trust-1\nconflict 0 AAAA 0\n",
		("restante-trust-1\n"
		 "shown k1 L1CceS+nF0Snl9c3v3mQzKyxKEDjI1sIuUAwkPfOuQg= 0 1\n"),
	};

	pin(f);
	text = trust_encode(f->arena, &f->trust);
	for (size_t len = 1; len < text.len; len++) {
		struct bytes cut = bytes_of(text.data, len);
		bool whole_line = text.data[len - 1] == '\n';

		/* Cut behind the magic, nothing is left: the same as no pin. */
		if (whole_line && len == strlen("restante-trust-1\n"))
			continue;
		assert_int_equal(trust_decode(cut, &again), ERR_VALIDATION);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(trust_decode(bytes_of_text(bad[i]), &again), ERR_VALIDATION);
	assert_int_equal(again.revision, 77);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_keys_are_pinned),
		TEST(the_first_keys_are_verified_by_txt),
		TEST(the_first_keys_must_not_contradict_txt),
		TEST(a_key_that_is_not_live_needs_no_txt),
		TEST(unsigned_dns_cannot_cut_off_a_pinned_domain),
		TEST(dnssec_can_refute_pinned_keys),
		TEST(a_pinned_key_can_name_its_successor),
		TEST(a_rotation_needs_a_higher_revision),
		TEST(a_key_whose_time_is_over_names_no_successor),
		TEST(the_root_key_ends_old_keys_at_once),
		TEST(the_root_key_also_ends_keys_that_were_left_out_before),
		TEST(live_keys_cannot_replace_the_root),
		TEST(a_root_may_be_added_where_there_was_none),
		TEST(a_key_id_is_never_given_to_another_key),
		TEST(a_stolen_key_does_not_outweigh_dnssec),
		TEST(a_key_can_be_ended_by_its_document),
		TEST(an_older_document_changes_nothing),
		TEST(dnssec_makes_other_keys_good_after_72_hours),
		TEST(a_break_begins_the_72_hours_anew),
		TEST(other_candidates_have_their_own_72_hours),
		TEST(other_keys_are_a_conflict),
		TEST(a_root_of_the_new_document_alone_signs_for_nothing),
		TEST(the_list_of_pinned_keys_stays_bounded),
		TEST(what_is_believed_survives_the_store),
		TEST(half_a_text_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
