/* SPDX-License-Identifier: MIT
 *
 * The TXT record of a server key (docs/protocol.md section 4.1.1), in the manner of DKIM.
 * Any thread.
 */
#include "restante/document.h"

#include "restante/crypto.h"

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct bytes trim(struct bytes text)
{
	while (text.len > 0 && is_blank(text.data[0]))
		text = bytes_of(text.data + 1, text.len - 1);
	while (text.len > 0 && is_blank(text.data[text.len - 1]))
		text.len--;
	return text;
}

/* Cuts the first tag off the rest; false at the end. */
static bool next_tag(struct bytes *rest, struct bytes *tag_out)
{
	const uint8_t *semicolon;
	size_t len = rest->len;

	if (rest->len == 0)
		return false;
	semicolon = memchr(rest->data, ';', rest->len);
	if (semicolon != NULL)
		len = (size_t)(semicolon - rest->data);
	*tag_out = trim(bytes_of(rest->data, len));
	len += semicolon != NULL;
	*rest = bytes_of(rest->data + len, rest->len - len);
	return true;
}

/* True and what follows `name=` where the tag has that name. */
static bool tag_value(struct bytes tag, const char *name_equals, struct bytes *value_out)
{
	size_t n = strlen(name_equals);

	if (tag.len < n || memcmp(tag.data, name_equals, n) != 0)
		return false;
	*value_out = bytes_of(tag.data + n, tag.len - n);
	return true;
}

static bool is_ours(struct bytes *rest)
{
	struct bytes tag;

	return rest->len > 0 && !is_blank(rest->data[0]) && next_tag(rest, &tag) &&
	       bytes_equal(tag, bytes_of_text("v=restante1"));
}

enum err txt_decode(struct bytes text, char kid_out[33], uint8_t public_key_out[32])
{
	struct bytes rest = text, tag, kid = {0}, key = {0};
	int n_kids = 0, n_keys = 0;
	uint8_t public_key[ED25519_PUBLIC_SIZE];

	if (!is_ours(&rest))
		return ERR_NOT_FOUND;
	while (next_tag(&rest, &tag)) {
		n_kids += tag_value(tag, "kid=", &kid);
		n_keys += tag_value(tag, "key=", &key);
	}
	if (n_kids != 1 || n_keys != 1 || !kid_is_valid(kid) ||
	    base64_decode_exact(key, sizeof public_key, public_key) != ERR_OK)
		return ERR_VALIDATION;
	memcpy(kid_out, kid.data, kid.len);
	kid_out[kid.len] = '\0';
	memcpy(public_key_out, public_key, sizeof public_key);
	return ERR_OK;
}

void txt_write(struct text *out, const char *kid, const uint8_t public_key[32])
{
	text_printf(out, "v=restante1; kid=%s; key=%s", kid,
		    base64_encode(out->arena, bytes_of(public_key, ED25519_PUBLIC_SIZE)));
}
