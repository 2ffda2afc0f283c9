/* SPDX-License-Identifier: MIT
 *
 * Copying a database: from the store of the contract to a file, and from there to another one
 * of its kind. What a node makes of a copy is in tests/system/test_store_copy.py.
 */
#include "contract.h"

#include "restante/store_copy.h"

static struct store_copy copy_make(struct contract *contract, const char *from, const char *to)
{
	struct store_copy copy = {
		.from = contract->config, .to = contract->config, .arena = contract->arena};

	copy.from.url = from;
	copy.to.url = to;
	return copy;
}

static void ignore_progress(void *context, const struct copy_progress *progress)
{
	(void)context;
	(void)progress;
}

static const struct copy_result *copy_ok(struct contract *contract, const char *from,
					 const char *to, const char *table)
{
	struct store_copy copy = copy_make(contract, from, to);
	const struct copy_result *found = NULL;

	copy.progress = ignore_progress;
	assert_int_equal(store_copy(&copy), ERR_OK);
	assert_false(copy.differs);
	assert_null(copy.sign);
	for (size_t i = 0; i < copy.n_results; i++) {
		assert_true(copy.results[i].same);
		if (strcmp(copy.results[i].table, table) == 0)
			found = &copy.results[i];
	}
	assert_non_null(found);
	return found;
}

/* Three databases: the one of the contract, a file, and another of the first kind. */
struct chain {
	char first[512], file[512], last[512];
};

static struct chain chain_make(struct contract *contract)
{
	const char *database = getenv("RESTANTE_TEST_STORE");
	struct chain chain;

	store_close(&contract->store);
	snprintf(chain.first, sizeof chain.first, "%s", contract->url);
	if (database == NULL)
		snprintf(chain.first, sizeof chain.first, "%s/restante.db", contract->dir);
	snprintf(chain.file, sizeof chain.file, "%s/file.db", contract->dir);
	snprintf(chain.last, sizeof chain.last, "%s/last.db", contract->dir);
	if (database != NULL)
		contract_make_schema(database, chain.last, sizeof chain.last);
	return chain;
}

static void odd_values_arrive_as_they_are(void **state)
{
	struct contract *contract = *state;
	const struct copy_result *there, *back;
	struct chain chain;

	contract_execute(
		contract,
		"INSERT INTO claim (claimer, claim_id, request, answer, expires_ms) VALUES"
		" ('', '', CAST('' AS blob), CAST('\\x00ff' AS blob), 0),"
		" ('Z', 'a', CAST('' AS blob), CAST('1' AS blob), -9223372036854775808),"
		" ('a', 'Z', CAST('' AS blob), CAST('2' AS blob), 9223372036854775807),"
		" ('a', 'z', CAST('' AS blob), CAST('3' AS blob), -1),"
		" ('\xc3\xa4', '\xf0\x9f\x93\xae', CAST('' AS blob), CAST('4' AS blob), 1)");
	chain = chain_make(contract);
	there = copy_ok(contract, chain.first, chain.file, "claim");
	back = copy_ok(contract, chain.file, chain.last, "claim");
	assert_int_equal(there->from.rows, 5);
	assert_memory_equal(&there->from, &back->to, sizeof back->to);
	contract_open(contract);
}

static void an_empty_database_can_be_copied(void **state)
{
	struct contract *contract = *state;
	struct chain chain = chain_make(contract);

	assert_int_equal(copy_ok(contract, chain.first, chain.file, "mailbox")->to.rows, 0);
	contract_open(contract);
}

static void a_database_is_not_copied_to_itself(void **state)
{
	struct contract *contract = *state;
	struct chain chain = chain_make(contract);
	struct store_copy copy = copy_make(contract, chain.first, chain.first);

	assert_int_equal(store_copy(&copy), ERR_STORE);
	assert_int_equal(copy.n_results, 0);
	contract_open(contract);
}

#define T(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(odd_values_arrive_as_they_are),
		T(an_empty_database_can_be_copied),
		T(a_database_is_not_copied_to_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
