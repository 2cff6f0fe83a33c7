/* SPDX-License-Identifier: Apache-2.0 */

#include "base/clock.h"

#include <assert.h>
#include <time.h>

static struct timespec now(void)
{
	struct timespec time;
	int r;

	/* It fails for an unknown clock or a bad pointer only, and both would be ours. */
	r = clock_gettime(CLOCK_MONOTONIC, &time);
	assert(r == 0);
	(void)r;

	return time;
}

uint64_t clock_ms(void)
{
	return clock_us() / 1000;
}

uint64_t clock_us(void)
{
	struct timespec time = now();

	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

uint64_t clock_ns(void)
{
	struct timespec time = now();

	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}
