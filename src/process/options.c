/* SPDX-License-Identifier: Apache-2.0 */

/* One table of options makes the parser and the help. */

#include "process/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/completions.h"
#include "config.h"

/* Beyond the letters, for options that have none. */
enum {
	OPTION_SET = 256,
	OPTION_JSON,
	OPTION_COMPLETIONS,
	OPTION_ROLE,
	OPTION_AS_SERVICE,
	OPTION_SOCKETS
};

/* The keys of a configuration are completed by this program, which has to know which one is meant. */
#define KEYS "$(upperd --completions keys " COMPLETIONS_BEFORE " 2>/dev/null)"

static const struct daemon_option {
	int value; /* the letter, or one of the above */
	const char *name;
	int takes;
	const char *argument, *choices;
	const char *help; /* NULL: not shown */
} rows[] = {
	{'c', "config", required_argument, "FILE", NULL,
		"read this configuration\n(default " UPPERD_SYSCONFDIR "/upperd/upperd.conf)"},
	{OPTION_SET, "set", required_argument, "KEY=VALUE", KEYS,
		"override one value (default none);\nlisteners by name: listeners.web.port=80"},
	{'t', "check", optional_argument, "[=strict]", "strict",
		"say what is wrong with the configuration, and stop\n"
		"(default off); strict: warnings are errors"},
	{OPTION_AS_SERVICE, "as-service", no_argument, NULL, NULL,
		"with --check: look as the installed unit would, with its\n"
		"user, credentials and sockets (default off)"},
	{OPTION_SOCKETS, "sockets", required_argument, NULL, NULL, NULL},
	{OPTION_JSON, "json", no_argument, NULL, NULL,
		"with --check and --version: as JSON (default off)"},
	{'T', "dump", no_argument, NULL, NULL,
		"print the effective configuration and where each value is\n"
		"from, and stop (default off)"},
	{OPTION_COMPLETIONS, "completions", required_argument, "SHELL", COMPLETIONS_SHELLS " keys",
		"print the completions for bash, zsh or fish, or the keys\n"
		"that --set takes (default none)"},
	{'V', "version", no_argument, NULL, NULL, "print version and features"},
	{'h', "help", no_argument, NULL, NULL, "print this"},
	{OPTION_ROLE, "role", required_argument, NULL, NULL, NULL},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static void help_row(const struct daemon_option *row)
{
	const char *line = row->help;
	char form[32];

	snprintf(form, sizeof(form), "%s%s%s", row->name,
		row->takes == required_argument ? " " : "", row->argument ? row->argument : "");
	printf(row->value < 256 ? "  -%c, " : "      ", row->value);
	printf("--%-18s ", form);
	for (const char *end; (end = strchr(line, '\n')); line = end + 1)
		printf("%.*s\n%27s", (int)(end - line), line, "");
	printf("%s\n", line);
}

void options_print(void)
{
	printf("usage: upperd [OPTION]...\n\n"
	       "Answers text in upper case over UDP and TCP, in the foreground.\n\n");
	for (size_t i = 0; i < N_ROWS; i++)
		if (rows[i].help)
			help_row(&rows[i]);
	printf("\nExit codes: 0 stopped as asked, 64 usage, 78 configuration, 77 permission,\n"
	       "71 the system refused something, 70 a bug. See upperd(8) and upperd.conf(5).\n");
}

static bool show_daemon_option(size_t form, size_t index, struct completion *ret_option)
{
	const struct daemon_option *row = &rows[index];

	if (index >= N_ROWS)
		return false;
	*ret_option = (struct completion){
		.letter = row->value < 256 ? (char)row->value : 0,
		.name = row->help ? row->name : NULL,
		.argument = row->takes == optional_argument ? "KIND" : row->argument,
		.is_optional = row->takes == optional_argument,
		.choices = row->choices,
		.help = row->help,
	};
	return true;
}

void options_print_completions(const char *shell)
{
	static const struct completion_form form;

	completions_print(
		&(struct completion_program){"upperd", false, &form, show_daemon_option}, shell);
}

static int options_refuse(const char *program)
{
	fprintf(stderr, "Try '%s --help'.\n", program);
	return OPTIONS_E_USAGE;
}

/* The table as getopt_long() wants it: the long names, and the letters. */
static void options_tables(
	struct option longs[static N_ROWS + 1], char letters[static 3 * N_ROWS + 1])
{
	for (size_t i = 0; i < N_ROWS; i++) {
		longs[i] = (struct option){rows[i].name, rows[i].takes, NULL, rows[i].value};
		if (rows[i].value > 255)
			continue;
		*letters++ = (char)rows[i].value;
		if (rows[i].takes == required_argument)
			*letters++ = ':';
	}
	longs[N_ROWS] = (struct option){0};
	*letters = '\0';
}

/* Help comes first in any case, and a shell completes a command line that may have anything on it. */
static bool is_overriding(enum action action)
{
	return action == ACTION_HELP || action == ACTION_COMPLETIONS;
}

/* Two of them would be one too many. */
static int options_act(struct options *options, enum action action)
{
	if (options->action != ACTION_RUN && options->action != action && !is_overriding(action) &&
		!is_overriding(options->action)) {
		fprintf(stderr, "upperd: one thing at a time: --check, --dump or --version\n");
		return OPTIONS_E_USAGE;
	}
	if (!is_overriding(options->action))
		options->action = action;
	return 0;
}

static int options_take(struct options *options, int value, const char *argument, size_t *n_sets)
{
	switch (value) {
	case 'c':
		options->file = argument;
		options->is_file_given = true;
		return 0;
	case OPTION_SET:
		options->sets[(*n_sets)++] = argument;
		return 0;
	case 't':
		options->strict = argument != NULL;
		if (!argument || strcmp(argument, "strict") == 0)
			return options_act(options, ACTION_CHECK);
		fprintf(stderr, "upperd: --check=%s: the only kind is \"strict\"\n", argument);
		return OPTIONS_E_USAGE;
	case OPTION_AS_SERVICE:
		options->as_service = true;
		return 0;
	case OPTION_SOCKETS:
		options->sockets = argument;
		return 0;
	case OPTION_JSON:
		options->json = true;
		return 0;
	case 'T':
		return options_act(options, ACTION_DUMP);
	case OPTION_COMPLETIONS:
		options->completions = argument;
		if (completions_has_shell(argument) || strcmp(argument, "keys") == 0)
			return options_act(options, ACTION_COMPLETIONS);
		fprintf(stderr, "upperd: --completions=%s: there are " COMPLETIONS_SHELLS " keys\n",
			argument);
		return OPTIONS_E_USAGE;
	case 'V':
		return options_act(options, ACTION_VERSION);
	case 'h':
		return options_act(options, ACTION_HELP);
	case OPTION_ROLE:
		options->role = argument;
		return options_act(options, ACTION_ROLE);
	default: /* getopt has said what is wrong */
		return OPTIONS_E_USAGE;
	}
}

static void options_donep(struct options *options)
{
	options_done(options);
}

int options_parse(int argc, char *argv[], struct options *ret_options)
{
	__attribute__((cleanup(options_donep))) struct options options = {
		.file = UPPERD_SYSCONFDIR "/upperd/upperd.conf", .argv = argv};
	struct option longs[N_ROWS + 1];
	char letters[3 * N_ROWS + 1];
	size_t n_sets = 0;
	int value;

	options.sets = calloc((size_t)argc + 1, sizeof(*options.sets));
	if (!options.sets)
		return -ENOMEM;
	options_tables(longs, letters);
	while ((value = getopt_long(argc, argv, letters, longs, NULL)) != -1)
		if (options_take(&options, value, optarg, &n_sets) != 0 &&
			options.action != ACTION_COMPLETIONS)
			return options_refuse(argv[0]);
	if (optind < argc && options.action != ACTION_COMPLETIONS) {
		fprintf(stderr,
			"upperd: unexpected argument \"%s\"; name the configuration with -c\n",
			argv[optind]);
		return options_refuse(argv[0]);
	}
	if (options.json && options.action != ACTION_CHECK && options.action != ACTION_VERSION &&
		!is_overriding(options.action)) {
		fprintf(stderr, "upperd: --json is for --check and --version\n");
		return options_refuse(argv[0]);
	}
	*ret_options = options;
	options.sets = NULL;
	return 0;
}

void options_done(struct options *options)
{
	free(options->sets);
	options->sets = NULL;
}
