/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The command line of upperd. */

#include <stdbool.h>

enum action {
	ACTION_RUN,
	ACTION_CHECK,
	ACTION_DUMP,
	ACTION_VERSION,
	ACTION_COMPLETIONS,
	ACTION_HELP,
	ACTION_ROLE
};

struct options {
	enum action action;
	const char *file;  /* -c */
	const char **sets; /* --set, NULL-terminated; owned, its strings are argv's */
	bool strict, json, as_service, is_file_given;
	const char *sockets; /* that a start would be passed; NULL: it is not asked */
	const char *role;
	const char *completions; /* a shell, or "keys" */
	char **argv;             /* as it was given */
};

enum { OPTIONS_E_USAGE = 1 }; /* and stderr has been told why */

int options_parse(int argc, char *argv[], struct options *ret_options);
void options_done(struct options *options);
/* Prints the text of --help. */
void options_print(void);
void options_print_completions(const char *shell);
