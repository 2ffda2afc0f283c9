/* SPDX-License-Identifier: MIT
 *
 * The keys in the data folder: made once, private, and the root key not among them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/crypto.h"
#include "restante/log.h"
#include "restante/node.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder;
static char data_dir[512], root_path[512];

static int setup(void **state)
{
	(void)state;
	crypto_init();
	log_set_level(LOG_ERROR + 1);
	folder = support_make_dir();
	snprintf(data_dir, sizeof(data_dir), "%s/data", folder);
	snprintf(root_path, sizeof(root_path), "%s/root.key", folder);
	assert_int_equal(node_keys_create(data_dir, root_path), ERR_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	support_remove_dir(&folder);
	return 0;
}

static char *file(const char *name)
{
	static char path[1024];

	snprintf(path, sizeof(path), "%s/keys/%s", data_dir, name);
	return path;
}

static void new_keys_load_and_stay_the_same(void **state)
{
	struct node_keys first, again;

	(void)state;
	assert_int_equal(node_keys_load(data_dir, &first), ERR_OK);
	assert_int_equal(node_keys_load(data_dir, &again), ERR_OK);
	assert_int_equal(first.n_server, 1);
	assert_string_equal(first.server[0].kid, "k1");
	assert_true(first.has_root);
	assert_memory_equal(&first, &again, sizeof(first));
}

static void root_key_is_the_one_that_was_left_outside(void **state)
{
	struct node_keys keys;
	struct sign_key root;

	(void)state;
	assert_int_equal(node_keys_load(data_dir, &keys), ERR_OK);
	assert_int_equal(sign_key_load(root_path, &root), ERR_OK);
	assert_memory_equal(root.public_key, keys.root_public_key, 32);
}

static void keys_are_never_made_over_others(void **state)
{
	(void)state;
	assert_int_equal(node_keys_create(data_dir, root_path), ERR_FORBIDDEN);
}

static void key_that_others_can_read_is_refused(void **state)
{
	struct node_keys keys;

	(void)state;
	assert_int_equal(chmod(file("k1.key"), 0640), 0);
	assert_int_equal(node_keys_load(data_dir, &keys), ERR_FORBIDDEN);
}

static void folder_without_a_server_key_is_refused(void **state)
{
	struct node_keys keys;

	(void)state;
	assert_int_equal(unlink(file("k1.key")), 0);
	assert_int_equal(node_keys_load(data_dir, &keys), ERR_NOT_FOUND);
}

static void key_file_that_does_not_belong_is_refused(void **state)
{
	static const char *const names[] = {"k2.key", "root.key", "k1 old.key"};
	struct node_keys keys;
	char from[1024];

	(void)state;
	snprintf(from, sizeof(from), "%s", file("k1.key"));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(link(from, file(names[i])), 0);
		assert_int_equal(node_keys_load(data_dir, &keys), ERR_VALIDATION);
		assert_int_equal(unlink(file(names[i])), 0);
	}
	assert_int_equal(node_keys_load(data_dir, &keys), ERR_OK);
}

static void loading_makes_no_secret(void **state)
{
	struct node_keys keys;

	(void)state;
	assert_int_equal(unlink(file("receipt.secret")), 0);
	assert_int_equal(node_keys_load(data_dir, &keys), ERR_NOT_FOUND);
	assert_int_not_equal(access(file("receipt.secret"), F_OK), 0);
	assert_int_equal(node_secrets_create(data_dir), ERR_OK);
	assert_int_equal(node_keys_load(data_dir, &keys), ERR_OK);
}

static void path_that_is_too_long_is_no_empty_secret(void **state)
{
	static const uint8_t zeros[SECRET_SIZE];
	struct node_keys keys = {0};
	char path[4096];

	(void)state;
	memset(path, '/', sizeof(path));
	memcpy(path, data_dir, strlen(data_dir));
	/* Room for …/keys/token.secret and not for receipt.secret, which is longer by two. */
	path[sizeof(path) - sizeof("/keys/token.secret")] = '\0';
	assert_int_equal(node_keys_load(path, &keys), ERR_VALIDATION);
	assert_int_equal(node_secrets_load(path, &keys), ERR_VALIDATION);
	assert_int_equal(node_secrets_create(path), ERR_VALIDATION);
	assert_memory_equal(keys.receipt_secret, zeros, SECRET_SIZE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(new_keys_load_and_stay_the_same),
		TEST(root_key_is_the_one_that_was_left_outside),
		TEST(keys_are_never_made_over_others),
		TEST(key_that_others_can_read_is_refused),
		TEST(folder_without_a_server_key_is_refused),
		TEST(key_file_that_does_not_belong_is_refused),
		TEST(loading_makes_no_secret),
		TEST(path_that_is_too_long_is_no_empty_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
