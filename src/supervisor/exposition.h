/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Metrics as text and otherwise: the formats in which they are shown. metrics.c says which there are. */

#include <stdint.h>
#include <stdio.h>

#include "base/json.h"
#include "core/timing.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* One row of the table. A sample has one value for each label. */
struct metric {
	const char *name; /* without "upperd_" */
	enum metric_type type;
	const char *unit;      /* "seconds", or empty */
	const char *help;      /* a sentence without its full stop */
	const char *labels[3]; /* NULL: no more */
};

enum exposition_format {
	EXPOSITION_OPENMETRICS,
	EXPOSITION_TEXT,     /* of Prometheus, 0.0.4 */
	EXPOSITION_PROTOBUF, /* of Prometheus, delimited: the only one with native histograms */
	EXPOSITION_JSON,
};

struct exposition {
	FILE *out;
	enum exposition_format format;
	const struct metric *metric; /* that is being shown */
	struct json json;
	/* Of a family of protobuf. */
	char *family;
	size_t family_len;
	FILE *family_out;
};

void exposition_begin(struct exposition *e, enum exposition_format format, FILE *out);
void exposition_end(struct exposition *e);

/* A family: begin, samples, end. */
void family_begin(struct exposition *e, const struct metric *metric);
void family_end(struct exposition *e);
void sample(struct exposition *e, const char *const *labels, double value);
void sample_timing(struct exposition *e, const char *const *labels, const struct timing *timing);
