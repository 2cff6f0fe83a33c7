/* SPDX-License-Identifier: Apache-2.0 */
/* A line from the terminal, its answer, and so on until Ctrl-D. Every line is text: there are no
 * commands. A failure is said, and the next line tries again. */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "client/ask.h"
#include "client/options.h"
#include "client/prompt.h"
#include "client/report.h"

static void print_answer_as_json(const struct asker *asker)
{
	const struct answer *answer = &asker->answer;
	struct json json = JSON_TO(stdout);

	json_object(&json, NULL);
	json_bytes(&json, "reply", answer->text, answer->len, SIZE_MAX);
	json_bool(&json, "correct", answer->is_right);
	json_number(&json, "tries", asker->tries);
	json_decimal(&json, "ms", (double)asker->us / 1000, 3);
	json_end(&json);
}

static int print_answer(const struct asker *asker)
{
	const struct answer *answer = &asker->answer;

	if (asker->server->options->json) {
		print_answer_as_json(asker);
	} else {
		fwrite(answer->text, 1, answer->len, stdout);
		if (answer->len == 0 || answer->text[answer->len - 1] != '\n')
			putchar('\n');
	}
	if (report_flush())
		return CLIENT_E_LOCAL;
	/* Beside the answer, and not in it: on the terminal. */
	if (!asker->server->options->json && isatty(STDERR_FILENO))
		fprintf(stderr, "%s%.3f ms%s%s\n", colour_dim(stderr), (double)asker->us / 1000,
			asker->tries > 1 ? ", sent again" : "", colour_off(stderr));
	return 0;
}

static int answer_line(struct asker *asker, const char *line, size_t len)
{
	struct server *server = asker->server;
	struct why why = {0};
	int r;

	/* The end of a line is part of the text on a stream; a datagram ends by itself. */
	if (server->url.transport->is_datagram && line[len - 1] == '\n')
		len--;
	r = ask(asker, line, len, &why);
	if (asker->is_again && !server->options->json)
		note("the server had closed the connection; connected again");
	if (r)
		return report_failure(server->options, server->name, r, &why);
	return print_answer(asker);
}

/* Makes the folder. NULL: there is no place for it. */
static const char *history_path(char path[static PATH_MAX])
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int len;

	if (state && *state == '/')
		len = snprintf(path, PATH_MAX, "%s/upper/history", state);
	else if (home && *home == '/')
		len = snprintf(path, PATH_MAX, "%s/.local/state/upper/history", home);
	else
		return NULL;
	if (len >= PATH_MAX)
		return NULL;
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	return path;
}

int interactive_run(struct server *server)
{
	_cleanup_prompt_ struct prompt *prompt = NULL;
	_cleanup_asker_ struct asker asker;
	const char *line;
	char path[PATH_MAX];
	size_t len;
	int r, last = 0;

	asker_init(&asker, server);
	r = prompt_new("> ", server->options->no_history ? NULL : history_path(path), &prompt);
	if (r)
		return r;
	if (!server->options->json)
		note("%s, a line at a time; Ctrl-D ends", server->name);

	while ((r = prompt_read(prompt, &line, &len)) == 0) {
		if (len == 0 || *line == '\n')
			continue;
		last = answer_line(&asker, line, len);
		if (last == CLIENT_E_LOCAL)
			return last;
	}
	return r < 0 ? r : last;
}
