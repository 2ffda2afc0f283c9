/* SPDX-License-Identifier: MIT
 *
 * When this node's own keys begin, sign and end (docs/federation.md, "Replacing a server
 * key"). All of it follows from the last document and the files that there are:
 *
 *   A key that is new begins federation.key_overlap after it is first published.
 *   Of the keys that have begun the one that began last signs.
 *   The one before it ends federation.key_overlap after that.
 *   A key without a file has ended. So has one that was ended before.
 *   One that has not begun, and whose file cannot be used now, is put off.
 *   Where no key has begun, the first one begins at once: a day ago, for peers whose clocks
 *   are behind.
 *
 * Other ends are a year away, counted from the newest document. Ended keys stay listed for a
 * year, so that peers stop to accept them as soon as they fetch the document.
 */
#include "key_schedule.h"

#include "restante/clock.h"
#include "restante/log.h"

#define KEY_EARLY_MS DAYS_MS
#define KEY_LIFE_MS  (365 * DAYS_MS)

static bool has_ended(const struct server_document *last, const char *kid)
{
	const struct server_key *before = last != NULL ? document_key(last, kid) : NULL;

	return before != NULL && before->not_after_ms < last->issued_at_ms;
}

static int compare(const struct server_key *a, const struct server_key *b)
{
	if (a->not_before_ms != b->not_before_ms)
		return a->not_before_ms < b->not_before_ms ? -1 : 1;
	return strcmp(a->kid, b->kid);
}

static enum err check(const struct own_document *own, const struct server_document *last)
{
	if (own->n_keys < 1 || own->n_keys > SERVER_KEYS_MAX) {
		log_error(config, "reason=\"a node has 1 to %d server keys\" keys=%zu",
			  SERVER_KEYS_MAX, own->n_keys);
		return ERR_VALIDATION;
	}
	for (size_t i = 0; i < own->n_keys && last != NULL; i++) {
		const struct sign_key *key = &own->keys[i];
		const struct server_key *before = document_key(last, key->kid);

		if (before == NULL || memcmp(before->public_key, key->public_key, 32) == 0)
			continue;
		log_error(config, "reason=\"this key id was published for another key\" kid=%s",
			  key->kid);
		return ERR_VALIDATION;
	}
	return ERR_OK;
}

static void begin(struct own_document *own, const struct server_document *last, size_t i)
{
	const struct sign_key *file = &own->keys[i];
	const struct server_key *before = last != NULL ? document_key(last, file->kid) : NULL;
	struct server_key *key = &own->document.keys[i];
	int64_t since_ms = last != NULL ? own->now_ms : own->made_ms[i];

	if (before != NULL) {
		*key = *before;
		return;
	}
	memcpy(key->kid, file->kid, sizeof key->kid);
	memcpy(key->public_key, file->public_key, sizeof key->public_key);
	key->not_before_ms = since_ms + own->config->federation_key_overlap;
	key->not_after_ms = own->now_ms + KEY_LIFE_MS;
}

/* Of the keys that have not ended the first one after `after`, or of all if that is NULL. */
static struct server_key *next_key(struct own_document *own, const struct server_document *last,
				   const struct server_key *after)
{
	struct server_key *next = NULL;

	for (size_t i = 0; i < own->n_keys; i++) {
		struct server_key *key = &own->document.keys[i];

		if (has_ended(last, key->kid) || (after != NULL && compare(key, after) <= 0))
			continue;
		if (next == NULL || compare(key, next) < 0)
			next = key;
	}
	return next;
}

static bool has_begun(const struct own_document *own, const struct server_key *key)
{
	return key != NULL && key->not_before_ms <= own->now_ms;
}

/* In the order in which they begin: those that have a successor end, the last that has begun
 * signs. */
static void follow(struct own_document *own, const struct server_document *last,
		   struct server_key *first)
{
	struct server_key *next;

	for (struct server_key *key = first; key != NULL; key = next) {
		bool begun = has_begun(own, key);
		int64_t from_ms = begun ? own->now_ms : key->not_before_ms;

		next = next_key(own, last, key);
		if (has_begun(own, next)) {
			int64_t end_ms =
				next->not_before_ms + own->config->federation_key_overlap;

			if (key->not_after_ms > end_ms)
				key->not_after_ms = end_ms;
		} else {
			key->not_after_ms = from_ms + KEY_LIFE_MS;
			if (begun)
				own->signer = (size_t)(key - own->document.keys);
		}
	}
}

/* Of the last document, without a file: or where there was none yet when this node looked. */
static void end_or_put_off(const struct own_document *own, const struct server_document *last,
			   struct server_key *key)
{
	int64_t later_ms = own->now_ms + own->config->federation_key_overlap;
	bool unsure = own->some_unreadable || last->issued_at_ms >= own->now_ms;

	if (unsure && key->not_before_ms > own->now_ms) {
		if (key->not_before_ms < later_ms)
			key->not_before_ms = later_ms;
	} else if (key->not_after_ms >= own->now_ms) {
		key->not_after_ms = own->now_ms - 1;
	}
}

static void list_others(struct own_document *own, const struct server_document *last)
{
	struct server_document *document = &own->document;

	for (size_t i = 0; i < last->n_keys && document->n_keys < SERVER_KEYS_MAX; i++) {
		struct server_key key = last->keys[i];

		if (document_key(document, key.kid) != NULL)
			continue;
		end_or_put_off(own, last, &key);
		if (own->now_ms - key.not_after_ms < KEY_LIFE_MS)
			document->keys[document->n_keys++] = key;
	}
}

static void find_next(struct own_document *own)
{
	own->next_ms = INT64_MAX;
	for (size_t i = 0; i < own->n_keys; i++) {
		const struct server_key *key = &own->document.keys[i];
		int64_t change_ms = key->not_before_ms > own->now_ms ? key->not_before_ms
								     : key->not_after_ms + 1;

		if (change_ms > own->now_ms && change_ms < own->next_ms && i != own->signer)
			own->next_ms = change_ms;
	}
}

enum err key_schedule(struct own_document *own, const struct server_document *last)
{
	struct server_key *first;
	enum err err = check(own, last);

	if (err != ERR_OK)
		return err;
	own->document.n_keys = own->n_keys;
	for (size_t i = 0; i < own->n_keys; i++)
		begin(own, last, i);
	first = next_key(own, last, NULL);
	if (first == NULL) {
		log_error(config, "reason=\"all server keys have ended; restante key rotate "
				  "makes a new one\"");
		return ERR_VALIDATION;
	}
	if (!has_begun(own, first))
		first->not_before_ms = own->now_ms - KEY_EARLY_MS;
	follow(own, last, first);
	if (last != NULL)
		list_others(own, last);
	find_next(own);
	return ERR_OK;
}

enum key_phase federation_key_phase(const struct own_document *own, size_t i)
{
	const struct server_key *key = &own->document.keys[i];

	if (i == own->signer)
		return KEY_SIGNS;
	if (key->not_after_ms < own->now_ms)
		return KEY_ENDED;
	return key->not_before_ms > own->now_ms ? KEY_COMING : KEY_LEAVING;
}
