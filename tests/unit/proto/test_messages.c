/* SPDX-License-Identifier: MIT
 *
 * Messages, acknowledgements and frames as clients send them.
 */
#include "proto_test.h"

#include "restante/messages.h"

#define ENVELOPE(device)                                                                       \
	"{\"device_id\":" device ",\"registration_id\":4711,\"type\":3,\"content\":\"" CONTENT \
	"\"}"
#define REQUIRED   "\"to\":\"" BOB "\",\"id\":\"" ID "\",\"timestamp\":1767225600000"
#define WITH(rest) "{" REQUIRED ",\"envelopes\":[" rest "]}"

static void a_full_message_is_read(void **state)
{
	struct message_request m;
	struct problem problem = {0};
	const char *json =
		"{" REQUIRED ",\"list_version\":7,\"urgent\":false,\"ephemeral\":true,"
		"\"expires_in\":604800,\"later\":{},\"envelopes\":[" ENVELOPE(
			"127") "," ENVELOPE("1") "," ENVELOPE("2") "]}";

	assert_int_equal(message_decode(*state, text(json), 5, &m, &problem), ERR_OK);
	assert_string_equal(m.to.text, BOB);
	assert_string_equal(m.to.domain, "b.example");
	assert_string_equal(m.id_text, ID);
	assert_memory_equal(m.id, "\x01\x9b\x76\xda\xa8\x00\x70\x00\x80\x00\x01\x23", 12);
	assert_true(m.timestamp_ms == INT64_C(1767225600000));
	assert_int_equal(m.list_version, 7);
	assert_false(m.urgent);
	assert_true(m.ephemeral);
	assert_int_equal(m.expires_in_ms, 604800000);
	assert_int_equal(m.n_envelopes, 3);
	assert_int_equal(m.envelopes[0].device_id, 1);
	assert_int_equal(m.envelopes[1].device_id, 2);
	assert_int_equal(m.envelopes[2].device_id, 127);
	assert_int_equal(m.envelopes[2].registration_id, 4711);
	assert_int_equal(m.envelopes[2].type, 3);
	check_json(m.envelopes[2].content, CONTENT);
}

static void what_is_absent_has_its_default(void **state)
{
	struct message_request m;
	struct problem problem = {0};

	assert_int_equal(message_decode(*state, text(WITH(ENVELOPE("1"))), 5, &m, &problem),
			 ERR_OK);
	assert_int_equal(m.list_version, 0);
	assert_true(m.urgent);
	assert_false(m.ephemeral);
	assert_int_equal(m.expires_in_ms, 0);
}

#define E(device, reg, type, content)                                                          \
	WITH("{\"device_id\":" device ",\"registration_id\":" reg ",\"type\":" type            \
	     ",\"content\":" content "}")

static const struct {
	const char *json;
	enum err err;
	const char *field;
} refusals[] = {
	{"{}", ERR_VALIDATION, "id"},
	{"[]", ERR_VALIDATION, NULL},
	{WITH(""), ERR_VALIDATION, "envelopes"},
	{"{" REQUIRED "}", ERR_VALIDATION, "envelopes"},
	{WITH("1"), ERR_VALIDATION, "envelopes[0]"},
	{WITH(ENVELOPE("1") "," ENVELOPE("2") "," ENVELOPE("1")), ERR_VALIDATION,
	 "envelopes[2].device_id"},
	{E("0", "1", "0", "\"\""), ERR_VALIDATION, "envelopes[0].device_id"},
	{E("128", "1", "0", "\"\""), ERR_VALIDATION, "envelopes[0].device_id"},
	{E("1", "0", "0", "\"\""), ERR_VALIDATION, "envelopes[0].registration_id"},
	{E("1", "16384", "0", "\"\""), ERR_VALIDATION, "envelopes[0].registration_id"},
	{E("1", "1", "256", "\"\""), ERR_VALIDATION, "envelopes[0].type"},
	{E("1", "1", "-1", "\"\""), ERR_VALIDATION, "envelopes[0].type"},
	{E("1", "1", "0", "\"aGVsbG8\""), ERR_VALIDATION, "envelopes[0].content"},
	{E("1", "1", "0", "\"aGVsbG8h\""), ERR_TOO_LARGE, "envelopes[0].content"},
	{E("1", "1", "0", "null"), ERR_VALIDATION, "envelopes[0].content"},
	{"{\"id\":\"019B76DA-A800-7000-8000-0123456789AB\"}", ERR_VALIDATION, "id"},
	{"{\"id\":\"019b76da-a800-4000-8000-0123456789ab\"}", ERR_VALIDATION, "id"},
	{"{\"id\":\"" ID "0\"}", ERR_VALIDATION, "id"},
	{"{\"id\":\"" ID "\",\"to\":\"Bob@b.example\"}", ERR_VALIDATION, "to"},
	{"{\"id\":\"" ID "\",\"to\":\"" BOB "\",\"timestamp\":-1}", ERR_VALIDATION,
	 "timestamp"},
	{"{" REQUIRED ",\"list_version\":-1}", ERR_VALIDATION, "list_version"},
	{"{" REQUIRED ",\"urgent\":1}", ERR_VALIDATION, "urgent"},
	{"{" REQUIRED ",\"ephemeral\":\"no\"}", ERR_VALIDATION, "ephemeral"},
	{"{" REQUIRED ",\"expires_in\":0}", ERR_VALIDATION, "expires_in"},
	{"{" REQUIRED ",\"expires_in\":1.5}", ERR_VALIDATION, "expires_in"},
};

static void malformed_messages_name_their_field(void **state)
{
	for (size_t i = 0; i < COUNT(refusals); i++) {
		struct message_request m = {.n_envelopes = 99};
		struct problem problem = {0};

		if (message_decode(*state, text(refusals[i].json), 5, &m, &problem) !=
		    refusals[i].err)
			fail_msg("%s", refusals[i].json);
		check_string(problem.field, refusals[i].field);
		assert_int_equal(m.n_envelopes, 99);
	}
}

static const struct {
	const char *json;
	int64_t up_to;
	size_t n_seqs;
	const char *field;
} acks[] = {
	{"{\"up_to\":17}", 17, 0, NULL},
	{"{\"seqs\":[3,1]}", 0, 2, NULL},
	{"{}", 0, 0, "up_to"},
	{"{\"up_to\":0}", 0, 0, "up_to"},
	{"{\"up_to\":1,\"seqs\":[1]}", 0, 0, "up_to"},
	{"{\"seqs\":[]}", 0, 0, "seqs"},
	{"{\"seqs\":[1,0]}", 0, 0, "seqs[1]"},
	{"{\"seqs\":7}", 0, 0, "seqs"},
};

static void acknowledgements_are_read(void **state)
{
	for (size_t i = 0; i < COUNT(acks); i++) {
		struct ack_request ack = {0};
		struct problem problem = {0};
		enum err err = ack_decode(*state, text(acks[i].json), &ack, &problem);

		assert_int_equal(err, acks[i].field == NULL ? ERR_OK : ERR_VALIDATION);
		check_string(problem.field, acks[i].field);
		assert_int_equal(ack.up_to, acks[i].up_to);
		assert_int_equal(ack.n_seqs, acks[i].n_seqs);
		for (size_t n = 0; n < ack.n_seqs; n++)
			assert_true(ack.seqs[n] > 0);
	}
}

static struct bytes many(struct arena *arena, const char *before, const char *each,
			 size_t count, const char *after)
{
	struct text out;

	text_init(&out, arena, 0);
	text_puts(&out, before);
	for (size_t i = 0; i < count; i++)
		text_printf(&out, "%s%s", i > 0 ? "," : "", each);
	text_puts(&out, after);
	return text_bytes(&out);
}

static void a_thousand_acknowledgements_are_the_most(void **state)
{
	struct ack_request ack;
	struct problem problem = {0};

	assert_int_equal(ack_decode(*state, many(*state, "{\"seqs\":[", "5", 1000, "]}"), &ack,
				    &problem),
			 ERR_OK);
	assert_int_equal(ack.n_seqs, 1000);
	assert_int_equal(ack_decode(*state, many(*state, "{\"seqs\":[", "5", 1001, "]}"), &ack,
				    &problem),
			 ERR_VALIDATION);
}

static void frames_are_told_by_their_type(void **state)
{
	struct problem problem = {0};
	struct frame frame;

	assert_int_equal(frame_decode(*state, text("{\"type\":\"auth\",\"token\":\"x.y.z\"}"),
				      5, &frame, &problem),
			 ERR_OK);
	assert_int_equal(frame.type, FRAME_AUTH);
	assert_string_equal(frame.token, "x.y.z");
	assert_int_equal(frame_decode(*state, text("{\"type\":\"ping\"}"), 5, &frame, &problem),
			 ERR_OK);
	assert_int_equal(frame.type, FRAME_PING);
	assert_int_equal(frame_decode(*state, text("{\"type\":\"ack\",\"up_to\":17}"), 5,
				      &frame, &problem),
			 ERR_OK);
	assert_int_equal(frame.type, FRAME_ACK);
	assert_int_equal(frame.ack.up_to, 17);
	assert_null(problem.message);
}

static const struct {
	const char *json;
	const char *field;
} bad_frames[] = {
	{"{}", "type"},
	{"{\"type\":\"pong\"}", "type"},
	{"{\"type\":3}", "type"},
	{"{\"type\":\"auth\"}", "token"},
	{"{\"type\":\"auth\",\"token\":\"\"}", "token"},
	{"{\"type\":\"ack\"}", "up_to"},
	{"{\"type\":\"send\"}", "messages"},
	{"{\"type\":\"send\",\"messages\":[]}", "messages"},
	{"{\"type\":\"send\",\"messages\":{}}", "messages"},
	{"ping", NULL},
};

static void malformed_frames_are_refused(void **state)
{
	for (size_t i = 0; i < COUNT(bad_frames); i++) {
		struct problem problem = {0};
		struct frame frame;

		if (frame_decode(*state, text(bad_frames[i].json), 5, &frame, &problem) !=
		    ERR_VALIDATION)
			fail_msg("%s", bad_frames[i].json);
		check_string(problem.field, bad_frames[i].field);
	}
}

static void one_bad_message_does_not_spoil_the_rest(void **state)
{
	struct problem problem = {0};
	struct frame frame;
	const char *json = "{\"type\":\"send\",\"messages\":[" WITH(
		ENVELOPE("1")) ",{\"id\":\"" ID
			       "\",\"to\":\"x\"},7," E(
				       "1", "1", "0",
				       "\"aGVsbG8h\"") ",{\"id\":1}," WITH(ENVELOPE("2")) "]}";

	assert_int_equal(frame_decode(*state, text(json), 5, &frame, &problem), ERR_OK);
	assert_int_equal(frame.type, FRAME_SEND);
	assert_int_equal(frame.n_messages, 6);
	assert_int_equal(frame.errs[0], ERR_OK);
	assert_int_equal(frame.errs[1], ERR_VALIDATION);
	assert_string_equal(frame.problems[1].field, "to");
	assert_string_equal(frame.messages[1].id_text, ID);
	assert_int_equal(frame.errs[2], ERR_VALIDATION);
	assert_string_equal(frame.messages[2].id_text, "");
	assert_int_equal(frame.errs[3], ERR_TOO_LARGE);
	assert_string_equal(frame.problems[3].field, "envelopes[0].content");
	assert_int_equal(frame.errs[4], ERR_VALIDATION);
	assert_string_equal(frame.messages[4].id_text, "");
	assert_int_equal(frame.errs[5], ERR_OK);
	assert_int_equal(frame.messages[5].envelopes[0].device_id, 2);
}

static void a_frame_has_at_most_64_messages(void **state)
{
	struct problem problem = {0};
	struct frame frame;
	const char *begin = "{\"type\":\"send\",\"messages\":[";

	assert_int_equal(
		frame_decode(*state, many(*state, begin, "{}", 64, "]}"), 5, &frame, &problem),
		ERR_OK);
	assert_int_equal(
		frame_decode(*state, many(*state, begin, "{}", 65, "]}"), 5, &frame, &problem),
		ERR_VALIDATION);
	assert_string_equal(problem.field, "messages");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_message_is_read),
		TEST(what_is_absent_has_its_default),
		TEST(malformed_messages_name_their_field),
		TEST(acknowledgements_are_read),
		TEST(a_thousand_acknowledgements_are_the_most),
		TEST(frames_are_told_by_their_type),
		TEST(malformed_frames_are_refused),
		TEST(one_bad_message_does_not_spoil_the_rest),
		TEST(a_frame_has_at_most_64_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
