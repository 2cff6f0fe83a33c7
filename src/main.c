/* SPDX-License-Identifier: Apache-2.0 */

/* upperd: from the command line to what is to be done. */

#include <sysexits.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/logtext.h"
#include "child/roles.h"
#include "command/commands.h"
#include "config.h"
#include "process/options.h"
#include "supervisor/supervisor.h"

#if WITH_ASAN
/* libconfig forgets the string before a syntax error: a few bytes, once for a text that is refused. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}
#endif

static int run_action(const struct options *options)
{
	switch (options->action) {
	case ACTION_RUN:
		return supervisor_main(options);
	case ACTION_CHECK:
		return command_check(options);
	case ACTION_DUMP:
		return command_dump(options);
	case ACTION_VERSION:
		return command_version(options);
	case ACTION_COMPLETIONS:
		return command_completions(options);
	case ACTION_HELP:
		options_print();
		return EX_OK;
	case ACTION_ROLE:
		return role_main(options->role);
	}
	return EX_SOFTWARE;
}

int main(int argc, char *argv[])
{
	struct options options;
	int exit_code;

	if (fd_fill_standard() < 0)
		return EX_OSERR;
	log_set_sink(logtext_to_stderr, NULL);
	if (options_parse(argc, argv, &options) != 0)
		return EX_USAGE;
	exit_code = run_action(&options);
	options_done(&options);
	return exit_code;
}
