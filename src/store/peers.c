/* SPDX-License-Identifier: MIT
 *
 * What is known of other nodes, and of the device lists of their accounts.
 */
#include "mail.h"

#include <stdio.h>

/* --- peers ------------------------------------------------------------------------------ */

enum err db_peer_load(struct db *db, struct store_op *op)
{
	struct op_peer_load *load = (struct op_peer_load *)op;
	struct query query = query_begin(
		db, "SELECT document, fetched_ms, trust FROM peer WHERE domain = ?1");
	enum err found = ERR_NOT_FOUND;
	enum err err;

	query_text(&query, 1, load->domain);
	if (query_row(&query)) {
		load->document = column_blob(&query, 0, op->arena);
		load->fetched_ms = column_int(&query, 1);
		load->trust = column_blob(&query, 2, op->arena);
		found = ERR_OK;
	}
	err = query_end(&query);
	return err != ERR_OK ? err : found;
}

/* Empty, where NULL would be the word for missing. */
static struct bytes not_null(struct bytes bytes)
{
	return bytes.data != NULL ? bytes : bytes_of_text("");
}

/* Other processes; this one knows. */
static void changed_tell(struct db *db, const char *domain)
{
	struct named changed = {0};

	snprintf(changed.domain, sizeof changed.domain, "%s", domain);
	db_news_add(db, &(struct effects){.changed = &changed});
}

enum err db_peer_put(struct db *db, struct store_op *op)
{
	struct op_peer_put *put = (struct op_peer_put *)op;
	struct query query = query_begin(
		db, put->before.len > 0
			    ? "UPDATE peer SET document = ?2, fetched_ms = ?3, trust = ?4"
			      " WHERE domain = ?1 AND trust = ?5"
			    : "INSERT INTO peer (domain, document, fetched_ms, trust)"
			      " VALUES (?1, ?2, ?3, ?4) ON CONFLICT (domain) DO UPDATE"
			      " SET document = ?2, fetched_ms = ?3, trust = ?4"
			      " WHERE peer.trust = ?5");
	enum err err;

	query_text(&query, 1, put->domain);
	query_blob(&query, 2, not_null(put->document));
	query_int(&query, 3, put->fetched_ms);
	query_blob(&query, 4, not_null(put->trust));
	query_blob(&query, 5, not_null(put->before));
	err = query_run(&query);
	if (err == ERR_OK && query_changes(db) == 0)
		err = ERR_NOT_FOUND;
	if (err == ERR_OK && !bytes_equal(put->before, put->trust))
		changed_tell(db, put->domain);
	return err;
}

/* --- lists of remote accounts ----------------------------------------------------------- */

#define ENTRY_SIZE 3 /* id, registration id big-endian */

static void entries_decode(struct bytes entries, struct listed *listed)
{
	listed->count = entries.len / ENTRY_SIZE;
	if (listed->count > DEVICES_MAX)
		listed->count = DEVICES_MAX;
	for (size_t i = 0; i < listed->count; i++) {
		const uint8_t *entry = entries.data + i * ENTRY_SIZE;

		listed->devices[i].device_id = entry[0];
		listed->devices[i].registration_id = (uint16_t)(entry[1] << 8 | entry[2]);
		listed->devices[i].generation = 0;
	}
}

static struct bytes entries_encode(struct arena *arena, const struct device_list *list)
{
	uint8_t *entries = arena_array(arena, uint8_t, list->count * ENTRY_SIZE);

	for (size_t i = 0; i < list->count; i++) {
		entries[i * ENTRY_SIZE] = list->devices[i].device_id;
		entries[i * ENTRY_SIZE + 1] = (uint8_t)(list->devices[i].registration_id >> 8);
		entries[i * ENTRY_SIZE + 2] = (uint8_t)list->devices[i].registration_id;
	}
	return bytes_of(entries, list->count * ENTRY_SIZE);
}

enum err db_remote_list_get(struct db *db, const char *address, struct listed *listed_out,
			    int64_t *list_version_out)
{
	struct query query = query_begin(
		db, "SELECT list_version, devices FROM remote_list WHERE address = ?1");
	enum err found = ERR_NOT_FOUND;
	enum err err;

	query_text(&query, 1, address);
	if (query_row(&query)) {
		*list_version_out = column_int(&query, 0);
		entries_decode(column_bytes(&query, 1), listed_out);
		found = ERR_OK;
	}
	err = query_end(&query);
	return err != ERR_OK ? err : found;
}

enum err db_remote_list_store(struct db *db, struct arena *arena,
			      const struct device_list *list, int64_t now_ms)
{
	struct query query = query_begin(
		db, "INSERT INTO remote_list (address, list_version, devices, seen_ms)"
		    " VALUES (?1, ?2, ?3, ?4) ON CONFLICT (address) DO UPDATE"
		    " SET list_version = ?2, devices = ?3, seen_ms = ?4"
		    " WHERE remote_list.list_version <= ?2");

	query_text(&query, 1, list->address.text);
	query_int(&query, 2, list->list_version);
	query_blob(&query, 3, entries_encode(arena, list));
	query_int(&query, 4, now_ms);
	return query_run(&query);
}

enum err db_remote_list_outdate(struct db *db, const char *address, int64_t list_version)
{
	struct query query = query_begin(
		db, "DELETE FROM remote_list WHERE address = ?1 AND list_version < ?2");

	query_text(&query, 1, address);
	query_int(&query, 2, list_version);
	return query_run(&query);
}

enum err db_remote_list_put(struct db *db, struct store_op *op)
{
	const struct device_list *list = ((struct op_remote_list_put *)op)->list;

	return db_remote_list_store(db, op->arena, list, op->now_ms);
}
