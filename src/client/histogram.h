/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Times in fixed memory, each known to one part in 32 whatever its size: a row of 32 linear steps
 * for every power of two. Valid when all zero. */

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BITS  5
#define HISTOGRAM_STEPS (1 << HISTOGRAM_BITS)
#define HISTOGRAM_CELLS ((64 - HISTOGRAM_BITS + 1) * HISTOGRAM_STEPS)

struct histogram {
	uint64_t cells[HISTOGRAM_CELLS];
	uint64_t n, sum, min, max;
	double squares; /* the sum of them */
};

void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_add_many(struct histogram *histogram, uint64_t value, uint64_t n);

/* The value that a share of all, from 0 to 1, does not exceed; 0 when there are none. It is never
 * below the true one, and at most one part in 32 above it. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);
/* Of a histogram of microseconds. */
double histogram_quantile_ms(const struct histogram *histogram, double share);

/* The largest value that belongs to a cell. */
uint64_t histogram_cell_top(size_t cell);

double histogram_mean(const struct histogram *histogram);
double histogram_deviation(const struct histogram *histogram);
