/* SPDX-License-Identifier: MIT
 *
 * Small values with a meaning of their own, as many bodies have them. Any thread.
 */
#include "read.h"

#define REGISTRATION_ID_MAX 16383

uint8_t device_id_read(struct json value, struct device_set *set)
{
	int64_t id = json_int(value, 1, DEVICES_MAX);

	if (id > 0 && set->has[id])
		json_fail(value, ERR_VALIDATION, "occurs twice");
	set->has[id] = true;
	return (uint8_t)id;
}

size_t device_ids_read(struct json value, uint8_t devices_out[DEVICES_MAX])
{
	struct json array = json_as_array(value, 1, DEVICES_MAX);
	struct device_set set = {0};
	size_t count = json_count(&array);

	for (size_t i = 0; i < count; i++)
		devices_out[i] = device_id_read(json_at(&array, i), &set);
	return count;
}

uint16_t registration_id_read(struct json value)
{
	return (uint16_t)json_int(value, 1, REGISTRATION_ID_MAX);
}

void user_read(struct json value, char user_out[USER_SIZE])
{
	struct bytes user = json_text(value, 1, USER_SIZE - 1);

	if (!user_is_valid(user))
		json_fail(value, ERR_VALIDATION, "is not a user name");
	memcpy(user_out, user.data, user.len);
	user_out[user.len] = '\0';
}
