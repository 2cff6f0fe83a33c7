/* SPDX-License-Identifier: Apache-2.0 */
/* upper: the client. The first word may name a form; everything else is up to the form. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/completions.h"
#include "base/fd.h"
#include "client/options.h"
#include "client/report.h"
#include "client/server.h"

/* The least MTU of IPv6, less the headers of IPv6 and UDP. */
#define MTU 1232

static int talk_run(const struct options *options)
{
	struct why why = {0};
	bool is_filter = !options->n_rest && !isatty(STDIN_FILENO);
	_cleanup_server_ struct server server = {0};
	int r;

	r = server_find(options->url, options, &server, &why);
	if (r && is_filter)
		return filter_refuse(&server, r, &why);
	if (r)
		return report_failure(options, server.name, r, &why);
	server.is_announced = options->verbose;
	if (is_filter)
		return filter_run(&server);
	return options->n_rest ? oneshot_run(&server) : interactive_run(&server);
}

static const struct form forms[] = {
	{
		FORM_PING,
		"ping",
		"ping [OPTIONS] [URL...]",
		"Measures round trips, and compares each answer with the right one.",
		ping_run,
		.defaults = {.timeout_ms = 1000, .interval_ms = 1000, .size = 56, .mtu = MTU},
	},
	{
		FORM_BENCH,
		"bench",
		"bench [OPTIONS] [URL]",
		"Loads a server, compares each answer with the right one, and shows how long they "
		"took.",
		bench_run,
		.defaults =
			{.timeout_ms = 1000, .connections = 16, .depth = 1, .size = 56, .mtu = MTU},
	},
	{
		FORM_CHECK,
		"check",
		"check [OPTIONS] [URL]",
		"A monitoring plugin: exits 0 when OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
		check_run,
		.defaults = {.timeout_ms = 7000,
			.retries = 2,
			.size = 56,
			.mtu = MTU,
			.count = 1,
			.phase = "whole",
			.min_version = "1.2",
			.loss_critical = {.is_set = true}},
	},
	{
		FORM_PATH,
		"path",
		"path [OPTIONS] [URL]",
		"Finds out what the path to a server does to packets and connections: sizes that "
		"pass,\n"
		"large handshakes that do not, idle time-outs, and which servers answer.",
		path_run,
		.defaults = {.timeout_ms = 3000, .count = 20, .mtu = MTU},
	},
	{
		FORM_PROBE,
		"probe",
		"probe [OPTIONS] [URL...]",
		"Asks each server once, and prints OpenMetrics: success, phases, session, "
		"certificate.",
		probe_run,
		.defaults = {.timeout_ms = 5000, .retries = 2, .size = 56, .mtu = MTU},
	},
	{
		FORM_TALK,
		NULL,
		"[OPTIONS] [URL [TEXT...]]",
		"Sends text to a server and prints the answer. Without TEXT, asks for lines on a\n"
		"terminal, and is a filter otherwise. After -- comes text only. The first word "
		"may\n"
		"also be ping, check, bench, probe or path: see upper ping --help, and so on.",
		talk_run,
		.defaults = {.timeout_ms = 7000, .retries = 2, .mtu = MTU},
	},
};

#define N_FORMS (sizeof(forms) / sizeof(forms[0]))

/* The row that a word names, or the nameless last one. */
static const struct form *form_of(const char *word)
{
	const struct form *form = forms;

	while (form->name && !(word && strcmp(word, form->name) == 0))
		form++;
	return form;
}

static bool show_form_option(size_t form, size_t index, struct completion *ret_option)
{
	return options_show(&forms[form], index, ret_option);
}

static void complete_forms(const char *shell)
{
	static const char urls[] = "udp:// tcp:// tls:// dtls:// unix:";
	struct completion_form shown[N_FORMS];

	for (size_t i = 0; i < N_FORMS; i++)
		shown[i] = (struct completion_form){forms[i].name, forms[i].summary, urls};
	completions_print(
		&(struct completion_program){"upper", true, shown, show_form_option}, shell);
}

/* A plugin's own faults are UNKNOWN to the system that runs it. */
static int own_fault(const struct form *form, int outcome)
{
	return form->form == FORM_CHECK ? 3 : outcome;
}

static int run_form(const struct form *form, const struct options *options)
{
	int r = form->run(options);

	if (r < 0)
		say("%s", errno_phrase(-r));
	return r < 0 ? CLIENT_E_LOCAL : r;
}

static int refuse_form(
	const struct form *form, const struct options *options, const struct why *why)
{
	if (form->form == FORM_CHECK)
		return check_refuse(options, why->text);
	return report_failure(options, NULL, CLIENT_E_USAGE, why);
}

int main(int argc, char **argv)
{
	const struct form *form = form_of(argc > 1 ? argv[1] : NULL);
	int skip = form->name ? 1 : 0;
	const struct command command = {form, argc - skip, argv + skip};
	struct options options;
	struct why why = {0};
	int r;

	if (fd_fill_standard() < 0)
		return own_fault(form, CLIENT_E_LOCAL);
	signal(SIGPIPE, SIG_IGN);
	r = command_line_parse(&command, &options, &why);
	if (r && r != OPTIONS_E_SHOWN)
		return refuse_form(form, &options, &why);

	if (!r && options.completions)
		complete_forms(options.completions);
	else
		r = r ? 0 : run_form(form, &options);
	/* An answer that could not be written is no success. */
	return r == 0 && report_flush() ? own_fault(form, CLIENT_E_LOCAL) : r;
}
