/* SPDX-License-Identifier: MIT
 *
 * Walks over the XML of an XMPP stream (stanza.h).
 */
#include "stanza.h"

#include "restante/log.h"

#include <stdio.h>

static const char stream_name[] = "stream:stream";

static bool begins_with(struct bytes bytes, const char *text)
{
	return bytes.len >= strlen(text) && memcmp(bytes.data, text, strlen(text)) == 0;
}

static struct bytes bytes_from(struct bytes bytes, size_t offset)
{
	return bytes_of(bytes.data + offset, bytes.len - offset);
}

/* Of the tag that begins here, with both brackets; 0 if its end has not come. */
static size_t tag_len(struct bytes in)
{
	uint8_t quote = 0;

	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.data[i];

		if (quote != 0)
			quote = c == quote ? 0 : quote;
		else if (c == '\'' || c == '"')
			quote = c;
		else if (c == '>')
			return i + 1;
	}
	return 0;
}

bool stanza_is(struct bytes stanza, const char *name)
{
	size_t len = strlen(name);

	return stanza.len > len + 1 && begins_with(bytes_from(stanza, 1), name) &&
	       strchr(" />", stanza.data[len + 1]) != NULL;
}

static bool is_last_tag(struct bytes tag, int *depth)
{
	if (tag.data[1] == '/')
		--*depth;
	else if (tag.data[tag.len - 2] != '/')
		++*depth;
	if (*depth < 0)
		fatal("the server has closed a stream");
	return *depth == 0 || (*depth == 1 && stanza_is(tag, stream_name));
}

size_t stanza_read(struct bytes in, struct bytes *stanza_out)
{
	size_t at = 0;
	size_t start = 0;
	int depth = 0;

	for (;;) {
		const uint8_t *bracket =
			at == in.len ? NULL : memchr(in.data + at, '<', in.len - at);
		struct bytes tag;

		if (bracket == NULL)
			return 0;
		at = (size_t)(bracket - in.data);
		tag = bytes_of(bracket, tag_len(bytes_from(in, at)));
		if (tag.len == 0)
			return 0;
		if (depth == 0)
			start = at;
		at += tag.len;
		if (tag.data[1] != '?' && is_last_tag(tag, &depth))
			break;
	}
	*stanza_out = bytes_of(in.data + start, at - start);
	return at;
}

struct bytes stanza_attribute(struct bytes stanza, const char *name)
{
	struct bytes tag = bytes_of(stanza.data, tag_len(stanza));
	size_t len = strlen(name);

	for (size_t i = 0; i + len + 2 < tag.len; i++) {
		uint8_t quote = tag.data[i + len + 2];
		const uint8_t *value = tag.data + i + len + 3;
		const uint8_t *end;

		if (tag.data[i] != ' ' || !begins_with(bytes_from(tag, i + 1), name) ||
		    tag.data[i + len + 1] != '=')
			continue;
		end = memchr(value, quote, (size_t)(tag.data + tag.len - value));
		if (end != NULL)
			return bytes_of(value, (size_t)(end - value));
	}
	return bytes_of(NULL, 0);
}

struct bytes stanza_text(struct bytes stanza, const char *name)
{
	char tag[32];
	const uint8_t *text;
	const uint8_t *end;

	snprintf(tag, sizeof tag, "<%s>", name);
	text = memmem(stanza.data, stanza.len, tag, strlen(tag));
	if (text == NULL)
		return bytes_of(NULL, 0);
	text += strlen(tag);
	end = memchr(text, '<', (size_t)(stanza.data + stanza.len - text));
	return bytes_of(text, (size_t)(end - text));
}
