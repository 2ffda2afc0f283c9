/* SPDX-License-Identifier: MIT
 *
 * What each answer to a transaction means.
 */
#include "verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void answers_are_judged(void **state)
{
	static const struct {
		enum err err;
		int status;
		const char *code;
		size_t n_items;
		enum verdict verdict;
	} rows[] = {
		{ERR_OK, 200, "", 5, VERDICT_TAKEN},
		{ERR_OK, 409, "STREAM_RESET", 5, VERDICT_RESET},
		{ERR_OK, 409, "OTHER", 5, VERDICT_LATER},
		{ERR_OK, 400, "VALIDATION_ERROR", 2, VERDICT_HALVE},
		{ERR_OK, 400, "VALIDATION_ERROR", 1, VERDICT_BAD},
		{ERR_OK, 413, "TOO_LARGE", 2, VERDICT_HALVE},
		{ERR_OK, 413, "TOO_LARGE", 1, VERDICT_TOO_LARGE},
		{ERR_OK, 401, "SIGNATURE_CLOCK", 5, VERDICT_LATER},
		{ERR_OK, 403, "FEDERATION_DENIED", 5, VERDICT_LATER},
		{ERR_OK, 429, "RATE_LIMITED", 5, VERDICT_LATER},
		{ERR_OK, 503, "BUSY", 5, VERDICT_LATER},
		{ERR_OK, 302, "", 5, VERDICT_LATER},
		{ERR_PEER_INVALID, 200, "", 5, VERDICT_LATER},
		{ERR_PEER_INVALID, 400, "", 1, VERDICT_LATER},
		{ERR_PEER_INVALID, 409, "", 1, VERDICT_LATER},
		{ERR_PEER_INVALID, 413, "", 5, VERDICT_SMALLER},
		{ERR_PEER_INVALID, 413, "", 1, VERDICT_LATER},
		{ERR_PEER_TIMEOUT, 0, "", 5, VERDICT_LATER},
		{ERR_PEER_UNREACHABLE, 0, "", 0, VERDICT_LATER},
		{ERR_KEY_CONFLICT, 0, "", 0, VERDICT_CONFLICT},
		{ERR_FEDERATION_DENIED, 0, "", 0, VERDICT_DENIED},
		{ERR_BUSY, 0, "", 0, VERDICT_PAUSE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct reply reply = {rows[i].err, rows[i].status, rows[i].code,
					    rows[i].n_items};

		assert_string_equal(verdict_name(verdict_of(&reply)),
				    verdict_name(rows[i].verdict));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_judged),
	};

	return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
