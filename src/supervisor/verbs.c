/* SPDX-License-Identifier: Apache-2.0 */

/* What upperctl can ask, as a table; and the texts of the answers. */

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"
#include "supervisor/supervisor.h"

void supervisor_totals(const struct supervisor *s, struct totals *totals)
{
	totals_add_all(totals, &s->history);
	if (s->serving)
		generation_totals(s->serving, totals);
	for (struct list *node = s->draining.next; node != &s->draining; node = node->next)
		generation_totals(generation_of_node(node), totals);
}

static void print_status(const struct supervisor *s, const struct totals *totals, FILE *out)
{
	char trouble[256];

	if (*generation_trouble(s->serving, trouble))
		fprintf(out, "not well: %s\n", trouble);
	fprintf(out, "upperd %s, pid %d, up %" PRIu64 " s\n", UPPERD_VERSION, (int)getpid(),
		(s->loop.now_ms - s->started_ms) / 1000);
	fprintf(out, "%u workers, %" PRIu64 " connections of %" PRIu64 ", %" PRIu64 " messages/s\n",
		generation_workers(s->serving), atomic_load(&s->shared->open),
		generation_connections(s->serving), s->rate);
	if (s->n_draining > 0)
		fprintf(out, "%u older configurations are draining\n", s->n_draining);
	fprintf(out, "\n%-24s %12s %12s %12s %12s\n", "listener", "connections", "messages",
		"replies", "bytes in");
	for (size_t i = 0; i < totals->n; i++) {
		const uint64_t *c = totals->list[i].counters.counted;

		fprintf(out, "%-24s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 "\n",
			totals->list[i].name, c[COUNT_connections], c[COUNT_messages],
			c[COUNT_replies], c[COUNT_bytes_in]);
	}
}

static void print_listener_json(const struct total *total, FILE *out)
{
	fprintf(out, "{\"name\":\"%s\"", total->name);
	for (int i = 0; i < N_COUNTERS; i++)
		fprintf(out, ",\"%s\":%" PRIu64, counter_name(i), total->counters.counted[i]);
	fprintf(out, ",\"reasons\":{");
	for (int i = 0; i < N_REASONS; i++)
		fprintf(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", reason_name(i),
			total->counters.reasons[i]);
	fprintf(out, "}}");
}

static void print_status_json(const struct supervisor *s, const struct totals *totals, FILE *out)
{
	char trouble[256];

	fprintf(out,
		"{\"well\":%s,\"version\":\"%s\",\"pid\":%d,\"uptime\":%" PRIu64 ",\"workers\":%u,"
		"\"connections\":%" PRIu64 ",\"connections_limit\":%" PRIu64
		",\"messages_per_second\":%" PRIu64 ",\"draining\":%u,\"listeners\":[",
		*generation_trouble(s->serving, trouble) ? "false" : "true", UPPERD_VERSION,
		(int)getpid(), (s->loop.now_ms - s->started_ms) / 1000,
		generation_workers(s->serving), atomic_load(&s->shared->open),
		generation_connections(s->serving), s->rate, s->n_draining);
	for (size_t i = 0; i < totals->n; i++) {
		fprintf(out, "%s", i > 0 ? "," : "");
		print_listener_json(&totals->list[i], out);
	}
	fprintf(out, "]}\n");
}

static int verb_status(void *userdata, const struct control_question *question)
{
	const struct supervisor *s = userdata;
	_cleanup_totals_ struct totals totals = TOTALS_EMPTY;
	char trouble[256];

	if (!s->serving) {
		fprintf(question->out, question->json ? "{\"stopping\":true}\n" : "stopping\n");
		return EX_TEMPFAIL;
	}
	supervisor_totals(s, &totals);
	if (question->json)
		print_status_json(s, &totals, question->out);
	else
		print_status(s, &totals, question->out);
	if (strcmp(question->argument, "--check") == 0 && *generation_trouble(s->serving, trouble))
		return EXIT_FAILURE;
	return EX_OK;
}

struct figures supervisor_figures(const struct supervisor *s)
{
	struct figures figures = s->figures;

	figures.draining = s->n_draining;
	figures.open = atomic_load(&s->shared->open);
	if (s->serving) {
		figures.workers = generation_workers(s->serving);
		figures.most_open = generation_connections(s->serving);
		figures.expires = generation_expires(s->serving);
	}
	return figures;
}

static int verb_metrics(void *userdata, const struct control_question *question)
{
	const struct supervisor *s = userdata;
	_cleanup_totals_ struct totals totals = TOTALS_EMPTY;
	struct figures figures = supervisor_figures(s);

	supervisor_totals(s, &totals);
	metrics_print(&figures, &totals, question->out);
	return EX_OK;
}

static int verb_reload(void *userdata, const struct control_question *question)
{
	struct supervisor *s = userdata;

	if (s->stopping) {
		fprintf(question->out, "upperd is stopping\n");
		return EX_TEMPFAIL;
	}
	supervisor_reload(s);
	return s->reload_again ? CONTROL_NEXT : CONTROL_LATER;
}

static int verb_drain(void *userdata, const struct control_question *question)
{
	struct supervisor *s = userdata;

	if (!s->stopping)
		supervisor_stop(s);
	return CONTROL_LATER;
}

static int verb_sandbox(void *userdata, const struct control_question *question)
{
	struct supervisor *s = userdata;

	if (!s->serving) {
		fprintf(question->out, "upperd is stopping\n");
		return EX_TEMPFAIL;
	}
	return selftests_begin(&s->selftests, generation_conf(s->serving), question);
}

static int verb_upgrade(void *userdata, const struct control_question *question)
{
	supervisor_upgrade(userdata);
	return CONTROL_LATER;
}

const struct control_verb supervisor_verbs[] = {
	{"status", verb_status},
	{"metrics", verb_metrics},
	{"clients", verb_clients},
	{"reload", verb_reload},
	{"drain", verb_drain},
	{"sandbox", verb_sandbox},
	{"upgrade", verb_upgrade},
	{NULL, NULL},
};
