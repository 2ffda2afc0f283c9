/* SPDX-License-Identifier: MIT
 *
 * Readers of parts that occur in several bodies. As with the getters of json.h, failures
 * are remembered by the source. Any thread.
 */
#ifndef RESTANTE_PROTO_READ_H
#define RESTANTE_PROTO_READ_H

#include "restante/messages.h"

#include "json.h"

/* Which device ids have been read: none may come twice. */
struct device_set {
	bool has[DEVICES_MAX + 1];
};
uint8_t device_id_read(struct json value, struct device_set *set);
/* An array of 1 to 127 device ids. Returns how many. */
size_t device_ids_read(struct json value, uint8_t devices_out[DEVICES_MAX]);
uint16_t registration_id_read(struct json value);
void user_read(struct json value, char user_out[USER_SIZE]);

enum key_scheme scheme_read(struct json value);
/* `device`: the object of 2.1, which must have an identity and a signed prekey; else the
 * body of PUT keys. */
void key_upload_read(const struct json *object, bool device, struct key_upload *upload_out);
/* list_version and devices, and prekeys where they are. */
void device_list_read(const struct json *object, struct device_list *list_out);

void message_id_read(struct json value, uint8_t id_out[MESSAGE_ID_SIZE], char text_out[37]);
void message_read(const struct json *object, size_t content_max,
		  struct message_request *message_out);
void envelopes_read(struct json value, size_t content_max, struct message_request *message_out);
void ack_read(const struct json *object, struct ack_request *ack_out);

#endif
