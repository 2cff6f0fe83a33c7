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
	bool is_filter = !options->n_rest && !isatty(STDIN_FILENO);
	struct server server;
	int r;

	r = server_find(options->url, options, &server, &why);
	if (r && is_filter)
		return filter_refuse(&server, r, &why);
	if (r)
		return report_failure(options, server.name, r, &why);
	if (is_filter)
		return filter_run(&server);
	return options->n_rest ? oneshot_run(&server) : interactive_run(&server);
}
