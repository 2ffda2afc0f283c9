/* SPDX-License-Identifier: MIT
 *
 * Files and temporary folders for unit tests.
 */
#include "support.h"

#include "restante/log.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint8_t *support_read_file(const char *path, size_t *len_out)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t len = 0;
	size_t cap = 0;

	if (file == NULL)
		fatal("%s: %s", path, strerror(errno));
	do {
		cap = cap == 0 ? 4096 : 2 * cap;
		data = realloc(data, cap);
		if (data == NULL)
			fatal("%s: out of memory", path);
		len += fread(data + len, 1, cap - 1 - len, file);
	} while (len == cap - 1);
	if (ferror(file))
		fatal("%s: cannot read", path);
	fclose(file);
	data[len] = '\0';
	*len_out = len;
	return data;
}

char *support_make_dir(void)
{
	const char *parent = getenv("TMPDIR");
	char *path;

	if (parent == NULL || *parent == '\0')
		parent = "/tmp";
	if (asprintf(&path, "%s/restante-test-XXXXXX", parent) < 0)
		fatal("out of memory");
	if (mkdtemp(path) == NULL)
		fatal("%s: %s", path, strerror(errno));
	return path;
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

void support_remove_dir(char **path)
{
	if (nftw(*path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
		fatal("%s: %s", *path, strerror(errno));
	free(*path);
	*path = NULL;
}
