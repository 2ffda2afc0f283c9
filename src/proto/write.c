/* SPDX-License-Identifier: MIT
 *
 * Pieces of JSON text. Any thread.
 */
#include "write.h"

#include "restante/crypto.h"

const char *json_bool_text(bool value)
{
	return value ? "true" : "false";
}

void json_write_string(struct text *out, const char *value)
{
	text_json_string(out, bytes_of_text(value));
}

void json_write_base64(struct text *out, struct bytes bytes)
{
	text_puts(out, "\"");
	text_puts(out, base64_encode(out->arena, bytes));
	text_puts(out, "\"");
}

void json_write_devices(struct text *out, const uint8_t *devices, size_t count)
{
	text_puts(out, "[");
	for (size_t i = 0; i < count; i++)
		text_printf(out, "%s%u", i > 0 ? "," : "", devices[i]);
	text_puts(out, "]");
}
