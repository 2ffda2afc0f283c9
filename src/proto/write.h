/* SPDX-License-Identifier: MIT
 *
 * Writing the pieces that many bodies share. JSON is written as text, without spaces, and
 * members in the order of docs/protocol.md. Any thread.
 */
#ifndef RESTANTE_PROTO_WRITE_H
#define RESTANTE_PROTO_WRITE_H

#include "restante/text.h"

const char *json_bool_text(bool value);
void json_write_string(struct text *out, const char *value);  /* escaped */
void json_write_base64(struct text *out, struct bytes bytes); /* quoted */
/* `[1,2]` */
void json_write_devices(struct text *out, const uint8_t *devices, size_t count);

#endif
