/* SPDX-License-Identifier: MIT
 *
 * Logging: a line is put together on the stack and leaves in one write(2), so lines of
 * several threads do not mix and no lock is needed. Any thread.
 */
#include "restante/log.h"

#include "restante/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES	2048
#define QUOTE_MAX_BYTES 512
#define QUOTES		8

static const char *const event_names[EVENT_COUNT] = {
#define EVENT(name) [EVENT_##name] = #name,
#include "restante/log.def"
#undef EVENT
};

static const char *const level_names[] = {
	[LOG_DEBUG] = "debug",
	[LOG_INFO] = "info",
	[LOG_WARN] = "warn",
	[LOG_ERROR] = "error",
};

static atomic_int lowest_level = LOG_INFO;
static _Thread_local const char *thread_name = "main";

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&lowest_level, (int)level, memory_order_relaxed);
}

void log_thread_name(const char *name)
{
	char short_name[16]; /* as long as the system allows */

	thread_name = name;
	/* The first thread's name is that of the process, which stays what it is. */
	if (gettid() == getpid())
		return;
	snprintf(short_name, sizeof short_name, "%s", name);
	pthread_setname_np(pthread_self(), short_name);
}

static size_t add_head(char *line, size_t size, enum log_level level, enum log_event event)
{
	int64_t now = clock_now_ms();
	time_t seconds = (time_t)(now / SECONDS_MS);
	char date[sizeof "2026-01-31T12:00:00"] = "";
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	return (size_t)snprintf(line, size, "ts=%s.%03dZ level=%s thread=%.32s event=%s ", date,
				(int)(now % SECONDS_MS), level_names[level], thread_name,
				event_names[event]);
}

/* A caller that forgot log_quote() must not be able to forge a second line. */
static void mask_control_characters(char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
}

static void write_line(enum log_level level, enum log_event event, const char *format,
		       va_list args) __attribute__((format(printf, 3, 0)));

static void write_line(enum log_level level, enum log_event event, const char *format,
		       va_list args)
{
	char line[LINE_MAX_BYTES];
	size_t room = sizeof line - 1; /* the newline takes the place of a NUL or follows */
	size_t len = add_head(line, room, level, event);
	int pairs = vsnprintf(line + len, room - len, format, args);

	if (pairs > 0)
		len += (size_t)pairs;
	if (len >= room) {
		len = room;
		memcpy(line + len - 3, "...", 3);
	}
	if (line[len - 1] == ' ')
		len--;
	mask_control_characters(line, len);
	line[len++] = '\n';
	/* There is nobody to tell when stderr is gone. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

void log_write(enum log_level level, enum log_event event, const char *format, ...)
{
	int saved_errno = errno;
	va_list args;

	if ((int)level < atomic_load_explicit(&lowest_level, memory_order_relaxed))
		return;
	va_start(args, format);
	write_line(level, event, format, args);
	va_end(args);
	errno = saved_errno;
}

/* One byte as it stands in quotes; returns how many bytes that takes. */
static size_t quote_char(char out[5], unsigned char c)
{
	switch (c) {
	case '"':
	case '\\':
		return (size_t)sprintf(out, "\\%c", c);
	case '\n':
		return (size_t)sprintf(out, "\\n");
	case '\r':
		return (size_t)sprintf(out, "\\r");
	case '\t':
		return (size_t)sprintf(out, "\\t");
	default:
		return (size_t)sprintf(out, c < 0x20 || c > 0x7e ? "\\x%02x" : "%c", c);
	}
}

const char *log_quote(const char *text)
{
	static _Thread_local char buffers[QUOTES][QUOTE_MAX_BYTES];
	static _Thread_local unsigned turn;
	char *out = buffers[turn++ % QUOTES];
	size_t len = 0;

	if (text == NULL)
		text = "";
	out[len++] = '"';
	for (; *text != '\0'; text++) {
		char piece[5];
		size_t n = quote_char(piece, (unsigned char)*text);

		/* Room for this, for the dots, the quote and the NUL. */
		if (len + n + 5 > QUOTE_MAX_BYTES) {
			memcpy(out + len, "...", 3);
			len += 3;
			break;
		}
		memcpy(out + len, piece, n);
		len += n;
	}
	out[len++] = '"';
	out[len] = '\0';
	return out;
}

_Noreturn void fatal(const char *format, ...)
{
	char reason[QUOTE_MAX_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof reason, format, args);
	va_end(args);
	log_error(fatal, "reason=%s", log_quote(reason));
	/* Not exit(): other threads still run. Not abort(): a core dump holds keys. */
	_exit(1);
}
