/* SPDX-License-Identifier: MIT
 *
 * What the write lane remembers of devices, accounts and consent: a table of bytes by keys.
 */
#include "known.h"

#include "restante/crypto.h"
#include "restante/log.h"

#include <stddef.h>
#include <stdlib.h>

#define uthash_fatal(reason) fatal("known: %s", reason)
#include <uthash.h>

/* Some 200 bytes each. The oldest makes room for the next. */
#define ENTRIES_MAX 30000

struct known {
	UT_hash_handle hh;
	size_t size;
	uint8_t *value;
	uint8_t bytes[]; /* the key, as far as it is used, and the value */
};

static struct known_key make_key(enum known_kind kind, int64_t number, const char *text)
{
	struct known_key key = {.kind = kind, .number = number};

	memcpy(key.text, text, strnlen(text, sizeof key.text - 1));
	return key;
}

struct known_key known_device(int64_t generation)
{
	return make_key(KNOWN_DEVICE, generation, "");
}

struct known_key known_recipient(const char *name)
{
	return make_key(KNOWN_RECIPIENT, 0, name);
}

struct known_key known_consent(int64_t account_key, const char *address)
{
	return make_key(KNOWN_CONSENT, account_key, address);
}

struct known_key known_heard(const char *domain)
{
	return make_key(KNOWN_HEARD, 0, domain);
}

struct known_key known_message(enum known_kind kind, const uint8_t id[MESSAGE_ID_SIZE])
{
	char id_text[UUID_TEXT_SIZE];

	uuid7_format(id, id_text);
	return make_key(kind, 0, id_text);
}

static size_t key_size(const struct known_key *key)
{
	return offsetof(struct known_key, text) + strlen(key->text);
}

static struct known *find(const struct db *db, const struct known_key *key)
{
	struct known *known;

	HASH_FIND(hh, db->known, key, key_size(key), known);
	return known;
}

static void drop(struct db *db, struct known *known)
{
	HASH_DEL(db->known, known);
	free(known);
}

bool known_get(struct db *db, struct known_key key, void *value_out)
{
	const struct known *known = find(db, &key);

	if (known != NULL)
		memcpy(value_out, known->value, known->size);
	return known != NULL;
}

void known_put(struct db *db, struct known_key key, const void *value, size_t size)
{
	size_t key_len = key_size(&key);
	struct known *known;

	if (db->lane != LANE_WRITE)
		return;
	if (HASH_COUNT(db->known) >= ENTRIES_MAX)
		drop(db, db->known); /* the first is the oldest */
	known = malloc(sizeof *known + key_len + size);
	if (known == NULL)
		fatal("out of memory for what is known");
	known->size = size;
	known->value = known->bytes + key_len;
	memcpy(known->bytes, &key, key_len);
	memcpy(known->value, value, size);
	HASH_ADD_KEYPTR(hh, db->known, known->bytes, key_len, known);
}

void known_drop(struct db *db, struct known_key key)
{
	struct known *known = find(db, &key);

	if (known != NULL)
		drop(db, known);
}

void known_change(struct db *db, struct known_key key)
{
	known_drop(db, key);
	db->known_changed = true;
}

void known_change_all(struct db *db)
{
	db_known_forget(db);
	db->known_changed = true;
}

void db_known_forget(struct db *db)
{
	struct known *known;
	struct known *next;

	HASH_ITER(hh, db->known, known, next)
	{
		drop(db, known);
	}
}
