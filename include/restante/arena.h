/* SPDX-License-Identifier: MIT
 *
 * Memory that lives and dies together: all that one request, one batch or one
 * configuration needs. Allocation never fails (running out of memory ends the
 * process), so callers cap every size that comes from the network first.
 * An arena belongs to whoever holds the request; it crosses threads with it.
 */
#ifndef RESTANTE_ARENA_H
#define RESTANTE_ARENA_H

#include "restante/bytes.h"
#include "restante/err.h"

struct arena;

struct arena *arena_create(void);
void arena_destroy(struct arena **arena);

/* Zeroed and aligned for any type. */
void *arena_alloc(struct arena *arena, size_t size);
#define arena_new(arena, type)	    ((type *)arena_alloc((arena), sizeof(type)))
#define arena_array(arena, type, n) ((type *)arena_alloc_array((arena), (n), sizeof(type)))
void *arena_alloc_array(struct arena *arena, size_t n, size_t size);

/* Copies; text and copied bytes end in a NUL that their length does not count. */
char *arena_text(struct arena *arena, struct bytes text);
struct bytes arena_bytes(struct arena *arena, struct bytes bytes);
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
