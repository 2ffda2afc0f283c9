/* SPDX-License-Identifier: MIT
 *
 * The generation file: one line with two numbers.
 */
#include "generation.h"

#include "restante/log.h"
#include "restante/private_file.h"

#include <stdio.h>

#define PATH_SIZE 4096
#define LINE_SIZE 64

static void file_path(char path[PATH_SIZE], const char *data_dir)
{
	snprintf(path, PATH_SIZE, "%s/generation", data_dir);
}

struct generation generation_read(const char *data_dir)
{
	char path[PATH_SIZE];
	char line[LINE_SIZE + 1];
	long long number, closed_ns;
	size_t len = 0;

	file_path(path, data_dir);
	if (private_file_read(path, line, LINE_SIZE, &len) != ERR_OK)
		return (struct generation){0};
	line[len] = '\0';
	if (sscanf(line, "%18lld %19lld", &number, &closed_ns) == 2 && number > 0)
		return (struct generation){number, closed_ns};
	log_error(config, "file=%s reason=%s", log_quote(path), log_quote("not two numbers"));
	return (struct generation){0};
}

enum err generation_write(const char *data_dir, const struct generation *generation)
{
	char path[PATH_SIZE];
	char line[LINE_SIZE];
	int len = snprintf(line, sizeof line, "%lld %lld\n", (long long)generation->number,
			   (long long)generation->closed_ns);

	file_path(path, data_dir);
	return private_file_replace(path, bytes_of(line, (size_t)len));
}
