/* SPDX-License-Identifier: MIT
 *
 * The file of the embedded database: who may read it, and what is refused.
 */
#include "contract.h"

#include <sys/stat.h>
#include <unistd.h>

static char *database_path(struct contract *contract)
{
	return arena_printf(contract->arena, "%s/restante.db", contract->dir);
}

static void only_the_owner_can_read_the_database(void **state)
{
	struct contract *contract = *state;
	struct stat status;

	contract_register(contract, "alice");
	assert_int_equal(stat(database_path(contract), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(
		stat(arena_printf(contract->arena, "%s-wal", database_path(contract)), &status),
		0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

static void read_at(const char *path, long offset, void *data_out, size_t len)
{
	FILE *file = fopen(path, "rb");

	assert_non_null(file);
	assert_int_equal(fseek(file, offset, SEEK_SET), 0);
	assert_int_equal(fread(data_out, 1, len, file), len);
	fclose(file);
}

static void write_at(const char *path, long offset, const void *data, size_t len)
{
	FILE *file = fopen(path, "r+b");

	assert_non_null(file);
	assert_int_equal(fseek(file, offset, SEEK_SET), 0);
	assert_int_equal(fwrite(data, 1, len, file), len);
	fclose(file);
}

static void a_newer_database_is_refused(void **state)
{
	struct contract *contract = *state;
	struct text problems;
	struct store *store = NULL;
	uint8_t version[4];

	store_close(&contract->store);
	text_init(&problems, contract->arena, 100);
	assert_int_equal(store_check(&contract->config, &problems), ERR_OK);
	assert_int_equal(problems.len, 0);
	/* user_version stands at byte 60 of the file (sqlite.org/fileformat.html). */
	read_at(database_path(contract), 60, version, sizeof version);
	write_at(database_path(contract), 60, "\0\0\x03\xe7", 4);
	assert_int_equal(store_check(&contract->config, &problems), ERR_STORE);
	assert_non_null(strstr(problems.data, "999"));
	assert_int_equal(store_open(&contract->config, &store), ERR_STORE);
	write_at(database_path(contract), 60, version, sizeof version);
	contract_open(contract);
}

static void checking_changes_nothing(void **state)
{
	struct contract *contract = *state;
	struct store_config config = contract->config;
	struct text problems;

	config.data_dir = arena_printf(contract->arena, "%s/empty", contract->dir);
	text_init(&problems, contract->arena, 100);
	assert_int_equal(store_check(&config, &problems), ERR_STORE); /* no such folder */
	assert_int_equal(mkdir(config.data_dir, 0700), 0);
	problems.len = 0;
	assert_int_equal(store_check(&config, &problems), ERR_OK);
	assert_int_equal(rmdir(config.data_dir), 0); /* it is empty still */
	/* Also while the store is open. */
	assert_int_equal(store_check(&contract->config, &problems), ERR_OK);
}

static void what_is_no_database_is_refused(void **state)
{
	struct contract *contract = *state;
	struct text problems;
	struct store *store = NULL;
	char *path = database_path(contract);

	store_close(&contract->store);
	write_at(path, 0, "this is not a database", 22);
	text_init(&problems, contract->arena, 100);
	assert_int_equal(store_check(&contract->config, &problems), ERR_STORE);
	assert_int_equal(store_open(&contract->config, &store), ERR_STORE);
	assert_int_equal(unlink(path), 0);
	contract_open(contract);
}

/* Nor does it leave files beside it that are as read-only, and would be when it is not. */
static void a_read_only_database_is_refused(void **state)
{
	struct contract *contract = *state;
	const char *path = database_path(contract);
	uid_t user = geteuid();
	enum err err;

	store_close(&contract->store);
	assert_int_equal(chmod(path, 0400), 0);
	if (user == 0) { /* who may write everything */
		assert_int_equal(chown(contract->dir, 65534, 65534), 0);
		assert_int_equal(chown(path, 65534, 65534), 0);
		assert_int_equal(seteuid(65534), 0);
	}
	err = store_open(&contract->config, &contract->store);
	assert_int_equal(seteuid(user), 0);
	assert_int_equal(err, ERR_STORE);
	assert_int_equal(access(arena_printf(contract->arena, "%s-wal", path), F_OK), -1);
	assert_int_equal(chmod(path, 0600), 0);
	contract_open(contract);
}

static void a_kind_of_database_that_is_not_built_in_is_refused(void **state)
{
	struct contract *contract = *state;
	struct store_config config = contract->config;
	struct store *store = NULL;

	config.url = "mysql://localhost/restante";
	assert_int_equal(store_open(&config, &store), ERR_STORE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_the_owner_can_read_the_database),
		TEST(a_newer_database_is_refused),
		TEST(checking_changes_nothing),
		TEST(what_is_no_database_is_refused),
		TEST(a_read_only_database_is_refused),
		TEST(a_kind_of_database_that_is_not_built_in_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
