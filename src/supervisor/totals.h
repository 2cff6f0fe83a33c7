/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Counters of a listener, summed over workers and generations, so that they go on growing when a reload
 * or a crash puts others in the place of those who counted. Listeners are known by their names. */

#include <stddef.h>
#include <stdint.h>

#include "core/counters.h"
#include "upgrade/handover.h"

struct total {
	char *name;
	struct listener_counters counters;
};

struct totals {
	struct total *list;
	size_t n;
	uint64_t open, records_lost;
};

#define TOTALS_EMPTY ((struct totals){0})

/* Adds; memory that cannot be had loses a count and nothing else. */
void totals_add(struct totals *totals, const char *name, const struct listener_counters *counters);
/* Adds all of another. */
void totals_add_all(struct totals *totals, const struct totals *more);
/* A line for each listener, and back; what another build has counted differently is dropped. */
void totals_hand_over(const struct totals *totals, struct handover *handover);
void totals_resume(struct totals *totals, const char *line);
void totals_done(struct totals *totals);
#define _cleanup_totals_ __attribute__((cleanup(totals_done)))
