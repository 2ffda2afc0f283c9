/* SPDX-License-Identifier: MIT
 *
 * The one error type. Functions that can fail return it and must be checked; what
 * they produce comes back through a last parameter named _out, which is untouched
 * on failure. An error is logged once, where its cause is known.
 */
#ifndef RESTANTE_ERR_H
#define RESTANTE_ERR_H

#include <stdbool.h>

#define MUST_CHECK	       __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum err {
#define ERR(name, class, status, code, message) ERR_##name,
#include "restante/err.def"
#undef ERR
	ERR_COUNT
};

enum err_class { CLASS_OK, CLASS_TEMP, CLASS_PERM };

enum err_class err_class(enum err err);
int err_status(enum err err);	       /* HTTP status */
const char *err_code(enum err err);    /* code on the wire, static */
const char *err_message(enum err err); /* for people, static */
/* The one with this code; ERR_OK: there is none. */
enum err err_with_code(const char *code);

#endif
