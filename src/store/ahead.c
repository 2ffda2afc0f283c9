/* SPDX-License-Identifier: MIT
 *
 * Has this message been there before? Where each question is a round trip, that is asked for
 * all messages of a batch at once. Of those that are new it is remembered (known.h) for this
 * batch, so that their operations need not ask. On the write lane.
 */
#include "driver.h"
#include "known.h"

/* Messages whose operations ask themselves come on top. */
#define AHEAD_MAX 1024

struct ahead {
	enum known_kind kind;
	size_t count;
	uint8_t ids[AHEAD_MAX][MESSAGE_ID_SIZE];
};

static void ahead_begin(struct ahead *ahead, enum known_kind kind)
{
	ahead->kind = kind;
	ahead->count = 0;
}

static void message_add(struct ahead *ahead, const struct message_request *message)
{
	if (ahead->count < AHEAD_MAX)
		memcpy(ahead->ids[ahead->count++], message->id, MESSAGE_ID_SIZE);
}

static void send_add(struct ahead *ahead, const struct store_op *op)
{
	const struct message_request *message = ((const struct op_send *)op)->message;

	if (!message->ephemeral)
		message_add(ahead, message);
}

static void transaction_add(struct ahead *ahead, const struct store_op *op)
{
	const struct transaction *in = ((const struct op_transaction *)op)->transaction;

	for (size_t i = 0; i < in->n_items; i++)
		if (in->items[i].kind == FED_MESSAGE)
			message_add(ahead, &in->items[i].message);
}

static void note_new(struct db *db, enum known_kind kind, const uint8_t id[MESSAGE_ID_SIZE])
{
	known_drop(db, known_message(kind, id)); /* of a batch before, or twice in this one */
	known_put(db, known_message(kind, id), &db->batch, sizeof db->batch);
}

bool db_is_new(struct db *db, enum known_kind kind, const uint8_t id[MESSAGE_ID_SIZE])
{
	int64_t batch;

	return known_get(db, known_message(kind, id), &batch) && batch == db->batch;
}

/* Which of the ids, that stand one behind the other, are there. A scalar subquery is a look
 * into the index for each, whatever the database believes of the size of the table. */
#define ASK(table)                                                                             \
	"WITH RECURSIVE id (place) AS (SELECT 1 UNION ALL SELECT place + 16 FROM id"           \
	" WHERE place + 16 < length(?1)) SELECT place / 16 FROM id WHERE (SELECT 1 "           \
	"FROM " table " WHERE message_id = substr(?1, place, 16) LIMIT 1) = 1"

static enum err ask(struct db *db, const struct ahead *ahead)
{
	bool is_there[AHEAD_MAX] = {false};
	struct query query;
	enum err err;

	if (ahead->count < 2)
		return ERR_OK;
	query = query_begin(db, ahead->kind == KNOWN_UNSENT ? ASK("sent") : ASK("received"));
	query_blob(&query, 1, bytes_of(ahead->ids, ahead->count * MESSAGE_ID_SIZE));
	while (query_row(&query))
		is_there[column_int(&query, 0)] = true;
	err = query_end(&query);
	for (size_t i = 0; i < ahead->count && err == ERR_OK; i++)
		if (!is_there[i])
			note_new(db, ahead->kind, ahead->ids[i]);
	return err;
}

enum err db_ask_ahead(struct db *db, const struct store_op *first)
{
	struct ahead sent, received; /* large, so that it is not all set */
	enum err err;

	if (!db->driver->is_remote)
		return ERR_OK;
	db->batch++;
	ahead_begin(&sent, KNOWN_UNSENT);
	ahead_begin(&received, KNOWN_UNRECEIVED);
	for (const struct store_op *op = first; op != NULL;
	     op = (const struct store_op *)op->message.next) {
		if (op->kind == STORE_SEND)
			send_add(&sent, op);
		else if (op->kind == STORE_TRANSACTION)
			transaction_add(&received, op);
	}
	err = ask(db, &sent);
	return err == ERR_OK ? ask(db, &received) : err;
}
