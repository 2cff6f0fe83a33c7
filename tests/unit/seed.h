/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Random numbers for properties. The seed is printed, and TEST_SEED=N in the environment runs a
 * failed test again with the numbers that made it fail. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t seed_new(const char *name)
{
	const char *given = getenv("TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	printf("# %s: TEST_SEED=%llu\n", name, (unsigned long long)seed);
	return seed;
}

/* Below `bound`. Splitmix64: short, and good from any seed. */
static inline size_t seed_below(uint64_t *seed, size_t bound)
{
	uint64_t number = *seed += 0x9E3779B97F4A7C15;

	number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9;
	number = (number ^ number >> 27) * 0x94D049BB133111EB;
	return (size_t)((number ^ number >> 31) % bound);
}
