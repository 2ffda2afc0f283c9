/* SPDX-License-Identifier: MIT
 *
 * The commands about server keys: which files they make and move, and which document they
 * publish.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/log.h"
#include "restante/node.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char *folder;
static char data_dir[512], root_path[512];
static struct config config;
static struct arena *arena;
static char kid[KID_MAX + 1];

/* As the node does when it starts. */
static void publish(void)
{
	struct own_document own;
	struct node_keys keys;

	assert_int_equal(node_keys_plan(&config, arena, &keys, &own), ERR_OK);
	assert_int_equal(federation_own_document(&own), ERR_OK);
}

static int setup(void **state)
{
	(void)state;
	crypto_init();
	log_set_level(LOG_ERROR + 1);
	folder = support_make_dir();
	arena = arena_create();
	snprintf(data_dir, sizeof(data_dir), "%s/data", folder);
	snprintf(root_path, sizeof(root_path), "%s/root.key", folder);
	config = (struct config){.node_domain = "a.example",
				 .node_data_dir = data_dir,
				 .federation_url = "",
				 .federation_api_url = "",
				 .limits_body = 1 << 20,
				 .limits_content = 1 << 10,
				 .federation_key_overlap = 2 * DAYS_MS};
	assert_int_equal(node_keys_create(data_dir, root_path), ERR_OK);
	publish();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_destroy(&arena);
	support_remove_dir(&folder);
	return 0;
}

static const char *path_of(const char *name)
{
	return arena_printf(arena, "%s/keys/%s", data_dir, name);
}

static bool there_is(const char *name)
{
	return access(path_of(name), F_OK) == 0;
}

/* "k1 signs, k2 comes", as published. */
static const char *phases(void)
{
	static const char *const words[] = {"comes", "signs", "leaves", "ended"};
	struct own_document own;
	struct node_keys keys;
	struct text out;

	text_init(&out, arena, 64);
	assert_int_equal(node_keys_plan(&config, arena, &keys, &own), ERR_OK);
	for (size_t i = 0; i < own.document.n_keys; i++)
		text_printf(&out, "%s%s %s", i > 0 ? ", " : "", own.document.keys[i].kid,
			    words[federation_key_phase(&own, i)]);
	return out.data;
}

static struct server_document published(void)
{
	struct server_document document;

	assert_int_equal(federation_last_document(&config, arena, &document), ERR_OK);
	return document;
}

static void rotation_makes_the_next_key(void **state)
{
	struct server_document document;

	(void)state;
	assert_string_equal(phases(), "k1 signs");
	assert_int_equal(node_key_rotate(&config, NULL, kid), ERR_OK);
	assert_string_equal(kid, "k2");
	assert_string_equal(phases(), "k1 signs, k2 comes");
	document = published();
	assert_int_equal(document.n_keys, 2);
	assert_int_equal(document.n_signatures, 2);
	assert_int_equal(node_key_rotate(&config, "mine", kid), ERR_OK);
	assert_string_equal(kid, "mine");
	assert_int_equal(node_key_rotate(&config, NULL, kid), ERR_OK);
	assert_string_equal(kid, "k3");
}

static void a_key_id_is_used_once(void **state)
{
	static const char *const bad[] = {"k1", "k7", "k9", "root", "K2", "../k2", ""};
	FILE *file;

	(void)state;
	/* One that was put away, and one that only the document still knows. */
	file = fopen(path_of("k7.key.old"), "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(node_key_rotate(&config, "k9", kid), ERR_OK);
	assert_int_equal(unlink(path_of("k9.key")), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(node_key_rotate(&config, bad[i], kid), ERR_FORBIDDEN);
	assert_int_equal(node_key_rotate(&config, NULL, kid), ERR_OK);
	assert_string_equal(kid, "k10");
}

/* Key ids are k and a number by default: "k-7" is a name and no number. */
static void names_do_not_move_the_numbers(void **state)
{
	(void)state;
	assert_int_equal(node_key_rotate(&config, "k-7", kid), ERR_OK);
	assert_int_equal(node_key_rotate(&config, "k99999999999999999999999999999", kid),
			 ERR_OK);
	assert_int_equal(node_key_rotate(&config, NULL, kid), ERR_OK);
	assert_string_equal(kid, "k2");
}

static void more_keys_than_fit_are_not_made(void **state)
{
	struct node_keys keys;

	(void)state;
	for (int i = 2; i <= NODE_KEYS_MAX; i++)
		assert_int_equal(node_key_rotate(&config, NULL, kid), ERR_OK);
	assert_int_equal(node_key_rotate(&config, NULL, kid), ERR_FORBIDDEN);
	assert_int_equal(node_server_keys_load(data_dir, &keys), ERR_OK);
	assert_int_equal(keys.n_server, NODE_KEYS_MAX);
}

static void a_node_whose_keys_are_gone_gets_a_new_one(void **state)
{
	(void)state;
	assert_int_equal(node_key_rotate(&config, NULL, kid), ERR_OK);
	assert_int_equal(rename(path_of("k1.key"), path_of("k1.lost")), 0);
	assert_int_equal(unlink(path_of("k2.key")), 0);
	assert_int_equal(node_key_rotate(&config, NULL, kid), ERR_OK);
	assert_string_equal(phases(), "k3 signs, k1 ended, k2 ended");
}

static void revoking_the_only_key_makes_another(void **state)
{
	struct server_document document;
	struct sign_key root;

	(void)state;
	assert_int_equal(node_key_revoke(&config, "k1", root_path, kid), ERR_OK);
	assert_string_equal(kid, "k2");
	assert_string_equal(phases(), "k2 signs, k1 ended");
	assert_false(there_is("k1.key"));
	assert_true(there_is("k1.key.revoked"));
	document = published();
	assert_int_equal(sign_key_load(root_path, &root), ERR_OK);
	assert_non_null(document.root_signed);
	assert_true(document_signed_by(document.root_signed, root.public_key));
	assert_true(document.root_signed->keys[1].not_after_ms < document.revision);
}

static void revoking_one_of_several_leaves_the_others(void **state)
{
	(void)state;
	assert_int_equal(node_key_rotate(&config, NULL, kid), ERR_OK);
	assert_int_equal(node_key_rotate(&config, NULL, kid), ERR_OK);
	assert_int_equal(node_key_revoke(&config, "k2", root_path, kid), ERR_OK);
	assert_string_equal(kid, "");
	assert_string_equal(phases(), "k1 signs, k3 comes, k2 ended");
	assert_int_equal(node_key_revoke(&config, "k1", root_path, kid), ERR_OK);
	assert_string_equal(kid, "");
	assert_string_equal(phases(), "k3 signs, k1 ended, k2 ended");
}

/* A stop in the middle: it is published, but the file has stayed. */
static void a_revoked_key_does_not_come_back_with_its_file(void **state)
{
	(void)state;
	assert_int_equal(node_key_revoke(&config, "k1", root_path, kid), ERR_OK);
	assert_int_equal(rename(path_of("k1.key.revoked"), path_of("k1.key")), 0);
	assert_string_equal(phases(), "k1 ended, k2 signs");
	assert_int_equal(node_key_revoke(&config, "k1", root_path, kid), ERR_OK);
	assert_string_equal(phases(), "k2 signs, k1 ended");
}

static void only_the_root_of_this_node_revokes(void **state)
{
	const char *other = arena_printf(arena, "%s/other.key", folder);
	struct sign_key key;

	(void)state;
	assert_int_equal(sign_key_create(bytes_of_text("root"), &key), ERR_OK);
	assert_int_equal(sign_key_save(&key, other), ERR_OK);
	assert_int_equal(node_key_revoke(&config, "k1", other, kid), ERR_FORBIDDEN);
	assert_int_equal(node_key_revoke(&config, "k1", path_of("k1.key"), kid), ERR_FORBIDDEN);
	assert_int_equal(node_key_revoke(&config, "k1", path_of("none"), kid), ERR_NOT_FOUND);
	assert_int_equal(node_key_sign(&config, other), ERR_FORBIDDEN);
	assert_int_equal(node_key_revoke(&config, "k2", root_path, kid), ERR_NOT_FOUND);
	assert_true(there_is("k1.key"));
	assert_false(there_is("k2.key"));
	assert_string_equal(phases(), "k1 signs");
}

static void the_root_signs_the_keys_as_they_are(void **state)
{
	struct server_document document;

	(void)state;
	assert_int_equal(node_key_rotate(&config, NULL, kid), ERR_OK);
	assert_null(published().root_signed);
	assert_int_equal(node_key_sign(&config, root_path), ERR_OK);
	assert_string_equal(phases(), "k1 signs, k2 comes");
	document = published();
	assert_true(bytes_equal(document.root_signed->raw, document.raw));
}

static void the_root_hands_over_to_another(void **state)
{
	const char *next_path = arena_printf(arena, "%s/next.key", folder);
	struct server_document document;
	struct sign_key root, next;

	(void)state;
	assert_int_equal(node_key_sign(&config, root_path), ERR_OK);
	assert_int_equal(node_key_root(&config, root_path, next_path), ERR_OK);
	assert_int_equal(sign_key_load(root_path, &root), ERR_OK);
	assert_int_equal(sign_key_load(next_path, &next), ERR_OK);
	document = published();
	assert_memory_equal(document.root_key, next.public_key, 32);
	assert_memory_equal(document.root_signed->root_key, next.public_key, 32);
	assert_true(document_signed_by(document.root_signed, root.public_key));
	assert_true(document_signed_by(document.root_signed, next.public_key));
	assert_string_equal(phases(), "k1 signs");
	/* It is carried along, and the new one is the root of this node. */
	publish();
	assert_true(document_signed_by(published().root_signed, root.public_key));
	assert_int_equal(node_key_sign(&config, root_path), ERR_FORBIDDEN);
	assert_int_equal(node_key_sign(&config, next_path), ERR_OK);
}

/* A stop in the middle: it is published, but root.pub is that of the old one. */
static void a_hand_over_can_be_done_again(void **state)
{
	const char *next_path = arena_printf(arena, "%s/next.key", folder);
	const char *aside = path_of("root.pub.aside");
	struct sign_key next;

	(void)state;
	assert_int_equal(link(path_of("root.pub"), aside), 0);
	assert_int_equal(node_key_root(&config, root_path, next_path), ERR_OK);
	assert_int_equal(sign_key_load(next_path, &next), ERR_OK);
	assert_int_equal(rename(aside, path_of("root.pub")), 0);
	publish();
	assert_memory_equal(published().root_signed->root_key, next.public_key, 32);
	assert_int_equal(node_key_root(&config, root_path, next_path), ERR_OK);
	assert_memory_equal(published().root_key, next.public_key, 32);
}

static void only_the_root_hands_over_and_to_a_root(void **state)
{
	const char *other = arena_printf(arena, "%s/other.key", folder);
	struct sign_key key;

	(void)state;
	assert_int_equal(node_key_root(&config, root_path, root_path), ERR_FORBIDDEN);
	assert_int_equal(node_key_root(&config, root_path, path_of("k1.key")), ERR_FORBIDDEN);
	assert_int_equal(sign_key_create(bytes_of_text("root"), &key), ERR_OK);
	assert_int_equal(sign_key_save(&key, other), ERR_OK);
	assert_int_equal(node_key_root(&config, other, root_path), ERR_FORBIDDEN);
	assert_int_equal(node_key_root(&config, path_of("none"), other), ERR_NOT_FOUND);
	assert_null(published().root_signed);
	assert_int_equal(node_key_sign(&config, root_path), ERR_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rotation_makes_the_next_key),
		TEST(a_key_id_is_used_once),
		TEST(names_do_not_move_the_numbers),
		TEST(more_keys_than_fit_are_not_made),
		TEST(a_node_whose_keys_are_gone_gets_a_new_one),
		TEST(revoking_the_only_key_makes_another),
		TEST(revoking_one_of_several_leaves_the_others),
		TEST(a_revoked_key_does_not_come_back_with_its_file),
		TEST(only_the_root_of_this_node_revokes),
		TEST(the_root_signs_the_keys_as_they_are),
		TEST(the_root_hands_over_to_another),
		TEST(a_hand_over_can_be_done_again),
		TEST(only_the_root_hands_over_and_to_a_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
