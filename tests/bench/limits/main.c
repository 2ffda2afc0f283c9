/* SPDX-License-Identifier: MIT
 *
 * restante_limits: started by tests/bench/limits.py.
 */
#include "limits.h"

#include "restante/crypto.h"
#include "restante/log.h"
#include "restante/sign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Of what a signature between nodes covers (RFC 9421). */
#define SIGNED_SIZE 400

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t wall_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void limit_ed25519(size_t count)
{
	uint8_t signature[ED25519_SIGNATURE_SIZE];
	uint8_t message[SIGNED_SIZE] = {0};
	struct bytes bytes = bytes_of(message, sizeof message);
	struct sign_key key;
	uint64_t began;
	uint64_t signed_at;

	if (sign_key_create(bytes_of_text("limit"), &key) != ERR_OK)
		fatal("no key");
	began = cpu_ns();
	for (size_t i = 0; i < count; i++)
		sign_message(&key, bytes, signature);
	signed_at = cpu_ns();
	for (size_t i = 0; i < count; i++)
		if (ed25519_verify(key.public_key, bytes, signature) != ERR_OK)
			fatal("a signature does not verify");
	printf("{\"sign_ns\":%.0f,\"verify_ns\":%.0f}\n",
	       (double)(signed_at - began) / (double)count,
	       (double)(cpu_ns() - signed_at) / (double)count);
	crypto_wipe(&key, sizeof key);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	crypto_init();
	if (argc == 4 && strcmp(what, "store") == 0)
		limit_store(argv[2], strtoul(argv[3], NULL, 10));
	else if (argc == 5 && strcmp(what, "tls") == 0)
		limit_tls(argv[2], argv[3], strtoul(argv[4], NULL, 10));
	else if (argc == 3 && strcmp(what, "ed25519") == 0)
		limit_ed25519(strtoul(argv[2], NULL, 10));
	else if (argc == 4 && strcmp(what, "serve") == 0)
		limit_serve(argv[2], argv[3]);
	else if (argc == 5 && strcmp(what, "plans") == 0)
		limit_plans(argv[2], argv[3], argv[4]);
	else if (argc == 6 && strcmp(what, "expire") == 0)
		limit_expire(argv[2], argv[3], argv[4], strtoul(argv[5], NULL, 10));
	else
		fatal("restante_limits store FOLDER ROWS | tls CERTIFICATE KEY BYTES |"
		      " ed25519 COUNT | serve CERTIFICATE KEY | plans FOLDER URL DOMAIN |"
		      " expire FOLDER URL DOMAIN ROWS");
	return 0;
}
