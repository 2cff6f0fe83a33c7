/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Counters of listeners, summed over workers and generations, so that they go on growing when a reload
 * or a crash replaces a worker. Listeners are known by their names. */

#include <stddef.h>
#include <stdint.h>

#include "core/counters.h"

struct sum {
	char *name;
	unsigned transport; /* of the configuration */
	struct listener_counters counters;
};

struct sums {
	struct sum *list;
	size_t n;
	uint64_t records_lost;
	struct timing keeper;
};

#define SUMS_EMPTY ((struct sums){0})

/* Adds; without memory, a count is lost and nothing else. */
void sums_add(struct sums *sums, const char *name, const struct listener_counters *counters);
/* The transport of a listener, of the configuration; without one, all of them might be. */
void sums_set_transport(struct sums *sums, const char *name, unsigned transport);
void sums_add_keeper(struct sums *sums, const struct timing *keeper);
/* Adds all of another. */
void sums_add_all(struct sums *sums, const struct sums *more);
void sums_done(struct sums *sums);
