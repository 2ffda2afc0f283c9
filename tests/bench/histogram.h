/* SPDX-License-Identifier: MIT
 *
 * How long things took, in nanoseconds: counted in classes that are at most 1/32 wide, so
 * that every quantile is exact to about 3 %.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include "buffer.h"

#define HISTOGRAM_CLASSES (60 * 32)

struct histogram {
	uint64_t classes[HISTOGRAM_CLASSES];
	uint64_t max;
};

void histogram_add(struct histogram *histogram, uint64_t ns);
/* As a JSON array of [ns, count], rising: the upper end of each class that is not empty. */
void histogram_write(struct buffer *out, const struct histogram *histogram);

#endif
