/* SPDX-License-Identifier: MIT
 *
 * What is trusted about a domain, as text for the store: lines of a word and its values,
 * in one order. Nothing stands for nothing trusted yet; anything else that is not exactly
 * this form is an error, for a pin must not vanish by accident. Pure.
 *
 *   restante-trust-1
 *   pin REVISION PINNED_MS VERIFIED     absent: no pin
 *   root KEY REVISION                   absent: no root; REVISION absent: 0
 *   key KID KEY NOT_BEFORE NOT_AFTER
 *   conflict REFUTED CANDIDATE SINCE    absent: no conflict
 *   shown KID KEY NOT_BEFORE NOT_AFTER  of a conflict
 */
#include "peer.h"

#include "restante/crypto.h"

#include <stdio.h>

#define MAGIC	 "restante-trust-1"
#define LINE_LEN 192

static void put_key(struct text *out, const uint8_t key[32])
{
	text_puts(out, " ");
	text_puts(out, base64_encode(out->arena, bytes_of(key, 32)));
}

static void put_keys(struct text *out, const char *word, const struct server_key *keys,
		     size_t n_keys)
{
	for (size_t i = 0; i < n_keys; i++) {
		text_printf(out, "%s %s", word, keys[i].kid);
		put_key(out, keys[i].public_key);
		text_printf(out, " %lld %lld\n", (long long)keys[i].not_before_ms,
			    (long long)keys[i].not_after_ms);
	}
}

struct bytes trust_encode(struct arena *arena, const struct trust *trust)
{
	struct text out;

	text_init(&out, arena, 1024);
	text_puts(&out, MAGIC "\n");
	if (trust->pinned)
		text_printf(&out, "pin %lld %lld %d\n", (long long)trust->revision,
			    (long long)trust->pinned_ms, trust->verified);
	if (trust->has_root) {
		text_puts(&out, "root");
		put_key(&out, trust->root_key);
		text_printf(&out, " %lld\n", (long long)trust->root_revision);
	}
	put_keys(&out, "key", trust->keys, trust->n_keys);
	if (trust->conflict) {
		text_printf(&out, "conflict %d", trust->refuted);
		put_key(&out, trust->candidate);
		text_printf(&out, " %lld\n", (long long)trust->candidate_since_ms);
		put_keys(&out, "shown", trust->shown, trust->n_shown);
	}
	return text_bytes(&out);
}

/* Cuts a line off the text into a buffer. False at the end, or for one too long. */
static bool next_line(struct bytes *text, char line_out[LINE_LEN])
{
	const uint8_t *end = text->len > 0 ? memchr(text->data, '\n', text->len) : NULL;
	size_t len;

	if (end == NULL)
		return false;
	len = (size_t)(end - text->data);
	if (len >= LINE_LEN || memchr(text->data, '\0', len) != NULL)
		return false;
	memcpy(line_out, text->data, len);
	line_out[len] = '\0';
	*text = bytes_of(end + 1, text->len - len - 1);
	return true;
}

static bool get_key(const char *base64, uint8_t key_out[32])
{
	return base64_decode_exact(bytes_of_text(base64), 32, key_out) == ERR_OK;
}

static bool read_pin(const char *line, struct trust *trust)
{
	long long revision, pinned_ms;
	int verified, end = 0;

	if (trust->pinned || trust->has_root || trust->n_keys > 0 ||
	    sscanf(line, "pin %18lld %18lld %1d%n", &revision, &pinned_ms, &verified, &end) !=
		    3 ||
	    line[end] != '\0')
		return false;
	trust->pinned = true;
	trust->revision = revision;
	trust->pinned_ms = pinned_ms;
	trust->verified = verified != 0;
	return true;
}

static bool read_root(const char *line, struct trust *trust)
{
	char base64[46];
	long long revision = 0;
	int end = 0;

	if (trust->has_root ||
	    sscanf(line, "root %45s%n %18lld%n", base64, &end, &revision, &end) < 1 ||
	    line[end] != '\0')
		return false;
	trust->root_revision = revision;
	trust->has_root = get_key(base64, trust->root_key);
	return trust->has_root;
}

/* Behind the word, into the next of the keys. */
static bool read_key(const char *line, const char *word, struct server_key *keys, size_t *n,
		     size_t most)
{
	size_t len = strlen(word);
	struct server_key key = {0};
	char base64[46];
	long long not_before, not_after;
	int end = 0;

	if (*n == most || strncmp(line, word, len) != 0 ||
	    sscanf(line + len, " %32s %45s %18lld %18lld%n", key.kid, base64, &not_before,
		   &not_after, &end) != 4 ||
	    line[len + (size_t)end] != '\0' || !kid_is_valid(bytes_of_text(key.kid)) ||
	    !get_key(base64, key.public_key))
		return false;
	key.not_before_ms = not_before;
	key.not_after_ms = not_after;
	keys[(*n)++] = key;
	return true;
}

static bool read_conflict(const char *line, struct trust *trust)
{
	char base64[46];
	long long since;
	int refuted, end = 0;

	if (trust->conflict ||
	    sscanf(line, "conflict %1d %45s %18lld%n", &refuted, base64, &since, &end) != 3 ||
	    line[end] != '\0' || !get_key(base64, trust->candidate))
		return false;
	trust->conflict = true;
	trust->refuted = refuted != 0;
	trust->candidate_since_ms = since;
	return true;
}

static bool read_line(const char *line, struct trust *trust)
{
	switch (line[0]) {
	case 'p':
		return read_pin(line, trust);
	case 'r':
		return read_root(line, trust);
	case 'k':
		return read_key(line, "key", trust->keys, &trust->n_keys, 2 * SERVER_KEYS_MAX);
	case 'c':
		return read_conflict(line, trust);
	case 's':
		return trust->conflict &&
		       read_key(line, "shown", trust->shown, &trust->n_shown, SERVER_KEYS_MAX);
	default:
		return false;
	}
}

enum err trust_decode(struct bytes text, struct trust *trust_out)
{
	struct trust trust = {0};
	char line[LINE_LEN];

	if (text.len > 0) {
		if (!next_line(&text, line) || strcmp(line, MAGIC) != 0)
			return ERR_VALIDATION;
		while (text.len > 0)
			if (!next_line(&text, line) || !read_line(line, &trust))
				return ERR_VALIDATION;
		/* A pin without keys, or keys without a pin: half a file. */
		if (trust.pinned != (trust.n_keys > 0))
			return ERR_VALIDATION;
	}
	*trust_out = trust;
	return ERR_OK;
}

static enum peer_keys_state keys_state(const struct trust *trust)
{
	if (trust->conflict)
		return PEER_KEYS_CONFLICT;
	if (!trust->pinned)
		return PEER_KEYS_NONE;
	return trust->verified ? PEER_KEYS_VERIFIED : PEER_KEYS_UNVERIFIED;
}

enum err federation_peer_keys(struct bytes text, struct peer_keys *keys_out)
{
	struct trust trust;
	enum err err = trust_decode(text, &trust);

	if (err != ERR_OK)
		return err;
	*keys_out = (struct peer_keys){
		.state = keys_state(&trust),
		.verified = trust.verified,
		.pinned_ms = trust.pinned_ms,
		.n_keys = trust.n_keys,
		.has_root = trust.has_root,
		.refuted = trust.refuted,
		.n_shown = trust.n_shown,
		.shown_since_ms = trust.candidate_since_ms,
	};
	memcpy(keys_out->shown, trust.shown, sizeof keys_out->shown);
	memcpy(keys_out->keys, trust.keys, sizeof keys_out->keys);
	memcpy(keys_out->root_key, trust.root_key, sizeof keys_out->root_key);
	return ERR_OK;
}
