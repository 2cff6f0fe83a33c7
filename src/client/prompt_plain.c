/* SPDX-License-Identifier: Apache-2.0 */
/* Lines as the terminal itself lets one edit them. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/prompt.h"

struct prompt {
	const char *text;
	char *line;
	size_t size;
};

int prompt_new(const char *text, const char *history, struct prompt **ret_prompt)
{
	struct prompt *prompt = calloc(1, sizeof(*prompt));

	if (!prompt)
		return -ENOMEM;
	prompt->text = text;
	*ret_prompt = prompt;
	return 0;
}

void prompt_free(struct prompt *prompt)
{
	if (!prompt)
		return;
	free(prompt->line);
	free(prompt);
}

int prompt_read(struct prompt *prompt, const char **ret_line, size_t *ret_len)
{
	ssize_t n;

	fputs(prompt->text, stderr);
	fflush(stderr);
	errno = 0;
	n = getline(&prompt->line, &prompt->size, stdin);
	if (n < 0 && !errno)
		fputc('\n', stderr);
	if (n < 0)
		return errno ? -errno : PROMPT_E_END;
	*ret_line = prompt->line;
	*ret_len = (size_t)n;
	return 0;
}
