/* SPDX-License-Identifier: MIT
 *
 * Ed25519 with libsodium, and the files that keys and secrets live in.
 */
#include "restante/sign.h"

#include "restante/crypto.h"
#include "restante/log.h"
#include "restante/private_file.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>

#define KEY_FILE_MAGIC "restante-key-1 "
#define KEY_FILE_MAX   (sizeof KEY_FILE_MAGIC + KID_MAX + 1 + 88 + 1)

static_assert(crypto_sign_BYTES == ED25519_SIGNATURE_SIZE, "signature size");
static_assert(crypto_sign_SECRETKEYBYTES == ED25519_SECRET_SIZE, "secret key size");

bool kid_is_valid(struct bytes kid)
{
	if (kid.len < 1 || kid.len > KID_MAX)
		return false;
	for (size_t i = 0; i < kid.len; i++) {
		uint8_t c = kid.data[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-')
			return false;
	}
	return true;
}

enum err sign_key_from_seed(struct bytes kid, const uint8_t seed[ED25519_SEED_SIZE],
			    struct sign_key *key_out)
{
	if (!kid_is_valid(kid))
		return ERR_VALIDATION;
	*key_out = (struct sign_key){0};
	memcpy(key_out->kid, kid.data, kid.len);
	crypto_sign_seed_keypair(key_out->public_key, key_out->secret_key, seed);
	return ERR_OK;
}

enum err sign_key_create(struct bytes kid, struct sign_key *key_out)
{
	uint8_t seed[ED25519_SEED_SIZE];
	enum err err;

	crypto_random(seed, sizeof seed);
	err = sign_key_from_seed(kid, seed, key_out);
	crypto_wipe(seed, sizeof seed);
	return err;
}

static enum err fail(enum err err, const char *path, const char *why)
{
	log_error(config, "file=%s reason=%s", log_quote(path), log_quote(why));
	return err;
}

enum err sign_key_save(const struct sign_key *key, const char *path)
{
	char secret[89], content[KEY_FILE_MAX + 1];
	bool existed;
	enum err err;
	int len;

	base64_encode_to(bytes_of(key->secret_key, sizeof key->secret_key), secret);
	len = snprintf(content, sizeof content, KEY_FILE_MAGIC "%s\n%s\n", key->kid, secret);
	err = private_file_create(path, bytes_of(content, (size_t)len), &existed);
	if (existed)
		err = fail(ERR_INTERNAL, path, "exists already");
	crypto_wipe(secret, sizeof secret);
	crypto_wipe(content, sizeof content);
	return err;
}

/* Takes a line off the front of the text, without its end. */
static bool take_line(struct bytes *text, struct bytes *line_out)
{
	const uint8_t *end = text->len == 0 ? NULL : memchr(text->data, '\n', text->len);

	if (end == NULL)
		return false;
	*line_out = bytes_of(text->data, (size_t)(end - text->data));
	*text = bytes_of(end + 1, text->len - line_out->len - 1);
	return true;
}

static enum err key_parse(struct bytes text, struct sign_key *key_out)
{
	const size_t magic_len = sizeof KEY_FILE_MAGIC - 1;
	uint8_t secret[ED25519_SECRET_SIZE];
	struct sign_key key;
	struct bytes kid, line;
	enum err err = ERR_VALIDATION;

	if (!take_line(&text, &kid) || !take_line(&text, &line) || text.len != 0)
		return err;
	if (kid.len <= magic_len || memcmp(kid.data, KEY_FILE_MAGIC, magic_len) != 0)
		return err;
	kid = bytes_of(kid.data + magic_len, kid.len - magic_len);
	if (base64_decode_exact(line, sizeof secret, secret) != ERR_OK)
		return err;
	if (sign_key_from_seed(kid, secret, &key) == ERR_OK &&
	    crypto_equal(key.secret_key, secret, sizeof secret)) {
		*key_out = key;
		err = ERR_OK;
	}
	crypto_wipe(secret, sizeof secret);
	crypto_wipe(&key, sizeof key);
	return err;
}

enum err sign_key_load(const char *path, struct sign_key *key_out)
{
	char content[KEY_FILE_MAX];
	size_t len;
	enum err err = private_file_read(path, content, sizeof content, &len);

	if (err == ERR_OK && key_parse(bytes_of(content, len), key_out) != ERR_OK)
		err = fail(ERR_VALIDATION, path, "not a server key, or damaged");
	crypto_wipe(content, sizeof content);
	return err;
}

void sign_message(const struct sign_key *key, struct bytes message,
		  uint8_t signature_out[ED25519_SIGNATURE_SIZE])
{
	crypto_sign_detached(signature_out, NULL, message.data, message.len, key->secret_key);
}

enum err ed25519_verify(const uint8_t public_key[ED25519_PUBLIC_SIZE], struct bytes message,
			const uint8_t signature[ED25519_SIGNATURE_SIZE])
{
	if (crypto_sign_verify_detached(signature, message.data, message.len, public_key) != 0)
		return ERR_BAD_SIGNATURE;
	return ERR_OK;
}

bool ed25519_key_is_valid(const uint8_t public_key[ED25519_PUBLIC_SIZE])
{
	return crypto_core_ed25519_is_valid_point(public_key) == 1;
}

enum err secret_file_load(const char *path, uint8_t secret_out[SECRET_SIZE])
{
	char content[45]; /* 44 characters and the end of the line */
	struct bytes text, line;
	size_t len;
	enum err err = private_file_read(path, content, sizeof content, &len);

	if (err != ERR_OK)
		return err;
	text = bytes_of(content, len);
	if (!take_line(&text, &line) || text.len != 0 ||
	    base64_decode_exact(line, SECRET_SIZE, secret_out) != ERR_OK)
		err = fail(ERR_VALIDATION, path, "not a secret of 32 bytes");
	crypto_wipe(content, sizeof content);
	return err;
}

static enum err secret_create(const char *path)
{
	uint8_t secret[SECRET_SIZE];
	char content[46];
	bool existed;
	enum err err;

	crypto_random(secret, sizeof secret);
	base64_encode_to(bytes_of(secret, sizeof secret), content);
	content[44] = '\n';
	err = private_file_create(path, bytes_of(content, 45), &existed);
	crypto_wipe(secret, sizeof secret);
	crypto_wipe(content, sizeof content);
	/* Another process was faster: its secret is as good. */
	return existed ? ERR_OK : err;
}

enum err secret_file_load_or_create(const char *path, uint8_t secret_out[SECRET_SIZE])
{
	enum err err = secret_file_load(path, secret_out);

	if (err != ERR_NOT_FOUND)
		return err;
	err = secret_create(path);
	return err != ERR_OK ? err : secret_file_load(path, secret_out);
}
