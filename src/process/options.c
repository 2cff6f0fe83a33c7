/* SPDX-License-Identifier: Apache-2.0 */

/* One table of options makes the parser and the help. */

#include "process/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config.h"

/* Beyond the letters, for options that have none. */
enum {
	OPTION_SET = 256,
	OPTION_JSON,
	OPTION_VERSION,
	OPTION_ROLE,
	OPTION_AS_SERVICE,
	OPTION_SOCKETS
};

static const struct daemon_option {
	int value; /* the letter, or one of the above */
	const char *name;
	int argument;
	const char *form, *help; /* NULL: not shown */
} rows[] = {
	{'c', "config", required_argument, "-c, --config FILE",
		"read FILE instead of " UPPERD_SYSCONFDIR "/upperd/upperd.conf"},
	{OPTION_SET, "set", required_argument, "    --set KEY=VALUE",
		"override one value; listeners by name: listeners.web.port=80"},
	{'t', "check", optional_argument, "-t, --check[=strict]",
		"say what is wrong with the configuration, and stop;\n"
		"strict: warnings are errors"},
	{OPTION_AS_SERVICE, "as-service", no_argument, "    --as-service",
		"with --check: look as the installed unit would, with its\n"
		"user, credentials and sockets"},
	{OPTION_SOCKETS, "sockets", required_argument, NULL, NULL},
	{OPTION_JSON, "json", no_argument, "    --json", "with --check and --version: as JSON"},
	{'T', "dump", no_argument, "-T, --dump",
		"print the effective configuration and where each value is\n"
		"from, and stop"},
	{OPTION_VERSION, "version", no_argument, "    --version", "print version and features"},
	{'h', "help", no_argument, "-h, --help", "print this"},
	{OPTION_ROLE, "role", required_argument, NULL, NULL},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

void options_print(void)
{
	printf("usage: upperd [OPTION]...\n\n"
	       "Answers text in upper case over UDP and TCP, in the foreground.\n\n");
	for (size_t i = 0; i < N_ROWS; i++) {
		const char *line = rows[i].help;

		if (!line)
			continue;
		printf("  %-22s", rows[i].form);
		for (const char *end; (end = strchr(line, '\n')); line = end + 1)
			printf("%.*s\n%24s", (int)(end - line), line, "");
		printf("%s\n", line);
	}
	printf("\nExit codes: 0 stopped as asked, 64 usage, 78 configuration, 77 permission,\n"
	       "71 the system refused something, 70 a bug. See upperd(8) and upperd.conf(5).\n");
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
		longs[i] = (struct option){rows[i].name, rows[i].argument, NULL, rows[i].value};
		if (rows[i].value > 255)
			continue;
		*letters++ = (char)rows[i].value;
		if (rows[i].argument == required_argument)
			*letters++ = ':';
	}
	longs[N_ROWS] = (struct option){0};
	*letters = '\0';
}

/* Two of them would be one too many; what asks for help comes first in any case. */
static int options_act(struct options *options, enum action action)
{
	if (options->action != ACTION_RUN && options->action != action && action != ACTION_HELP &&
		options->action != ACTION_HELP) {
		fprintf(stderr, "upperd: one thing at a time: --check, --dump or --version\n");
		return OPTIONS_E_USAGE;
	}
	if (options->action != ACTION_HELP)
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
	case OPTION_VERSION:
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
		if (options_take(&options, value, optarg, &n_sets) != 0)
			return options_refuse(argv[0]);
	if (optind < argc) {
		fprintf(stderr,
			"upperd: unexpected argument \"%s\"; name the configuration with -c\n",
			argv[optind]);
		return options_refuse(argv[0]);
	}
	if (options.json && options.action != ACTION_CHECK && options.action != ACTION_VERSION &&
		options.action != ACTION_HELP) {
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
