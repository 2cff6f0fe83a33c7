/* SPDX-License-Identifier: Apache-2.0 */

#include "client/histogram.h"

#include <math.h>

/* Values below 32 have a cell each; above, the highest bit names the row, and the five bits after
 * it the cell in the row. */
static size_t cell_of(uint64_t value)
{
	unsigned row;

	if (value < HISTOGRAM_STEPS)
		return (size_t)value;
	row = 63U - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
	return (size_t)(row + 1) * HISTOGRAM_STEPS + ((value >> row) & (HISTOGRAM_STEPS - 1));
}

uint64_t histogram_cell_top(size_t cell)
{
	size_t row = cell / HISTOGRAM_STEPS;
	uint64_t step = cell % HISTOGRAM_STEPS;

	if (row == 0)
		return step;
	return ((HISTOGRAM_STEPS + step + 1) << (row - 1)) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram_add_many(histogram, value, 1);
}

void histogram_add_many(struct histogram *histogram, uint64_t value, uint64_t n)
{
	if (n == 0)
		return;
	if (histogram->n == 0 || value < histogram->min)
		histogram->min = value;
	if (value > histogram->max)
		histogram->max = value;
	histogram->cells[cell_of(value)] += n;
	histogram->sum += n * value;
	histogram->squares += (double)n * (double)value * (double)value;
	histogram->n += n;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
	uint64_t below = 0, wanted = (uint64_t)(share * (double)histogram->n + 0.5);

	if (wanted == 0)
		wanted = 1;
	for (size_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
		uint64_t top = histogram_cell_top(cell);

		below += histogram->cells[cell];
		if (below >= wanted)
			return top < histogram->max ? top : histogram->max;
	}
	return histogram->max;
}

double histogram_quantile_ms(const struct histogram *histogram, double share)
{
	return (double)histogram_quantile(histogram, share) / 1000;
}

double histogram_mean(const struct histogram *histogram)
{
	return histogram->n ? (double)histogram->sum / (double)histogram->n : 0;
}

double histogram_deviation(const struct histogram *histogram)
{
	double mean = histogram_mean(histogram);
	double variance =
		histogram->n ? histogram->squares / (double)histogram->n - mean * mean : 0;

	return variance > 0 ? sqrt(variance) : 0;
}
