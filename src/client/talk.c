/* SPDX-License-Identifier: Apache-2.0 */
/* The form without a word of its own: TEXT makes it one-shot; without any, a terminal on stdin
 * makes it interactive, and anything else a filter. */

#include <unistd.h>

#include "client/forms.h"
#include "client/options.h"
#include "client/report.h"
#include "client/server.h"

int talk_run(const struct options *options)
{
	struct why why = {0};
	struct server server;
	int r;

	r = server_find(options->url, options, &server, &why);
	if (r)
		return report_failure(options, server.name, r, &why);
	if (options->n_rest)
		return oneshot_run(&server);
	return isatty(STDIN_FILENO) ? interactive_run(&server) : filter_run(&server);
}
