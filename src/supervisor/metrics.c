/* SPDX-License-Identifier: Apache-2.0 */

/* A family is its type, its help, and its samples. Labels are names of listeners and words of ours, in
 * which nothing is to be escaped. */

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

static void print_counter(const struct sums *sums, enum counter counter, FILE *out)
{
	const char *name = counter_name(counter);

	print_family(out, name, "counter", counter_help(counter));
	for (size_t i = 0; i < sums->n; i++)
		fprintf(out, "upperd_%s_total{listener=\"%s\"} %" PRIu64 "\n", name,
			sums->list[i].name, sums->list[i].counters.counted[counter]);
}

static void print_reasons(const struct sums *sums, FILE *out)
{
	print_family(out, "ended", "counter", "Connections ended and datagrams not answered");
	for (size_t i = 0; i < sums->n; i++)
		for (int r = 0; r < N_REASONS; r++)
			fprintf(out,
				"upperd_ended_total{listener=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
				sums->list[i].name, reason_name(r),
				sums->list[i].counters.reasons[r]);
}

static void print_supervisor(const struct lasting *lasting, const struct moment *moment, FILE *out)
{
	print_family(out, "build_info", "gauge", "What this is");
	fprintf(out, "upperd_build_info{version=\"%s\",unicode=\"%s\"} 1\n", UPPERD_VERSION,
		upper_unicode_version());
	print_time(out, "start_time_seconds", "When the daemon was started, since 1970",
		lasting->started);
	print_gauge(out, "generation", "Which configuration serves, of those since the start",
		(int64_t)lasting->generation);
	print_gauge(out, "draining", "Older configurations that finish what they have open",
		(int64_t)moment->draining);
	print_family(out, "reloads", "counter", "Reloads, asked for or for a new certificate");
	fprintf(out,
		"upperd_reloads_total{outcome=\"done\"} %" PRIu64 "\n"
		"upperd_reloads_total{outcome=\"failed\"} %" PRIu64 "\n",
		lasting->reloads, lasting->failed_reloads);
	print_gauge(out, "workers", "Worker processes", (int64_t)moment->workers);
	print_family(out, "replaced", "counter", "Children that died and were replaced");
	for (enum role role = 0; role < N_ROLES; role++)
		if (role != ROLE_SELFTEST)
			fprintf(out, "upperd_replaced_total{role=\"%s\"} %" PRIu64 "\n",
				role_word(role), lasting->replaced[role]);
}

void metrics_print(const struct lasting *lasting, const struct moment *moment, FILE *out)
{
	const struct sums *sums = &moment->sums;

	print_supervisor(lasting, moment, out);
	for (int i = 0; i < N_COUNTERS; i++)
		print_counter(sums, i, out);
	print_reasons(sums, out);
	print_gauge(out, "open", "Connections open now", (int64_t)moment->open);
	print_gauge(out, "open_limit", "Connections that may be open at once",
		(int64_t)moment->open_limit);
	print_family(out, "records_lost", "counter", "Log records that there was no room for");
	fprintf(out, "upperd_records_lost_total %" PRIu64 "\n", sums->records_lost);
	if (moment->expires > 0)
		print_time(out, "certificate_expires_seconds",
			"When the first certificate expires, since 1970", moment->expires);
	fprintf(out, "# EOF\n");
}
