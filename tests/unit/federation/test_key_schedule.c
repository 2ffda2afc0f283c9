/* SPDX-License-Identifier: MIT
 *
 * The life of a node's own keys as a table of times: which files there are, and what each key
 * is for then, one document following the other.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "key_schedule.h"

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"

#include <stdio.h>

#define NOW	INT64_C(1767225600000)
#define OVERLAP (48 * HOURS_MS)
#define N_KEYS	9

static struct sign_key keys[N_KEYS]; /* k0 to k8 */
static struct config config = {.federation_key_overlap = OVERLAP};

static int make_keys(void **state)
{
	(void)state;
	crypto_init();
	log_set_level(LOG_ERROR + 1);
	for (uint8_t i = 0; i < N_KEYS; i++) {
		const uint8_t seed[ED25519_SEED_SIZE] = {i};
		char kid[4];

		snprintf(kid, sizeof kid, "k%d", i);
		if (sign_key_from_seed(bytes_of_text(kid), seed, &keys[i]) != ERR_OK)
			return -1;
	}
	return 0;
}

struct step {
	int64_t hour;
	const char *files;  /* "12": k1 and k2 */
	const char *phases; /* of the keys in the document, in the order of their ids:
			     * Coming, Signs, Leaving, Ended */
	int64_t next_hour;  /* 0: never */
};

struct run {
	struct server_document last;
	bool has_last, unreadable;
	struct sign_key chosen[N_KEYS];
	int64_t made_ms[N_KEYS];
	struct own_document own;
};

static enum err run_step(struct run *run, const char *files, int64_t now_ms)
{
	enum err err;

	run->own = (struct own_document){.config = &config,
					 .keys = run->chosen,
					 .made_ms = run->made_ms,
					 .n_keys = strlen(files),
					 .some_unreadable = run->unreadable,
					 .now_ms = now_ms};
	for (size_t i = 0; files[i] != '\0'; i++)
		run->chosen[i] = keys[files[i] - '0'];
	err = key_schedule(&run->own, run->has_last ? &run->last : NULL);
	if (err == ERR_OK) {
		run->last = run->own.document;
		run->last.issued_at_ms = now_ms;
		run->has_last = true;
	}
	return err;
}

static const char *phases_of(const struct run *run, char out[N_KEYS + 1])
{
	const struct server_document *document = &run->own.document;
	size_t n = 0;

	for (size_t i = 0; i < N_KEYS; i++) {
		const struct server_key *key = document_key(document, keys[i].kid);

		if (key != NULL)
			out[n++] = "CSLE"[federation_key_phase(&run->own,
							       (size_t)(key - document->keys))];
	}
	out[n] = '\0';
	return out;
}

static void check(const struct step *steps, size_t n)
{
	struct run run = {0};
	char phases[N_KEYS + 1];

	for (size_t i = 0; i < N_KEYS; i++)
		run.made_ms[i] = NOW;
	for (size_t i = 0; i < n; i++) {
		const struct step *step = &steps[i];
		int64_t hour = -1;

		assert_int_equal(run_step(&run, step->files, NOW + step->hour * HOURS_MS),
				 ERR_OK);
		if (run.own.next_ms != INT64_MAX)
			hour = (run.own.next_ms - NOW) / HOURS_MS;
		if (strcmp(phases_of(&run, phases), step->phases) != 0 ||
		    hour != (step->next_hour != 0 ? step->next_hour : -1))
			fail_msg("step %zu, hour %lld: %s, next %lld", i, (long long)step->hour,
				 phases, (long long)hour);
	}
}

#define CHECK(...)                                                                             \
	do {                                                                                   \
		const struct step steps[] = {__VA_ARGS__};                                     \
                                                                                               \
		check(steps, sizeof steps / sizeof steps[0]);                                  \
	} while (0)

static void a_key_replaces_another_in_four_days(void **state)
{
	(void)state;
	CHECK({0, "1", "S", 0}, {100, "12", "SC", 148}, {147, "12", "SC", 148},
	      {148, "12", "LS", 196}, {196, "12", "LS", 196}, {197, "12", "ES", 0},
	      {300, "2", "ES", 0});
}

static void several_follow_each_other(void **state)
{
	(void)state;
	CHECK({0, "1", "S", 0}, {100, "12", "SC", 148}, {110, "123", "SCC", 148},
	      {150, "123", "LSC", 158}, {160, "123", "LLS", 196}, {200, "123", "ELS", 206},
	      {210, "123", "EES", 0});
}

static void a_node_that_slept_goes_on_where_the_time_is(void **state)
{
	(void)state;
	CHECK({0, "1", "S", 0}, {100, "12", "SC", 148}, {170, "12", "LS", 196});
	CHECK({0, "1", "S", 0}, {100, "12", "SC", 148}, {500, "12", "ES", 0});
	/* More than a year: nobody else has ended the key. */
	CHECK({0, "1", "S", 0}, {9000, "1", "S", 0});
}

static void a_key_without_a_file_has_ended(void **state)
{
	(void)state;
	CHECK({0, "1", "S", 0}, {100, "12", "SC", 148}, {150, "2", "ES", 0},
	      {151, "12", "ES", 0});
	/* Ended ones are listed for a year. */
	CHECK({0, "1", "S", 0}, {1, "12", "SC", 49}, {60, "2", "ES", 0},
	      {60 + 364 * 24, "2", "ES", 0}, {60 + 366 * 24, "2", "S", 0});
}

/* One that has not begun is put off, as it signs nothing yet: the others go on. */
static void a_key_whose_file_cannot_be_read_is_put_off(void **state)
{
	struct run run = {.made_ms = {NOW, NOW}};
	const struct server_key *k2;
	char phases[N_KEYS + 1];

	(void)state;
	assert_int_equal(run_step(&run, "1", NOW), ERR_OK);
	assert_int_equal(run_step(&run, "12", NOW + 1), ERR_OK);
	run.unreadable = true;
	for (int64_t hour = 1; hour < 100; hour++) {
		assert_int_equal(run_step(&run, "1", NOW + hour * HOURS_MS), ERR_OK);
		k2 = document_key(&run.own.document, "k2");
		assert_non_null(k2);
		assert_true(k2->not_before_ms >= NOW + hour * HOURS_MS + OVERLAP);
		assert_string_equal(phases_of(&run, phases), "SC");
	}
	run.unreadable = false;
	assert_int_equal(run_step(&run, "12", NOW + 100 * HOURS_MS), ERR_OK);
	assert_string_equal(phases_of(&run, phases), "SC");
	assert_int_equal(run_step(&run, "12", NOW + 99 * HOURS_MS + OVERLAP), ERR_OK);
	assert_string_equal(phases_of(&run, phases), "LS");
	/* One that signs cannot be put off. */
	run.unreadable = true;
	assert_int_equal(run_step(&run, "1", NOW + 100 * HOURS_MS + OVERLAP), ERR_OK);
	assert_string_equal(phases_of(&run, phases), "SE");
}

/* A command made it, and published it, after the files were read here. */
static void a_key_that_came_meanwhile_is_no_key_without_a_file(void **state)
{
	struct run run = {.made_ms = {NOW, NOW}};
	char phases[N_KEYS + 1];

	(void)state;
	assert_int_equal(run_step(&run, "1", NOW), ERR_OK);
	assert_int_equal(run_step(&run, "12", NOW + 5), ERR_OK);
	assert_int_equal(run_step(&run, "1", NOW + 5), ERR_OK);
	assert_string_equal(phases_of(&run, phases), "SC");
	assert_int_equal(run_step(&run, "12", NOW + 6), ERR_OK);
	assert_string_equal(phases_of(&run, phases), "SC");
	assert_int_equal(run_step(&run, "1", NOW + 7), ERR_OK);
	assert_string_equal(phases_of(&run, phases), "SE");
}

static void the_next_key_steps_in_at_once_where_one_is_missing(void **state)
{
	(void)state;
	CHECK({0, "1", "S", 0}, {100, "12", "SC", 148}, {101, "2", "ES", 0});
	CHECK({0, "1", "S", 0}, {100, "2", "ES", 0});
	CHECK({0, "1", "S", 0}, {100, "23", "ESC", 148}, {149, "23", "ELS", 196});
	/* And an old one, as long as it has not ended. */
	CHECK({0, "1", "S", 0}, {100, "12", "SC", 148}, {150, "12", "LS", 196},
	      {160, "1", "SE", 0});
}

static void times_are_those_that_were_published(void **state)
{
	struct run run = {.made_ms = {NOW, NOW}};
	const struct server_key *key = run.own.document.keys;

	(void)state;
	assert_int_equal(run_step(&run, "1", NOW), ERR_OK);
	assert_int_equal(key[0].not_before_ms, NOW - DAYS_MS);
	assert_int_equal(key[0].not_after_ms, NOW + 365 * DAYS_MS);
	assert_int_equal(run_step(&run, "12", NOW + 5), ERR_OK);
	assert_int_equal(key[0].not_before_ms, NOW - DAYS_MS);
	assert_int_equal(key[0].not_after_ms, NOW + 5 + 365 * DAYS_MS);
	assert_int_equal(key[1].not_before_ms, NOW + 5 + OVERLAP);
	assert_int_equal(key[1].not_after_ms, NOW + 5 + OVERLAP + 365 * DAYS_MS);
	assert_int_equal(run_step(&run, "12", NOW + 5 + OVERLAP), ERR_OK);
	assert_int_equal(key[0].not_after_ms, NOW + 5 + 2 * OVERLAP);
	assert_int_equal(run_step(&run, "2", NOW + 9 + OVERLAP), ERR_OK);
	assert_int_equal(key[0].not_before_ms, NOW + 5 + OVERLAP);
	assert_string_equal(key[1].kid, "k1");
	assert_int_equal(key[1].not_after_ms, NOW + 9 + OVERLAP - 1);
	/* An end does not move on. */
	assert_int_equal(run_step(&run, "2", NOW + 10 + OVERLAP), ERR_OK);
	assert_int_equal(key[1].not_after_ms, NOW + 9 + OVERLAP - 1);
}

/* Where document.json is lost, the files tell. */
static void without_a_document_the_times_of_the_files_count(void **state)
{
	struct run run = {0};
	char phases[N_KEYS + 1];

	(void)state;
	run.made_ms[0] = NOW - 300 * HOURS_MS;
	run.made_ms[1] = NOW - 60 * HOURS_MS;
	run.made_ms[2] = NOW;
	assert_int_equal(run_step(&run, "312", NOW), ERR_OK);
	assert_string_equal(phases_of(&run, phases), "SCL");
	/* Made at the same time, as by a copy: the first by name. */
	run = (struct run){.made_ms = {NOW, NOW}};
	assert_int_equal(run_step(&run, "21", NOW), ERR_OK);
	assert_string_equal(phases_of(&run, phases), "SC");
}

static void a_clock_that_was_set_back_stops_nothing(void **state)
{
	(void)state;
	CHECK({1000, "1", "S", 0}, {0, "1", "S", 0}, {1001, "1", "S", 0});
}

static void what_cannot_be_published_is_refused(void **state)
{
	struct run run = {.made_ms = {NOW, NOW}};

	(void)state;
	assert_int_equal(run_step(&run, "", NOW), ERR_VALIDATION);
	assert_int_equal(run_step(&run, "012345678", NOW), ERR_VALIDATION);
	assert_int_equal(run_step(&run, "01", NOW), ERR_OK);
	assert_int_equal(run_step(&run, "1", NOW + 1), ERR_OK);
	/* The only one has been ended. */
	assert_int_equal(run_step(&run, "0", NOW + 2), ERR_VALIDATION);
	/* Its key id stands for another key. */
	memcpy(keys[8].kid, "k1", 3);
	assert_int_equal(run_step(&run, "8", NOW + 3), ERR_VALIDATION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_replaces_another_in_four_days),
		cmocka_unit_test(several_follow_each_other),
		cmocka_unit_test(a_node_that_slept_goes_on_where_the_time_is),
		cmocka_unit_test(a_key_without_a_file_has_ended),
		cmocka_unit_test(a_key_whose_file_cannot_be_read_is_put_off),
		cmocka_unit_test(a_key_that_came_meanwhile_is_no_key_without_a_file),
		cmocka_unit_test(the_next_key_steps_in_at_once_where_one_is_missing),
		cmocka_unit_test(times_are_those_that_were_published),
		cmocka_unit_test(without_a_document_the_times_of_the_files_count),
		cmocka_unit_test(a_clock_that_was_set_back_stops_nothing),
		cmocka_unit_test(what_cannot_be_published_is_refused),
	};

	return cmocka_run_group_tests(tests, make_keys, NULL);
}
