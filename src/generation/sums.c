/* SPDX-License-Identifier: Apache-2.0 */

/* Sums of counters, by the name of the listener: its number changes when a reload adds another
 * before it. A handful of listeners, so that a list that is searched does. Without memory a
 * count is lost, and nothing else fails. */

#include "generation/sums.h"

#include <stdio.h>
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

/* Of two structures that hold nothing but numbers. A process that was taken over may write any number; the
 * sum stays at the highest then, and does not begin anew below what the others have counted. */
static void add_numbers(void *to, const void *from, size_t n)
{
	uint64_t *sum = to;
	const uint64_t *one = from;

	for (size_t i = 0; i < n; i++)
		if (__builtin_add_overflow(sum[i], one[i], &sum[i]))
			sum[i] = UINT64_MAX;
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

void sums_add_common(struct sums *sums, const struct common_counters *common)
{
	add_numbers(&sums->common, common, COMMON_NUMBERS);
}

void sums_add_all(struct sums *sums, const struct sums *more)
{
	for (size_t i = 0; i < more->n; i++) {
		sums_add(sums, more->list[i].name, &more->list[i].counters);
		sums_set_transport(sums, more->list[i].name, more->list[i].transport);
	}
	sums_add_common(sums, &more->common);
}

void sums_done(struct sums *sums)
{
	for (size_t i = 0; i < sums->n; i++)
		free(sums->list[i].name);
	free(sums->list);
	*sums = SUMS_EMPTY;
}

/* The numbers of a histogram are named by their places. */
static bool timing_word(const char *prefix, size_t place, char word[static COUNTER_WORD])
{
	snprintf(word, COUNTER_WORD, "%s%zu", prefix, place);
	return true;
}

#define PLACE_OF(type, member) (offsetof(struct type, member) / sizeof(uint64_t))

bool listener_word(size_t place, char word[static COUNTER_WORD])
{
	static const size_t first_reason = PLACE_OF(listener_counters, reasons),
			    first_version = PLACE_OF(listener_counters, handshakes),
			    first_group = PLACE_OF(listener_counters, groups),
			    first_cipher = PLACE_OF(listener_counters, ciphers),
			    service = PLACE_OF(listener_counters, service),
			    agreement = PLACE_OF(listener_counters, agreement);

	if (place >= LISTENER_NUMBERS)
		return false;
	if (place >= agreement)
		return timing_word("agreement_", place - agreement, word);
	if (place >= service)
		return timing_word("service_", place - service, word);
	if (place >= first_cipher)
		snprintf(word, COUNTER_WORD, "cipher_%s",
			agreed_word(AGREED_CIPHER, (unsigned)(place - first_cipher)));
	else if (place >= first_group)
		snprintf(word, COUNTER_WORD, "group_%s",
			agreed_word(AGREED_GROUP, (unsigned)(place - first_group)));
	else if (place >= first_version)
		snprintf(word, COUNTER_WORD, "%s_%s",
			(place - first_version) % 2 ? "resumed" : "full",
			agreed_word(AGREED_VERSION, (unsigned)(place - first_version) / 2));
	else if (place >= first_reason)
		snprintf(word, COUNTER_WORD, "ended_%s",
			reason_name((enum reason)(place - first_reason)));
	else
		snprintf(word, COUNTER_WORD, "%s", counter_name((enum counter)place));
	return true;
}

bool common_word(size_t place, char word[static COUNTER_WORD])
{
	const size_t lost = PLACE_OF(common_counters, records_lost);

	if (place < lost)
		return timing_word("keeper_", place, word);
	snprintf(word, COUNTER_WORD, "records_lost");
	return place == lost;
}

size_t counter_place(counter_words *words, const char *word, size_t likely)
{
	char other[COUNTER_WORD];

	if (words(likely, other) && strcmp(word, other) == 0)
		return likely;
	for (size_t place = 0; words(place, other); place++)
		if (strcmp(word, other) == 0)
			return place;
	return SIZE_MAX;
}
