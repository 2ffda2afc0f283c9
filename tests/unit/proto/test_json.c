/* SPDX-License-Identifier: MIT
 *
 * The strict rules for JSON, and what the getters say about values that are not as wanted.
 */
#include "proto_test.h"

#include "json.h"
#include "json_node.h"

#include "restante/text.h"

#define DEEP_15	    "[[[[[[[[[[[[[[["
#define DEEP_15_END "]]]]]]]]]]]]]]]"

/* With an explicit length where a NUL is inside. */
static const struct {
	const char *json;
	size_t len;
	bool good;
} table[] = {
	{"{}", 0, true},
	{" \t\r\n{ } \n", 0, true},
	{"{\"a\":1,\"A\":2}", 0, true},
	{"{\"a\":\"\\u00e9\\ud83d\\ude00\xf0\x9f\x98\x80\"}", 0, true},
	{"{\"a\":1.5,\"b\":-0,\"c\":[true,false,null]}", 0, true},
	{"{\"a\":" DEEP_15 DEEP_15_END "}", 0, true},
	{"{\"a\":\"" DEEP_15 DEEP_15 "\\\\\\\"" DEEP_15 "\"}", 0, true},
	{"", 0, false},
	{"{", 0, false},
	{"[]", 0, false},
	{"1", 0, false},
	{"\"a\"", 0, false},
	{"null", 0, false},
	{"{\"a\":1,\"a\":1}", 0, false},
	{"{\"a\":1,\"\\u0061\":2}", 0, false},
	{"{\"x\":{\"a\":1,\"b\":2,\"a\":3}}", 0, false},
	{"{\"a\":[" DEEP_15 DEEP_15_END "]}", 0, false},
	{"{} {}", 0, false},
	{"{}x", 0, false},
	{"{},", 0, false},
	{"{}\0", 3, false},
	{"\0{}", 3, false},
	{"{\"a\":\"\0\"}", 9, false},
	{"{\"a\":\"\\u0000\"}", 0, false},
	{"{\"\\u0000\":1}", 0, false},
	{"\xef\xbb\xbf{}", 0, false},
	{"{\"a\":\"\\ud83d\"}", 0, false},
	{"{\"a\":\"\\ude00\\ud83d\"}", 0, false},
	{"{\"a\":\"\xed\xa0\xbd\"}", 0, false},
	{"{\"a\":\"\xc0\xaf\"}", 0, false},
	{"{\"a\":\"\xff\"}", 0, false},
	{"{\"a\":\"\xf4\x90\x80\x80\"}", 0, false},
	{"{\"a\":\"\n\"}", 0, false},
	{"{\"a\":\"\\x\"}", 0, false},
	{"{'a':1}", 0, false},
	{"{a:1}", 0, false},
	{"{\"a\":1,}", 0, false},
	{"{\"a\":01}", 0, false},
	{"{\"a\":+1}", 0, false},
	{"{\"a\":NaN}", 0, false},
	{"{\"a\":1} // b", 0, false},
	{"{\"a\":9223372036854775808}", 0, false},
};

static void json_is_read_strictly(void **state)
{
	for (size_t i = 0; i < COUNT(table); i++) {
		struct bytes json = text(table[i].json);
		struct problem problem = {0};
		struct json_source source;
		struct json root;

		if (table[i].len > 0)
			json.len = table[i].len;
		root = json_open(&source, *state, json, &problem);
		if (json_is_present(root) != table[i].good)
			fail_msg("%s", table[i].json);
		assert_int_equal(json_close(&source), table[i].good ? ERR_OK : ERR_VALIDATION);
		assert_true(table[i].good == (problem.message == NULL));
		assert_null(problem.field);
	}
}

static void depth_is_checked_before_anything_recurses(void **state)
{
	size_t len = 1000 * 1000;
	char *json = arena_alloc(*state, len);
	struct problem problem = {0};
	struct json_source source;

	memset(json, '[', len);
	json_open(&source, *state, bytes_of(json, len), &problem);
	assert_int_equal(json_close(&source), ERR_VALIDATION);
	assert_string_equal(problem.message, "nested too deeply");
}

static void a_body_of_nothing_but_objects_is_refused(void **state)
{
	struct problem problem = {0};
	struct json_source source;
	struct text json;

	text_init(&json, *state, 0);
	text_puts(&json, "{\"a\":[{}");
	for (int i = 0; i < 10000; i++)
		text_puts(&json, ",{}");
	text_puts(&json, "]}");
	json_open(&source, *state, text_bytes(&json), &problem);
	assert_int_equal(json_close(&source), ERR_VALIDATION);
	assert_string_equal(problem.message, "too many objects and arrays");
}

static void the_prescan_knows_where_strings_end(void **state)
{
	static const char *const good[] = {"{\"a\\\\\":\"]]]]\"}", "{\"a\":\"\\\"[\"}",
					   "{\"\\\\\\\"\":\"\\\\\"}",
					   "{\"a\":\"\",\"b\":[\"\\\\\",\"[\"]}"};

	for (size_t i = 0; i < COUNT(good); i++) {
		struct json_source source;

		json_open(&source, *state, text(good[i]), NULL);
		assert_int_equal(json_close(&source), ERR_OK);
	}
}

enum want { INT, INT_OR, BOOL, TEXT, BASE64, EXACT, CONTENT_TEXT, ARRAY, ADDRESS };

static void read_as(enum want want, struct json value)
{
	struct address address;
	uint8_t exact[5];

	switch (want) {
	case INT:
		json_int(value, 1, JSON_INT_MAX);
		break;
	case INT_OR:
		json_int_or(value, -JSON_INT_MAX, 3, 0);
		break;
	case BOOL:
		json_bool(value);
		break;
	case TEXT:
		json_text(value, 1, 4);
		break;
	case BASE64:
		json_base64(value, 1, 5);
		break;
	case EXACT:
		json_base64_exact(value, sizeof exact, exact);
		break;
	case CONTENT_TEXT:
		json_base64_text(value, 5);
		break;
	case ARRAY:
		json_as_array(value, 1, 2);
		break;
	case ADDRESS:
		json_address(value, &address);
		break;
	}
}

static const struct {
	enum want want;
	const char *value; /* NULL: absent */
	enum err err;
} getters[] = {
	{INT, "1", ERR_OK},
	{INT, "9007199254740992", ERR_OK},
	{INT, "9007199254740993", ERR_VALIDATION},
	{INT, "0", ERR_VALIDATION},
	{INT, "1.0", ERR_VALIDATION},
	{INT, "1e3", ERR_VALIDATION},
	{INT, "\"1\"", ERR_VALIDATION},
	{INT, "true", ERR_VALIDATION},
	{INT, "null", ERR_VALIDATION},
	{INT, NULL, ERR_VALIDATION},
	{INT_OR, NULL, ERR_OK},
	{INT_OR, "null", ERR_VALIDATION},
	{INT_OR, "-9007199254740992", ERR_OK},
	{INT_OR, "-9007199254740993", ERR_VALIDATION},
	{INT_OR, "4", ERR_VALIDATION},
	{BOOL, "true", ERR_OK},
	{BOOL, "false", ERR_OK},
	{BOOL, "1", ERR_VALIDATION},
	{BOOL, NULL, ERR_VALIDATION},
	{TEXT, "\"abcd\"", ERR_OK},
	{TEXT, "\"abcde\"", ERR_VALIDATION},
	{TEXT, "\"\"", ERR_VALIDATION},
	{TEXT, "\"\xc3\xa9\xc3\xa9x\"", ERR_VALIDATION},
	{TEXT, "[]", ERR_VALIDATION},
	{BASE64, "\"" CONTENT "\"", ERR_OK},
	{BASE64, "\"\"", ERR_VALIDATION},
	{BASE64, "\"aGVsbG8h\"", ERR_VALIDATION},
	{BASE64, "\"aGVsbG8\"", ERR_VALIDATION},
	{BASE64, "\"aGVsbG9=\"", ERR_VALIDATION},
	{BASE64, "\"aG_sbG8=\"", ERR_VALIDATION},
	{BASE64, "7", ERR_VALIDATION},
	{EXACT, "\"" CONTENT "\"", ERR_OK},
	{EXACT, "\"aGVsbG8h\"", ERR_VALIDATION},
	{CONTENT_TEXT, "\"" CONTENT "\"", ERR_OK},
	{CONTENT_TEXT, "\"\"", ERR_OK},
	{CONTENT_TEXT, "\"aGVsbG8h\"", ERR_TOO_LARGE},
	{CONTENT_TEXT, "\"aGVs bG8\"", ERR_VALIDATION},
	{ARRAY, "[1]", ERR_OK},
	{ARRAY, "[]", ERR_VALIDATION},
	{ARRAY, "[1,2,3]", ERR_VALIDATION},
	{ARRAY, "{}", ERR_VALIDATION},
	{ARRAY, NULL, ERR_VALIDATION},
	{ADDRESS, "\"" BOB "\"", ERR_OK},
	{ADDRESS, "\"bob\"", ERR_VALIDATION},
};

static void getters_refuse_other_kinds_and_ranges(void **state)
{
	for (size_t i = 0; i < COUNT(getters); i++) {
		const char *value = getters[i].value;
		const char *json =
			value == NULL ? "{\"c\":0}" : arena_printf(*state, "{\"a\":%s}", value);
		struct problem problem = {0};
		struct json_source source;
		struct json root = json_open(&source, *state, text(json), &problem);
		enum err err;

		read_as(getters[i].want, json_get(&root, "a"));
		err = json_close(&source);
		if (err != getters[i].err)
			fail_msg("%d: %s", (int)getters[i].want, json);
		check_string(problem.field, err == ERR_OK ? NULL : "a");
	}
}

static void the_first_failure_counts_and_names_its_place(void **state)
{
	struct problem problem = {0};
	struct json_source source;
	struct json root =
		json_open(&source, *state, text("{\"a\":[{},{\"b\":[1,\"x\"]}]}"), &problem);
	struct json a = json_as_array(json_get(&root, "a"), 0, 2);
	struct json second = json_at(&a, 1);
	struct json b = json_as_array(json_get(&second, "b"), 0, 2);

	assert_int_equal(json_int(json_at(&b, 0), 0, 1), 1);
	assert_int_equal(json_int(json_at(&b, 1), 0, 1), 0);
	assert_int_equal(json_int(json_at(&b, 0), 0, 1), 0);
	json_bool(json_get(&root, "c"));
	assert_int_equal(json_close(&source), ERR_VALIDATION);
	assert_string_equal(problem.field, "a[1].b[1]");
	assert_string_equal(problem.message, "is not an integer");
}

static void a_part_fails_by_itself(void **state)
{
	struct problem problem = {0};
	struct json_source source, part;
	struct json root = json_open(&source, *state, text("{\"a\":{\"b\":1}}"), NULL);
	struct json a = json_part(json_get(&root, "a"), &part, &problem);

	json_bool(json_get(&a, "b"));
	assert_int_equal(part.err, ERR_VALIDATION);
	assert_string_equal(problem.field, "b");
	assert_int_equal(json_close(&source), ERR_OK);
}

#define TEN	"AAAAAAAAAA"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define LONG	HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED "BBBBBBBB"

/* Most of these are not plain JSON: which reader it was nobody must notice. */
static const struct {
	const char *json;
	bool good;
	const char *a;
} long_texts[] = {
	{"{\"a\":\"" LONG "\"}", true, LONG},
	{"{\"b\":\"" LONG "\" , \"a\" : \"" LONG "CCCC\"\n}", true, LONG "CCCC"},
	{"{\"a\":\"" LONG "\",\"b\":\"\\n\"}", true, LONG},
	{"{\"a\":\"" LONG "!\"}", true, LONG "!"},
	{"{\"a\":\"x\",\"" LONG "\" :1}", true, "x"},
	{"{\"a\":\"\xef\xbf\xbf"
	 "0000000000000002\",\"b\":\"" LONG "\"}",
	 true,
	 "\xef\xbf\xbf"
	 "0000000000000002"},
	{"{\"a\":\"\\uffff0000000000000002\",\"b\":\"" LONG "\"}", true,
	 "\xef\xbf\xbf"
	 "0000000000000002"},
	{"{\"" LONG "\":1,\"" LONG "\":2}", false, NULL},
	{"{\"" LONG "\"\t:1,\"" LONG "\"\r\n:2}", false, NULL},
	{"{\"a\":\"" LONG "\",\"a\":\"" LONG "\"}", false, NULL},
	{"{\"a\":\"" LONG "\"\"" LONG "\"}", false, NULL},
	{"{\"a\":\"" LONG "\"", false, NULL},
	{"{\"a\":\"" LONG, false, NULL},
	{"{\"a\":" LONG "\"}", false, NULL},
	{"\"" LONG "\"", false, NULL},
};

static void long_texts_read_the_same_whoever_reads_them(void **state)
{
	for (size_t i = 0; i < COUNT(long_texts); i++) {
		struct json_source source;
		struct json root = json_open(&source, *state, text(long_texts[i].json), NULL);
		struct json a = json_get(&root, "a");

		if (json_failed(&root) == long_texts[i].good)
			fail_msg("%s", long_texts[i].json);
		if (long_texts[i].good)
			assert_string_equal(json_text_copy(a, 1, SIZE_MAX), long_texts[i].a);
		assert_int_equal(json_close(&source),
				 long_texts[i].good ? ERR_OK : ERR_VALIDATION);
	}
}

static const struct {
	const char *json;
	bool plain;
} plain[] = {
	{"{}", true},
	{" { \"a\" : [ ] , \"b\" : { } } ", true},
	{"{\"a\":[0,10,123456789012345,true,false,null,\"\",\"x\"]}", true},
	{"{\"a\":" DEEP_15 DEEP_15_END "}", true},
	{"{\"a\":[" DEEP_15 DEEP_15_END "]}", false},
	{"{\"a\":1,\"b\":2,\"a\":3}", false},
	{"{\"a\":-1}", false},
	{"{\"a\":1.5}", false},
	{"{\"a\":1e2}", false},
	{"{\"a\":01}", false},
	{"{\"a\":1234567890123456}", false},
	{"{\"a\":truer}", false},
	{"{\"a\":tru}", false},
	{"{\"a\":}", false},
	{"{\"a\"}", false},
	{"{\"a\":1 \"b\":2}", false},
	{"{\"a\":[1,]}", false},
	{"{\"a\":[1}", false},
	{"{,}", false},
	{"{1:1}", false},
	{"{\"a\":\"x}", false},
	{"{\"a\":\"\\n\"}", false},
	{"{\"a\":\"\xc3\xa9\"}", false},
	{"{\"a\":1}\n", false},
	{"{} {}", false},
	{"[]", false},
	{"", false},
};

static void only_plain_json_is_read_without_jansson(void **state)
{
	for (size_t i = 0; i < COUNT(plain); i++) {
		struct json_node root;

		if (json_plain_read(*state, text(plain[i].json), &root) != plain[i].plain)
			fail_msg("%s", plain[i].json);
	}
}

/* `{"a":[0,1,...]}` */
static struct bytes long_array(struct arena *arena, int count)
{
	struct text json;

	text_init(&json, arena, 0);
	text_puts(&json, "{\"a\":[0");
	for (int i = 1; i < count; i++)
		text_printf(&json, ",%d", i);
	text_puts(&json, "]}");
	return text_bytes(&json);
}

/* `{"m0":0,"m1":1,...}` */
static struct bytes large_object(struct arena *arena, int count)
{
	struct text json;

	text_init(&json, arena, 0);
	text_puts(&json, "{\"m0\":0");
	for (int i = 1; i < count; i++)
		text_printf(&json, ",\"m%d\":%d", i, i);
	text_puts(&json, "}");
	return text_bytes(&json);
}

static void long_arrays_are_read_whole(void **state)
{
	for (int count = 1000; count <= 2000; count += 1000) {
		struct bytes body = long_array(*state, count);
		struct json_source source;
		struct json root = json_open(&source, *state, body, NULL);
		struct json a = json_get(&root, "a");
		struct json_node node;

		assert_int_equal(json_plain_read(*state, body, &node), count == 1000);
		assert_int_equal(json_count(&a), count);
		assert_int_equal(json_int(json_at(&a, 999), 0, 9999), 999);
		assert_int_equal(json_close(&source), ERR_OK);
	}
}

static void large_objects_are_read_whole(void **state)
{
	for (int count = 32; count <= 33; count++) {
		struct bytes body = large_object(*state, count);
		struct json_source source;
		struct json root = json_open(&source, *state, body, NULL);
		struct json_node node;

		assert_int_equal(json_plain_read(*state, body, &node), count == 32);
		assert_int_equal(json_int(json_get(&root, "m31"), 0, 99), 31);
		assert_int_equal(json_close(&source), ERR_OK);
	}
}

static void members_come_one_after_the_other(void **state)
{
	static const char *const bodies[] = {"{\"b\":1,\"a\":2}", "{\"b\":1,\n\"a\":2}"};

	for (size_t i = 0; i < COUNT(bodies); i++) {
		struct json_source source;
		struct json root = json_open(&source, *state, text(bodies[i]), NULL), member;
		size_t index = 0;

		assert_true(json_next(&root, &index, &member));
		assert_string_equal(member.name, "b");
		assert_true(json_next(&root, &index, &member));
		assert_string_equal(member.name, "a");
		assert_int_equal(json_int(member, 2, 2), 2);
		assert_false(json_next(&root, &index, &member));
		assert_int_equal(json_close(&source), ERR_OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(json_is_read_strictly),
		TEST(depth_is_checked_before_anything_recurses),
		TEST(a_body_of_nothing_but_objects_is_refused),
		TEST(the_prescan_knows_where_strings_end),
		TEST(getters_refuse_other_kinds_and_ranges),
		TEST(long_texts_read_the_same_whoever_reads_them),
		TEST(only_plain_json_is_read_without_jansson),
		TEST(long_arrays_are_read_whole),
		TEST(large_objects_are_read_whole),
		TEST(members_come_one_after_the_other),
		TEST(the_first_failure_counts_and_names_its_place),
		TEST(a_part_fails_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
