/* SPDX-License-Identifier: MIT
 *
 * The table behind err.def. Any thread.
 */
#include "restante/err.h"

#include <assert.h>
#include <string.h>

struct err_row {
	enum err_class class;
	int status;
	const char *code;
	const char *message;
};

static const struct err_row rows[ERR_COUNT] = {
#define ERR(name, class, status, code, message)                                                \
	[ERR_##name] = {CLASS_##class, status, code, message},
#include "restante/err.def"
#undef ERR
};

static const struct err_row *err_row(enum err err)
{
	assert(err < ERR_COUNT);
	return &rows[err];
}

enum err_class err_class(enum err err)
{
	return err_row(err)->class;
}

int err_status(enum err err)
{
	return err_row(err)->status;
}

const char *err_code(enum err err)
{
	return err_row(err)->code;
}

const char *err_message(enum err err)
{
	return err_row(err)->message;
}

enum err err_with_code(const char *code)
{
	for (int i = 0; i < ERR_COUNT; i++) {
		if (strcmp(rows[i].code, code) == 0)
			return (enum err)i;
	}
	return ERR_OK;
}
