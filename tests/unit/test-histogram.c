/* SPDX-License-Identifier: Apache-2.0 */

/* Quantiles against those of the sorted values themselves. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "client/histogram.h"
#include "seed.h"

#define VALUES 5000

static const double shares[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};

#define N_SHARES (sizeof(shares) / sizeof(shares[0]))

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void check_quantiles(const struct histogram *histogram, uint64_t *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_size);
	for (size_t i = 0; i < N_SHARES; i++) {
		size_t rank = (size_t)(shares[i] * (double)n + 0.5);
		uint64_t exact = values[rank ? rank - 1 : 0];
		uint64_t found = histogram_quantile(histogram, shares[i]);

		assert_true(found >= exact && found - exact <= exact / HISTOGRAM_STEPS);
	}
}

/* Values of every magnitude, the widest included. */
static void test_quantiles(void **state)
{
	uint64_t seed = seed_new("quantiles");

	for (unsigned bits = 1; bits <= 64; bits += 7) {
		struct histogram *histogram = calloc(1, sizeof(*histogram));
		uint64_t *values = calloc(VALUES, sizeof(*values));

		assert_non_null(histogram);
		assert_non_null(values);
		for (size_t i = 0; i < VALUES; i++) {
			values[i] = seed_below(&seed, SIZE_MAX) >> (64 - bits);
			histogram_add(histogram, values[i]);
		}
		check_quantiles(histogram, values, VALUES);
		assert_int_equal(histogram->min, values[0]);
		assert_int_equal(histogram->max, values[VALUES - 1]);
		free(histogram);
		free(values);
	}
}

/* Each cell begins where the one before it ends. */
static void test_cells(void **state)
{
	for (size_t cell = 0; cell + 1 < HISTOGRAM_CELLS; cell++) {
		struct histogram histogram = {0};
		uint64_t top = histogram_cell_top(cell);

		histogram_add(&histogram, top);
		histogram_add(&histogram, top + 1);
		assert_int_equal(histogram.cells[cell], 1);
		assert_int_equal(histogram.cells[cell + 1], 1);
	}
	assert_true(histogram_cell_top(HISTOGRAM_CELLS - 1) == UINT64_MAX);
}

static void test_empty(void **state)
{
	struct histogram histogram = {0};

	assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
	assert_true(histogram_mean(&histogram) == 0);
}

static void test_mean(void **state)
{
	struct histogram histogram = {0};

	histogram_add(&histogram, 10);
	histogram_add(&histogram, 1001);
	assert_true(histogram_mean(&histogram) == 505.5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_mean),
	};

	return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
