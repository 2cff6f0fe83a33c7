/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Durations for the histograms, and counts of each message. The build options "timing" and "counting" leave them out, to
 * measure what they cost. */

#include "base/clock.h"
#include "config.h"
#include "core/timing.h"

static inline uint64_t stopwatch_start(void)
{
	return WITH_TIMING ? clock_ns() : 0;
}

/* As many events took from the start until now. */
static inline void stopwatch_stop(struct timing *timing, uint64_t start, uint64_t events)
{
	if (WITH_TIMING && events > 0)
		timing_add(timing, clock_ns() - start, events);
}

static inline void counter_add(uint64_t *number, uint64_t n)
{
	if (WITH_COUNTING)
		*number += n;
}
