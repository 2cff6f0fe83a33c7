/* SPDX-License-Identifier: Apache-2.0 */

/* Numbers over time. Each worker counts in a page of its own, which ends with it; what is shown
 * must not jump when a worker is replaced, a configuration reloaded or the program upgraded. So
 * three things are kept here:
 *
 * * history: the counters of generations that are gone, added when the last child of one has
 *   ended.
 * * lasting: what is counted about the daemon itself, such as reloads and deaths of children.
 * * before and now: all counters as of the last two seconds, for rates, latencies and the plot.
 *
 * History and lasting are handed over at an upgrade as lines of words and numbers, by the names
 * of the counters: two builds may count different things, and what both know is kept.
 *
 * Nothing here looks for itself: the supervisor puts a struct moment together (observe.c) and
 * hands it in, so that all numbers of a second are of the same moment. Counters of children are
 * numbers that a child may have made up; they are added and printed, and never used as an index
 * or a length.
 *
 * The line that `systemctl status` shows is made here as well; it is sent when it has changed,
 * once a second at most. */

#include "supervisor/stats.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/probe.h"
#include "base/text.h"
#include "supervisor/manager.h"
#include "upgrade/handover.h"

#define NUMBER_TEXT 32
#define DAY         86400
#define WEEK        (7 * DAY)
#define STUCK_MS    5000

/* "999", "1.2k", "34M": no more digits than a reader needs. */
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
			stats->reload_trouble != RELOAD_WELL ? "; the last reload failed" : "");
	else
		snprintf(line, sizeof(stats->status), "Finishing, %s connection%s left", open,
			plural(moment->open));
}

static uint64_t count_messages(const struct sums *sums)
{
	uint64_t messages = 0;

	for (size_t i = 0; i < sums->n; i++)
		messages += sums->list[i].counters.counted[COUNT_messages];
	return messages;
}

const struct listener_counters *stats_before(const struct stats *stats, const char *name)
{
	for (size_t i = 0; i < stats->before.n; i++)
		if (strcmp(stats->before.list[i].name, name) == 0)
			return &stats->before.list[i].counters;
	return NULL;
}

uint32_t stats_latency(const struct stats *stats, const char *name)
{
	struct timing grown = {0};

	for (size_t i = 0; i < stats->now.n; i++) {
		const struct sum *sum = &stats->now.list[i];
		const struct listener_counters *before = stats_before(stats, sum->name);

		if (!before || (name && strcmp(name, sum->name) != 0))
			continue;
		for (unsigned b = 0; b < TIMING_BUCKETS; b++)
			if (sum->counters.service.counts[b] > before->service.counts[b])
				grown.counts[b] +=
					sum->counters.service.counts[b] - before->service.counts[b];
	}
	return (uint32_t)(timing_quantile(&grown, 0.99) * 1e6);
}

static void compute_rates(struct stats *stats, const struct sums *sums)
{
	uint64_t then, now;

	sums_done(&stats->before);
	stats->before = stats->now;
	stats->now = SUMS_EMPTY;
	sums_add_all(&stats->now, sums);
	then = count_messages(&stats->before);
	now = count_messages(&stats->now);
	/* Fewer than before: a generation that could not be read any more is gone. */
	stats->rate = stats->is_counting && now > then ? now - then : 0;
	stats->is_counting = true;
	stats->rates[stats->n_seconds % PLOT_SECONDS] = (uint32_t)stats->rate;
	stats->latencies[stats->n_seconds % PLOT_SECONDS] = stats_latency(stats, NULL);
	stats->n_seconds++;
}

static void add_trouble(char text[static 512], const char *trouble)
{
	size_t len = strlen(text);

	snprintf(text + len, 512 - len, "%s%s", len > 0 ? "; " : "", trouble);
}

/* A certificate that is about to expire: with a twelfth of its validity left, at most a week. */
static bool is_about_to_expire(const struct certificate_entry *certificate, int64_t now)
{
	int64_t last = (certificate->ends - certificate->begins) / 12;

	return certificate->ends - now < (last < WEEK ? last : WEEK);
}

/* Its loop turns each second; it is replaced after ten. */
static void judge_heartbeats(const struct moment *moment, char text[static 512])
{
	char trouble[96];

	for (size_t i = 0; i < moment->n_children; i++) {
		const struct child_view *child = &moment->children[i];

		if (!child->is_up || child->heartbeat_ms < STUCK_MS)
			continue;
		snprintf(trouble, sizeof(trouble), "%s %u has stood still for %" PRIu64 " s",
			role_word(child->role), child->index, child->heartbeat_ms / 1000);
		add_trouble(text, trouble);
	}
}

static void judge_certificates(const struct moment *moment, char text[static 512])
{
	const int64_t now = time(NULL);
	char trouble[160], name[64];

	for (size_t i = 0; i < moment->n_certificates; i++) {
		const struct certificate_entry *c = &moment->certificates[i];
		int64_t left = c->ends - now;

		if (!is_about_to_expire(c, now))
			continue;
		text_escape(c->name, strnlen(c->name, sizeof(c->name)), name, sizeof(name));
		if (left <= 0)
			snprintf(trouble, sizeof(trouble), "the certificate %s has expired", name);
		else
			snprintf(trouble, sizeof(trouble),
				"the certificate %s expires in %" PRId64 " h", name, left / 3600);
		add_trouble(text, trouble);
	}
}

void stats_judge(const struct stats *stats, const struct moment *moment, char text[static 512])
{
	text[0] = '\0';
	if (!moment->is_serving && moment->trouble[0] == '\0')
		add_trouble(text, "upperd is stopping");
	if (moment->trouble[0])
		add_trouble(text, moment->trouble);
	judge_heartbeats(moment, text);
	if (stats->reload_trouble != RELOAD_WELL)
		add_trouble(text, stats->refused);
	if (moment->is_serving && moment->open - moment->open_before >= moment->open_limit)
		add_trouble(text, "as many connections are open as may be");
	if (moment->memory_is_short)
		add_trouble(text, "memory is short, and handshakes wait");
	judge_certificates(moment, text);
}

void stats_on_second(struct stats *stats, const struct moment *moment)
{
	char line[sizeof(stats->status)];

	compute_rates(stats, &moment->sums);
	status_line(stats, moment, line);
	if (strcmp(line, stats->status) != 0)
		manager_notify("STATUS=%s", line);
	memcpy(stats->status, line, sizeof(line));
}

static void judge_reload(struct stats *stats, const struct reload_end *end)
{
	enum reload_trouble trouble = RELOAD_WELL;
	char why[200];

	/* A file tells nothing about a configuration that could not be read. */
	if (end->cause == BUILD_RENEWAL && stats->reload_trouble == RELOAD_FAILED)
		return;
	if (!end->worked)
		trouble = end->is_about_files ? RELOAD_FILE_REFUSED : RELOAD_FAILED;
	stats->reload_trouble = trouble;
	text_escape(end->why ? end->why : "", end->why ? strlen(end->why) : 0, why, sizeof(why));
	snprintf(stats->refused, sizeof(stats->refused), "%s: %s",
		end->cause == BUILD_RENEWAL
			? "a replaced file was refused, and the one before it serves"
			: "the last reload failed, and the configuration before it serves",
		why);
}

void stats_count_reload(struct stats *stats, const struct reload_end *end)
{
	PROBE2(reload, stats->lasting.generation, end->worked);
	stats->status[0] = '\0'; /* the service manager shows another line now */
	if (end->cause != BUILD_UPGRADE || end->worked)
		judge_reload(stats, end);
	if (end->cause != BUILD_UPGRADE)
		*(end->worked ? &stats->lasting.reloads : &stats->lasting.failed_reloads) += 1;
}

void stats_count_generation(struct stats *stats, enum build_cause cause)
{
	stats->lasting.generation++;
	stats->lasting.generation_at = time(NULL);
	stats->lasting.cause = cause;
}

static const struct {
	const char *name;
	int signal;
} deaths[] = {
#define DEATH(name, signal) {#name, signal},
	DEATHS(DEATH)
#undef DEATH
		{"OTHER", -1},
};

const char *death_name(enum death death)
{
	return death == DEATH_EXIT ? "exit" : deaths[death].name;
}

void stats_count_death(struct stats *stats, const struct child *child, const struct child_end *end)
{
	struct lasting *lasting = &stats->lasting;
	enum death death = 0;

	while (death < DEATH_OTHER && deaths[death].signal != end->signal)
		death++;
	lasting->deaths[child->role][death]++;
	lasting->replaced[child->role]++;
	lasting->crash = (struct crash){
		.at = time(NULL),
		.role = child->role,
		.index = child->index,
		.signal = end->signal,
		.exit_code = end->exit_code,
	};
}

void stats_count_drops(struct stats *stats, const char *listener, uint32_t n)
{
	const struct listener_counters counters = {.reasons = {[REASON_queue] = n}};

	if (n > 0)
		sums_add(&stats->history, listener, &counters);
}

int stats_init(struct stats *stats, uint64_t now_ms)
{
	*stats = (struct stats){
		.started_ms = now_ms, .lasting = {.started = time(NULL), .cause = BUILD_START}};
	return metrics_page_make(&stats->page);
}

void stats_done(struct stats *stats)
{
	sums_done(&stats->history);
	sums_done(&stats->before);
	sums_done(&stats->now);
	metrics_page_done(&stats->page);
}

void moment_done(struct moment *moment)
{
	sums_done(&moment->sums);
	free(moment->children);
}

static void describe_listener(const struct sum *sum, FILE *out)
{
	const uint64_t *numbers = (const uint64_t *)&sum->counters;
	char word[COUNTER_WORD];

	fprintf(out, "listener transport %u", sum->transport);
	for (size_t i = 0; listener_word(i, word); i++)
		if (numbers[i] > 0)
			fprintf(out, " %s %" PRIu64, word, numbers[i]);
	fprintf(out, " name %s\n", sum->name);
}

static void describe_common(const struct common_counters *common, FILE *out)
{
	const uint64_t *numbers = (const uint64_t *)common;
	char word[COUNTER_WORD];

	fprintf(out, "common");
	for (size_t i = 0; common_word(i, word); i++)
		if (numbers[i] > 0)
			fprintf(out, " %s %" PRIu64, word, numbers[i]);
	fprintf(out, "\n");
}

static void describe_deaths(const struct lasting *lasting, FILE *out)
{
	for (enum role role = 0; role < N_ROLES; role++) {
		fprintf(out, " replaced_%s %" PRIu64, role_word(role), lasting->replaced[role]);
		for (enum death death = 0; death < N_DEATHS; death++)
			fprintf(out, " %s_%s %" PRIu64, death_name(death), role_word(role),
				lasting->deaths[role][death]);
	}
	fprintf(out, " crash_at %" PRId64 " crash_%s %u crash_signal %d crash_exit %d",
		lasting->crash.at, role_word(lasting->crash.role), lasting->crash.index,
		lasting->crash.signal, lasting->crash.exit_code);
}

void stats_describe(const struct stats *stats, const struct sums *sums, FILE *out)
{
	const struct lasting *lasting = &stats->lasting;

	fprintf(out, "started %" PRIu64 "\n", stats->started_ms);
	fprintf(out,
		"lasting started %" PRId64 " generation %" PRIu64 " reloads %" PRIu64
		" failed_reloads %" PRIu64 " memory_short %" PRIu64,
		lasting->started, lasting->generation, lasting->reloads, lasting->failed_reloads,
		lasting->memory_short);
	describe_deaths(lasting, out);
	fprintf(out, "\n");
	describe_common(&sums->common, out);
	for (size_t i = 0; i < sums->n; i++)
		describe_listener(&sums->list[i], out);
}

static uint64_t next_number(char **line)
{
	int64_t number = handover_number(line);

	return number < 0 ? 0 : (uint64_t)number;
}

/* "replaced_worker" or "SEGV_worker". */
static uint64_t *find_death(struct lasting *lasting, const char *word)
{
	const char *role_at = strchr(word, '_');
	size_t len = role_at ? (size_t)(role_at - word) : 0;
	enum role role = role_at ? role_find(role_at + 1) : N_ROLES;

	if (role == N_ROLES)
		return NULL;
	if (strncmp(word, "replaced_", len + 1) == 0)
		return &lasting->replaced[role];
	for (enum death death = 0; death < N_DEATHS; death++)
		if (strlen(death_name(death)) == len && strncmp(word, death_name(death), len) == 0)
			return &lasting->deaths[role][death];
	return NULL;
}

static void resume_crash(struct crash *crash, const char *word, uint64_t number)
{
	enum role role = role_find(word + strlen("crash_"));

	if (strcmp(word, "crash_at") == 0)
		crash->at = (int64_t)number;
	else if (strcmp(word, "crash_signal") == 0)
		crash->signal = (int)number;
	else if (strcmp(word, "crash_exit") == 0)
		crash->exit_code = (int)number;
	else if (role < N_ROLES)
		*crash = (struct crash){
			crash->at, role, (unsigned)number, crash->signal, crash->exit_code};
}

static uint64_t *find_lasting(struct lasting *lasting, const char *word)
{
	if (strcmp(word, "generation") == 0)
		return &lasting->generation;
	if (strcmp(word, "reloads") == 0)
		return &lasting->reloads;
	if (strcmp(word, "failed_reloads") == 0)
		return &lasting->failed_reloads;
	if (strcmp(word, "memory_short") == 0)
		return &lasting->memory_short;
	return find_death(lasting, word);
}

void stats_take_started(struct stats *stats, char *line)
{
	stats->started_ms = next_number(&line);
}

void stats_take_lasting(struct stats *stats, char *line)
{
	struct lasting *lasting = &stats->lasting;

	assert(stats);
	while (line && *line) {
		const char *word = handover_word(&line);
		bool is_crash = strncmp(word, "crash_", strlen("crash_")) == 0;
		uint64_t *place = is_crash ? NULL : find_lasting(lasting, word);
		bool is_start = strcmp(word, "started") == 0;
		uint64_t number = next_number(&line);

		if (place)
			*place = number;
		if (is_start)
			lasting->started = (int64_t)number;
		if (is_crash)
			resume_crash(&lasting->crash, word, number);
	}
}

void stats_take_listener(struct stats *stats, char *line)
{
	struct listener_counters counters = {0};
	unsigned transport = 0;
	size_t place = 0;

	while (line && *line) {
		const char *word = handover_word(&line);
		uint64_t number;

		if (strcmp(word, "name") == 0) {
			if (line) {
				/* All that is counted here is over; those that go on have pages. */
				counters.counted[COUNT_closed] =
					counters.counted[COUNT_connections];
				sums_add(&stats->history, line, &counters);
				sums_set_transport(&stats->history, line, transport);
			}
			return;
		}
		number = next_number(&line);
		place = counter_place(listener_word, word, place + 1);
		if (place < LISTENER_NUMBERS)
			((uint64_t *)&counters)[place] = number;
		else if (strcmp(word, "transport") == 0)
			transport = (unsigned)number % 32;
	}
}

void stats_take_common(struct stats *stats, char *line)
{
	struct common_counters common = {0};
	size_t place = 0;

	while (line && *line) {
		const char *word = handover_word(&line);

		place = counter_place(common_word, word, place + 1);
		if (place < COMMON_NUMBERS)
			((uint64_t *)&common)[place] = next_number(&line);
		else
			next_number(&line);
	}
	sums_add_common(&stats->history, &common);
}
