/* SPDX-License-Identifier: MIT
 *
 * Server documents: written, read and verified, and each reason to refuse one.
 */
#include "proto_test.h"

#include "restante/clock.h"
#include "restante/document.h"

#define NOW INT64_C(1767225600000)

static struct sign_key keys[3]; /* k1, k2, root */

static int make_keys(void **state)
{
	static const char *const kids[] = {"k1", "k2", "root"};

	(void)state;
	crypto_init();
	for (uint8_t i = 0; i < COUNT(keys); i++) {
		const uint8_t seed[ED25519_SEED_SIZE] = {i};

		if (sign_key_from_seed(text(kids[i]), seed, &keys[i]) != ERR_OK)
			return 1;
	}
	return 0;
}

/* Of a.example, with the key k1. */
static struct server_document good_document(void)
{
	struct server_document d = {.server = "a.example",
				    .federation_url = "https://fed.a.example:8443",
				    .api_url = "https://a.example",
				    .n_keys = 1,
				    .revision = NOW,
				    .issued_at_ms = NOW,
				    .valid_until_ms = NOW + 7 * DAYS_MS,
				    .transaction_items = 1000,
				    .transaction_bytes = 4194304,
				    .content_bytes = 98304,
				    .software = "restante",
				    .software_version = "0.1.0",
				    .abuse = "mailto:abuse@a.example"};

	for (size_t i = 0; i < 2; i++) {
		struct server_key *key = &d.keys[i];

		memcpy(key->kid, keys[i].kid, sizeof key->kid);
		memcpy(key->public_key, keys[i].public_key, sizeof key->public_key);
		key->not_before_ms = NOW - DAYS_MS;
		key->not_after_ms = NOW + 30 * DAYS_MS;
	}
	return d;
}

static void have_root(struct server_document *d)
{
	d->has_root = true;
	memcpy(d->root_key, keys[2].public_key, sizeof d->root_key);
}

/* Writes, signs, reads and verifies; NULL where all is well. */
static const char *verdict(struct arena *arena, const struct server_document *document,
			   const struct sign_key *signers, size_t n_signers)
{
	struct server_document d;
	const char *reason = NULL;
	struct bytes wrapper = document_encode(arena, document, signers, n_signers);
	enum err err;

	assert_int_equal(document_decode(arena, wrapper, &d), ERR_OK);
	err = document_verify(&d, "a.example", NOW, &reason);
	assert_int_equal(err, reason == NULL ? ERR_OK : ERR_PEER_INVALID);
	return reason;
}

static void a_document_survives_the_way(void **state)
{
	struct server_document d = good_document(), read;
	const char *reason = NULL;

	d.n_keys = 2;
	have_root(&d);
	d.has_previous = true;
	memset(d.previous, 7, sizeof d.previous);
	assert_int_equal(document_decode(*state, document_encode(*state, &d, keys, 3), &read),
			 ERR_OK);
	assert_int_equal(document_verify(&read, "a.example", NOW, &reason), ERR_OK);
	assert_string_equal(read.server, d.server);
	assert_string_equal(read.federation_url, d.federation_url);
	assert_string_equal(read.authority, "fed.a.example:8443");
	assert_string_equal(read.host, "fed.a.example");
	assert_int_equal(read.port, 8443);
	assert_string_equal(read.api_url, d.api_url);
	assert_int_equal(read.n_keys, 2);
	assert_memory_equal(read.keys, d.keys, sizeof d.keys);
	assert_true(read.has_root && read.has_previous);
	assert_memory_equal(read.root_key, d.root_key, 32);
	assert_memory_equal(read.previous, d.previous, 32);
	assert_true(read.revision == NOW && read.issued_at_ms == NOW);
	assert_true(read.valid_until_ms == d.valid_until_ms);
	assert_int_equal(read.transaction_items, 1000);
	assert_int_equal(read.transaction_bytes, 4194304);
	assert_int_equal(read.content_bytes, 98304);
	assert_string_equal(read.software, "restante");
	assert_string_equal(read.software_version, "0.1.0");
	assert_string_equal(read.abuse, d.abuse);
	assert_int_equal(read.n_signatures, 3);
	assert_ptr_equal(document_key(&read, "k2"), &read.keys[1]);
	assert_null(document_key(&read, "k3"));
	for (size_t i = 0; i < COUNT(keys); i++)
		assert_true(document_signed_by(&read, keys[i].public_key));
}

static void a_document_has_the_form_of_the_protocol(void **state)
{
	struct server_document d = good_document(), read;

	assert_int_equal(document_decode(*state, document_encode(*state, &d, keys, 1), &read),
			 ERR_OK);
	check_json(read.raw,
		   "{\"server\":\"a.example\",\"federation\":\"https://fed.a.example:8443\","
		   "\"api\":\"https://a.example\",\"keys\":[{\"kid\":\"k1\",\"public_key\":"
		   "\"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=\"," /* of the seed 0 */
		   "\"not_before\":1767139200000,\"not_after\":1769817600000}],"
		   "\"root_key\":null,\"revision\":1767225600000,\"previous\":null,"
		   "\"issued_at\":1767225600000,\"valid_until\":1767830400000,"
		   "\"limits\":{\"transaction_items\":1000,\"transaction_bytes\":4194304,"
		   "\"content_bytes\":98304},"
		   "\"software\":{\"name\":\"restante\",\"version\":\"0.1.0\"},"
		   "\"abuse\":\"mailto:abuse@a.example\"}");
}

static void what_the_root_has_signed_comes_along(void **state)
{
	struct server_document d = good_document(), by_root, read;
	const char *reason = NULL;

	have_root(&d);
	d.valid_until_ms = NOW + 1;
	assert_int_equal(
		document_decode(*state, document_encode(*state, &d, &keys[2], 1), &by_root),
		ERR_OK);
	assert_null(by_root.root_signed);
	d.valid_until_ms = NOW + 2;
	d.root_signed = &by_root;
	assert_int_equal(document_decode(*state, document_encode(*state, &d, keys, 1), &read),
			 ERR_OK);
	assert_int_equal(document_verify(&read, "a.example", NOW, &reason), ERR_OK);
	assert_true(bytes_equal(read.root_signed->raw, by_root.raw));
	assert_int_equal(read.root_signed->valid_until_ms, NOW + 1);
	assert_true(document_signed_by(read.root_signed, keys[2].public_key));
	assert_false(document_signed_by(read.root_signed, keys[0].public_key));
	assert_false(document_signed_by(&read, keys[2].public_key));
}

static void every_live_key_must_have_signed(void **state)
{
	struct server_document d = good_document();

	check_string(verdict(*state, &d, keys, 1), NULL);
	check_string(verdict(*state, &d, keys, 0), "not signed by every live key");
	check_string(verdict(*state, &d, keys + 1, 1), "not signed by every live key");
	check_string(verdict(*state, &d, keys, 2), NULL); /* k2 is not in the document */
	d.n_keys = 2;
	check_string(verdict(*state, &d, keys, 1), "not signed by every live key");
	d.keys[1].not_before_ms = NOW + 1;
	check_string(verdict(*state, &d, keys, 1), NULL);
	d.keys[0].not_after_ms = NOW - 1;
	check_string(verdict(*state, &d, keys, 2), "no live key");
}

static void every_named_signature_must_verify(void **state)
{
	struct server_document d = good_document();
	struct sign_key signers[2] = {keys[0], keys[1]};

	d.n_keys = 2;
	memcpy(signers[1].secret_key, keys[2].secret_key, sizeof signers[1].secret_key);
	check_string(verdict(*state, &d, signers, 2), "a signature does not verify");
	d.keys[1].not_before_ms = NOW + 1; /* not live, but named */
	check_string(verdict(*state, &d, signers, 2), "a signature does not verify");
	d.n_keys = 1;
	memcpy(signers[1].kid, "root", 5);
	check_string(verdict(*state, &d, signers, 2), NULL);
	d.has_root = true;
	memcpy(d.root_key, keys[1].public_key, sizeof d.root_key);
	check_string(verdict(*state, &d, signers, 2), "a signature does not verify");
	have_root(&d);
	check_string(verdict(*state, &d, signers, 2), NULL);
}

static void a_document_has_its_time_and_place(void **state)
{
	struct server_document d = good_document();

	memcpy(d.server, "b.example", 10);
	check_string(verdict(*state, &d, keys, 1), "of another domain");
	d = good_document();
	d.issued_at_ms = NOW + 300 * SECONDS_MS;
	check_string(verdict(*state, &d, keys, 1), NULL);
	d.issued_at_ms++;
	check_string(verdict(*state, &d, keys, 1), "issued in the future");
	d = good_document();
	d.issued_at_ms = NOW - DAYS_MS;
	d.valid_until_ms = NOW;
	check_string(verdict(*state, &d, keys, 1), NULL);
	d.valid_until_ms = NOW - 1;
	check_string(verdict(*state, &d, keys, 1), "expired");
	d = good_document();
	d.valid_until_ms++;
	check_string(verdict(*state, &d, keys, 1), "valid for more than 7 days");
	d = good_document();
	d.issued_at_ms = NOW + 2;
	d.valid_until_ms = NOW + 1;
	check_string(verdict(*state, &d, keys, 1), "ends before it begins");
}

#define POINT "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="
#define KEY(kid)                                                                               \
	"{\"kid\":\"" kid "\",\"public_key\":\"" POINT "\",\"not_before\":0,\"not_after\":1}"
#define HEAD "\"server\":\"a.example\",\"federation\":\"https://a.example\","
#define KEYS "\"keys\":[" KEY("k1") "],"
#define TAIL "\"revision\":1,\"issued_at\":1,\"valid_until\":2"

static const struct {
	const char *json;
	bool good;
} documents[] = {
	{"{" HEAD KEYS TAIL "}", true},
	{"{" HEAD KEYS TAIL ",\"root_key\":null,\"previous\":null,\"later\":1}", true},
	{"{" HEAD KEYS TAIL ",\"root_key\":\"" POINT "\"}", true},
	{"[]", false},
	{"{}", false},
	{"{" HEAD TAIL "}", false},
	{"{" KEYS TAIL "}", false},
	{"{" HEAD KEYS "\"revision\":1,\"issued_at\":1}", false},
	{"{" HEAD KEYS "\"issued_at\":1,\"valid_until\":2}", false},
	{"{" HEAD "\"keys\":[]," TAIL "}", false},
	{"{" HEAD "\"keys\":[" KEY("k1") "," KEY("k1") "]," TAIL "}", false},
	{"{" HEAD "\"keys\":[" KEY("root") "]," TAIL "}", false},
	{"{" HEAD "\"keys\":[" KEY("K1") "]," TAIL "}", false},
	{"{" HEAD "\"keys\":[" KEY("1") "," KEY("2") "," KEY("3") "," KEY("4") "," KEY(
		 "5") "," KEY("6") "," KEY("7") "," KEY("8") "]," TAIL "}",
	 true},
	{"{" HEAD "\"keys\":[" KEY("1") "," KEY("2") "," KEY("3") "," KEY("4") "," KEY(
		 "5") "," KEY("6") "," KEY("7") "," KEY("8") "," KEY("9") "]," TAIL "}",
	 false},
	{"{" HEAD "\"keys\":[{\"kid\":\"k1\",\"public_key\":"
	 "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"not_before\":0,\"not_after\":1}]"
	 "," TAIL "}",
	 false},
	{"{" HEAD "\"keys\":[{\"kid\":\"k1\",\"public_key\":\"AAAA\",\"not_before\":0,"
	 "\"not_after\":1}]," TAIL "}",
	 false},
	{"{" HEAD "\"keys\":[{\"kid\":\"k1\",\"public_key\":\"" POINT "\"}]," TAIL "}", false},
	{"{" HEAD KEYS TAIL ",\"root_key\":\"AAAA\"}", false},
	{"{" HEAD KEYS TAIL ",\"previous\":\"AAAA\"}", false},
	{"{" HEAD KEYS TAIL ",\"limits\":7}", false},
	{"{" HEAD KEYS TAIL ",\"limits\":{\"transaction_items\":0}}", false},
	{"{" HEAD KEYS TAIL ",\"limits\":{}}", true},
	{"{" HEAD KEYS TAIL ",\"software\":\"x\"}", false},
	{"{" HEAD KEYS TAIL ",\"abuse\":7}", false},
	{"{\"server\":\"A.example\",\"federation\":\"https://a.example\"," KEYS TAIL "}",
	 false},
	{"{\"server\":\"a.example\",\"federation\":\"https://a.example/\"," KEYS TAIL "}",
	 false},
};

static const char *wrap(struct arena *arena, const char *json, const char *signatures)
{
	return arena_printf(arena, "{\"document\":\"%s\",\"signatures\":%s}",
			    base64_encode(arena, text(json)), signatures);
}

static void malformed_documents_are_refused(void **state)
{
	for (size_t i = 0; i < COUNT(documents); i++) {
		struct server_document d = {.revision = 99};
		const char *wrapper = wrap(*state, documents[i].json, "{}");
		enum err err = document_decode(*state, text(wrapper), &d);

		if (err != (documents[i].good ? ERR_OK : ERR_PEER_INVALID))
			fail_msg("%s", documents[i].json);
		assert_int_equal(d.revision, documents[i].good ? 1 : 99);
	}
}

static void what_a_document_does_not_limit_has_a_default(void **state)
{
	const char *wrapper = wrap(*state, documents[0].json, "{}");
	struct server_document d;

	assert_int_equal(document_decode(*state, text(wrapper), &d), ERR_OK);
	assert_int_equal(d.transaction_items, 1000);
	assert_int_equal(d.transaction_bytes, 4194304);
	assert_int_equal(d.content_bytes, 98304);
	assert_string_equal(d.authority, "a.example");
	assert_string_equal(d.software, "");
	assert_string_equal(d.api_url, "");
}

static void malformed_wrappers_are_refused(void **state)
{
	static const char *const signatures[] = {"[]", "null", "{\"k1\":\"AAAA\"}",
						 "{\"k1\":7}", "{\"K1\":\"" POINT "\"}"};
	const char *good = documents[0].json;
	struct server_document d;
	struct text ten;
	char *padded;

	for (size_t i = 0; i < COUNT(signatures); i++)
		assert_int_equal(
			document_decode(*state, text(wrap(*state, good, signatures[i])), &d),
			ERR_PEER_INVALID);
	assert_int_equal(document_decode(*state, text("{\"signatures\":{}}"), &d),
			 ERR_PEER_INVALID);
	assert_int_equal(
		document_decode(*state, text("{\"document\":\"e30\",\"signatures\":{}}"), &d),
		ERR_PEER_INVALID);
	text_init(&ten, *state, 0);
	for (int i = 0; i < 10; i++)
		text_printf(&ten, "%s\"k%d\":\"%s\"", i > 0 ? "," : "{", i,
			    base64_encode(*state, bytes_of(keys[0].secret_key, 64)));
	text_puts(&ten, "}");
	assert_int_equal(document_decode(*state, text(wrap(*state, good, ten.data)), &d),
			 ERR_PEER_INVALID);
	padded = arena_printf(*state, "%s%*s", wrap(*state, good, "{}"), DOCUMENT_WIRE_MAX, "");
	assert_int_equal(document_decode(*state, text(padded), &d), ERR_PEER_INVALID);
	padded[DOCUMENT_WIRE_MAX] = '\0';
	assert_int_equal(document_decode(*state, text(padded), &d), ERR_OK);
}

static void malformed_documents_of_the_root_are_refused(void **state)
{
	const char *good = base64_encode(*state, text(documents[0].json));
	const char *const root_signed[] = {
		"null",
		"{}",
		"{\"document\":\"e30=\",\"signatures\":{}}",
		arena_printf(*state, "{\"document\":\"%s\"}", good),
		arena_printf(*state, "{\"document\":\"%s\",\"signatures\":[]}", good),
		arena_printf(*state, "{\"document\":\"%s\",\"signatures\":{}}", good),
	};
	struct server_document d;

	for (size_t i = 0; i < COUNT(root_signed); i++)
		assert_int_equal(
			document_decode(*state,
					text(arena_printf(*state,
							  "{\"document\":\"%s\",\"signatures\":"
							  "{},\"root_signed\":%s}",
							  good, root_signed[i])),
					&d),
			i < COUNT(root_signed) - 1 ? ERR_PEER_INVALID : ERR_OK);
}

static const struct {
	const char *url;
	const char *host; /* NULL: refused */
	int port;
} urls[] = {
	{"https://a.example", "a.example", 443},
	{"https://a.example:443", "a.example", 443},
	{"https://a.example:1", "a.example", 1},
	{"https://a.example:65535", "a.example", 65535},
	{"", NULL, 0},
	{"https://", NULL, 0},
	{"http://a.example", NULL, 0},
	{"HTTPS://a.example", NULL, 0},
	{"a.example", NULL, 0},
	{"https://a.example/", NULL, 0},
	{"https://a.example?x", NULL, 0},
	{"https://a.example#x", NULL, 0},
	{"https://u@a.example", NULL, 0},
	{"https://u:p@a.example", NULL, 0},
	{"https://A.example", NULL, 0},
	{"https://a.example.", NULL, 0},
	{"https://localhost", NULL, 0},
	{"https://127.0.0.1", NULL, 0},
	{"https://[::1]", NULL, 0},
	{"https://a.example:", NULL, 0},
	{"https://a.example:0", NULL, 0},
	{"https://a.example:0443", NULL, 0},
	{"https://a.example:65536", NULL, 0},
	{"https://a.example:100000", NULL, 0},
	{"https://a.example:-1", NULL, 0},
	{"https://a.example:+1", NULL, 0},
	{"https://a.example:443:443", NULL, 0},
	{"https://a.example: 443", NULL, 0},
};

static void only_a_host_and_a_port_make_a_url(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(urls); i++) {
		char host[DOMAIN_SIZE] = "untouched";
		int port = 0;
		enum err err = federation_url_parse(text(urls[i].url), host, &port);

		if (err != (urls[i].host != NULL ? ERR_OK : ERR_VALIDATION))
			fail_msg("%s", urls[i].url);
		assert_string_equal(host, err == ERR_OK ? urls[i].host : "untouched");
		assert_int_equal(port, urls[i].port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_document_survives_the_way),
		TEST(a_document_has_the_form_of_the_protocol),
		TEST(what_the_root_has_signed_comes_along),
		TEST(every_live_key_must_have_signed),
		TEST(every_named_signature_must_verify),
		TEST(a_document_has_its_time_and_place),
		TEST(malformed_documents_are_refused),
		TEST(what_a_document_does_not_limit_has_a_default),
		TEST(malformed_wrappers_are_refused),
		TEST(malformed_documents_of_the_root_are_refused),
		TEST(only_a_host_and_a_port_make_a_url),
	};

	return cmocka_run_group_tests(tests, make_keys, NULL);
}
