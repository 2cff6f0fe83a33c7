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

struct text_file {
	char *name, *data;
	const char *rest, *end; /* of the data: what is in the joined text from `start` on */
	size_t start;
	unsigned number;         /* of the line that `rest` is in */
	struct text_file *outer; /* includes this one */
};

struct conf_text {
	char *text; /* ends with a NUL */
	size_t len, n_lines, n_files, n_settings;
	struct conf_line *lines;
	struct text_file files[CONF_MAX_INCLUDES + 1];
};

/* Reads the file of `source` and all that it includes. 0, -ENOMEM, or CONF_E_FAULTS. When it is 0, the faults
 * are those that libconfig must find as well, with their cause: none of them counts if it takes the text. */
int text_join(struct conf_text *text, const struct conf_source *source, struct faults *faults);
void text_done(struct conf_text *text);

/* Where line `number` of the joined text, counted from 1, is from; beyond the end it is the last. */
struct fault_place text_place(const struct conf_text *text, unsigned number);
/* The same as "file:line", or what an earlier dump said. NULL: memory ran out. */
char *text_origin(const struct conf_text *text, unsigned number);
