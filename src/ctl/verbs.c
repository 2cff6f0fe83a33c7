/* SPDX-License-Identifier: Apache-2.0 */

/* The command line of upperctl. The verbs are CONTROL_VERBS in process/ctl.h, from which the
 * daemon makes its table as well; here each has the texts of its help, and the rules for its
 * argument. Parser, help and completions come of these two tables, so that none of them can lag
 * behind. */

#include "ctl/verbs.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/completions.h"
#include "config.h"

#define SOCKET_PATH UPPERD_RUNDIR "/upperd/control"

/* Names of units upperd-NAME.socket. */
#define SOCKET_UNITS                                                    \
	"$(systemctl list-unit-files --no-legend \"upperd-*.socket\" |" \
	" sed -n \"s/^upperd-\\([^ ]*\\)[.]socket .*/\\1/p\")"

/* The help on a verb; process/ctl.h has the list of verbs. */
struct verb_text {
	const char *form; /* of the argument, for a person; NULL: it takes none */
	const char
		*words; /* that the argument is one of; NULL: any, and it needs one; or a command */
	const char *summary, *about, *statuses, *example;
};

static const struct verb_text text_of_status = {
	"[--check | --watch]",
	"--check",
	"whether all is well, and how things are",
	"The first line is \"well\", or begins with \"not well\" and says why. Then come "
	"the\n"
	"configuration that serves, connections, listeners, processes, certificates and "
	"limits.",
	"  1   with --check: not all is well\n",
	"upperctl status --check",
};

static const struct verb_text text_of_reload = {
	NULL,
	NULL,
	"read the configuration again; prints what is wrong with it",
	"Waits until the new workers serve. If they cannot, every fault is printed, and "
	"the daemon\n"
	"goes on as it was. Warnings are printed, and counted in the last line.",
	"  71  the system refused something\n  78  the configuration has faults; nothing "
	"has changed\n",
	"upperctl reload",
};

static const struct verb_text text_of_metrics = {
	NULL,
	NULL,
	"all counters, as Prometheus reads them",
	"The same text that the keys metrics.* serve over HTTP.",
	"",
	"upperctl metrics",
};

static const struct verb_text text_of_clients = {
	"[clear]",
	"clear",
	"open connections and refusals by client; \"clear\" forgives",
	"Clients with open connections, and those that are turned away for breaking the "
	"rules.\n"
	"\"clear\" lets all of the latter in again; that is for root and the daemon's own "
	"user.",
	"",
	"upperctl clients",
};

static const struct verb_text text_of_drain = {
	NULL,
	NULL,
	"finish what is open, and stop",
	"Accepts no connection any more, lets open ones finish within the time `drain` of "
	"the\n"
	"configuration, stops the daemon, and then returns.",
	"",
	"upperctl drain",
};

static const struct verb_text text_of_sandbox = {
	NULL,
	NULL,
	"try to break the sandbox of every role",
	"Starts a process of each role that tries what an attacker would try, and prints "
	"what came\n"
	"of each attempt.",
	"  69  something gave way, or the sandbox is off\n",
	"upperctl sandbox",
};

static const struct verb_text text_of_upgrade = {
	NULL,
	NULL,
	"put the installed program in the place of the running one",
	"The new program is tried first, and takes over the process, the sockets and the\n"
	"connections. If it does not come up, the answer says why, and nothing has "
	"changed.",
	"  71  the new program does not come up; nothing has changed\n",
	"upperctl upgrade",
};

static const struct verb_text text_of_log = {
	"LEVEL",
	"error warning notice info debug",
	"write records of LEVEL until the next reload",
	"Records of that level and above: error, warning, notice, info or debug. The next "
	"reload\n"
	"takes up log.level of the configuration again.",
	"",
	"upperctl log debug",
};

static const struct verb_text text_of_attach = {
	"NAME",
	SOCKET_UNITS,
	"serve the socket of upperd-NAME.socket, too, without a restart",
	"Reads the configuration, which is to have a listener NAME, and serves it on the "
	"socket of\n"
	"that unit. Nothing is lost or restarted. Takes root, and systemd. If it cannot be "
	"served,\n"
	"the answer says why, and the socket is closed again.",
	"  71  the system refused something\n  78  the configuration has faults; nothing "
	"has changed\n",
	"upperctl attach tls",
};

static const struct verb {
	const char *name;
	bool changes;
	const struct verb_text *text;
} verbs[] = {
#define VERB(name, changes) {#name, changes, &text_of_##name},
	CONTROL_VERBS(VERB)
#undef VERB
};

#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct ctl_option {
	int value; /* the letter, or beyond */
	const char *name, *argument;
	bool is_of_status, is_general; /* neither: it goes with every verb */
	const char *choices, *help;
} options[] = {
	{'s', "socket", "SOCKET", false, false, NULL,
		"ask at this control socket (default " SOCKET_PATH ")"},
	{'j' + 256, "json", NULL, false, false, NULL, "answer as JSON (default off)"},
	{'c' + 256, "check", NULL, true, false, NULL,
		"exit with 1 when not all is well (default off)"},
	{'w' + 256, "watch", NULL, true, false, NULL, "draw it anew once a second (default off)"},
	{'C' + 256, "completions", "SHELL", false, true, COMPLETIONS_SHELLS,
		"print the completions for bash, zsh or fish (default none)"},
	{'V', "version", NULL, false, true, NULL, "print the version"},
	{'h', "help", NULL, false, false, NULL,
		"print this; after a verb, what there is to know about it"},
};

#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

/* The index; N_VERBS: there is none of that name. */
static size_t verb_find(const char *word)
{
	size_t i = 0;

	while (i < N_VERBS && strcmp(verbs[i].name, word) != 0)
		i++;
	return i;
}

static bool suits_verb(const struct ctl_option *option, size_t verb)
{
	if (option->is_of_status)
		return verb == N_VERBS || strcmp(verbs[verb].name, "status") == 0;
	return verb == N_VERBS || !option->is_general;
}

static void help_options(size_t verb)
{
	for (const struct ctl_option *option = options; option < options + N_OPTIONS; option++) {
		char form[32];

		if (!suits_verb(option, verb))
			continue;
		snprintf(form, sizeof(form), "%s%s%s", option->name, option->argument ? " " : "",
			option->argument ? option->argument : "");
		printf(option->value < 256 ? "  -%c, " : "      ", option->value);
		printf("--%-18s %s%s\n", form,
			verb == N_VERBS && option->is_of_status ? "status: " : "", option->help);
	}
}

static void print_help(void)
{
	printf("usage: upperctl [-s SOCKET] [--json] VERB\n\n"
	       "Asks a running upperd; the exit status is its verdict.\n\n");
	for (const struct verb *verb = verbs; verb < verbs + N_VERBS; verb++)
		printf("  %-8s %s %s\n", verb->name, verb->changes ? "*" : " ",
			verb->text->summary);
	printf("\n* is for root and the daemon's own user; the others, also for the members of "
	       "control.group.\nupperctl VERB --help says more about each.\n\n");
	help_options(N_VERBS);
	printf("\nSee upperctl(8).\n");
}

static void print_verb(const struct verb *verb)
{
	printf("usage: upperctl [-s SOCKET] [--json] %s%s%s\n\n%s\n\n", verb->name,
		verb->text->form ? " " : "", verb->text->form ? verb->text->form : "",
		verb->text->about);
	printf(verb->changes ? "For root and the daemon's own user.\n\n"
			     : "For root, the daemon's own user, and the members of "
			       "control.group.\n\n");
	help_options((size_t)(verb - verbs));
	printf("\nExit status:\n  0   done\n"
	       "  64  the command line is wrong\n"
	       "  69  no daemon answers at the socket\n"
	       "  75  not now: it stops, or does something else of the kind\n"
	       "  77  not for this user\n"
	       "%s"
	       "\nExample:\n  %s\n\nSee upperctl(8).\n",
		verb->text->statuses, verb->text->example);
}

static bool show_verb_option(size_t form, size_t index, struct completion *ret_option)
{
	const struct ctl_option *option = &options[index];
	bool is_file = index < N_OPTIONS && option->value == 's';

	if (index >= N_OPTIONS)
		return false;
	*ret_option = (struct completion){
		.letter = option->value < 256 ? (char)option->value : 0,
		.name = suits_verb(option, form) && (form < N_VERBS || !option->is_of_status)
			? option->name
			: NULL,
		.argument = is_file ? "FILE" : option->argument,
		.choices = option->choices,
		.help = option->help,
	};
	return true;
}

static void complete_verbs(const char *shell)
{
	struct completion_form forms[N_VERBS + 1] = {0};

	for (size_t i = 0; i < N_VERBS; i++)
		forms[i] = (struct completion_form){verbs[i].name, verbs[i].text->summary,
			verbs[i].text->words && verbs[i].text->words[0] != '-'
				? verbs[i].text->words
				: NULL};
	completions_print(
		&(struct completion_program){"upperctl", false, forms, show_verb_option}, shell);
}

static int try_help(void)
{
	fprintf(stderr, "Try 'upperctl --help'.\n");
	return EX_USAGE;
}

static int usage_error(const char *what, const char *which)
{
	fprintf(stderr, "upperctl: %s%s\n", what, which);
	return try_help();
}

static int unknown_verb(const char *word)
{
	fprintf(stderr, "upperctl: there is no verb \"%s\"; ", word);
	for (size_t i = 0; i < N_VERBS; i++)
		fprintf(stderr, "%s%s",
			i == 0                    ? ""
				: i + 1 < N_VERBS ? ", "
						  : " or ",
			verbs[i].name);
	fprintf(stderr, " will do\n");
	return try_help();
}

static int check_argument(const struct verb *verb, const char *argument)
{
	bool is_needed = verb->text->form && verb->text->form[0] != '[';

	if (is_needed && argument)
		return 0;
	if (is_needed) {
		fprintf(stderr, "upperctl: %s needs %s\n", verb->name, verb->text->form);
		return try_help();
	}
	if (!argument || (verb->text->words && strcmp(argument, verb->text->words) == 0))
		return 0;
	if (!verb->text->words || verb_find(argument) < N_VERBS)
		return usage_error("one verb at a time, and not also ", argument);
	fprintf(stderr, "upperctl: all that can follow %s is \"%s\", not %s\n", verb->name,
		verb->text->words, argument);
	return try_help();
}

int request_compose(struct request *request, const char *verb, const char *argument)
{
	int len = snprintf(request->text, sizeof(request->text), "%s%s%s%s",
		request->json ? CONTROL_JSON : "", verb, argument ? " " : "",
		argument ? argument : "");

	return (size_t)len < sizeof(request->text) ? 0 : usage_error("too long: ", argument);
}

/* The words that are no options. */
static int take_words(struct request *request, char *words[], int n, bool check)
{
	size_t verb;
	int r;

	if (n == 0)
		return usage_error("a verb is missing, such as \"status\"", "");
	request->verb = words[0];
	request->argument = n > 1 ? words[1] : NULL;
	if (n > 2)
		return usage_error("one thing at a time: ", words[2]);
	if (request->watch && (check || request->argument || strcmp(request->verb, "status") != 0))
		return usage_error("--watch goes with status, and with nothing else", "");
	verb = verb_find(request->verb);
	if (verb == N_VERBS)
		return unknown_verb(request->verb);
	if (check && strcmp(request->verb, "status") != 0)
		return usage_error("--check goes with status, and with nothing else", "");
	if (check)
		request->argument = request->argument ? "--check and more" : "--check";
	r = check_argument(&verbs[verb], request->argument);
	return r != 0 ? r : request_compose(request, request->verb, request->argument);
}

/* After --help: of the verb, if there is one. */
static int show_help(const char *word)
{
	size_t verb = word ? verb_find(word) : N_VERBS;

	if (word && verb == N_VERBS)
		return unknown_verb(word);
	if (word)
		print_verb(&verbs[verb]);
	else
		print_help();
	return REQUEST_E_SHOWN;
}

static int show_completions(const char *shell)
{
	if (!completions_has_shell(shell))
		return usage_error(
			"completions are for " COMPLETIONS_SHELLS ", and not for ", shell);
	complete_verbs(shell);
	return REQUEST_E_SHOWN;
}

static void fill_getopt(struct option longs[static N_OPTIONS + 1])
{
	for (size_t i = 0; i < N_OPTIONS; i++)
		longs[i] = (struct option){options[i].name,
			options[i].argument ? required_argument : no_argument, NULL,
			options[i].value};
	longs[N_OPTIONS] = (struct option){0};
}

int request_parse(int argc, char *argv[], struct request *ret_request)
{
	struct request request = {.path = SOCKET_PATH};
	struct option longs[N_OPTIONS + 1];
	bool check = false, help = false;
	int option, r;

	fill_getopt(longs);
	while ((option = getopt_long(argc, argv, "s:hV", longs, NULL)) != -1) {
		switch (option) {
		case 's':
			request.path = optarg;
			break;
		case 'j' + 256:
			request.json = true;
			break;
		case 'c' + 256:
			check = true;
			break;
		case 'w' + 256:
			request.watch = true;
			break;
		case 'C' + 256:
			return show_completions(optarg);
		case 'V':
			printf("upperctl %s\n", UPPERD_VERSION);
			return REQUEST_E_SHOWN;
		case 'h':
			help = true;
			break;
		default:
			return try_help(); /* getopt has said what is wrong */
		}
	}
	if (help)
		return show_help(argv[optind]);
	r = take_words(&request, argv + optind, argc - optind, check);
	if (r == 0)
		*ret_request = request;
	return r;
}
