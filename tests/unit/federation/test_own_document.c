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
	struct sign_key keys[3], root;
	int64_t made_ms[3];
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
				    .federation_key_overlap = 2 * DAYS_MS,
				    .limits_body = 5000000,
				    .limits_content = 70000};
	for (size_t i = 0; i < 3; i++)
		if (sign_key_create(bytes_of_text(kids[i]), &f->keys[i]) != ERR_OK)
			return -1;
	if (sign_key_create(bytes_of_text("root"), &f->root) != ERR_OK)
		return -1;
	for (size_t i = 0; i < 3; i++)
		f->made_ms[i] = NOW;
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

static enum err make_by(struct fixture *f, size_t first, size_t n, int64_t now_ms,
			const struct sign_key *root)
{
	struct own_document own = {.config = &f->config,
				   .keys = &f->keys[first],
				   .made_ms = &f->made_ms[first],
				   .n_keys = n,
				   .root_public_key = f->root.public_key,
				   .root = root,
				   .now_ms = now_ms,
				   .arena = f->arena};
	enum err err = federation_own_document(&own);

	f->document = own.document;
	f->wrapper = own.wrapper;
	return err;
}

static enum err make(struct fixture *f, size_t first, size_t n, int64_t now_ms)
{
	return make_by(f, first, n, now_ms, NULL);
}

static void the_first_document_is_valid(void **state)
{
	struct fixture *f = *state;
	const char *reason = "";

	assert_int_equal(make(f, 0, 2, NOW), ERR_OK);
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
	assert_null(f->document.root_signed);
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
	assert_int_equal(f->document.keys[0].not_before_ms, NOW - DAYS_MS);
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

static void smaller_bodies_are_published(void **state)
{
	struct fixture *f = *state;

	f->config.limits_body = 1 << 20;
	assert_int_equal(make(f, 0, 1, NOW), ERR_OK);
	assert_int_equal(f->document.transaction_bytes, 1 << 20);
}

static void the_last_document_can_be_read(void **state)
{
	struct fixture *f = *state;
	struct server_document last;

	assert_int_equal(federation_last_document(&f->config, f->arena, &last), ERR_NOT_FOUND);
	assert_int_equal(make(f, 0, 1, NOW), ERR_OK);
	assert_int_equal(make(f, 1, 1, NOW + 1), ERR_OK);
	assert_int_equal(federation_last_document(&f->config, f->arena, &last), ERR_OK);
	assert_non_null(document_key(&last, "k1")); /* ended */
	assert_non_null(document_key(&last, "k2"));
}

/* The root */

static void what_the_root_signed_last_comes_with_every_document(void **state)
{
	struct fixture *f = *state;
	struct bytes raw;

	assert_int_equal(make(f, 0, 1, NOW), ERR_OK);
	assert_int_equal(make_by(f, 0, 2, NOW + 1, &f->root), ERR_OK);
	raw = f->document.raw;
	for (int64_t i = 2; i < 4; i++) {
		const struct server_document *by_root = f->document.root_signed;

		assert_non_null(by_root);
		assert_true(bytes_equal(by_root->raw, raw));
		assert_true(document_signed_by(by_root, f->root.public_key));
		assert_int_equal(by_root->n_signatures, 1);
		assert_false(document_signed_by(&f->document, f->root.public_key));
		assert_int_equal(make(f, 1, 1, NOW + i), ERR_OK);
	}
	assert_int_equal(make_by(f, 1, 1, NOW + 4, &f->root), ERR_OK);
	assert_int_equal(f->document.root_signed->revision, NOW + 4);
}

/* Others take no notice of what is older than what the root has signed. */
static void what_follows_is_newer_than_what_the_root_signed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(make_by(f, 0, 1, NOW, &f->root), ERR_OK);
	assert_int_equal(unlink(arena_printf(f->arena, "%s/document.json", f->folder)), 0);
	assert_int_equal(make(f, 0, 1, NOW - HOURS_MS), ERR_OK);
	assert_int_equal(f->document.root_signed->revision, NOW);
	assert_int_equal(f->document.revision, NOW + 1);
}

static void what_another_root_signed_is_left_out(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(make_by(f, 0, 1, NOW, &f->keys[1]), ERR_OK);
	assert_int_equal(make(f, 0, 1, NOW + 1), ERR_OK);
	assert_null(f->document.root_signed);
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
		TEST(the_last_document_can_be_read),
		TEST(what_the_root_signed_last_comes_with_every_document),
		TEST(what_follows_is_newer_than_what_the_root_signed),
		TEST(what_another_root_signed_is_left_out),
		TEST(smaller_bodies_are_published),
		TEST(a_damaged_file_begins_anew),
		TEST(urls_come_from_the_configuration),
		TEST(the_file_is_what_is_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
