/* SPDX-License-Identifier: Apache-2.0 */

/* The verbs of upperctl: a function each, of the name verb_NAME. The list is CONTROL_VERBS in
 * process/ctl.h, and upperctl has the help for each. A verb that takes time must not keep the
 * supervisor from its loop: it starts something, and returns CONTROL_LATER or CONTROL_TAKEN. */

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "supervisor/metrics.h"
#include "supervisor/status.h"
#include "supervisor/supervisor.h"

#define PLOT "--plot=" /* how many columns there are to draw in */

static int verb_status(void *userdata, const struct control_question *question)
{
	const struct supervisor *s = userdata;
	_cleanup_moment_ struct moment moment = MOMENT_EMPTY;
	unsigned columns = 0;
	char trouble[512];

	if (strncmp(question->argument, PLOT, strlen(PLOT)) == 0)
		columns = (unsigned)strtoul(question->argument + strlen(PLOT), NULL, 10);
	supervisor_observe(s, &moment);
	if (question->json)
		status_print_json(&s->stats, &moment, question->out);
	else
		status_print(&s->stats, &moment, columns, question->out);
	if (!s->generations.serving && !remnants_are_serving(&s->takeover.remnants))
		return EX_TEMPFAIL; /* it stops, and shows what is left */
	stats_judge(&s->stats, &moment, trouble);
	return strcmp(question->argument, "--check") == 0 && trouble[0] ? EXIT_FAILURE : EX_OK;
}

static int verb_metrics(void *userdata, const struct control_question *question)
{
	const struct supervisor *s = userdata;
	_cleanup_moment_ struct moment moment = MOMENT_EMPTY;

	supervisor_observe(s, &moment);
	metrics_print(&s->stats, &moment, question->json ? EXPOSITION_JSON : EXPOSITION_TEXT,
		question->out);
	return EX_OK;
}

static int verb_reload(void *userdata, const struct control_question *question)
{
	struct supervisor *s = userdata;

	*question->build = supervisor_reload(s);
	if (*question->build > 0)
		return CONTROL_LATER;
	fprintf(question->out, "upperd is stopping\n");
	return EX_TEMPFAIL;
}

static int verb_drain(void *userdata, const struct control_question *question)
{
	struct supervisor *s = userdata;

	if (!s->generations.is_stopping)
		supervisor_stop(s);
	return CONTROL_LATER;
}

static int verb_sandbox(void *userdata, const struct control_question *question)
{
	struct supervisor *s = userdata;

	if (!s->generations.serving) {
		fprintf(question->out, "upperd is stopping\n");
		return EX_TEMPFAIL;
	}
	return selftests_begin(&s->selftests, generation_conf(s->generations.serving), question);
}

static int verb_upgrade(void *userdata, const struct control_question *question)
{
	supervisor_upgrade(userdata);
	return CONTROL_LATER;
}

/* The manager's unit for it was started while the daemon runs: see systemd/upperd-attach. */
static int verb_attach(void *userdata, const struct control_question *question)
{
	struct supervisor *s = userdata;
	int r;

	if (*question->passed < 0 || question->argument[0] == '\0') {
		fprintf(question->out, "a socket is attached with its name and its descriptor\n");
		return EX_USAGE;
	}
	if (generations_is_building(&s->generations) || !s->generations.serving) {
		fprintf(question->out, "a start, a reload or a stop is under way; ask again\n");
		return EX_TEMPFAIL;
	}
	r = sockets_attach(&s->resources.sockets, question->argument, question->passed);
	if (r == SOCKETS_E_THERE)
		fprintf(question->out, "there is a socket of that name already\n");
	else if (r < 0)
		fprintf(question->out, "the socket cannot be used: %s\n", strerror(-r));
	return r == 0 ? verb_reload(userdata, question) : r < 0 ? EX_OSERR : EX_TEMPFAIL;
}

static void print_level(const struct control_question *question, const char *name)
{
	struct json json = JSON_TO(question->out);

	if (!question->json) {
		fprintf(question->out, "level %s until the next reload\n", name);
		return;
	}
	json_object(&json, NULL);
	json_string(&json, "level", name);
	json_end(&json);
}

/* A reload takes up the configured level again. */
static int verb_log(void *userdata, const struct control_question *question)
{
	struct supervisor *s = userdata;
	enum log_level level = LOG_LEVEL_ERROR;

	while (level < LOG_LEVEL_DEBUG && strcmp(log_level_name(level), question->argument) != 0)
		level++;
	if (strcmp(log_level_name(level), question->argument) != 0) {
		fprintf(question->out,
			"a level is error, warning, notice, info or debug, and not \"%s\"\n",
			question->argument);
		return EX_USAGE;
	}
	if (!s->generations.serving) {
		fprintf(question->out, "no workers of this program serve now\n");
		return EX_TEMPFAIL;
	}
	log_set_level(level);
	generation_set_log_level(s->generations.serving, level);
	print_level(question, log_level_name(level));
	return EX_OK;
}

const struct control_verb supervisor_verbs[] = {
#define VERB(name, changes) {#name, changes, verb_##name},
	CONTROL_VERBS(VERB)
#undef VERB
		{NULL, false, NULL},
};
