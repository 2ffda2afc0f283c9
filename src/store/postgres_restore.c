/* SPDX-License-Identifier: MIT
 *
 * What PostgreSQL tells about a restore, besides restore.c: it is another cluster, database or
 * table than the last time (a dump that is put back makes tables anew), or one whose history
 * has branched off. A server begins a new timeline when it ends its recovery, from an archive
 * or as a standby that is promoted; then the last transactions may be missing.
 */
#include "postgres.h"

/* In the table meta, and in this order in a row. */
static const char *const names[] = {"cluster", "database_oid", "table_oid", "timeline"};

#define PLACES	 (sizeof names / sizeof *names)
#define TIMELINE 3

/* The first eight digits of a file of the log are its timeline. */
static enum err place_get(struct db *db, int64_t place_out[PLACES])
{
	struct query query =
		query_begin(db, "SELECT (SELECT system_identifier FROM pg_control_system()),"
				" (SELECT oid::BIGINT FROM pg_database"
				" WHERE datname = current_database()),"
				" 'meta'::REGCLASS::OID::BIGINT,"
				" ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))"
				"::BIT(32)::BIGINT");

	while (query_row(&query))
		for (size_t i = 0; i < PLACES; i++)
			place_out[i] = column_int(&query, (int)i);
	return query_end(&query);
}

enum err postgres_restore_sign(struct db *db, const struct restore_record *last,
			       const char **sign_out)
{
	int64_t place[PLACES] = {0};
	enum err err = place_get(db, place);

	(void)last;
	for (size_t i = 0; i < PLACES && err == ERR_OK && *sign_out == NULL; i++) {
		int64_t before = 0;

		err = meta_get(db, names[i], &before);
		if (err == ERR_OK && place[i] != before)
			*sign_out = i == TIMELINE ? "new_timeline" : "other_database";
	}
	return err;
}

enum err postgres_restore_place(struct db *db)
{
	int64_t place[PLACES] = {0};
	enum err err = place_get(db, place);

	for (size_t i = 0; i < PLACES && err == ERR_OK; i++)
		err = meta_put(db, names[i], place[i]);
	return err;
}

enum err postgres_devices_jump(struct db *db, int64_t now_ms)
{
	struct query query = query_begin(
		db, "SELECT setval(pg_get_serial_sequence('device', 'generation'),"
		    " max(?1, coalesce((SELECT max(generation) FROM device), 0) + ?2))");

	query_int(&query, 1, now_ms);
	query_int(&query, 2, GENERATION_JUMP);
	return query_run(&query);
}
