/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A histogram of durations: four buckets for each doubling, so that a quantile is right to a tenth. The
 * bounds are those of native histograms of schema 2 of Prometheus, and each fourth is one of a classic
 * histogram: both are exact. */

#include <stdint.h>

#define TIMING_SCHEMA  2
#define TIMING_LEAST   (-20) /* the first bucket ends at 2 to this many seconds: a microsecond */
#define TIMING_MOST    5 /* the last but one ends here: half a minute; the last holds the rest */
#define TIMING_BUCKETS (((TIMING_MOST - TIMING_LEAST) << TIMING_SCHEMA) + 2)

/* Plain numbers, so that sums of whole pages can be made of them. */
struct timing {
	uint64_t sum_ns;
	uint64_t counts[TIMING_BUCKETS];
};

/* As many events that took so long. */
void timing_add(struct timing *timing, uint64_t ns, uint64_t events);
uint64_t timing_count(const struct timing *timing);
/* Where a bucket ends, in seconds; infinite for the last one. */
double timing_end(unsigned bucket);
/* The end of the bucket in which that part of all events lies, in seconds; 0 when there are none. */
double timing_quantile(const struct timing *timing, double part);
