/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The completions of a program for bash, zsh and fish, out of the table that makes its parser and its help. */

#include <stdbool.h>
#include <stddef.h>

#define COMPLETIONS_SHELLS "bash zsh fish"

/* In a list of words, this becomes those of the command line before the one that is completed, without the program's
 * own name. */
#define COMPLETIONS_BEFORE "@"

/* An option of a form. Words that complete something are separated by blanks; "$(…)" among them is a command that
 * prints further ones, in a syntax that the three shells share, without single quotes. */
struct completion {
	char letter;          /* 0: none */
	const char *name;     /* NULL: this row of the table is not for the form */
	const char *argument; /* the kind of its value; "FILE" is a file; NULL: it takes none */
	bool is_optional;     /* the value: it stands behind "=" */
	const char *choices;  /* words for the value; NULL: any text */
	const char *help;
};

/* A word that names what is to be done, such as a verb, and has options of its own. */
struct completion_form {
	const char *name; /* NULL, in the last row: the command line without such a word */
	const char *summary;
	const char *
		words; /* that may follow; in the last row, that may come in the place of such a word */
};

struct completion_program {
	const char *name;
	bool is_form_first; /* the form is the first word, rather than the first that is one */
	const struct completion_form *forms;
	/* The option in row `index` of the table, as the form has it. False after the last row. */
	bool (*option)(size_t form, size_t index, struct completion *ret_option);
};

bool completions_has_shell(const char *shell);
void completions_print(const struct completion_program *program, const char *shell);
