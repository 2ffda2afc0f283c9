/* SPDX-License-Identifier: MIT
 *
 * How long things took (histogram.h).
 */
#include "histogram.h"

#define SUB_BITS 5
#define SUBS	 (1u << SUB_BITS)

/* Below 32 each number has a class; above, each power of two is cut into 32. */
static size_t class_of(uint64_t ns)
{
	unsigned shift;

	if (ns < SUBS)
		return (size_t)ns;
	shift = 63u - (unsigned)__builtin_clzll(ns) - SUB_BITS;
	return (size_t)(shift + 1) * SUBS + (size_t)((ns >> shift) - SUBS);
}

static uint64_t class_end(size_t class)
{
	if (class < SUBS)
		return class;
	return ((class % SUBS + SUBS + 1) << (class / SUBS - 1)) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	histogram->classes[class_of(ns)]++;
	if (ns > histogram->max)
		histogram->max = ns;
}

void histogram_write(struct buffer *out, const struct histogram *histogram)
{
	const char *between = "";

	buffer_printf(out, "[");
	for (size_t i = 0; i < HISTOGRAM_CLASSES; i++) {
		uint64_t end = class_end(i);

		if (histogram->classes[i] == 0)
			continue;
		buffer_printf(out, "%s[%llu,%llu]", between,
			      (unsigned long long)(end < histogram->max ? end : histogram->max),
			      (unsigned long long)histogram->classes[i]);
		between = ",";
	}
	buffer_printf(out, "]");
}
