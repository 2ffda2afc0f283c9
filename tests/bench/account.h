/* SPDX-License-Identifier: MIT
 *
 * The devices that a run uses. They are kept in a file between the commands of the generator,
 * one line each: user, domain, port, device id, registration id, access token. Devices of
 * one account follow each other.
 */
#ifndef BENCH_ACCOUNT_H
#define BENCH_ACCOUNT_H

#include "tls.h"

struct account {
	char user[65];
	char domain[254];
	uint16_t port;
	unsigned device_id;
	unsigned registration_id;
	char token[1024];
};

struct accounts {
	struct account *list;
	size_t count;
};

struct accounts accounts_load(const char *path);
void accounts_free(struct accounts *accounts);

/* Behind the last device of the account that this one belongs to. */
size_t accounts_next(const struct accounts *accounts, size_t index);

void account_print(const struct account *account); /* its line */
/* Registers `count` accounts named NAME0, NAME1, ... with so many devices each, and prints
 * their lines. */
void accounts_register(const struct tls_context *tls, const char *domain, uint16_t port,
		       const char *name, size_t count, size_t devices);
/* Each device uploads one-time prekeys 1 to `count`. */
void accounts_upload(const struct tls_context *tls, const struct accounts *accounts,
		     size_t count);
/* Every one of them accepts every one of the others, so that it sends receipts. */
void accounts_accept(const struct tls_context *tls, const struct accounts *accounts,
		     const struct accounts *others);

#endif
