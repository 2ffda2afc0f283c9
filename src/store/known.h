/* SPDX-License-Identifier: MIT
 *
 * What the write lane remembers of devices, accounts and consent, so that a message between
 * those that have written lately needs no query for them; and messages of which it knows that
 * they are not there yet (ahead.c). A value is what a query has found.
 * Who writes a row drops what is remembered of it; after an operation that may write others
 * all is forgotten (ops.c). Other processes forget all of it when they have their turn: by an
 * epoch, which rises with such changes. The read lane remembers nothing.
 */
#ifndef STORE_KNOWN_H
#define STORE_KNOWN_H

#include "db.h"

enum known_kind {
	KNOWN_DEVICE,
	KNOWN_RECIPIENT,
	KNOWN_CONSENT,
	KNOWN_UNSENT,
	KNOWN_UNRECEIVED,
	KNOWN_HEARD
};

struct known_key {
	int64_t kind;
	int64_t number; /* generation, or the key of the account that has said something */
	char text[ADDRESS_SIZE]; /* name, address, or message id */
};

struct known_key known_device(int64_t generation);
struct known_key known_recipient(const char *name);
struct known_key known_consent(int64_t account_key, const char *address);
/* When other processes were told last that this domain has called. */
struct known_key known_heard(const char *domain);
/* KNOWN_UNSENT, KNOWN_UNRECEIVED: the number of the batch that has asked. */
struct known_key known_message(enum known_kind kind, const uint8_t id[MESSAGE_ID_SIZE]);
/* (ahead.c) Has this batch asked, and it was not there? False: not known. */
bool db_is_new(struct db *db, enum known_kind kind, const uint8_t id[MESSAGE_ID_SIZE]);

/* Copies as many bytes as were put. */
bool known_get(struct db *db, struct known_key key, void *value_out);
/* Of what is not remembered yet. */
void known_put(struct db *db, struct known_key key, const void *value, size_t size);
/* Its row is written: here, where others may go on with what they remember, and everywhere. */
void known_drop(struct db *db, struct known_key key);
void known_change(struct db *db, struct known_key key);
/* Everything, everywhere. */
void known_change_all(struct db *db);

#endif
