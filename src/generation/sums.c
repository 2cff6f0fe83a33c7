/* SPDX-License-Identifier: Apache-2.0 */

/* Sums of counters, by the name of the listener: its number changes when a reload adds another
 * before it. A handful of listeners, so that a list that is searched does. Without memory a
 * count is lost, and nothing else fails. */

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

/* Of two structures that hold nothing but numbers. */
static void add_numbers(void *to, const void *from, size_t n)
{
	uint64_t *sum = to;
	const uint64_t *one = from;

	for (size_t i = 0; i < n; i++)
		sum[i] += one[i];
}

void sums_add(struct sums *sums, const char *name, const struct listener_counters *counters)
{
	struct sum *sum = sums_find(sums, name);

	if (!sum)
		return;
	add_numbers(&sum->counters, counters, LISTENER_NUMBERS);
}

void sums_set_transport(struct sums *sums, const char *name, unsigned transport)
{
	struct sum *sum = sums_find(sums, name);

	if (sum)
		sum->transport = transport;
}

void sums_add_keeper(struct sums *sums, const struct timing *keeper)
{
	add_numbers(&sums->keeper, keeper, sizeof(*keeper) / sizeof(uint64_t));
}

void sums_add_all(struct sums *sums, const struct sums *more)
{
	for (size_t i = 0; i < more->n; i++) {
		sums_add(sums, more->list[i].name, &more->list[i].counters);
		sums_set_transport(sums, more->list[i].name, more->list[i].transport);
	}
	sums_add_keeper(sums, &more->keeper);
	sums->records_lost += more->records_lost;
}

void sums_done(struct sums *sums)
{
	for (size_t i = 0; i < sums->n; i++)
		free(sums->list[i].name);
	free(sums->list);
	*sums = SUMS_EMPTY;
}
