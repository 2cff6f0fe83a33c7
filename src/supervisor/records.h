/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the supervisor writes log records, its own and those that its children send. It never waits. */

#include <stdio.h>

#include "conf/conf.h"

#define ERRORS_KEPT 5
#define ERROR_TEXT  240

/* The log's own counts, for status and metrics. */
struct log_memory {
	struct {
		int64_t at; /* in seconds since 1970 */
		char text[ERROR_TEXT];
	} errors[ERRORS_KEPT]; /* the newest first */
	unsigned n_errors;
	uint64_t lost; /* records that found no room, since the start */
};

void records_recall(struct log_memory *ret_memory);
/* The errors as lines for the supervisor after an upgrade, and the rest of one of these lines. */
void records_describe(FILE *out);
void records_take(char *line);

/* May be called again, when a reload has changed where they go. */
void records_to_log(const struct conf *conf);
/* From here on, stderr gets what it is configured to get. */
void records_leave_stderr(void);
