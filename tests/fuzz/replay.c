/* SPDX-License-Identifier: MIT
 *
 * The main() of a fuzz target that is built without libFuzzer: runs the target over
 * every file it is given, and over every file directly in a folder it is given.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void die(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	exit(1);
}

static void run_file(const char *path, size_t size)
{
	/* Exactly as long as the input, so that reading past its end is noticed. */
	uint8_t *data = malloc(size);
	FILE *file = fopen(path, "rb");

	if (file == NULL || (data == NULL && size > 0))
		die(path);
	if (size > 0 && fread(data, 1, size, file) != size)
		die(path);
	fclose(file);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
}

static size_t run_folder(const char *folder);

static size_t run_path(const char *path, int depth)
{
	struct stat st;

	if (stat(path, &st) != 0)
		die(path);
	if (S_ISDIR(st.st_mode))
		return depth == 0 ? run_folder(path) : 0;
	run_file(path, (size_t)st.st_size);
	return 1;
}

static size_t run_folder(const char *folder)
{
	struct dirent **entries;
	size_t ran = 0;
	int n = scandir(folder, &entries, NULL, alphasort);

	if (n < 0)
		die(folder);
	for (int i = 0; i < n; i++) {
		char *path = NULL;

		if (entries[i]->d_name[0] != '.') {
			if (asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0)
				die(folder);
			ran += run_path(path, 1);
			free(path);
		}
		free(entries[i]);
	}
	free(entries);
	return ran;
}

int main(int argc, char **argv)
{
	size_t ran = 0;

	for (int i = 1; i < argc; i++)
		ran += run_path(argv[i], 0);
	printf("%zu inputs\n", ran);
	return ran > 0 ? 0 : 1;
}
