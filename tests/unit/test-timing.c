/* SPDX-License-Identifier: Apache-2.0 */

/* Buckets against the definition: the smallest power of 2 to a quarter that is not below the duration. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "core/timing.h"

static unsigned bucket_of(uint64_t ns)
{
	struct timing timing = {0};
	unsigned i = 0;

	timing_add(&timing, ns, 3);
	while (timing.counts[i] == 0)
		i++;
	assert_int_equal(timing.counts[i], 3);
	assert_int_equal(timing.sum_ns, 3 * ns);
	assert_int_equal(timing_count(&timing), 3);
	return i;
}

static void test_ends_are_powers_of_two(void **state)
{
	for (unsigned i = 0; i < TIMING_BUCKETS - 1; i++)
		assert_true(
			timing_end(i) == exp2(TIMING_LEAST + (double)(i / 4)) * exp2(i % 4 / 4.0));
	assert_true(isinf(timing_end(TIMING_BUCKETS - 1)));
	assert_true(timing_end(TIMING_BUCKETS - 2) == 32);
}

static void test_each_duration_is_in_its_bucket(void **state)
{
	for (uint64_t ns = 1; ns < UINT64_C(60000000000); ns += ns / 7 + 1) {
		unsigned bucket = bucket_of(ns);

		assert_true((double)ns * 1e-9 <= timing_end(bucket));
		assert_true(bucket == 0 || (double)ns * 1e-9 > timing_end(bucket - 1));
	}
}

static void test_least_and_longest(void **state)
{
	assert_int_equal(bucket_of(0), 0);
	assert_int_equal(bucket_of(953), 0);
	assert_int_equal(bucket_of(954), 1);
	assert_int_equal(bucket_of(1000000000), (0 - TIMING_LEAST) * 4);
	assert_int_equal(bucket_of(1000000001), (0 - TIMING_LEAST) * 4 + 1);
	assert_int_equal(bucket_of(UINT64_C(32000000000)), TIMING_BUCKETS - 2);
	assert_int_equal(bucket_of(UINT64_C(32000000001)), TIMING_BUCKETS - 1);
	assert_int_equal(bucket_of(UINT64_MAX / 4), TIMING_BUCKETS - 1);
}

static void test_quantiles(void **state)
{
	struct timing timing = {0};

	assert_true(timing_quantile(&timing, 0.5) == 0);
	timing_add(&timing, 1000000, 99);
	timing_add(&timing, 1000000000, 1);
	assert_true(fabs(timing_quantile(&timing, 0.5) / 1e-3 - 1) < 0.2);
	assert_true(fabs(timing_quantile(&timing, 0.99) / 1e-3 - 1) < 0.2);
	assert_true(timing_quantile(&timing, 1) == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends_are_powers_of_two),
		cmocka_unit_test(test_each_duration_is_in_its_bucket),
		cmocka_unit_test(test_least_and_longest),
		cmocka_unit_test(test_quantiles),
	};

	return cmocka_run_group_tests_name("timing", tests, NULL, NULL);
}
