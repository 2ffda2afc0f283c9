/* SPDX-License-Identifier: MIT
 *
 * Small text files that only their owner may read. See restante/sign.h for the errors;
 * everything but ERR_NOT_FOUND is logged here. What root makes belongs to the owner of its
 * folder.
 */
#ifndef RESTANTE_PRIVATE_FILE_H
#define RESTANTE_PRIVATE_FILE_H

#include "restante/bytes.h"
#include "restante/err.h"

/* Complete and on the disk before it appears under its name; *existed_out says that the
 * name was taken already, and the file there was left alone (ERR_INTERNAL). */
enum err private_file_create(const char *path, struct bytes content,
			     bool *existed_out) MUST_CHECK;

/* The same where the name may be taken: the file there is replaced. One at a time. */
enum err private_file_replace(const char *path, struct bytes content) MUST_CHECK;

/* At most size bytes, *len_out of them. Longer files are ERR_VALIDATION. */
enum err private_file_read(const char *path, void *buffer, size_t size,
			   size_t *len_out) MUST_CHECK;

#endif
