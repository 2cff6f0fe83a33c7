/* SPDX-License-Identifier: Apache-2.0 */
/* Lines edited with libedit, which reads the user's ~/.editrc and keeps a history. */

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "client/prompt.h"

#define REMEMBERED 1000

struct prompt {
	char *text;
	char *path; /* of the history; NULL: it is not kept */
	FILE *terminal;
	EditLine *edit;
	History *history;
};

static char *prompt_text(EditLine *edit)
{
	struct prompt *prompt = NULL;

	el_get(edit, EL_CLIENTDATA, &prompt);
	return prompt->text;
}

/* An edited line is characters, not bytes: where the locale knows none, UTF-8 is meant. */
static void choose_locale(void)
{
	setlocale(LC_CTYPE, "");
	if (MB_CUR_MAX == 1)
		setlocale(LC_CTYPE, "C.UTF-8");
}

static int prompt_init(struct prompt *prompt)
{
	HistEvent event;

	prompt->terminal = fopen("/dev/tty", "we");
	prompt->edit =
		el_init("upper", stdin, prompt->terminal ? prompt->terminal : stderr, stderr);
	prompt->history = history_init();
	if (!prompt->edit || !prompt->history)
		return -ENOMEM;
	history(prompt->history, &event, H_SETSIZE, REMEMBERED);
	history(prompt->history, &event, H_SETUNIQUE, 1);
	el_set(prompt->edit, EL_CLIENTDATA, prompt);
	el_set(prompt->edit, EL_PROMPT, prompt_text);
	el_set(prompt->edit, EL_EDITOR, "emacs");
	el_set(prompt->edit, EL_HIST, history, prompt->history);
	el_set(prompt->edit, EL_SIGNAL, 1);
	/* A Ctrl-D typed between two lines, when the terminal is as the shell left it, comes as NUL. */
	el_set(prompt->edit, EL_BIND, "^@", "em-delete-or-list", NULL);
	el_source(prompt->edit, NULL);
	return 0;
}

/* The file is the user's alone before the first line gets into it. Lines that cannot be kept are not worth
 * a message: they are no answers. */
static void keep_history(struct prompt *prompt)
{
	_cleanup_close_ int fd = -1;
	HistEvent event;

	if (!prompt->path)
		return;
	fd = open(prompt->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && fchmod(fd, 0600) == 0)
		history(prompt->history, &event, H_SAVE, prompt->path);
}

int prompt_new(const char *text, const char *history_file, struct prompt **ret_prompt)
{
	_cleanup_prompt_ struct prompt *prompt = calloc(1, sizeof(*prompt));
	HistEvent event;
	int r;

	if (!prompt)
		return -ENOMEM;
	prompt->text = strdup(text);
	prompt->path = history_file ? strdup(history_file) : NULL;
	if (!prompt->text || (history_file && !prompt->path))
		return -ENOMEM;
	choose_locale();
	r = prompt_init(prompt);
	if (r)
		return r;
	if (prompt->path)
		history(prompt->history, &event, H_LOAD, prompt->path);
	*ret_prompt = prompt;
	prompt = NULL;
	return 0;
}

void prompt_free(struct prompt *prompt)
{
	if (!prompt)
		return;
	if (prompt->edit)
		el_end(prompt->edit);
	if (prompt->history)
		history_end(prompt->history);
	if (prompt->terminal)
		fclose(prompt->terminal);
	free(prompt->text);
	free(prompt->path);
	free(prompt);
}

int prompt_read(struct prompt *prompt, const char **ret_line, size_t *ret_len)
{
	HistEvent event;
	const char *line;
	int len = 0;

	/* Ctrl-Z in a session without job control interrupts the read and stops nothing. */
	do
		line = el_gets(prompt->edit, &len);
	while (!line && len < 0 && errno == EINTR);
	if (!line || len <= 0) {
		fputc('\n', prompt->terminal ? prompt->terminal : stderr);
		fflush(prompt->terminal ? prompt->terminal : stderr);
		return len < 0 ? -errno : PROMPT_E_END;
	}
	history(prompt->history, &event, H_ENTER, line);
	keep_history(prompt);
	*ret_line = line;
	*ret_len = (size_t)len;
	return 0;
}
