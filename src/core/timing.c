/* SPDX-License-Identifier: Apache-2.0 */

/* A double is a power of two and a mantissa: the one gives the doubling, and three comparisons of the other
 * give the bucket in it, without a loop. */

#include "core/timing.h"

#include <string.h>

#define FRACTION ((UINT64_C(1) << 52) - 1)

/* 2 to 1/4, 2/4 and 3/4, as the mantissa of a double. */
static const uint64_t quarters[] = {0x306fe0a31b715, 0x6a09e667f3bcd, 0xae89f995ad3ad};

static unsigned timing_bucket(uint64_t ns)
{
	double seconds = (double)ns * 1e-9;
	uint64_t bits, fraction;
	int place;

	if (ns == 0)
		return 0;
	memcpy(&bits, &seconds, sizeof(bits));
	fraction = bits & FRACTION;
	/* A bound belongs to the bucket below it. */
	place = ((int)(bits >> 52) - 1023 - TIMING_LEAST) * 4 + (fraction > 0) +
		(fraction > quarters[0]) + (fraction > quarters[1]) + (fraction > quarters[2]);
	if (place < 0)
		return 0;
	return place < TIMING_BUCKETS - 1 ? (unsigned)place : TIMING_BUCKETS - 1;
}

void timing_add(struct timing *timing, uint64_t ns, uint64_t events)
{
	timing->counts[timing_bucket(ns)] += events;
	timing->sum_ns += ns * events;
}

uint64_t timing_count(const struct timing *timing)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < TIMING_BUCKETS; i++)
		all += timing->counts[i];
	return all;
}

double timing_end(unsigned bucket)
{
	int doublings = (int)(bucket / 4) + TIMING_LEAST;
	uint64_t bits = (uint64_t)(doublings + 1023) << 52;
	double end;

	if (bucket == TIMING_BUCKETS - 1)
		return __builtin_inf();
	if (bucket % 4 > 0)
		bits |= quarters[bucket % 4 - 1];
	memcpy(&end, &bits, sizeof(end));
	return end;
}

double timing_quantile(const struct timing *timing, double part)
{
	uint64_t all = timing_count(timing), seen = 0;

	for (unsigned i = 0; i < TIMING_BUCKETS && all > 0; i++) {
		seen += timing->counts[i];
		if ((double)seen >= part * (double)all)
			return timing_end(i < TIMING_BUCKETS - 1 ? i : i - 1);
	}
	return 0;
}
