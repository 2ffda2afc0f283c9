/* SPDX-License-Identifier: MIT
 *
 * The accounts that a run uses (account.h).
 */
#include "account.h"

#include "scan.h"

#include "restante/crypto.h"
#include "restante/log.h"
#include "restante/sign.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_TEXT       48
#define SIGNATURE_TEXT 96

static void account_add(struct accounts *accounts, const struct account *account)
{
	accounts->list = reallocarray(accounts->list, accounts->count + 1, sizeof *account);
	if (accounts->list == NULL)
		fatal("out of memory");
	accounts->list[accounts->count++] = *account;
}

struct accounts accounts_load(const char *path)
{
	struct accounts accounts = {0};
	struct account account = {0};
	FILE *file = fopen(path, "r");

	if (file == NULL)
		fatal("%s: %s", path, strerror(errno));
	while (fscanf(file, "%64s %253s %hu %u %1023s", account.user, account.domain,
		      &account.port, &account.registration_id, account.token) == 5)
		account_add(&accounts, &account);
	if (!feof(file) || accounts.count == 0)
		fatal("%s: not a file of accounts", path);
	fclose(file);
	return accounts;
}

void accounts_free(struct accounts *accounts)
{
	free(accounts->list);
	*accounts = (struct accounts){0};
}

/* A device of the scheme ed25519 with keys that nobody will use. */
static void device_write(struct buffer *out, unsigned registration_id)
{
	struct sign_key identity;
	uint8_t prekey[ED25519_PUBLIC_SIZE];
	uint8_t signature[ED25519_SIGNATURE_SIZE];
	char identity_text[KEY_TEXT];
	char prekey_text[KEY_TEXT];
	char signature_text[SIGNATURE_TEXT];

	if (sign_key_create(bytes_of_text("bench"), &identity) != ERR_OK)
		fatal("no key");
	crypto_random(prekey, sizeof prekey);
	prekey[sizeof prekey - 1] &= 0x3f; /* well below the prime: canonical */
	sign_message(&identity, bytes_of(prekey, sizeof prekey), signature);
	base64_encode_to(bytes_of(identity.public_key, sizeof identity.public_key),
			 identity_text);
	base64_encode_to(bytes_of(prekey, sizeof prekey), prekey_text);
	base64_encode_to(bytes_of(signature, sizeof signature), signature_text);
	buffer_printf(
		out,
		"{\"registration_id\":%u,\"scheme\":\"ed25519\",\"identity_key\":\"%s\","
		"\"signed_prekey\":{\"id\":1,\"public_key\":\"%s\",\"signature\":\"%s\"}}",
		registration_id, identity_text, prekey_text, signature_text);
}

static void register_one(struct tls *tls, struct buffer *answer, const char *domain,
			 uint16_t port, const char *user, unsigned registration_id)
{
	struct buffer body = {0};
	struct bytes token;

	buffer_printf(&body, "{\"username\":\"%s\",\"device\":", user);
	device_write(&body, registration_id);
	buffer_printf(&body, "}");
	token = scan_string(scan_get(http_call(tls, answer, domain, "POST", "auth/register",
					       NULL, buffer_bytes(&body)),
				     "access_token"));
	printf("%s %s %u %u %.*s\n", user, domain, port, registration_id, (int)token.len,
	       (const char *)token.data);
	buffer_free(&body);
}

void accounts_register(const struct tls_context *context, const char *domain, uint16_t port,
		       const char *name, size_t count)
{
	struct tls tls = tls_connect(context, domain, port);
	struct buffer answer = {0};

	for (size_t i = 0; i < count; i++) {
		char user[65];

		snprintf(user, sizeof user, "%s%zu", name, i);
		register_one(&tls, &answer, domain, port, user, (unsigned)(1 + i % 16383));
	}
	buffer_free(&answer);
	tls_close(&tls);
}

void accounts_accept(const struct tls_context *context, const struct accounts *accounts,
		     const struct accounts *others)
{
	struct buffer answer = {0};

	for (size_t i = 0; i < accounts->count; i++) {
		const struct account *account = &accounts->list[i];
		struct tls tls = tls_connect(context, account->domain, account->port);

		for (size_t j = 0; j < others->count; j++) {
			char path[512];

			snprintf(path, sizeof path, "consent/%s%%40%s", others->list[j].user,
				 others->list[j].domain);
			http_call(&tls, &answer, account->domain, "PUT", path, account->token,
				  bytes_of_text("{}"));
		}
		tls_close(&tls);
	}
	buffer_free(&answer);
}
