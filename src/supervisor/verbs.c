/* SPDX-License-Identifier: Apache-2.0 */

/* What upperctl can ask, as a table; and the texts of the answers. */

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "supervisor/metrics.h"
#include "supervisor/status.h"
#include "supervisor/supervisor.h"

void supervisor_observe(const struct supervisor *s, struct moment *ret_moment)
{
	struct moment *m = ret_moment;

	*m = (struct moment){
		.is_serving = s->serving,
		.uptime = (s->loop.now_ms - s->started_ms) / 1000,
		.draining = s->n_draining,
		.open = atomic_load(&s->shared->open),
	};
	sums_add_all(&m->sums, &s->stats.history);
	if (s->serving) {
		generation_add_counters(s->serving, &m->sums);
		m->workers = generation_workers(s->serving);
		m->workers_up = generation_workers_up(s->serving);
		generation_trouble(s->serving, m->trouble);
		m->open_limit = generation_connections(s->serving);
		m->expires = generation_expires(s->serving);
	}
	for (struct list *node = s->draining.next; node != &s->draining; node = node->next)
		generation_add_counters(generation_of_node(node), &m->sums);
}

static int verb_status(void *userdata, const struct control_question *question)
{
	const struct supervisor *s = userdata;
	_cleanup_moment_ struct moment moment = MOMENT_EMPTY;

	if (!s->serving) {
		fprintf(question->out, question->json ? "{\"stopping\":true}\n" : "stopping\n");
		return EX_TEMPFAIL;
	}
	supervisor_observe(s, &moment);
	if (question->json)
		status_print_json(&s->stats, &moment, question->out);
	else
		status_print(&s->stats, &moment, question->out);
	if (strcmp(question->argument, "--check") == 0 && moment.trouble[0] != '\0')
		return EXIT_FAILURE;
	return EX_OK;
}

static int verb_metrics(void *userdata, const struct control_question *question)
{
	const struct supervisor *s = userdata;
	_cleanup_moment_ struct moment moment = MOMENT_EMPTY;

	supervisor_observe(s, &moment);
	metrics_print(&s->stats.lasting, &moment, question->out);
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
