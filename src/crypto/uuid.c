/* SPDX-License-Identifier: MIT
 *
 * UUIDs of version 7 (RFC 9562 section 5.7): 48 bits of milliseconds, then random bits
 * around the version and the variant.
 */
#include "restante/crypto.h"

/* How many hex digits each group of the text has (RFC 9562 section 4). */
static const size_t groups[] = {8, 4, 4, 4, 12};
#define N_GROUPS (sizeof groups / sizeof groups[0])

void uuid7_create(int64_t now_ms, uint8_t uuid_out[UUID_SIZE])
{
	crypto_random(uuid_out, UUID_SIZE);
	for (int i = 0; i < 6; i++)
		uuid_out[i] = (uint8_t)((uint64_t)now_ms >> (40 - 8 * i));
	uuid_out[6] = 0x70 | (uuid_out[6] & 0x0f);
	uuid_out[8] = 0x80 | (uuid_out[8] & 0x3f);
}

enum err uuid7_parse(struct bytes text, uint8_t uuid_out[UUID_SIZE])
{
	uint8_t uuid[UUID_SIZE], *to = uuid;
	const uint8_t *from = text.data;

	if (text.len != UUID_TEXT_SIZE - 1)
		return ERR_VALIDATION;
	for (size_t i = 0; i < N_GROUPS; i++) {
		if (i > 0 && *from++ != '-')
			return ERR_VALIDATION;
		if (hex_decode(bytes_of(from, groups[i]), groups[i] / 2, to) != ERR_OK)
			return ERR_VALIDATION;
		from += groups[i];
		to += groups[i] / 2;
	}
	if (uuid[6] >> 4 != 7 || uuid[8] >> 6 != 2)
		return ERR_VALIDATION;
	memcpy(uuid_out, uuid, UUID_SIZE);
	return ERR_OK;
}

void uuid7_format(const uint8_t uuid[UUID_SIZE], char text_out[UUID_TEXT_SIZE])
{
	for (size_t i = 0; i < N_GROUPS; i++) {
		if (i > 0)
			*text_out++ = '-';
		hex_encode(bytes_of(uuid, groups[i] / 2), text_out);
		text_out += groups[i];
		uuid += groups[i] / 2;
	}
}

int64_t uuid7_time_ms(const uint8_t uuid[UUID_SIZE])
{
	int64_t ms = 0;

	for (int i = 0; i < 6; i++)
		ms = ms << 8 | uuid[i];
	return ms;
}
