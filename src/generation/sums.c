/* SPDX-License-Identifier: Apache-2.0 */

/* A handful of listeners, looked up by name. */

#include "generation/sums.h"

#include <stdlib.h>
#include <string.h>

static struct sum *sums_find(struct sums *sums, const char *name)
{
	struct sum *list;
	char *copy;

	for (size_t i = 0; i < sums->n; i++)
		if (strcmp(sums->list[i].name, name) == 0)
			return &sums->list[i];

	list = reallocarray(sums->list, sums->n + 1, sizeof(*list));
	if (!list)
		return NULL;
	sums->list = list;
	copy = strdup(name);
	if (!copy)
		return NULL;
	list[sums->n] = (struct sum){.name = copy};
	return &list[sums->n++];
}

void sums_add(struct sums *sums, const char *name, const struct listener_counters *counters)
{
	struct sum *sum = sums_find(sums, name);

	if (!sum)
		return;
	for (int i = 0; i < N_COUNTERS; i++)
		sum->counters.counted[i] += counters->counted[i];
	for (int i = 0; i < N_REASONS; i++)
		sum->counters.reasons[i] += counters->reasons[i];
}

void sums_add_all(struct sums *sums, const struct sums *more)
{
	for (size_t i = 0; i < more->n; i++)
		sums_add(sums, more->list[i].name, &more->list[i].counters);
	sums->records_lost += more->records_lost;
}

void sums_done(struct sums *sums)
{
	for (size_t i = 0; i < sums->n; i++)
		free(sums->list[i].name);
	free(sums->list);
	*sums = SUMS_EMPTY;
}
