/* SPDX-License-Identifier: MIT
 *
 * What can be told of a TLS certificate and its key before a server uses them. Any thread.
 */
#ifndef RESTANTE_CERTIFICATE_H
#define RESTANTE_CERTIFICATE_H

#include "restante/err.h"

#include <stdint.h>

struct certificate {
	int64_t begins_ms;
	int64_t ends_ms;
	bool is_for_domain;
	bool is_for_host;
};

/* Of the first certificate in a PEM file, and the key in another: whether they belong
 * together, and whether it is for these two names. ERR_VALIDATION with a static reason. */
enum err certificate_check(const char *path, const char *key_path, const char *domain,
			   const char *host, struct certificate *certificate_out,
			   const char **reason_out) MUST_CHECK;

#endif
