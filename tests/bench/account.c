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
#define PREKEYS_MAX    100 /* in one upload */

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
	while (fscanf(file, "%64s %253s %hu %u %u %1023s", account.user, account.domain,
		      &account.port, &account.device_id, &account.registration_id,
		      account.token) == 6)
		account_add(&accounts, &account);
	if (!feof(file) || accounts.count == 0)
		fatal("%s: not a file of accounts", path);
	fclose(file);
	return accounts;
}

void account_print(const struct account *account)
{
	printf("%s %s %u %u %u %s\n", account->user, account->domain, account->port,
	       account->device_id, account->registration_id, account->token);
}

void accounts_free(struct accounts *accounts)
{
	free(accounts->list);
	*accounts = (struct accounts){0};
}

size_t accounts_next(const struct accounts *accounts, size_t index)
{
	const struct account *account = &accounts->list[index];

	do
		index++;
	while (index < accounts->count &&
	       strcmp(accounts->list[index].user, account->user) == 0 &&
	       strcmp(accounts->list[index].domain, account->domain) == 0);
	return index;
}

/* Bytes that nobody has the secret of. */
static void prekey_write(uint8_t prekey[ED25519_PUBLIC_SIZE], char text[KEY_TEXT])
{
	crypto_random(prekey, ED25519_PUBLIC_SIZE);
	prekey[ED25519_PUBLIC_SIZE - 1] &= 0x3f; /* well below the prime: canonical */
	base64_encode_to(bytes_of(prekey, ED25519_PUBLIC_SIZE), text);
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
	prekey_write(prekey, prekey_text);
	sign_message(&identity, bytes_of(prekey, sizeof prekey), signature);
	base64_encode_to(bytes_of(identity.public_key, sizeof identity.public_key),
			 identity_text);
	base64_encode_to(bytes_of(signature, sizeof signature), signature_text);
	buffer_printf(
		out,
		"{\"registration_id\":%u,\"scheme\":\"ed25519\",\"identity_key\":\"%s\","
		"\"signed_prekey\":{\"id\":1,\"public_key\":\"%s\",\"signature\":\"%s\"}}",
		registration_id, identity_text, prekey_text, signature_text);
}

/* What the device has got: its line. The token goes to the account too. */
static void session_print(struct account *account, struct bytes session)
{
	struct bytes token = scan_string(scan_get(session, "access_token"));

	account->device_id = (unsigned)scan_number(scan_get(session, "device_id"));
	snprintf(account->token, sizeof account->token, "%.*s", (int)token.len,
		 (const char *)token.data);
	account_print(account);
}

static void register_one(struct tls *tls, struct buffer *answer, struct account *account)
{
	struct buffer body = {0};

	buffer_printf(&body, "{\"username\":\"%s\",\"device\":", account->user);
	device_write(&body, account->registration_id);
	buffer_printf(&body, "}");
	session_print(account, http_call(tls, answer, account->domain, "POST", "auth/register",
					 NULL, buffer_bytes(&body)));
	buffer_free(&body);
}

static void link_one(struct tls *tls, struct buffer *answer, struct account *account)
{
	struct buffer body = {0};
	struct bytes token =
		scan_get(http_call(tls, answer, account->domain, "POST", "devices/link-token",
				   account->token, bytes_of_text("{}")),
			 "token");

	buffer_printf(&body, "{\"token\":%.*s,\"device\":", (int)token.len,
		      (const char *)token.data);
	device_write(&body, account->registration_id);
	buffer_printf(&body, "}");
	session_print(account, http_call(tls, answer, account->domain, "POST", "devices/link",
					 NULL, buffer_bytes(&body)));
	buffer_free(&body);
}

void accounts_register(const struct tls_context *context, const char *domain, uint16_t port,
		       const char *name, size_t count, size_t devices)
{
	struct tls tls = tls_connect(context, domain, port);
	struct account account = {.port = port};
	struct buffer answer = {0};

	snprintf(account.domain, sizeof account.domain, "%s", domain);
	for (size_t i = 0; i < count; i++) {
		snprintf(account.user, sizeof account.user, "%s%zu", name, i);
		account.registration_id = (unsigned)(1 + i % 16383);
		register_one(&tls, &answer, &account);
		for (size_t k = 1; k < devices; k++)
			link_one(&tls, &answer, &account);
	}
	buffer_free(&answer);
	tls_close(&tls);
}

static void prekeys_write(struct buffer *out, size_t first, size_t end)
{
	uint8_t prekey[ED25519_PUBLIC_SIZE];
	char text[KEY_TEXT];

	buffer_printf(out, "{\"one_time_prekeys\":[");
	for (size_t id = first; id < end; id++) {
		prekey_write(prekey, text);
		buffer_printf(out, "%s{\"id\":%zu,\"public_key\":\"%s\"}",
			      id > first ? "," : "", id, text);
	}
	buffer_printf(out, "]}");
}

static void upload_one(struct tls *tls, struct buffer *answer, const struct account *account,
		       size_t count)
{
	for (size_t first = 1; first <= count; first += PREKEYS_MAX) {
		size_t end = first + PREKEYS_MAX <= count ? first + PREKEYS_MAX : count + 1;
		struct buffer body = {0};

		prekeys_write(&body, first, end);
		http_call(tls, answer, account->domain, "PUT", "keys", account->token,
			  buffer_bytes(&body));
		buffer_free(&body);
	}
}

void accounts_upload(const struct tls_context *context, const struct accounts *accounts,
		     size_t count)
{
	struct tls tls = tls_connect(context, accounts->list[0].domain, accounts->list[0].port);
	struct buffer answer = {0};

	for (size_t i = 0; i < accounts->count; i++)
		upload_one(&tls, &answer, &accounts->list[i], count);
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
