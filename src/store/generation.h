/* SPDX-License-Identifier: MIT
 *
 * The generation of a database (not that of a device): a number that rises whenever a node
 * starts to serve it, and every minute from then on. It stands in the database and in a file
 * beside it, data_dir/generation, so that an older copy of either one is noticed.
 */
#ifndef STORE_GENERATION_H
#define STORE_GENERATION_H

#include "restante/err.h"

#include <stdint.h>

struct generation {
	int64_t number;	   /* 0: there is no file */
	int64_t closed_ns; /* when the database was last changed before it was closed in order,
			      as the file system has it (ctime); 0: it is being served, or
			      was when the node was killed */
};

/* One that cannot be used is logged, and is as none. */
struct generation generation_read(const char *data_dir);
enum err generation_write(const char *data_dir, const struct generation *generation) MUST_CHECK;

#endif
