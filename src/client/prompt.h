/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lines from a person. With libedit they can be edited and recalled; without it, another file
 * keeps the same promises but those. Prompts go to the terminal, never into stdout. */

#include <stddef.h>

struct prompt;

enum { PROMPT_E_END = 1 }; /* no more lines: Ctrl-D */

/* Lines are remembered in the file `history`, which only the user can read; NULL: in none. */
int prompt_new(const char *text, const char *history, struct prompt **ret_prompt);
void prompt_free(struct prompt *prompt);

/* The next line with its end, if it has one; good until the next call. At the end the cursor is left on a
 * line of its own. */
int prompt_read(struct prompt *prompt, const char **ret_line, size_t *ret_len);

static inline void prompt_freep(struct prompt **prompt)
{
	prompt_free(*prompt);
}
#define _cleanup_prompt_ __attribute__((cleanup(prompt_freep)))
