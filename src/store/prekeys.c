/* SPDX-License-Identifier: MIT
 *
 * One-time prekeys. A row whose key has been handed out stays without it, so that the same
 * id is never stored again: that is what makes every key one-time.
 */
#include "devices.h"

/* --- counting ------------------------------------------------------------------------- */

enum err db_prekeys_count(struct db *db, int64_t generation, enum prekey_kind kind,
			  int64_t *count_out)
{
	struct query query = query_begin(
		db, "SELECT count(*) FROM prekey"
		    " WHERE generation = ?1 AND kind = ?2 AND public_key IS NOT NULL");

	query_int(&query, 1, generation);
	query_int(&query, 2, kind);
	if (query_row(&query))
		*count_out = column_int(&query, 0);
	return query_end(&query);
}

static enum err is_known(struct db *db, int64_t generation, enum prekey_kind kind, uint32_t id,
			 bool *known_out)
{
	struct query query =
		query_begin(db, "SELECT 1 FROM prekey"
				" WHERE generation = ?1 AND kind = ?2 AND id = ?3");

	query_int(&query, 1, generation);
	query_int(&query, 2, kind);
	query_int(&query, 3, id);
	*known_out = query_row(&query);
	return query_end(&query);
}

static bool is_repeated(const struct prekey_list *list, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (list->keys[i].id == list->keys[index].id)
			return true;
	return false;
}

/* Keys of the list that db_prekeys_put() would store. */
static enum err count_new(struct db *db, int64_t generation, enum prekey_kind kind,
			  const struct prekey_list *list, int64_t *count_out)
{
	enum err err = ERR_OK;

	*count_out = 0;
	for (size_t i = 0; i < list->count && err == ERR_OK; i++) {
		bool known = is_repeated(list, i);

		if (!known && generation != 0)
			err = is_known(db, generation, kind, list->keys[i].id, &known);
		*count_out += !known;
	}
	return err;
}

static enum err check_kind(struct db *db, int64_t generation, enum prekey_kind kind,
			   const struct prekey_list *list)
{
	int64_t waiting = 0;
	int64_t more = 0;
	enum err err = count_new(db, generation, kind, list, &more);

	if (err == ERR_OK && generation != 0)
		err = db_prekeys_count(db, generation, kind, &waiting);
	if (err == ERR_OK && more > 0 && waiting + more > db->config->prekeys_max)
		err = ERR_TOO_LARGE;
	return err;
}

enum err db_prekeys_check(struct db *db, int64_t generation, const struct key_upload *upload)
{
	enum err err = check_kind(db, generation, PREKEY_EC, &upload->one_time);

	if (err == ERR_OK)
		err = check_kind(db, generation, PREKEY_PQ, &upload->pq);
	return err;
}

/* --- storing -------------------------------------------------------------------------- */

static enum err put_kind(struct db *db, int64_t generation, enum prekey_kind kind,
			 const struct prekey_list *list)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < list->count && err == ERR_OK; i++) {
		const struct prekey *key = &list->keys[i];
		struct query query = query_begin(
			db, "INSERT INTO prekey (generation, kind, id, public_key, signature)"
			    " VALUES (?1, ?2, ?3, ?4, ?5)"
			    " ON CONFLICT (generation, kind, id) DO NOTHING");

		query_int(&query, 1, generation);
		query_int(&query, 2, kind);
		query_int(&query, 3, key->id);
		query_blob(&query, 4, key->public_key);
		query_blob(&query, 5, key->signature);
		err = query_run(&query);
	}
	return err;
}

enum err db_prekeys_put(struct db *db, int64_t generation, const struct key_upload *upload)
{
	enum err err = put_kind(db, generation, PREKEY_EC, &upload->one_time);

	if (err == ERR_OK)
		err = put_kind(db, generation, PREKEY_PQ, &upload->pq);
	return err;
}

enum err db_prekeys_drop(struct db *db, int64_t generation)
{
	struct query query = query_begin(db, "DELETE FROM prekey WHERE generation = ?1");

	query_int(&query, 1, generation);
	return query_run(&query);
}

/* --- handing out ---------------------------------------------------------------------- */

static enum err find_oldest(struct db *db, int64_t generation, enum prekey_kind kind,
			    struct arena *arena, int64_t *prekey_key_out, struct prekey *prekey)
{
	struct query query = query_begin(
		db, "SELECT prekey_key, id, public_key, signature FROM prekey"
		    " WHERE generation = ?1 AND kind = ?2 AND public_key IS NOT NULL"
		    " ORDER BY prekey_key LIMIT 1");

	query_int(&query, 1, generation);
	query_int(&query, 2, kind);
	prekey->present = query_row(&query);
	if (prekey->present) {
		*prekey_key_out = column_int(&query, 0);
		prekey->id = (uint32_t)column_int(&query, 1);
		prekey->public_key = column_blob(&query, 2, arena);
		prekey->signature = column_blob(&query, 3, arena);
	}
	return query_end(&query);
}

enum err db_prekey_take(struct db *db, int64_t generation, enum prekey_kind kind,
			struct arena *arena, struct prekey *prekey_out)
{
	struct query query;
	int64_t prekey_key = 0;
	enum err err = find_oldest(db, generation, kind, arena, &prekey_key, prekey_out);

	if (err != ERR_OK || !prekey_out->present)
		return err;
	query = query_begin(db, "UPDATE prekey SET public_key = NULL, signature = NULL"
				" WHERE prekey_key = ?1");
	query_int(&query, 1, prekey_key);
	return query_run(&query);
}
