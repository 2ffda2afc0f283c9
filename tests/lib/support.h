/* SPDX-License-Identifier: MIT
 *
 * What unit tests of several modules need. Every function ends the test program when
 * it cannot do its job.
 */
#ifndef RESTANTE_TEST_SUPPORT_H
#define RESTANTE_TEST_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

/* The whole file, to be freed; a NUL follows that the length does not count. */
uint8_t *support_read_file(const char *path, size_t *len_out);

/* The path of a new, empty folder under $TMPDIR or /tmp. */
char *support_make_dir(void);

/* Removes the folder and all that is in it, and frees the path. */
void support_remove_dir(char **path);

#endif
