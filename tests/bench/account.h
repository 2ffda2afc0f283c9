/* SPDX-License-Identifier: MIT
 *
 * The accounts that a run uses, one device each. They are kept in a file between the
 * commands of the generator, one line each: user, domain, port, registration id, access token.
 */
#ifndef BENCH_ACCOUNT_H
#define BENCH_ACCOUNT_H

#include "tls.h"

struct account {
	char user[65];
	char domain[254];
	uint16_t port;
	unsigned registration_id;
	char token[1024];
};

struct accounts {
	struct account *list;
	size_t count;
};

struct accounts accounts_load(const char *path);
void accounts_free(struct accounts *accounts);

/* Registers `count` accounts named NAME0, NAME1, ... and prints their lines. */
void accounts_register(const struct tls_context *tls, const char *domain, uint16_t port,
		       const char *name, size_t count);
/* Every one of them accepts every one of the others, so that it sends receipts. */
void accounts_accept(const struct tls_context *tls, const struct accounts *accounts,
		     const struct accounts *others);

#endif
