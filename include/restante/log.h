/* SPDX-License-Identifier: MIT
 *
 * One logfmt line per event on stderr:
 *
 *   ts=2026-01-31T12:00:00.123Z level=info thread=net event=listening address=[::]:443
 *
 * Events are the closed list of log.def. Never keys, tokens, content or passwords;
 * domains are fine; addresses of users only at debug.
 */
#ifndef RESTANTE_LOG_H
#define RESTANTE_LOG_H

#include "restante/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_event {
#define EVENT(name) EVENT_##name,
#include "restante/log.def"
#undef EVENT
	EVENT_COUNT
};

void log_set_level(enum log_level level);
void log_thread_name(const char *name); /* static text; also names the thread for the OS */

/* The format gives `key=value` pairs. A value that may hold spaces or quotes goes
 * through log_quote(). */
void log_write(enum log_level level, enum log_event event, const char *format, ...)
	PRINTF_LIKE(3, 4);
#define log_debug(event, ...) log_write(LOG_DEBUG, EVENT_##event, __VA_ARGS__)
#define log_info(event, ...)  log_write(LOG_INFO, EVENT_##event, __VA_ARGS__)
#define log_warn(event, ...)  log_write(LOG_WARN, EVENT_##event, __VA_ARGS__)
#define log_error(event, ...) log_write(LOG_ERROR, EVENT_##event, __VA_ARGS__)

/* Text in double quotes with everything unprintable escaped, in a buffer of this
 * thread that the next eight calls leave alone. */
const char *log_quote(const char *text);

/* Logs at level error and ends the process: for what cannot be and for what cannot
 * be survived. */
_Noreturn void fatal(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
