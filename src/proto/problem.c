/* SPDX-License-Identifier: MIT
 *
 * The uniform error object.
 */
#include "restante/problem.h"

struct bytes details_encode(struct arena *arena, const char *field)
{
	struct text json;

	if (field == NULL)
		return bytes_of_text("{}");
	text_init(&json, arena, 64);
	text_puts(&json, "{\"field\":");
	text_json_string(&json, bytes_of_text(field));
	text_puts(&json, "}");
	return text_bytes(&json);
}

struct bytes error_encode(struct arena *arena, enum err err, const char *message,
			  struct bytes details)
{
	struct text json;

	text_init(&json, arena, 256);
	text_printf(&json, "{\"success\":false,\"error\":{\"code\":\"%s\",\"message\":",
		    err_code(err));
	text_json_string(&json, bytes_of_text(message != NULL ? message : err_message(err)));
	text_puts(&json, ",\"details\":");
	text_add(&json, details.len > 0 ? details : bytes_of_text("{}"));
	text_puts(&json, "}}");
	return text_bytes(&json);
}
