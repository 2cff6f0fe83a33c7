/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The text of a configuration with its includes in place, and which line of it is from where. */

#include <stddef.h>

#include "conf/conf.h"
#include "conf/fault.h"

/* Bounds on what is read, so that no file takes long or much. */
#define CONF_MAX_BYTES    (16u << 20)
#define CONF_MAX_LINES    100000
#define CONF_MAX_SETTINGS 16384 /* and elements of lists: libconfig looks for a name one by one */
#define CONF_MAX_INCLUDES 256

struct conf_line {
	const char *file;
	unsigned number;
	size_t start;              /* in the joined text */
	size_t origin, origin_len; /* what follows "#: " on this line, in the joined text */
};

struct conf_text {
	char *text; /* ends with a NUL */
	size_t len, n_lines, n_files, n_settings;
	struct conf_line *lines;
	char *files[CONF_MAX_INCLUDES + 1];
};

enum { TEXT_E_UNCLOSED = 2 };

/* Reads the file of `source` and all that it includes. 0, -ENOMEM, CONF_E_FAULTS, or TEXT_E_UNCLOSED when a
 * string or a comment never ends: the text goes on to there, for text_explain(). */
int text_join(struct conf_text *text, const struct conf_source *source, struct faults *faults);
void text_done(struct conf_text *text);
/* Adds what libconfig refuses the text for, with the cause where it is known. Returns CONF_E_FAULTS. */
int text_explain(const struct conf_text *text, unsigned line, struct faults *faults);

/* Where line `number` of the joined text, counted from 1, is from; beyond the end it is the last. */
struct fault_place text_place(const struct conf_text *text, unsigned number);
/* The same as "file:line", or what an earlier dump said. NULL: memory ran out. */
char *text_origin(const struct conf_text *text, unsigned number);

/* Just enough of libconfig's grammar to tell strings and comments from the rest. */
enum token_kind { TOKEN_END, TOKEN_STRING, TOKEN_WORD, TOKEN_SIGN, TOKEN_COMMENT, TOKEN_UNCLOSED };

struct token {
	enum token_kind kind;
	const char *at;
	size_t len;
};

/* The next token from `*at` on, which moves behind it. */
struct token token_next(const char **at, const char *end);
