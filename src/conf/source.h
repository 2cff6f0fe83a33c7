/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The text of a configuration with its includes in place, and where each line of it comes from. */

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "conf/fault.h"

/* Bounds on what is read, so that no file takes long or much, whoever wrote it. */
#define CONF_MAX_BYTES    (16u << 20)
#define CONF_MAX_LINES    100000
#define CONF_MAX_SETTINGS 16384 /* and elements of lists */
#define CONF_MAX_INCLUDES 256
#define CONF_MAX_DEPTH    8  /* of includes */
#define CONF_MAX_NESTING  32 /* of brackets */
#define CONF_MAX_STRING   4096
#define CONF_MAX_WORD     64 /* a name or a number */

struct conf_line {
	const char *file;
	unsigned number;
	size_t start;              /* in the joined text */
	size_t origin, origin_len; /* what follows "#: " on this line, in the joined text */
};

struct conf_bracket {
	char sign;
	size_t line; /* an index into the lines */
	unsigned column;
	size_t n_names; /* that were there before it */
};

struct conf_name {
	char name[CONF_MAX_WORD + 1];
	const char *file;
	unsigned line;
};

struct conf_text {
	char *text; /* ends with a NUL */
	size_t len, size;
	struct conf_line *lines;
	size_t n_lines, lines_size;
	char **files;
	size_t n_files;
	struct conf_bracket open[CONF_MAX_NESTING];
	size_t n_open, n_settings;
	struct conf_name *names; /* of settings, in the groups that are open */
	size_t n_names, names_size;
	bool is_refused; /* there are faults, and the scan went on to find more */
};

#define CONF_TEXT_EMPTY ((struct conf_text){0})

/* Reads the file of `source` and all that it includes. 0, CONF_E_FAULTS, or -ENOMEM. */
int conf_text_join(struct conf_text *text, const struct conf_source *source, struct faults *faults);
void conf_text_done(struct conf_text *text);

/* Where line `number` of the joined text, counted from 1, is from; a line beyond the end is the last.
 * The column is that of the setting `name`, of the first group when it is "{", and of the first
 * thing on the line when it is NULL. */
struct fault_place conf_text_place(const struct conf_text *t, unsigned number, const char *name);
/* The same as "file:line", or what an earlier dump said. NULL: memory ran out. */
char *conf_text_origin(const struct conf_text *t, unsigned number);
