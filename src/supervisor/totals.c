/* SPDX-License-Identifier: Apache-2.0 */

/* A handful of listeners, looked up by name. */

#include "supervisor/totals.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct total *totals_find(struct totals *totals, const char *name)
{
	struct total *list;
	char *copy;

	for (size_t i = 0; i < totals->n; i++)
		if (strcmp(totals->list[i].name, name) == 0)
			return &totals->list[i];

	list = reallocarray(totals->list, totals->n + 1, sizeof(*list));
	if (!list)
		return NULL;
	totals->list = list;
	copy = strdup(name);
	if (!copy)
		return NULL;
	list[totals->n] = (struct total){.name = copy};
	return &list[totals->n++];
}

void totals_add(struct totals *totals, const char *name, const struct listener_counters *counters)
{
	struct total *total = totals_find(totals, name);

	if (!total)
		return;
	for (int i = 0; i < N_COUNTERS; i++)
		total->counters.counted[i] += counters->counted[i];
	for (int i = 0; i < N_REASONS; i++)
		total->counters.reasons[i] += counters->reasons[i];
}

void totals_add_all(struct totals *totals, const struct totals *more)
{
	for (size_t i = 0; i < more->n; i++)
		totals_add(totals, more->list[i].name, &more->list[i].counters);
	totals->open += more->open;
	totals->records_lost += more->records_lost;
}

void totals_hand_over(const struct totals *totals, struct handover *h)
{
	for (size_t i = 0; i < totals->n; i++) {
		const struct listener_counters *counters = &totals->list[i].counters;

		fprintf(h->state, "total");
		for (int c = 0; c < N_COUNTERS; c++)
			fprintf(h->state, " %" PRIu64, counters->counted[c]);
		for (int c = 0; c < N_REASONS; c++)
			fprintf(h->state, " %" PRIu64, counters->reasons[c]);
		fprintf(h->state, " %s\n", totals->list[i].name);
	}
}

void totals_resume(struct totals *totals, const char *line)
{
	struct listener_counters counters;
	char *end = NULL;

	for (int c = 0; c < N_COUNTERS; c++, line = end)
		counters.counted[c] = strtoull(line, &end, 10);
	for (int c = 0; c < N_REASONS; c++, line = end)
		counters.reasons[c] = strtoull(line, &end, 10);
	if (*line == ' ')
		totals_add(totals, line + 1, &counters);
}

void totals_done(struct totals *totals)
{
	for (size_t i = 0; i < totals->n; i++)
		free(totals->list[i].name);
	free(totals->list);
	*totals = TOTALS_EMPTY;
}
