/* SPDX-License-Identifier: MIT
 *
 * Addresses and domains: one spelling of each (docs/protocol.md section 1). Any thread.
 */
#include "restante/address.h"

#include <assert.h>

#define LABEL_MAX 63

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower_or_digit(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z');
}

bool user_is_valid(struct bytes user)
{
	if (user.len < 1 || user.len > USER_SIZE - 1)
		return false;
	for (size_t i = 0; i < user.len; i++) {
		uint8_t c = user.data[i];

		if (!is_lower_or_digit(c) && c != '.' && c != '_' && c != '-')
			return false;
	}
	return true;
}

static bool label_is_valid(struct bytes label)
{
	if (label.len < 1 || label.len > LABEL_MAX || label.data[0] == '-' ||
	    label.data[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!is_lower_or_digit(label.data[i]) && label.data[i] != '-')
			return false;
	return true;
}

static bool is_all_digits(struct bytes label)
{
	for (size_t i = 0; i < label.len; i++)
		if (!is_digit(label.data[i]))
			return false;
	return true;
}

bool domain_is_valid(struct bytes domain)
{
	size_t labels = 0, begin = 0;
	struct bytes label = {0};

	if (domain.len > DOMAIN_SIZE - 1)
		return false;
	for (size_t i = 0; i <= domain.len; i++) {
		if (i < domain.len && domain.data[i] != '.')
			continue;
		label = bytes_of(domain.data + begin, i - begin);
		if (!label_is_valid(label))
			return false;
		labels++;
		begin = i + 1;
	}
	/* Nothing that looks like an IPv4 address. */
	return labels >= 2 && !is_all_digits(label);
}

enum err address_parse(struct bytes text, struct address *address_out)
{
	const uint8_t *at = text.len > 0 ? memchr(text.data, '@', text.len) : NULL;
	struct bytes user, domain;

	if (at == NULL)
		return ERR_VALIDATION;
	user = bytes_of(text.data, (size_t)(at - text.data));
	domain = bytes_of(at + 1, text.len - user.len - 1);
	if (!user_is_valid(user) || !domain_is_valid(domain))
		return ERR_VALIDATION;
	memset(address_out, 0, sizeof *address_out);
	memcpy(address_out->text, text.data, text.len);
	memcpy(address_out->user, user.data, user.len);
	memcpy(address_out->domain, domain.data, domain.len);
	return ERR_OK;
}

void address_make(const char *user, const char *domain, struct address *address_out)
{
	size_t user_len = strlen(user), domain_len = strlen(domain);
	char *text = address_out->text;

	assert(user_len < USER_SIZE && domain_len < DOMAIN_SIZE);
	memcpy(text, user, user_len);
	text[user_len] = '@';
	memcpy(text + user_len + 1, domain, domain_len + 1);
	memcpy(address_out->user, user, user_len + 1);
	memcpy(address_out->domain, domain, domain_len + 1);
}
