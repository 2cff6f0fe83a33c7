/* SPDX-License-Identifier: Apache-2.0 */

/* Also the line that `systemctl status` shows; it is sent when it has changed, once a second at most. */

#include "supervisor/stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "supervisor/manager.h"
#include "supervisor/metrics.h"

#define NUMBER_TEXT 32
#define DAY         86400

/* "999", "1.2k", "34M": no more digits than anybody reads. */
static const char *number_text(uint64_t number, char text[static NUMBER_TEXT])
{
	static const char units[] = " kMGTPE";
	double rest = (double)number;
	int unit = 0;

	while (rest >= 999.5) {
		rest /= 1000;
		unit++;
	}
	if (unit == 0)
		snprintf(text, NUMBER_TEXT, "%" PRIu64, number);
	else
		snprintf(text, NUMBER_TEXT, "%.*f%c", rest < 9.95 ? 1 : 0, rest, units[unit]);
	return text;
}

static const char *plural(uint64_t number)
{
	return number == 1 ? "" : "s";
}

/* ", certificate 61 d"; nothing when there is none. */
static const char *certificate_text(int64_t expires, char text[static NUMBER_TEXT])
{
	int64_t left = expires > 0 ? expires - time(NULL) : 0;

	text[0] = '\0';
	if (left > 0)
		snprintf(text, NUMBER_TEXT, ", certificate %" PRId64 " d", left / DAY);
	else if (expires > 0)
		snprintf(text, NUMBER_TEXT, ", certificate expired");
	return text;
}

static void status_line(const struct stats *stats, const struct moment *moment, char *line)
{
	char open[NUMBER_TEXT], rate[NUMBER_TEXT], certificate[NUMBER_TEXT], up[NUMBER_TEXT] = "";

	number_text(moment->open, open);
	if (moment->workers_up < moment->workers)
		snprintf(up, sizeof(up), "%" PRIu64 " of ", moment->workers_up);
	if (moment->is_serving)
		snprintf(line, sizeof(stats->status),
			"%s%s%s%" PRIu64 " worker%s, %s connection%s, %s message%s/s%s%s",
			moment->trouble, moment->trouble[0] ? "; " : "", up, moment->workers,
			plural(moment->workers), open, plural(moment->open),
			number_text(stats->rate, rate), plural(stats->rate),
			certificate_text(moment->expires, certificate),
			stats->reload_failed ? "; the last reload failed" : "");
	else
		snprintf(line, sizeof(stats->status), "Finishing, %s connection%s left", open,
			plural(moment->open));
}

void stats_on_second(struct stats *stats, const struct moment *moment)
{
	char line[sizeof(stats->status)];
	uint64_t messages = 0;

	for (size_t i = 0; i < moment->sums.n; i++)
		messages += moment->sums.list[i].counters.counted[COUNT_messages];
	/* Fewer than before: a generation that could not be read any more is gone. */
	stats->rate =
		stats->is_counting && messages > stats->messages ? messages - stats->messages : 0;
	stats->messages = messages;
	stats->is_counting = true;

	status_line(stats, moment, line);
	if (strcmp(line, stats->status) != 0)
		manager_notify("STATUS=%s", line);
	memcpy(stats->status, line, sizeof(line));
}

void stats_publish(struct stats *stats, const struct moment *moment)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *out;

	out = open_memstream(&text, &len);
	if (!out)
		return;
	metrics_print(&stats->lasting, moment, out);
	if (fclose(out) != 0)
		return;
	metrics_page_begin(&stats->page);
	metrics_page_put(&stats->page, PAGE_OPENMETRICS, text, len);
	metrics_page_show(&stats->page);
}

void stats_count_reload(struct stats *stats, bool worked)
{
	stats->reload_failed = !worked;
	*(worked ? &stats->lasting.reloads : &stats->lasting.failed_reloads) += 1;
	stats->status[0] = '\0'; /* the service manager shows another line now */
}

void stats_count_generation(struct stats *stats)
{
	stats->lasting.generation++;
}

void stats_count_death(struct stats *stats, enum role role)
{
	stats->lasting.replaced[role]++;
}

int stats_init(struct stats *stats)
{
	*stats = (struct stats){.lasting.started = time(NULL)};
	return metrics_page_make(&stats->page);
}

void stats_done(struct stats *stats)
{
	sums_done(&stats->history);
	metrics_page_done(&stats->page);
}

void moment_done(struct moment *moment)
{
	sums_done(&moment->sums);
}

static void hand_over_listener(const struct sum *sum, FILE *out)
{
	fprintf(out, "listener");
	for (int i = 0; i < N_COUNTERS; i++)
		fprintf(out, " %s %" PRIu64, counter_name(i), sum->counters.counted[i]);
	for (int i = 0; i < N_REASONS; i++)
		if (sum->counters.reasons[i] > 0)
			fprintf(out, " ended_%s %" PRIu64, reason_name(i),
				sum->counters.reasons[i]);
	fprintf(out, " name %s\n", sum->name);
}

void stats_hand_over(const struct stats *stats, struct handover *h)
{
	const struct lasting *lasting = &stats->lasting;

	fprintf(h->state,
		"lasting started %" PRId64 " generation %" PRIu64 " reloads %" PRIu64
		" failed_reloads %" PRIu64,
		lasting->started, lasting->generation, lasting->reloads, lasting->failed_reloads);
	for (enum role role = 0; role < N_ROLES; role++)
		fprintf(h->state, " replaced_%s %" PRIu64, role_word(role),
			lasting->replaced[role]);
	fprintf(h->state, "\n");
	for (size_t i = 0; i < stats->history.n; i++)
		hand_over_listener(&stats->history.list[i], h->state);
}

static uint64_t next_number(char **line)
{
	int64_t number = handover_number(line);

	return number < 0 ? 0 : (uint64_t)number;
}

static uint64_t *find_lasting(struct lasting *lasting, const char *word)
{
	enum role role;

	if (strcmp(word, "generation") == 0)
		return &lasting->generation;
	if (strcmp(word, "reloads") == 0)
		return &lasting->reloads;
	if (strcmp(word, "failed_reloads") == 0)
		return &lasting->failed_reloads;
	if (strncmp(word, "replaced_", strlen("replaced_")) != 0)
		return NULL;
	role = role_find(word + strlen("replaced_"));
	return role < N_ROLES ? &lasting->replaced[role] : NULL;
}

void stats_resume_lasting(struct stats *stats, char *line)
{
	while (line && *line) {
		const char *word = handover_word(&line);
		uint64_t *place = find_lasting(&stats->lasting, word);
		bool is_start = strcmp(word, "started") == 0;
		uint64_t number = next_number(&line);

		if (place)
			*place = number;
		if (is_start)
			stats->lasting.started = (int64_t)number;
	}
}

static uint64_t *find_counter(struct listener_counters *counters, const char *word)
{
	const char *reason = word + strlen("ended_");

	for (int i = 0; i < N_COUNTERS; i++)
		if (strcmp(word, counter_name(i)) == 0)
			return &counters->counted[i];
	for (int i = 0; strncmp(word, "ended_", strlen("ended_")) == 0 && i < N_REASONS; i++)
		if (strcmp(reason, reason_name(i)) == 0)
			return &counters->reasons[i];
	return NULL;
}

void stats_resume_listener(struct stats *stats, char *line)
{
	struct listener_counters counters = {0};

	while (line && *line) {
		const char *word = handover_word(&line);
		uint64_t *place = find_counter(&counters, word), number;

		if (strcmp(word, "name") == 0) {
			if (line)
				sums_add(&stats->history, line, &counters);
			return;
		}
		number = next_number(&line);
		if (place)
			*place = number;
	}
}
