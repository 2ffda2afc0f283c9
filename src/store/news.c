/* SPDX-License-Identifier: MIT
 *
 * Words of news, both ways, and collecting those of a transaction.
 */
#include "news.h"

#include "db.h"

#include "restante/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A payload of PostgreSQL has less than 8000 bytes. */
#define WORD_MAX 7900
#define ALL	 0

/* --- writing ---------------------------------------------------------------------------- */

/* To the process that has the socket of this device, or to that process, or to all. */
static void word_add(struct text *out, int64_t generation, int64_t process, const char *word)
{
	text_puts(out, out->len > 0 ? ",[" : "[");
	if (generation != ALL)
		text_printf(out, "%lld,null,", (long long)generation);
	else if (process != ALL)
		text_printf(out, "null,%lld,", (long long)process);
	else
		text_puts(out, "null,null,");
	text_json_string(out, bytes_of_text(word));
	text_puts(out, "]");
}

static void delivery_write(struct text *out, const struct delivery *delivery)
{
	const struct mailbox_item *item = &delivery->item;
	const char *word;

	if (item->seq > 0)
		word = arena_printf(out->arena, "d %lld %lld", (long long)delivery->generation,
				    (long long)item->seq);
	else
		word = arena_printf(out->arena, "e %lld %d %.*s",
				    (long long)delivery->generation, (int)item->kind,
				    (int)item->body.len, (const char *)item->body.data);
	if (strlen(word) <= WORD_MAX)
		word_add(out, delivery->generation, ALL, word);
}

static void outbound_write(struct text *out, const struct outbound *outbound)
{
	if (outbound->holder != 0)
		word_add(out, ALL, outbound->holder,
			 arena_printf(out->arena, "o %lld %s", (long long)outbound->position,
				      outbound->domain));
}

static void end_write(struct text *out, const struct session_end *end)
{
	word_add(out, end->process != 0 ? ALL : end->generation, end->process,
		 arena_printf(out->arena, "x %lld %u %lld", (long long)end->generation,
			      end->code, (long long)end->socket_key));
}

static void hint_write(struct text *out, const struct list_hint *hint)
{
	word_add(out, hint->generation, ALL,
		 arena_printf(out->arena, "h %lld %lld %s", (long long)hint->generation,
			      (long long)hint->list_version, hint->address));
}

static void low_write(struct text *out, const struct prekeys_low *low)
{
	word_add(out, low->generation, ALL,
		 arena_printf(out->arena, "k %lld %lld %lld", (long long)low->generation,
			      (long long)low->one_time, (long long)low->pq));
}

void news_write(struct text *out, const struct effects *effects)
{
	for (const struct delivery *d = effects->deliveries; d != NULL; d = d->next)
		delivery_write(out, d);
	for (const struct outbound *o = effects->outbound; o != NULL; o = o->next)
		outbound_write(out, o);
	for (const struct session_end *e = effects->ended; e != NULL; e = e->next)
		end_write(out, e);
	for (const struct list_hint *h = effects->list_hints; h != NULL; h = h->next)
		hint_write(out, h);
	for (const struct prekeys_low *l = effects->low; l != NULL; l = l->next)
		low_write(out, l);
	for (const struct named *n = effects->changed; n != NULL; n = n->next)
		word_add(out, ALL, ALL, arena_printf(out->arena, "p %s", n->domain));
	for (const struct named *n = effects->heard; n != NULL; n = n->next)
		word_add(out, ALL, ALL, arena_printf(out->arena, "c %s", n->domain));
	if (effects->lease)
		word_add(out, ALL, ALL, "l");
}

/* --- reading ---------------------------------------------------------------------------- */

/* A word that is being read: its values, one after the other. */
struct word {
	struct arena *arena;
	char *at;
	bool bad;
};

/* Past the blank in front of a value. */
static void value_begin(struct word *word)
{
	if (*word->at == ' ')
		word->at++;
	else
		word->bad = true;
}

static int64_t number_take(struct word *word, int64_t most)
{
	long long number;

	value_begin(word);
	if (!isdigit((unsigned char)*word->at))
		word->bad = true;
	if (word->bad)
		return 0;
	errno = 0;
	number = strtoll(word->at, &word->at, 10);
	if (errno != 0 || number > most)
		word->bad = true;
	return number;
}

/* All that is left. */
static char *rest_take(struct word *word)
{
	char *rest;

	value_begin(word);
	rest = word->at;
	word->at += strlen(rest);
	return rest;
}

static void domain_take(struct word *word, char domain_out[DOMAIN_SIZE])
{
	const char *domain = rest_take(word);

	if (strlen(domain) >= DOMAIN_SIZE)
		word->bad = true;
	else
		snprintf(domain_out, DOMAIN_SIZE, "%s", domain);
}

/* Has every value been taken, and nothing left? */
static bool is_good(const struct word *word)
{
	return !word->bad && *word->at == '\0';
}

/* There may be items in between that are not told: it is never the next one. */
static bool delivery_read(struct word *word, struct effects *effects)
{
	int64_t generation = number_take(word, INT64_MAX);
	struct mailbox_item item = {.seq = number_take(word, INT64_MAX)};

	if (is_good(word))
		effects_deliver(effects, word->arena, generation, INT64_MAX, &item);
	return is_good(word);
}

static bool ephemeral_read(struct word *word, struct effects *effects)
{
	int64_t generation = number_take(word, INT64_MAX);
	struct mailbox_item item = {
		.kind = (enum item_kind)number_take(word, ITEM_SEND_RESULT)};

	item.body = bytes_of_text(rest_take(word));
	if (is_good(word))
		effects_deliver(effects, word->arena, generation, INT64_MAX, &item);
	return is_good(word);
}

static bool outbound_read(struct word *word, struct effects *effects)
{
	int64_t position = number_take(word, INT64_MAX);
	char domain[DOMAIN_SIZE];

	domain_take(word, domain);
	if (is_good(word))
		effects_outbound(effects, word->arena, domain, 0, position, bytes_of(NULL, 0));
	return is_good(word);
}

static bool end_read(struct word *word, struct effects *effects)
{
	int64_t generation = number_take(word, INT64_MAX);
	uint16_t code = (uint16_t)number_take(word, UINT16_MAX);
	int64_t socket_key = number_take(word, INT64_MAX);

	if (is_good(word))
		effects_end(effects, word->arena, generation, socket_key, code);
	return is_good(word);
}

static bool hint_read(struct word *word, struct effects *effects)
{
	int64_t generation = number_take(word, INT64_MAX);
	int64_t list_version = number_take(word, INT64_MAX);
	const char *address = rest_take(word);

	if (is_good(word))
		effects_hint(effects, word->arena, generation, address, list_version);
	return is_good(word);
}

static bool low_read(struct word *word, struct effects *effects)
{
	int64_t generation = number_take(word, INT64_MAX);
	int64_t one_time = number_take(word, INT64_MAX);
	int64_t pq = number_take(word, INT64_MAX);

	if (is_good(word))
		effects_low(effects, word->arena, generation, one_time, pq);
	return is_good(word);
}

static bool name_read(struct word *word, struct named **list)
{
	char domain[DOMAIN_SIZE];

	domain_take(word, domain);
	if (is_good(word))
		effects_name(list, word->arena, domain);
	return is_good(word);
}

static bool lease_read(struct word *word, struct effects *effects)
{
	effects->lease |= is_good(word);
	return is_good(word);
}

static bool word_read(struct word *word, struct effects *effects)
{
	switch (*word->at++) {
	case 'd':
		return delivery_read(word, effects);
	case 'e':
		return ephemeral_read(word, effects);
	case 'o':
		return outbound_read(word, effects);
	case 'x':
		return end_read(word, effects);
	case 'h':
		return hint_read(word, effects);
	case 'k':
		return low_read(word, effects);
	case 'p':
		return name_read(word, &effects->changed);
	case 'c':
		return name_read(word, &effects->heard);
	case 'l':
		return lease_read(word, effects);
	default:
		return false;
	}
}

enum err news_read(struct arena *arena, struct bytes payload, struct effects *effects)
{
	char *rest = arena_text(arena, payload);
	enum err err = ERR_OK;
	char *line;

	while ((line = strsep(&rest, "\n")) != NULL) {
		struct word word = {.arena = arena, .at = line};

		if (*line == '\0' || !word_read(&word, effects))
			err = ERR_VALIDATION;
	}
	return err;
}

/* --- of a transaction -------------------------------------------------------------------- */

struct news {
	struct arena *arena;
	struct text words;
};

void db_news_add(struct db *db, const struct effects *effects)
{
	bool has_others = db->processes > (db->process != 0 ? 1 : 0);

	if (!has_others)
		return;
	if (db->news == NULL) {
		db->news = calloc(1, sizeof *db->news);
		if (db->news == NULL)
			fatal("out of memory for news");
		db->news->arena = arena_create();
		text_init(&db->news->words, db->news->arena, 0);
	}
	news_write(&db->news->words, effects);
}

void db_news_forget(struct db *db)
{
	if (db->news == NULL)
		return;
	arena_destroy(&db->news->arena);
	free(db->news);
	db->news = NULL;
}

static enum err tell(struct db *db, struct arena *arena, const struct text *words)
{
	struct query query = query_begin(db, "CALL tell(?1, ?2)");

	query_int(&query, 1, db->process);
	query_text(&query, 2, arena_printf(arena, "[%.*s]", (int)words->len, words->data));
	return query_run(&query);
}

enum err db_news_tell(struct db *db)
{
	struct news *news = db->news;
	enum err err = ERR_OK;

	if (news != NULL && news->words.len > 0)
		err = tell(db, news->arena, &news->words);
	db_news_forget(db);
	return err;
}
