/* SPDX-License-Identifier: Apache-2.0 */

/* A family is its type, what it means, and its samples. Labels are names of listeners and words of ours,
 * in which nothing is to be escaped. */

#include "supervisor/metrics.h"

#include <inttypes.h>

#include <upper/upper.h>

#include "config.h"

static void print_family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# TYPE upperd_%s %s\n# HELP upperd_%s %s.\n", name, type, name, help);
}

static void print_gauge(FILE *out, const char *name, const char *help, int64_t value)
{
	print_family(out, name, "gauge", help);
	fprintf(out, "upperd_%s %" PRId64 "\n", name, value);
}

/* In seconds since 1970; its name says so. */
static void print_time(FILE *out, const char *name, const char *help, int64_t value)
{
	print_family(out, name, "gauge", help);
	fprintf(out, "# UNIT upperd_%s seconds\nupperd_%s %" PRId64 "\n", name, name, value);
}

static void print_counter(const struct totals *totals, enum counter counter, FILE *out)
{
	const char *name = counter_name(counter);

	print_family(out, name, "counter", counter_help(counter));
	for (size_t i = 0; i < totals->n; i++)
		fprintf(out, "upperd_%s_total{listener=\"%s\"} %" PRIu64 "\n", name,
			totals->list[i].name, totals->list[i].counters.counted[counter]);
}

static void print_reasons(const struct totals *totals, FILE *out)
{
	print_family(out, "ended", "counter", "Connections ended and datagrams not answered");
	for (size_t i = 0; i < totals->n; i++)
		for (int r = 0; r < N_REASONS; r++)
			fprintf(out,
				"upperd_ended_total{listener=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
				totals->list[i].name, reason_name(r),
				totals->list[i].counters.reasons[r]);
}

static void print_supervisor(const struct figures *figures, FILE *out)
{
	print_family(out, "build_info", "gauge", "What this is");
	fprintf(out, "upperd_build_info{version=\"%s\",unicode=\"%s\"} 1\n", UPPERD_VERSION,
		upper_unicode_version());
	print_time(out, "start_time_seconds", "When the daemon was started, since 1970",
		figures->started);
	print_gauge(out, "generation", "Which configuration serves, of those since the start",
		(int64_t)figures->generation);
	print_gauge(out, "draining", "Older configurations that finish what they have open",
		(int64_t)figures->draining);
	print_family(out, "reloads", "counter", "Reloads, asked for or for a new certificate");
	fprintf(out,
		"upperd_reloads_total{outcome=\"done\"} %" PRIu64 "\n"
		"upperd_reloads_total{outcome=\"failed\"} %" PRIu64 "\n",
		figures->reloads, figures->failed_reloads);
	print_gauge(out, "workers", "Worker processes", (int64_t)figures->workers);
	print_family(out, "replaced", "counter", "Children that died and were replaced");
	for (enum role role = 0; role < N_ROLES; role++)
		if (role != ROLE_SELFTEST)
			fprintf(out, "upperd_replaced_total{role=\"%s\"} %" PRIu64 "\n",
				role_word(role), figures->replaced[role]);
}

void metrics_print(const struct figures *figures, const struct totals *totals, FILE *out)
{
	print_supervisor(figures, out);
	for (int i = 0; i < N_COUNTERS; i++)
		print_counter(totals, i, out);
	print_reasons(totals, out);
	print_gauge(out, "open", "Connections open now", (int64_t)figures->open);
	print_gauge(out, "open_limit", "Connections that may be open at once",
		(int64_t)figures->most_open);
	print_family(out, "records_lost", "counter", "Log records that there was no room for");
	fprintf(out, "upperd_records_lost_total %" PRIu64 "\n", totals->records_lost);
	if (figures->expires > 0)
		print_time(out, "certificate_expires_seconds",
			"When the first certificate expires, since 1970", figures->expires);
	fprintf(out, "# EOF\n");
}

void figures_hand_over(const struct figures *figures, struct handover *h)
{
	fprintf(h->state, "figures %" PRId64 " %" PRIu64 " %" PRIu64 " %" PRIu64, figures->started,
		figures->generation, figures->reloads, figures->failed_reloads);
	for (enum role role = 0; role < N_ROLES; role++)
		fprintf(h->state, " %s %" PRIu64, role_word(role), figures->replaced[role]);
	fprintf(h->state, "\n");
}

static uint64_t next_number(char **line)
{
	int64_t number = handover_number(line);

	return number < 0 ? 0 : (uint64_t)number;
}

/* Another build may have other roles. */
void figures_resume(struct figures *figures, char *line)
{
	enum role role;

	figures->started = (int64_t)next_number(&line);
	figures->generation = next_number(&line);
	figures->reloads = next_number(&line);
	figures->failed_reloads = next_number(&line);
	while (line) {
		role = role_find(handover_word(&line));
		if (role < N_ROLES)
			figures->replaced[role] = next_number(&line);
		else
			next_number(&line);
	}
}
