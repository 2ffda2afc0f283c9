/* SPDX-License-Identifier: MIT
 *
 * TXT records of server keys: ours and good, ours and malformed, or not ours.
 */
#include "proto_test.h"

#include "restante/document.h"

#define KEY   "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define SHORT "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg=="

static const struct {
	const char *record;
	enum err err;
} table[] = {
	{"v=restante1; kid=k1; key=" KEY, ERR_OK},
	{"v=restante1;kid=k1;key=" KEY, ERR_OK},
	{"v=restante1 ;\tkid=k1 ; key=" KEY " ", ERR_OK},
	{"v=restante1; key=" KEY "; kid=k1;", ERR_OK},
	{"v=restante1; x=1; kid=k1; notatag; key=" KEY "; kidney=2", ERR_OK},
	{"", ERR_NOT_FOUND},
	{"v=spf1 -all", ERR_NOT_FOUND},
	{" v=restante1; kid=k1; key=" KEY, ERR_NOT_FOUND},
	{"v=restante10; kid=k1; key=" KEY, ERR_NOT_FOUND},
	{"V=restante1; kid=k1; key=" KEY, ERR_NOT_FOUND},
	{"kid=k1; v=restante1; key=" KEY, ERR_NOT_FOUND},
	{"v=restante1", ERR_VALIDATION},
	{"v=restante1;", ERR_VALIDATION},
	{"v=restante1; kid=k1", ERR_VALIDATION},
	{"v=restante1; key=" KEY, ERR_VALIDATION},
	{"v=restante1; kid=k1; kid=k1; key=" KEY, ERR_VALIDATION},
	{"v=restante1; kid=k1; key=" KEY "; key=" KEY, ERR_VALIDATION},
	{"v=restante1; kid=K1; key=" KEY, ERR_VALIDATION},
	{"v=restante1; kid=; key=" KEY, ERR_VALIDATION},
	{"v=restante1; kid= k1; key=" KEY, ERR_VALIDATION},
	{"v=restante1; kid=a2345678901234567890123456789012x; key=" KEY, ERR_VALIDATION},
	{"v=restante1; kid=k1; key=" SHORT, ERR_VALIDATION},
	{"v=restante1; kid=k1; key=", ERR_VALIDATION},
	{"v=restante1; kid=k1; key=AAEC" KEY, ERR_VALIDATION},
	{"v=restante1; kid=k1; Key=" KEY, ERR_VALIDATION},
};

static void records_are_told_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		char kid[33] = "untouched";
		uint8_t key[32] = {0};

		if (txt_decode(text(table[i].record), kid, key) != table[i].err)
			fail_msg("%s", table[i].record);
		assert_string_equal(kid, table[i].err == ERR_OK ? "k1" : "untouched");
		assert_int_equal(key[31], table[i].err == ERR_OK ? 31 : 0);
	}
}

static void what_is_written_can_be_read(void **state)
{
	uint8_t key[32], key_read[32];
	struct text out;
	char kid[33];

	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t)i;
	text_init(&out, *state, 0);
	txt_write(&out, "k-1_x", key);
	assert_string_equal(out.data, "v=restante1; kid=k-1_x; key=" KEY);
	assert_int_equal(txt_decode(text_bytes(&out), kid, key_read), ERR_OK);
	assert_string_equal(kid, "k-1_x");
	assert_memory_equal(key, key_read, sizeof key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(records_are_told_apart),
		TEST(what_is_written_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
