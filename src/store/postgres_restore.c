/* SPDX-License-Identifier: MIT
 *
 * What PostgreSQL tells about a restore, besides restore.c: it is another database than the
 * last time, by its oid, or one whose history has branched off. A server begins a new timeline
 * when it ends its recovery, from an archive or as a standby that is promoted; then the last
 * transactions may be missing.
 */
#include "postgres.h"

/* The first eight digits of a file of the log are its timeline. */
static enum err place_get(struct db *db, int64_t *database_out, int64_t *timeline_out)
{
	struct query query =
		query_begin(db, "SELECT (SELECT oid::BIGINT FROM pg_database"
				" WHERE datname = current_database()),"
				" ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))"
				"::BIT(32)::BIGINT");

	while (query_row(&query)) {
		*database_out = column_int(&query, 0);
		*timeline_out = column_int(&query, 1);
	}
	return query_end(&query);
}

enum err postgres_restore_sign(struct db *db, const struct restore_record *last,
			       const char **sign_out)
{
	int64_t database = 0, timeline = 0, last_database = 0, last_timeline = 0;
	enum err err = place_get(db, &database, &timeline);

	(void)last;
	if (err == ERR_OK)
		err = meta_get(db, "database_oid", &last_database);
	if (err == ERR_OK)
		err = meta_get(db, "timeline", &last_timeline);
	if (err != ERR_OK)
		return err;
	if (database != last_database)
		*sign_out = "other_database";
	else if (timeline != last_timeline)
		*sign_out = "new_timeline";
	return ERR_OK;
}

enum err postgres_restore_place(struct db *db)
{
	int64_t database = 0, timeline = 0;
	enum err err = place_get(db, &database, &timeline);

	if (err == ERR_OK)
		err = meta_put(db, "database_oid", database);
	return err == ERR_OK ? meta_put(db, "timeline", timeline) : err;
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
