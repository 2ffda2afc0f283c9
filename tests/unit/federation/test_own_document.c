/* SPDX-License-Identifier: MIT
 *
 * A node's own document: what others would accept, and how it goes on from the last one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/federation.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOW INT64_C(1767225600000)

struct fixture {
	struct arena *arena;
	struct config config;
	char *folder;
	struct sign_key keys[3];
	struct server_document document;
	struct bytes wrapper;
};

static int setup(void **state)
{
	static const char *const kids[] = {"k1", "k2", "k1"};
	struct fixture *f = calloc(1, sizeof *f);

	crypto_init();
	f->arena = arena_create();
	f->folder = support_make_dir();
	f->config = (struct config){.node_domain = "a.example",
				    .node_data_dir = f->folder,
				    .node_abuse_contact = "mailto:abuse@a.example",
				    .federation_url = "",
				    .federation_api_url = "",
				    .limits_body = 5000000,
				    .limits_content = 70000};
	for (size_t i = 0; i < 3; i++)
		if (sign_key_create(bytes_of_text(kids[i]), &f->keys[i]) != ERR_OK)
			return -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	support_remove_dir(&f->folder);
	arena_destroy(&f->arena);
	free(f);
	return 0;
}

static enum err make(struct fixture *f, size_t first, size_t n, int64_t now_ms)
{
	return federation_own_document(&f->config, &f->keys[first], n, NULL, now_ms, f->arena,
				       &f->document, &f->wrapper);
}

static void the_first_document_is_valid(void **state)
{
	struct fixture *f = *state;
	uint8_t base_point[32];
	const char *reason = "";

	memset(base_point, 0x66, sizeof base_point);
	base_point[0] = 0x58;
	assert_int_equal(federation_own_document(&f->config, f->keys, 2, base_point, NOW,
						 f->arena, &f->document, &f->wrapper),
			 ERR_OK);
	assert_int_equal(document_verify(&f->document, "a.example", NOW, &reason), ERR_OK);
	assert_int_equal(document_verify(&f->document, "a.example", NOW + 7 * DAYS_MS, &reason),
			 ERR_OK);
	assert_string_equal(f->document.federation_url, "https://a.example");
	assert_string_equal(f->document.api_url, "https://a.example");
	assert_string_equal(f->document.authority, "a.example");
	assert_int_equal(f->document.revision, NOW);
	assert_false(f->document.has_previous);
	assert_true(f->document.has_root);
	assert_int_equal(f->document.transaction_items, 1000);
	/* limits.body, but not more than is ever read */
	assert_int_equal(f->document.transaction_bytes, 4194304);
	assert_int_equal(f->document.content_bytes, 70000);
	assert_int_equal(f->document.n_keys, 2);
	assert_int_equal(f->document.n_signatures, 2);
	assert_int_equal(f->document.keys[0].not_before_ms, NOW - DAYS_MS);
	assert_int_equal(f->document.keys[0].not_after_ms, NOW + 365 * DAYS_MS);
}

static void the_next_one_goes_on_from_it(void **state)
{
	struct fixture *f = *state;
	uint8_t hash[SHA256_SIZE];

	assert_int_equal(make(f, 0, 1, NOW), ERR_OK);
	crypto_sha256(f->document.raw, hash);
	/* Also when the clock was set back. */
	assert_int_equal(make(f, 0, 1, NOW - HOURS_MS), ERR_OK);
	assert_int_equal(f->document.revision, NOW + 1);
	assert_true(f->document.has_previous);
	assert_memory_equal(f->document.previous, hash, sizeof hash);
	assert_int_equal(make(f, 0, 1, NOW + DAYS_MS), ERR_OK);
	assert_int_equal(f->document.revision, NOW + DAYS_MS);
	/* A key begins when it began. */
	assert_int_equal(f->document.keys[0].not_before_ms, NOW - HOURS_MS - DAYS_MS);
	assert_int_equal(f->document.keys[0].not_after_ms, NOW + 366 * DAYS_MS);
}

static void the_file_is_what_is_served(void **state)
{
	struct fixture *f = *state;
	char *path = arena_printf(f->arena, "%s/document.json", f->folder);
	uint8_t *content;
	size_t len;

	assert_int_equal(make(f, 0, 1, NOW), ERR_OK);
	assert_int_equal(make(f, 0, 1, NOW + 1), ERR_OK);
	content = support_read_file(path, &len);
	assert_true(bytes_equal(bytes_of(content, len), f->wrapper));
	free(content);
	/* Nothing else is left behind. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(f->folder), 0);
	assert_int_equal(make(f, 0, 1, NOW + 2), ERR_INTERNAL);
	free(f->folder);
	f->folder = support_make_dir();
}

static void a_key_that_is_gone_is_ended_for_a_year(void **state)
{
	struct fixture *f = *state;
	const char *reason = "";

	assert_int_equal(make(f, 0, 2, NOW), ERR_OK);
	assert_int_equal(make(f, 1, 1, NOW + DAYS_MS), ERR_OK);
	assert_int_equal(f->document.n_keys, 2);
	assert_string_equal(f->document.keys[0].kid, "k2");
	assert_string_equal(f->document.keys[1].kid, "k1");
	assert_int_equal(f->document.keys[1].not_after_ms, NOW + DAYS_MS - 1);
	assert_int_equal(f->document.n_signatures, 1);
	assert_int_equal(document_verify(&f->document, "a.example", NOW + DAYS_MS, &reason),
			 ERR_OK);
	/* Its end does not move on. */
	assert_int_equal(make(f, 1, 1, NOW + 300 * DAYS_MS), ERR_OK);
	assert_int_equal(f->document.keys[1].not_after_ms, NOW + DAYS_MS - 1);
	assert_int_equal(make(f, 1, 1, NOW + 400 * DAYS_MS), ERR_OK);
	assert_int_equal(f->document.n_keys, 1);
}

static void a_key_id_is_not_used_again(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(make(f, 0, 1, NOW), ERR_OK);
	assert_int_equal(make(f, 2, 1, NOW + 1), ERR_VALIDATION);
	assert_int_equal(make(f, 1, 1, NOW + 2), ERR_OK);
	assert_int_equal(make(f, 2, 1, NOW + 3), ERR_VALIDATION);
	assert_int_equal(make(f, 0, 0, NOW + 4), ERR_VALIDATION);
}

static void smaller_bodies_are_published(void **state)
{
	struct fixture *f = *state;

	f->config.limits_body = 1 << 20;
	assert_int_equal(make(f, 0, 1, NOW), ERR_OK);
	assert_int_equal(f->document.transaction_bytes, 1 << 20);
}

static void key_ids_that_were_published_are_known(void **state)
{
	struct fixture *f = *state;

	assert_false(federation_kid_was_used(&f->config, "k1"));
	assert_int_equal(make(f, 0, 1, NOW), ERR_OK);
	assert_int_equal(make(f, 1, 1, NOW + 1), ERR_OK);
	assert_true(federation_kid_was_used(&f->config, "k1")); /* ended */
	assert_true(federation_kid_was_used(&f->config, "k2"));
	assert_false(federation_kid_was_used(&f->config, "k3"));
}

static void a_damaged_file_begins_anew(void **state)
{
	struct fixture *f = *state;
	FILE *file = fopen(arena_printf(f->arena, "%s/document.json", f->folder), "w");

	assert_true(fputs("{\"document\":", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(make(f, 0, 1, NOW), ERR_OK);
	assert_false(f->document.has_previous);
	/* So does the file of a node that had another name. */
	f->config.node_domain = "b.example";
	assert_int_equal(make(f, 2, 1, NOW + 1), ERR_OK);
	assert_false(f->document.has_previous);
	assert_int_equal(f->document.n_keys, 1);
}

static void urls_come_from_the_configuration(void **state)
{
	struct fixture *f = *state;

	f->config.federation_url = "https://node.a.example:8443";
	f->config.federation_api_url = "https://chat.a.example";
	assert_int_equal(make(f, 0, 1, NOW), ERR_OK);
	assert_string_equal(f->document.authority, "node.a.example:8443");
	assert_int_equal(f->document.port, 8443);
	assert_string_equal(f->document.api_url, "https://chat.a.example");
	/* What other nodes would refuse is not published. */
	f->config.federation_url = "https://192.0.2.1";
	assert_int_equal(make(f, 0, 1, NOW), ERR_VALIDATION);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_document_is_valid),
		TEST(the_next_one_goes_on_from_it),
		TEST(a_key_that_is_gone_is_ended_for_a_year),
		TEST(a_key_id_is_not_used_again),
		TEST(key_ids_that_were_published_are_known),
		TEST(smaller_bodies_are_published),
		TEST(a_damaged_file_begins_anew),
		TEST(urls_come_from_the_configuration),
		TEST(the_file_is_what_is_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
