/* SPDX-License-Identifier: MIT
 *
 * Migrations, compiled into the program from migrations/<backend>/NNNN_name.sql and
 * applied in order of their numbers, each in a transaction of its own.
 */
#ifndef STORE_MIGRATE_H
#define STORE_MIGRATE_H

#include <stddef.h>

struct migration {
	int number;
	const char *name;
	const char *sql;
};

extern const struct migration sqlite_migrations[];
extern const size_t sqlite_migration_count;
extern const struct migration postgres_migrations[];
extern const size_t postgres_migration_count;

#endif
