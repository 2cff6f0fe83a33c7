/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What `upper` says: sentences for people on stderr, JSON for programs on stdout. */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "client/outcome.h"

struct options;

/* One sentence on stderr, after the name of the program. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* Says why talking to `server` failed, in the form that the options ask for. Returns `outcome`. NULL:
 * it did not come to that. */
int report_failure(
	const struct options *options, const char *server, int outcome, const struct why *why);

/* Sees that what was printed is out. If not, says so, unless the reader went away: CLIENT_E_LOCAL. */
int report_flush(void);

/* What ails our own input or output, in words. Returns CLIENT_E_LOCAL. */
int why_no_input(struct why *why, int error);
int why_no_output(struct why *why, int error);

/* A JSON string with its quotes. */
void json_string(FILE *to, const char *text, size_t len);

/* An errno as a lower-case phrase, and what may help; NULL when we know nothing better. */
const char *errno_phrase(int error);
const char *errno_advice(int error);

/* Escape sequences for a stream, or "" where they would only be noise. */
const char *colour_bad(FILE *stream);
const char *colour_good(FILE *stream);
const char *colour_off(FILE *stream);
