/* SPDX-License-Identifier: MIT
 *
 * Arenas: memory is cut off the front of chunks that are freed together. The first
 * chunk holds the arena itself, and the thread that destroys an arena keeps it for the next
 * one, so that a small request costs neither malloc nor free.
 * An arena has no lock; it is used by the one thread that owns it at the time.
 */
#include "restante/arena.h"

#include "restante/log.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_CHUNK   (8 * 1024)
#define LARGEST_CHUNK (64 * 1024)
/* Arenas that a thread keeps; threads end with the process. */
#define SPARE_MAX     256

/* Under AddressSanitizer every piece is a malloc of its own, so that writing past the
 * end of one is noticed. */
#if defined(__SANITIZE_ADDRESS__)
#define EACH_ALONE true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EACH_ALONE true
#endif
#endif
#ifndef EACH_ALONE
#define EACH_ALONE false
#endif

struct chunk {
	struct chunk *next;
	alignas(max_align_t) uint8_t data[];
};

struct arena {
	struct chunk *chunks; /* all but the first */
	uint8_t *at;	      /* what is left of the chunk in use */
	size_t left;
	size_t next_chunk;
	alignas(max_align_t) uint8_t first[];
};

static _Thread_local struct {
	struct arena *arenas[SPARE_MAX];
	size_t n;
} spare;

static void *must_malloc(size_t size)
{
	void *p = malloc(size);

	if (p == NULL)
		fatal("out of memory, wanted %zu bytes", size);
	return p;
}

struct arena *arena_create(void)
{
	struct arena *arena = spare.n > 0 ? spare.arenas[--spare.n] : must_malloc(FIRST_CHUNK);

	arena->chunks = NULL;
	arena->at = arena->first;
	arena->left = FIRST_CHUNK - sizeof *arena;
	arena->next_chunk = 2 * FIRST_CHUNK;
	return arena;
}

void arena_destroy(struct arena **arena)
{
	struct chunk *next;

	if (*arena == NULL)
		return;
	for (struct chunk *c = (*arena)->chunks; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	if (!EACH_ALONE && spare.n < SPARE_MAX)
		spare.arenas[spare.n++] = *arena;
	else
		free(*arena);
	*arena = NULL;
}

static struct chunk *add_chunk(struct arena *arena, size_t data_size)
{
	struct chunk *c = must_malloc(sizeof *c + data_size);

	c->next = arena->chunks;
	arena->chunks = c;
	return c;
}

static void open_chunk(struct arena *arena)
{
	size_t data_size = arena->next_chunk - sizeof(struct chunk);

	arena->at = add_chunk(arena, data_size)->data;
	arena->left = data_size;
	if (arena->next_chunk < LARGEST_CHUNK)
		arena->next_chunk *= 2;
}

static void *take(struct arena *arena, size_t size)
{
	size_t rounded;
	void *p;

	if (size > PTRDIFF_MAX - sizeof(struct chunk) - alignof(max_align_t))
		fatal("arena: impossible size %zu", size);
	rounded = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (EACH_ALONE)
		return add_chunk(arena, size)->data;
	if (rounded > arena->left) {
		/* What is big goes alone, so that the chunk in use is not given up for it. */
		if (rounded > arena->next_chunk / 2)
			return add_chunk(arena, size)->data;
		open_chunk(arena);
	}
	p = arena->at;
	arena->at += rounded;
	arena->left -= rounded;
	return p;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	return memset(take(arena, size), 0, size);
}

void *arena_alloc_array(struct arena *arena, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		fatal("arena: impossible array of %zu times %zu bytes", n, size);
	return arena_alloc(arena, total);
}

static char *copy_with_nul(struct arena *arena, struct bytes bytes)
{
	char *copy;

	if (bytes.len == SIZE_MAX)
		fatal("arena: impossible size %zu", bytes.len);
	copy = take(arena, bytes.len + 1);
	if (bytes.len > 0)
		memcpy(copy, bytes.data, bytes.len);
	copy[bytes.len] = '\0';
	return copy;
}

char *arena_text(struct arena *arena, struct bytes text)
{
	return copy_with_nul(arena, text);
}

struct bytes arena_bytes(struct arena *arena, struct bytes bytes)
{
	return bytes_of(copy_with_nul(arena, bytes), bytes.len);
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0)
		fatal("arena: cannot format %s", format);
	text = take(arena, (size_t)len + 1);
	va_start(args, format);
	vsnprintf(text, (size_t)len + 1, format, args);
	va_end(args);
	return text;
}
