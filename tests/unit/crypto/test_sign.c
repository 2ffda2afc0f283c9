/* SPDX-License-Identifier: MIT
 *
 * Server keys: signatures as in the RFCs, and files that nobody else can read.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/crypto.h"
#include "restante/private_file.h"
#include "restante/sign.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char *folder;
	char path[4096];
	struct sign_key key;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	crypto_init();
	f->folder = support_make_dir();
	snprintf(f->path, sizeof f->path, "%s/secret", f->folder);
	if (sign_key_create(bytes_of_text("k-1_a"), &f->key) != ERR_OK)
		return -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	support_remove_dir(&f->folder);
	free(f);
	return 0;
}

static void write_file(const char *path, const char *content, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(content, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void from_hex(const char *text, size_t len, uint8_t *out)
{
	assert_int_equal(hex_decode(bytes_of_text(text), len, out), ERR_OK);
}

/* RFC 8032 section 7.1, test 2. */
static void ed25519_knows_the_vector_of_its_rfc(void **state)
{
	uint8_t seed[32], public_key[32], expected[64], signature[64];
	struct bytes message = bytes_of("\x72", 1);
	struct sign_key key;

	(void)state;
	from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", 32, seed);
	from_hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", 32,
		 public_key);
	from_hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
		 "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
		 64, expected);
	assert_int_equal(sign_key_from_seed(bytes_of_text("k1"), seed, &key), ERR_OK);
	assert_memory_equal(key.public_key, public_key, 32);
	sign_message(&key, message, signature);
	assert_memory_equal(signature, expected, 64);
	assert_int_equal(ed25519_verify(public_key, message, signature), ERR_OK);
}

/* RFC 9421 appendix B.2.6. */
static void http_signature_vector_is_reproduced(void **state)
{
	size_t len;
	char *file = (char *)support_read_file(TEST_DATA "/vectors/rfc9421_b26.txt", &len);
	char seed_hex[65], public_hex[65], text[89];
	uint8_t seed[32], public_key[32], expected[64], signature[64];
	const char *base = strstr(file, "\nbase\n") + 6;
	struct bytes message = bytes_of(base, strlen(base) - 1);
	struct sign_key key;

	(void)state;
	assert_int_equal(sscanf(strchr(file, '\n'), " seed %64s public %64s signature %88s",
				seed_hex, public_hex, text),
			 3);
	from_hex(seed_hex, 32, seed);
	from_hex(public_hex, 32, public_key);
	assert_int_equal(base64_decode_exact(bytes_of_text(text), 64, expected), ERR_OK);
	assert_int_equal(message.len, 284);
	assert_int_equal(sign_key_from_seed(bytes_of_text("k1"), seed, &key), ERR_OK);
	assert_memory_equal(key.public_key, public_key, 32);
	sign_message(&key, message, signature);
	assert_memory_equal(signature, expected, 64);
	assert_int_equal(ed25519_verify(public_key, message, expected), ERR_OK);
	free(file);
}

static void a_changed_bit_breaks_the_signature(void **state)
{
	struct fixture *f = *state;
	struct bytes message = bytes_of_text("message");
	uint8_t signature[64];

	sign_message(&f->key, message, signature);
	for (int bit = 0; bit < 512; bit++) {
		signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(ed25519_verify(f->key.public_key, message, signature),
				 ERR_BAD_SIGNATURE);
		signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(ed25519_verify(f->key.public_key, bytes_of_text("massage"), signature),
			 ERR_BAD_SIGNATURE);
}

/* Under the neutral element R = B, S = 1 would verify for every message. */
static void keys_of_small_order_are_refused(void **state)
{
	uint8_t key[32] = {1}, signature[64] = {0};

	(void)state;
	memset(signature, 0x66, 32);
	signature[0] = 0x58; /* the base point, RFC 8032 section 5.1 */
	signature[32] = 1;
	assert_int_equal(ed25519_verify(key, bytes_of_text("any"), signature),
			 ERR_BAD_SIGNATURE);
	assert_false(ed25519_key_is_valid(key));
	memset(key, 0xff, sizeof key); /* not canonical */
	assert_int_equal(ed25519_verify(key, bytes_of_text("any"), signature),
			 ERR_BAD_SIGNATURE);
	assert_false(ed25519_key_is_valid(key));
}

static void kids_are_short_and_lower_case(void **state)
{
	static const char *const bad[] = {
		"",	"K1",  "k.1",	   "k 1",
		"k1\n", "k/1", "\xc3\xa4", "k123456789012345678901234567890123"};
	struct sign_key key = {.kid = "untouched"};

	(void)state;
	assert_true(kid_is_valid(bytes_of_text("a-z_09")));
	assert_true(kid_is_valid(bytes_of_text("k1234567890123456789012345678901")));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(sign_key_create(bytes_of_text(bad[i]), &key), ERR_VALIDATION);
	assert_string_equal(key.kid, "untouched");
}

static void a_saved_key_is_private_and_loads_again(void **state)
{
	struct fixture *f = *state;
	struct sign_key again;
	struct stat st;
	mode_t before = umask(0);

	assert_int_equal(sign_key_save(&f->key, f->path), ERR_OK);
	umask(before);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(sign_key_load(f->path, &again), ERR_OK);
	assert_memory_equal(&again, &f->key, sizeof again);
}

static void saving_never_replaces_a_file(void **state)
{
	struct fixture *f = *state;
	struct sign_key again, other;

	assert_int_equal(sign_key_create(bytes_of_text("k2"), &other), ERR_OK);
	assert_int_equal(sign_key_save(&f->key, f->path), ERR_OK);
	assert_int_equal(sign_key_save(&other, f->path), ERR_INTERNAL);
	assert_int_equal(sign_key_load(f->path, &again), ERR_OK);
	assert_memory_equal(&again, &f->key, sizeof again);
	/* Nothing else is left in the folder. */
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(rmdir(f->folder), 0);
	assert_int_equal(mkdir(f->folder, 0700), 0);
}

static void a_file_that_others_may_access_is_refused(void **state)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0610, 0601};
	struct fixture *f = *state;
	struct sign_key again;

	assert_int_equal(sign_key_save(&f->key, f->path), ERR_OK);
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		assert_int_equal(chmod(f->path, modes[i]), 0);
		assert_int_equal(sign_key_load(f->path, &again), ERR_FORBIDDEN);
	}
	assert_int_equal(chmod(f->path, 0400), 0);
	assert_int_equal(sign_key_load(f->path, &again), ERR_OK);
	assert_int_equal(sign_key_load(f->folder, &again), ERR_FORBIDDEN);
}

static void a_damaged_key_file_is_refused(void **state)
{
	static const struct {
		const char *before;
		int len; /* of the secret */
		const char *after;
	} bad[] = {
		{"restante-key-1 k1\n", 88, ""},       {"restante-key-1 k1\n", 88, "\n\n"},
		{"restante-key-2 k1\n", 88, "\n"},     {"restante-key-1 K1\n", 88, "\n"},
		{"restante-key-1 \n", 88, "\n"},       {"restante-key-1 k1\n", 44, "\n"},
		{"restante-key-1 k1\r\n", 88, "\r\n"}, {"", 0, ""},
	};
	struct fixture *f = *state;
	char secret[89], content[200];
	struct sign_key again = {.kid = "untouched"};

	assert_int_equal(sign_key_load(f->path, &again), ERR_NOT_FOUND);
	base64_encode_to(bytes_of(f->key.secret_key, 64), secret);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(content, sizeof content, "%s%.*s%s", bad[i].before, bad[i].len, secret,
			 bad[i].after);
		write_file(f->path, content, 0600);
		assert_int_equal(sign_key_load(f->path, &again), ERR_VALIDATION);
	}
	f->key.secret_key[0] ^= 1; /* another seed than the public part says */
	base64_encode_to(bytes_of(f->key.secret_key, 64), secret);
	snprintf(content, sizeof content, "restante-key-1 k1\n%s\n", secret);
	write_file(f->path, content, 0600);
	assert_int_equal(sign_key_load(f->path, &again), ERR_VALIDATION);
	assert_string_equal(again.kid, "untouched");
}

static void a_secret_is_made_once(void **state)
{
	static const uint8_t zero[SECRET_SIZE];
	struct fixture *f = *state;
	uint8_t first[SECRET_SIZE] = {0}, again[SECRET_SIZE] = {0};
	struct stat st;

	assert_int_equal(secret_file_load_or_create(f->path, first), ERR_OK);
	assert_int_equal(secret_file_load_or_create(f->path, again), ERR_OK);
	assert_memory_equal(first, again, SECRET_SIZE);
	assert_memory_not_equal(first, zero, SECRET_SIZE);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 45);
}

static void a_bad_secret_file_is_refused_not_replaced(void **state)
{
	struct fixture *f = *state;
	uint8_t secret[SECRET_SIZE];

	write_file(f->path, "c2hvcnQ=\n", 0600);
	assert_int_equal(secret_file_load_or_create(f->path, secret), ERR_VALIDATION);
	write_file(f->path, "", 0600);
	assert_int_equal(secret_file_load_or_create(f->path, secret), ERR_VALIDATION);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(secret_file_load_or_create(f->path, secret), ERR_OK);
	assert_int_equal(chmod(f->path, 0644), 0);
	assert_int_equal(secret_file_load_or_create(f->path, secret), ERR_FORBIDDEN);
}

static void a_folder_that_is_missing_is_an_error(void **state)
{
	struct fixture *f = *state;
	uint8_t secret[SECRET_SIZE];

	snprintf(f->path, sizeof f->path, "%s/missing/secret", f->folder);
	assert_int_equal(secret_file_load_or_create(f->path, secret), ERR_INTERNAL);
	assert_int_equal(sign_key_save(&f->key, f->path), ERR_INTERNAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void a_replaced_file_is_private_and_whole(void **state)
{
	const struct fixture *f = *state;
	char left_over[4096 + 8];
	char content[16];
	struct stat st;
	size_t len = 0;

	snprintf(left_over, sizeof left_over, "%s.new", f->path);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(symlink("/nowhere", left_over), 0);
		assert_int_equal(
			private_file_replace(f->path, bytes_of_text(i == 0 ? "longer" : "new")),
			ERR_OK);
		assert_int_equal(lstat(left_over, &st), -1);
	}
	assert_int_equal(private_file_read(f->path, content, sizeof content, &len), ERR_OK);
	assert_int_equal(len, 3);
	assert_memory_equal(content, "new", 3);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

#define REPLACERS 4

static void *replace_often(void *arg)
{
	intptr_t failed = 0;

	for (int i = 0; i < 50; i++)
		failed |= private_file_replace(arg, bytes_of_text("new")) != ERR_OK;
	return (void *)failed;
}

static void a_file_is_replaced_by_several_at_once(void **state)
{
	const struct fixture *f = *state;
	pthread_t threads[REPLACERS];
	void *failed;

	for (int i = 0; i < REPLACERS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, replace_often, (void *)f->path), 0);
	for (int i = 0; i < REPLACERS; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
}

/* A command that root runs makes nothing that the node, as another user, cannot read. */
static void files_belong_to_whom_the_folder_does(void **state)
{
	const struct fixture *f = *state;
	struct stat folder, file;

	if (geteuid() == 0)
		assert_int_equal(chown(f->folder, 65534, 65534), 0);
	assert_int_equal(stat(f->folder, &folder), 0);
	assert_int_equal(sign_key_save(&f->key, f->path), ERR_OK);
	assert_int_equal(stat(f->path, &file), 0);
	assert_int_equal(file.st_uid, folder.st_uid);
	assert_int_equal(private_file_replace(f->path, bytes_of_text("new")), ERR_OK);
	assert_int_equal(stat(f->path, &file), 0);
	assert_int_equal(file.st_uid, folder.st_uid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ed25519_knows_the_vector_of_its_rfc),
		TEST(http_signature_vector_is_reproduced),
		TEST(a_changed_bit_breaks_the_signature),
		TEST(keys_of_small_order_are_refused),
		TEST(kids_are_short_and_lower_case),
		TEST(a_replaced_file_is_private_and_whole),
		TEST(a_file_is_replaced_by_several_at_once),
		TEST(files_belong_to_whom_the_folder_does),
		TEST(a_saved_key_is_private_and_loads_again),
		TEST(saving_never_replaces_a_file),
		TEST(a_file_that_others_may_access_is_refused),
		TEST(a_damaged_key_file_is_refused),
		TEST(a_secret_is_made_once),
		TEST(a_bad_secret_file_is_refused_not_replaced),
		TEST(a_folder_that_is_missing_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
