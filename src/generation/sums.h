/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Counters of listeners, summed over workers and generations, so that they go on growing when a reload
 * or a crash replaces a worker. Listeners are known by their names. */

#include <stdbool.h>
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
	struct common_counters common;
};

#define SUMS_EMPTY ((struct sums){0})

/* Adds; without memory, a count is lost and nothing else. */
void sums_add(struct sums *sums, const char *name, const struct listener_counters *counters);
/* The transport of a listener, of the configuration; without one, all of them might be. */
void sums_set_transport(struct sums *sums, const char *name, unsigned transport);
void sums_add_common(struct sums *sums, const struct common_counters *common);
/* Adds all of another. */
void sums_add_all(struct sums *sums, const struct sums *more);
void sums_done(struct sums *sums);
#define _cleanup_sums_ __attribute__((cleanup(sums_done)))

/* The name of a number by its place, of a listener or of a process: two builds that count different things
 * understand each other by these. False behind the last one. */
#define COUNTER_WORD 64
typedef bool counter_words(size_t place, char word[static COUNTER_WORD]);
counter_words listener_word, common_word;
/* The place of a name, looked for at `likely` first; SIZE_MAX when there is none. */
size_t counter_place(counter_words *words, const char *word, size_t likely);
