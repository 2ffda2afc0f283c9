/* SPDX-License-Identifier: MIT
 *
 * Uploads of keys and their signatures, claims, bundles and device lists.
 */
#include "proto_test.h"

#include "restante/keys.h"
#include "restante/sign.h"

static struct sign_key identity;

static int make_identity(void **state)
{
	static const uint8_t seed[ED25519_SEED_SIZE] = {1};

	(void)state;
	crypto_init();
	return sign_key_from_seed(text("device"), seed, &identity) == ERR_OK ? 0 : 1;
}

static struct bytes identity_bytes(void)
{
	return bytes_of(identity.public_key, sizeof identity.public_key);
}

/* A prekey of this many bytes that the identity has signed. */
static struct prekey signed_key(struct arena *arena, uint32_t id, size_t len)
{
	uint8_t *key = arena_alloc(arena, len);
	uint8_t *signature = arena_alloc(arena, ED25519_SIGNATURE_SIZE);

	key[0] = (uint8_t)(id + 2); /* not of small order */
	sign_message(&identity, bytes_of(key, len), signature);
	return (struct prekey){.present = true,
			       .id = id,
			       .public_key = bytes_of(key, len),
			       .signature = bytes_of(signature, ED25519_SIGNATURE_SIZE)};
}

/* Everything there, and right, in the scheme ed25519. */
static struct key_upload full_upload(struct arena *arena)
{
	struct key_upload upload = {.registration_id = 1,
				    .has_identity = true,
				    .scheme = SCHEME_ED25519,
				    .identity_key = identity_bytes(),
				    .signed_prekey = signed_key(arena, 1, 32),
				    .pq_last_resort = signed_key(arena, 9, 100)};

	upload.one_time.keys = arena_array(arena, struct prekey, 2);
	upload.one_time.count = 2;
	upload.pq.keys = arena_array(arena, struct prekey, 2);
	upload.pq.count = 2;
	for (uint32_t i = 0; i < 2; i++) {
		upload.one_time.keys[i] = signed_key(arena, i, 32);
		upload.pq.keys[i] = signed_key(arena, i, 4096);
	}
	return upload;
}

static void spoil(struct bytes *bytes)
{
	((uint8_t *)bytes->data)[0] ^= 1;
}

static void check_upload(const struct key_upload *upload, enum err want, const char *field)
{
	struct problem problem = {0};

	assert_int_equal(key_upload_check(upload, SCHEME_ED25519, identity_bytes(), &problem),
			 want);
	check_string(problem.field, field);
}

static void good_signatures_pass(void **state)
{
	struct key_upload upload = full_upload(*state);

	check_upload(&upload, ERR_OK, NULL);
	upload.has_identity = false;
	upload.identity_key = (struct bytes){0};
	check_upload(&upload, ERR_OK, NULL);
	upload = (struct key_upload){0};
	check_upload(&upload, ERR_OK, NULL);
}

static void each_bad_signature_is_found(void **state)
{
	struct key_upload upload = full_upload(*state);

	spoil(&upload.signed_prekey.public_key);
	check_upload(&upload, ERR_BAD_SIGNATURE, "signed_prekey");
	upload = full_upload(*state);
	spoil(&upload.signed_prekey.signature);
	check_upload(&upload, ERR_BAD_SIGNATURE, "signed_prekey");
	upload = full_upload(*state);
	spoil(&upload.pq_last_resort.public_key);
	check_upload(&upload, ERR_BAD_SIGNATURE, "pq_last_resort_prekey");
	upload = full_upload(*state);
	upload.pq.keys[1].signature = upload.pq.keys[0].signature;
	check_upload(&upload, ERR_BAD_SIGNATURE, "pq_prekeys");
}

static void each_malformed_key_is_found(void **state)
{
	struct key_upload upload = full_upload(*state);

	upload.identity_key.len--;
	check_upload(&upload, ERR_VALIDATION, "identity_key");
	upload = full_upload(*state);
	upload.signed_prekey = signed_key(*state, 1, 33);
	check_upload(&upload, ERR_VALIDATION, "signed_prekey");
	upload = full_upload(*state);
	upload.signed_prekey.signature.len--;
	check_upload(&upload, ERR_VALIDATION, "signed_prekey");
	upload = full_upload(*state);
	upload.one_time.keys[1].public_key.len--;
	check_upload(&upload, ERR_VALIDATION, "one_time_prekeys");
	upload = full_upload(*state);
	upload.pq.keys[1] = signed_key(*state, 1, 4097);
	check_upload(&upload, ERR_VALIDATION, "pq_prekeys");
}

static void a_new_identity_needs_a_signed_prekey(void **state)
{
	struct key_upload upload = full_upload(*state);
	struct problem problem = {0};

	upload.signed_prekey = (struct prekey){0};
	check_upload(&upload, ERR_OK, NULL); /* the same as before */
	assert_int_equal(key_upload_check(&upload, SCHEME_P256, identity_bytes(), &problem),
			 ERR_VALIDATION);
	assert_string_equal(problem.field, "signed_prekey");
}

#define K32	   "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY(id)	   "{\"id\":" id ",\"public_key\":\"" K32 "\"}"
#define SIGNED(id) "{\"id\":" id ",\"public_key\":\"" K32 "\",\"signature\":\"" K32 "\"}"

static void an_upload_has_any_of_its_parts(void **state)
{
	struct key_upload upload;
	struct problem problem = {0};

	assert_int_equal(key_upload_decode(*state, text("{}"), &upload, &problem), ERR_OK);
	assert_false(upload.has_identity || upload.signed_prekey.present ||
		     upload.pq_last_resort.present);
	assert_int_equal(upload.registration_id + upload.one_time.count + upload.pq.count, 0);
	assert_int_equal(
		key_upload_decode(
			*state,
			text("{\"registration_id\":5,\"scheme\":\"p256\","
			     "\"identity_key\":\"" K32
			     "\",\"signed_prekey\":" SIGNED("7") ",\"one_time_prekeys\":[" KEY("0") "," KEY(
				     "4294967295") "],\"pq_prekeys\":[" SIGNED("3") "],\"pq_"
										    "last_"
										    "resort_"
										    "prekey\""
										    ":" SIGNED(
											    "9") "}"),
			&upload, &problem),
		ERR_OK);
	assert_int_equal(upload.registration_id, 5);
	assert_int_equal(upload.scheme, SCHEME_P256);
	assert_int_equal(upload.identity_key.len, 32);
	assert_int_equal(upload.signed_prekey.id, 7);
	assert_int_equal(upload.signed_prekey.signature.data[31], 31);
	assert_int_equal(upload.one_time.count, 2);
	assert_int_equal(upload.one_time.keys[1].id, UINT32_MAX);
	assert_int_equal(upload.one_time.keys[1].signature.len, 0);
	assert_int_equal(upload.pq.keys[0].id, 3);
	assert_int_equal(upload.pq_last_resort.id, 9);
	assert_string_equal(upload.name, "");
}

static const struct {
	const char *json;
	const char *field;
} bad_uploads[] = {
	{"{\"registration_id\":0}", "registration_id"},
	{"{\"scheme\":\"ed25519\"}", "identity_key"},
	{"{\"identity_key\":\"" K32 "\"}", "scheme"},
	{"{\"scheme\":\"rsa\",\"identity_key\":\"" K32 "\"}", "scheme"},
	{"{\"signed_prekey\":" KEY("1") "}", "signed_prekey.signature"},
	{"{\"signed_prekey\":null}", "signed_prekey"},
	{"{\"signed_prekey\":" SIGNED("4294967296") "}", "signed_prekey.id"},
	{"{\"one_time_prekeys\":[" KEY("1") ",{\"id\":2}]}", "one_time_prekeys[1].public_key"},
	{"{\"one_time_prekeys\":[{\"id\":2,\"public_key\":\"\"}]}",
	 "one_time_prekeys[0].public_key"},
	{"{\"pq_prekeys\":[" KEY("1") "]}", "pq_prekeys[0].signature"},
};

static void malformed_uploads_name_their_field(void **state)
{
	for (size_t i = 0; i < COUNT(bad_uploads); i++) {
		struct key_upload upload;
		struct problem problem = {0};

		assert_int_equal(
			key_upload_decode(*state, text(bad_uploads[i].json), &upload, &problem),
			ERR_VALIDATION);
		check_string(problem.field, bad_uploads[i].field);
	}
}

static void a_hundred_keys_are_the_most(void **state)
{
	struct key_upload upload;
	struct problem problem = {0};
	struct text json;

	text_init(&json, *state, 0);
	text_puts(&json, "{\"one_time_prekeys\":[" KEY("1"));
	for (int i = 0; i < 99; i++)
		text_puts(&json, "," KEY("1"));
	assert_int_equal(key_upload_decode(*state,
					   text(arena_printf(*state, "%s]}", json.data)),
					   &upload, &problem),
			 ERR_OK);
	assert_int_equal(upload.one_time.count, 100);
	assert_int_equal(key_upload_decode(*state,
					   text(arena_printf(*state, "%s,{}]}", json.data)),
					   &upload, &problem),
			 ERR_TOO_LARGE);
	assert_string_equal(problem.field, "one_time_prekeys");
}

static void claims_are_read_as_they_are_written(void **state)
{
	static const char *const forms[] = {"{\"claim_id\":\"a-Z_9\",\"requester\":\"" ALICE
					    "\",\"address\":\"" BOB "\",\"devices\":[3,1]}",
					    "{\"claim_id\":\"x\",\"requester\":\"" ALICE
					    "\",\"address\":\"" BOB "\"}"};

	for (size_t i = 0; i < COUNT(forms); i++) {
		struct claim_request claim;
		struct problem problem = {0};

		assert_int_equal(claim_decode(*state, text(forms[i]), true, &claim, &problem),
				 ERR_OK);
		check_json(claim_encode(*state, &claim), forms[i]);
		assert_int_equal(claim_decode(*state, text(forms[i]), false, &claim, &problem),
				 ERR_OK);
		assert_string_equal(claim.requester.text, "");
	}
}

#define CLAIM(rest) "{\"claim_id\":\"x\",\"address\":\"" BOB "\"" rest "}"
static const struct {
	const char *json;
	bool between_nodes;
	const char *field;
} bad_claims[] = {
	{"{\"address\":\"" BOB "\"}", false, "claim_id"},
	{"{\"claim_id\":\"\",\"address\":\"" BOB "\"}", false, "claim_id"},
	{"{\"claim_id\":\"a/b\",\"address\":\"" BOB "\"}", false, "claim_id"},
	{"{\"claim_id\":\"x\"}", false, "address"},
	{CLAIM(""), true, "requester"},
	{CLAIM(",\"devices\":[]"), false, "devices"},
	{CLAIM(",\"devices\":null"), false, "devices"},
	{CLAIM(",\"devices\":[1,2,1]"), false, "devices[2]"},
	{CLAIM(",\"devices\":[128]"), false, "devices[0]"},
};

static void malformed_claims_name_their_field(void **state)
{
	for (size_t i = 0; i < COUNT(bad_claims); i++) {
		struct claim_request claim;
		struct problem problem = {0};

		assert_int_equal(claim_decode(*state, text(bad_claims[i].json),
					      bad_claims[i].between_nodes, &claim, &problem),
				 ERR_VALIDATION);
		check_string(problem.field, bad_claims[i].field);
	}
}

static void requests_for_lists_are_read_as_they_are_written(void **state)
{
	const char *json = "{\"requester\":\"" ALICE "\",\"address\":\"" BOB "\"}";
	struct list_request request;
	struct problem problem = {0};

	assert_int_equal(list_request_decode(text(json), &request, &problem), ERR_OK);
	check_json(list_request_encode(*state, &request), json);
	assert_int_equal(
		list_request_decode(text("{\"address\":\"" BOB "\"}"), &request, &problem),
		ERR_VALIDATION);
	assert_string_equal(problem.field, "requester");
}

#define DEVICE(id)    "{\"device_id\":" id ",\"registration_id\":4711,\"scheme\":\"ed25519\","
#define IDENTITY      "\"identity_key\":\"%s\""
#define LIST(devices) "{\"address\":\"" BOB "\",\"list_version\":7,\"devices\":[" devices "]}"

static const char *with_identity(struct arena *arena, const char *format)
{
	const char *key = base64_encode(arena, identity_bytes());
	struct text out;

	text_init(&out, arena, 0);
	for (const char *at = format; *at != '\0'; at++) {
		if (at[0] == '%' && at[1] == 's') {
			text_puts(&out, key);
			at++;
		} else {
			text_add(&out, bytes_of(at, 1));
		}
	}
	return out.data;
}

static void lists_are_read_as_they_are_written(void **state)
{
	const char *list_json = with_identity(
		*state, LIST(DEVICE("1") IDENTITY "}," DEVICE("127") IDENTITY "}"));
	const char *bundles_json = with_identity(
		*state,
		LIST(DEVICE("1") IDENTITY
		     ",\"signed_prekey\":" SIGNED("1") ",\"one_time_prekey\":" KEY(
			     "2") ",\"pq_prekey\":" SIGNED("3") "}," DEVICE("2") IDENTITY
		     ",\"signed_prekey\":" SIGNED(
			     "4") ",\"one_time_prekey\":null,\"pq_prekey\":null}"));
	struct device_list list;

	assert_int_equal(device_list_decode(*state, text(list_json), &list), ERR_OK);
	assert_int_equal(list.count, 2);
	check_json(device_list_encode(*state, &list), list_json);
	assert_int_equal(device_list_decode(*state, text(bundles_json), &list), ERR_OK);
	check_json(bundles_encode(*state, &list), bundles_json);
	assert_false(list.devices[1].one_time.present);
	assert_int_equal(device_list_decode(*state, text(LIST("")), &list), ERR_OK);
	check_json(device_list_encode(*state, &list), LIST(""));
}

static void devices_come_in_order(void **state)
{
	const char *json =
		with_identity(*state, LIST(DEVICE("9") IDENTITY "}," DEVICE("3") IDENTITY "}"));
	struct device_list list;

	assert_int_equal(device_list_decode(*state, text(json), &list), ERR_OK);
	assert_int_equal(list.devices[0].device_id, 3);
	assert_int_equal(list.devices[1].device_id, 9);
}

static const char *const bad_lists[] = {
	"{\"list_version\":7,\"devices\":[]}",
	"{\"address\":\"" BOB "\",\"devices\":[]}",
	"{\"address\":\"" BOB "\",\"list_version\":-1,\"devices\":[]}",
	"{\"address\":\"" BOB "\",\"list_version\":1}",
	LIST("null"),
	LIST(DEVICE("1") IDENTITY "}," DEVICE("1") IDENTITY "}"),
	LIST(DEVICE("0") IDENTITY "}"),
	LIST(DEVICE("1") "\"identity_key\":\"AAAA\"}"),
	LIST(DEVICE("1") "\"identity_key\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}"),
	LIST(DEVICE("1") IDENTITY ",\"signed_prekey\":" KEY("1") "}"),
	LIST(DEVICE("1") IDENTITY ",\"signed_prekey\":{\"id\":1,\"public_key\":\"AAAA\","
				  "\"signature\":\"AAAA\"}}"),
	LIST(DEVICE("1") IDENTITY ",\"one_time_prekey\":{\"id\":1,\"public_key\":\"AAAA\"}}"),
};

static void lists_of_lying_peers_are_refused(void **state)
{
	for (size_t i = 0; i < COUNT(bad_lists); i++) {
		const char *json = with_identity(*state, bad_lists[i]);
		struct device_list list = {.count = 99};

		if (device_list_decode(*state, text(json), &list) != ERR_PEER_INVALID)
			fail_msg("%s", json);
		assert_int_equal(list.count, 99);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(good_signatures_pass),
		TEST(each_bad_signature_is_found),
		TEST(each_malformed_key_is_found),
		TEST(a_new_identity_needs_a_signed_prekey),
		TEST(an_upload_has_any_of_its_parts),
		TEST(malformed_uploads_name_their_field),
		TEST(a_hundred_keys_are_the_most),
		TEST(claims_are_read_as_they_are_written),
		TEST(malformed_claims_name_their_field),
		TEST(requests_for_lists_are_read_as_they_are_written),
		TEST(lists_are_read_as_they_are_written),
		TEST(devices_come_in_order),
		TEST(lists_of_lying_peers_are_refused),
	};

	return cmocka_run_group_tests(tests, make_identity, NULL);
}
