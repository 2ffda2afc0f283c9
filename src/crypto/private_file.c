/* SPDX-License-Identifier: MIT
 *
 * Private files: written under another name, synced, then linked or renamed to their own.
 * link() refuses a name that is taken, rename() takes it over.
 */
#include "restante/private_file.h"

#include "restante/crypto.h"
#include "restante/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err fail(enum err err, const char *path, const char *doing, const char *why)
{
	log_error(config, "file=%s failed=%s reason=%s", log_quote(path), doing,
		  log_quote(why));
	return err;
}

static bool write_all(int fd, struct bytes content)
{
	size_t done = 0;

	while (done < content.len) {
		ssize_t n = write(fd, content.data + done, content.len - done);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0)
			done += (size_t)n;
	}
	return true;
}

static void folder_of(const char *path, char folder[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	int len = slash == NULL || slash == path ? 1 : (int)(slash - path);

	snprintf(folder, PATH_MAX, "%.*s", len, slash == NULL ? "." : path);
}

/* What root makes belongs to whom the folder does, for that is who has to read it. */
static bool give_away(int fd, const char *path)
{
	char folder[PATH_MAX];
	struct stat st;

	if (geteuid() != 0)
		return true;
	folder_of(path, folder);
	return stat(folder, &st) == 0 && fchown(fd, st.st_uid, st.st_gid) == 0;
}

static bool write_new(const char *path, struct bytes content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool ok;
	int saved;

	if (fd < 0)
		return false;
	ok = give_away(fd, path) && write_all(fd, content) && fsync(fd) == 0;
	saved = errno;
	close(fd);
	errno = saved;
	return ok;
}

static int open_folder(const char *path)
{
	char folder[PATH_MAX];

	folder_of(path, folder);
	return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A new name is on the disk only once its folder is. */
static bool sync_folder(const char *path)
{
	int fd = open_folder(path);
	bool ok;

	if (fd < 0)
		return false;
	ok = fsync(fd) == 0;
	close(fd);
	return ok;
}

enum err private_file_create(const char *path, struct bytes content, bool *existed_out)
{
	char temporary[PATH_MAX];
	uint32_t number;
	enum err err = ERR_OK;
	int len;

	*existed_out = false;
	crypto_random(&number, sizeof number);
	len = snprintf(temporary, sizeof temporary, "%s.new-%08x", path, number);
	if (len >= (int)sizeof temporary)
		return fail(ERR_INTERNAL, path, "create", strerror(ENAMETOOLONG));
	if (!write_new(temporary, content)) {
		err = fail(ERR_INTERNAL, path, "write", strerror(errno));
	} else if (link(temporary, path) != 0) {
		*existed_out = errno == EEXIST;
		err = *existed_out ? ERR_INTERNAL
				   : fail(ERR_INTERNAL, path, "link", strerror(errno));
	}
	unlink(temporary);
	if (err == ERR_OK && !sync_folder(path))
		err = fail(ERR_INTERNAL, path, "sync", strerror(errno));
	return err;
}

static enum err replace(const char *path, struct bytes content)
{
	char temporary[PATH_MAX];
	int len = snprintf(temporary, sizeof temporary, "%s.new", path);

	if (len >= (int)sizeof temporary)
		return fail(ERR_INTERNAL, path, "replace", strerror(ENAMETOOLONG));
	unlink(temporary); /* left by a process that was killed */
	if (!write_new(temporary, content))
		return fail(ERR_INTERNAL, path, "write", strerror(errno));
	if (rename(temporary, path) != 0)
		return fail(ERR_INTERNAL, path, "replace", strerror(errno));
	return sync_folder(path) ? ERR_OK : fail(ERR_INTERNAL, path, "sync", strerror(errno));
}

/* One after the other: several processes have one data folder. */
enum err private_file_replace(const char *path, struct bytes content)
{
	int folder = open_folder(path);
	enum err err;

	if (folder < 0 || flock(folder, LOCK_EX) != 0)
		err = fail(ERR_INTERNAL, path, "lock", strerror(errno));
	else
		err = replace(path, content);
	if (folder >= 0)
		close(folder);
	return err;
}

static enum err read_all(int fd, const char *path, void *buffer, size_t size, size_t *len_out)
{
	size_t done = 0;
	char more;
	ssize_t n;

	do {
		if (done < size)
			n = read(fd, (char *)buffer + done, size - done);
		else
			n = read(fd, &more, 1);
		if (n < 0 && errno != EINTR)
			return fail(ERR_INTERNAL, path, "read", strerror(errno));
		if (n > 0 && done == size)
			return fail(ERR_VALIDATION, path, "read", "too long");
		if (n > 0)
			done += (size_t)n;
	} while (n != 0);
	*len_out = done;
	return ERR_OK;
}

enum err private_file_read(const char *path, void *buffer, size_t size, size_t *len_out)
{
	/* Not blocking: opening a FIFO would wait for a writer. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	enum err err;

	if (fd < 0 && errno == ENOENT)
		return ERR_NOT_FOUND;
	if (fd < 0)
		return fail(ERR_INTERNAL, path, "open", strerror(errno));
	if (fstat(fd, &st) != 0)
		err = fail(ERR_INTERNAL, path, "stat", strerror(errno));
	else if (!S_ISREG(st.st_mode))
		err = fail(ERR_FORBIDDEN, path, "open", "not a regular file");
	else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		err = fail(ERR_FORBIDDEN, path, "open", "others may access it, chmod 600");
	else
		err = read_all(fd, path, buffer, size, len_out);
	close(fd);
	return err;
}
