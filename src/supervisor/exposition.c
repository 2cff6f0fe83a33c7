/* SPDX-License-Identifier: Apache-2.0 */

/* The formats of metrics. A caller names a family, its samples and the end of it, and never asks
 * which format it is.
 *
 * OpenMetrics 1.0 and the text of Prometheus differ in three places: the name of a counter's
 * family, units, and the last line. Protobuf is written by hand: a message is fields, a field is
 * a tag and a value, and what is in a field of a message is written first, to know its length.
 * It is the one format with native histograms; the others get the buckets as numbers. */

#include "supervisor/exposition.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

#define CLASSIC_EACH 4 /* a bucket of a classic histogram is so many of ours */

static const char *const type_names[] = {
	[METRIC_COUNTER] = "counter",
	[METRIC_GAUGE] = "gauge",
	[METRIC_HISTOGRAM] = "histogram",
};

/* Fields of protobuf, by their wire types. */

static void proto_varint(FILE *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		fputc((int)(value & 0x7f) | 0x80, out);
	fputc((int)value, out);
}

static void proto_number(FILE *out, unsigned field, uint64_t value)
{
	proto_varint(out, field << 3);
	proto_varint(out, value);
}

static void proto_signed(FILE *out, unsigned field, int64_t value)
{
	proto_number(out, field, ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0));
}

static void proto_double(FILE *out, unsigned field, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	proto_varint(out, field << 3 | 1);
	for (int i = 0; i < 8; i++)
		fputc((int)(bits >> 8 * i & 0xff), out);
}

static void proto_bytes(FILE *out, unsigned field, const char *data, size_t len)
{
	proto_varint(out, field << 3 | 2);
	proto_varint(out, len);
	fwrite(data, 1, len, out);
}

static void proto_string(FILE *out, unsigned field, const char *text)
{
	proto_bytes(out, field, text, strlen(text));
}

/* A message inside of another: `fill` writes its fields. */
static void proto_message(
	FILE *out, unsigned field, void (*fill)(FILE *out, const void *data), const void *data)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *inner = open_memstream(&text, &len);

	if (!inner)
		return;
	fill(inner, data);
	if (fclose(inner) == 0)
		proto_bytes(out, field, text, len);
}

static void fill_value(FILE *out, const void *data)
{
	proto_double(out, 1, *(const double *)data);
}

static void fill_label(FILE *out, const void *data)
{
	const char *const *pair = data;

	proto_string(out, 1, pair[0]);
	proto_string(out, 2, pair[1]);
}

struct cumulated {
	uint64_t count;
	double end;
};

static void fill_bucket(FILE *out, const void *data)
{
	const struct cumulated *bucket = data;

	proto_number(out, 1, bucket->count);
	proto_double(out, 2, bucket->end);
}

/* All of our buckets are one span: empty ones in between cost a byte. */
static void fill_span(FILE *out, const void *data)
{
	proto_signed(out, 1, TIMING_LEAST * (1 << TIMING_SCHEMA));
	proto_number(out, 2, TIMING_BUCKETS);
}

static double timing_sum(const struct timing *timing)
{
	return (double)timing->sum_ns / 1e9;
}

static void fill_histogram(FILE *out, const void *data)
{
	const struct timing *timing = data;
	struct cumulated bucket = {0};
	int64_t before = 0;

	proto_number(out, 1, timing_count(timing));
	proto_double(out, 2, timing_sum(timing));
	for (unsigned i = 0; i < TIMING_BUCKETS; i++) {
		bucket.count += timing->counts[i];
		bucket.end = timing_end(i);
		if (i % CLASSIC_EACH == 0 || i == TIMING_BUCKETS - 1)
			proto_message(out, 3, fill_bucket, &bucket);
	}
	proto_signed(out, 5, TIMING_SCHEMA);
	proto_double(out, 6, 0);
	proto_number(out, 7, 0);
	proto_message(out, 12, fill_span, NULL);
	for (unsigned i = 0; i < TIMING_BUCKETS; i++) {
		proto_signed(out, 13, (int64_t)timing->counts[i] - before);
		before = (int64_t)timing->counts[i];
	}
}

struct proto_sample {
	const struct metric *metric;
	const char *const *labels;
	double value;
	const struct timing *timing;
};

static void fill_metric(FILE *out, const void *data)
{
	const struct proto_sample *s = data;
	static const unsigned fields[] = {[METRIC_GAUGE] = 2, [METRIC_COUNTER] = 3};

	for (int i = 0; i < 3 && s->metric->labels[i]; i++) {
		const char *const pair[] = {s->metric->labels[i], s->labels[i]};

		proto_message(out, 1, fill_label, pair);
	}
	if (s->timing)
		proto_message(out, 7, fill_histogram, s->timing);
	else
		proto_message(out, fields[s->metric->type], fill_value, &s->value);
}

static void proto_begin(struct exposition *e, const char *name)
{
	static const uint64_t types[] = {
		[METRIC_COUNTER] = 0, [METRIC_GAUGE] = 1, [METRIC_HISTOGRAM] = 4};

	e->family_out = open_memstream(&e->family, &e->family_len);
	if (!e->family_out)
		return;
	proto_string(e->family_out, 1, name);
	proto_string(e->family_out, 2, e->metric->help);
	proto_number(e->family_out, 3, types[e->metric->type]);
}

static void proto_end(struct exposition *e)
{
	if (e->family_out && fclose(e->family_out) == 0) {
		proto_varint(e->out, e->family_len);
		fwrite(e->family, 1, e->family_len, e->out);
	}
	free(e->family);
	e->family = NULL;
}

/* The texts. */

static bool has_total(const struct exposition *e)
{
	return e->metric->type == METRIC_COUNTER;
}

static void text_begin(const struct exposition *e)
{
	const struct metric *m = e->metric;
	bool is_open = e->format == EXPOSITION_OPENMETRICS;
	const char *total = has_total(e) && !is_open ? "_total" : "";

	fprintf(e->out, "# HELP upperd_%s%s %s.\n", m->name, total, m->help);
	fprintf(e->out, "# TYPE upperd_%s%s %s\n", m->name, total, type_names[m->type]);
	if (is_open && m->unit[0])
		fprintf(e->out, "# UNIT upperd_%s %s\n", m->name, m->unit);
}

/* A label may hold any bytes: a name in a certificate does. */
static void text_label(FILE *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", out);
		else if (*value == '\\' || *value == '"')
			fprintf(out, "\\%c", *value);
		else
			fputc(*value, out);
	}
}

static void text_name(
	const struct exposition *e, const char *suffix, const char *const *labels, const char *le)
{
	const struct metric *m = e->metric;
	const char *before = "{";

	fprintf(e->out, "upperd_%s%s", m->name, suffix);
	for (int i = 0; i < 3 && m->labels[i]; i++) {
		fprintf(e->out, "%s%s=\"", before, m->labels[i]);
		text_label(e->out, labels[i]);
		fputc('"', e->out);
		before = ",";
	}
	if (le)
		fprintf(e->out, "%sle=\"%s\"", before, le);
	fputs(le || m->labels[0] ? "} " : " ", e->out);
}

static bool is_small_integer(double value)
{
	return value >= 0 && value < 9e15 && value == (double)(uint64_t)value;
}

/* As an integer where it is one. */
static void number_print(double value, char text[static 32])
{
	if (is_small_integer(value))
		snprintf(text, 32, "%" PRIu64, (uint64_t)value);
	else
		snprintf(text, 32, "%.9g", value);
}

static void text_timing(
	const struct exposition *e, const char *const *labels, const struct timing *timing)
{
	uint64_t seen = 0;
	char le[32];

	for (unsigned i = 0; i < TIMING_BUCKETS; i++) {
		bool is_last = i == TIMING_BUCKETS - 1;

		seen += timing->counts[i];
		if (i % CLASSIC_EACH != 0 && !is_last)
			continue;
		snprintf(le, sizeof(le), "%.12g", timing_end(i));
		if (!is_last && !strpbrk(le, ".e"))
			snprintf(le + strlen(le), sizeof(le) - strlen(le), ".0");
		text_name(e, "_bucket", labels, is_last ? "+Inf" : le);
		fprintf(e->out, "%" PRIu64 "\n", seen);
	}
	text_name(e, "_sum", labels, NULL);
	fprintf(e->out, "%.9g\n", timing_sum(timing));
	text_name(e, "_count", labels, NULL);
	fprintf(e->out, "%" PRIu64 "\n", seen);
}

/* JSON. */

static void json_sample_begin(struct exposition *e, const char *const *labels)
{
	const struct metric *m = e->metric;

	json_object(&e->json, NULL);
	for (int i = 0; i < 3 && m->labels[i]; i++)
		json_string(&e->json, m->labels[i], labels[i]);
}

static void json_timing(
	struct exposition *e, const char *const *labels, const struct timing *timing)
{
	json_sample_begin(e, labels);
	json_number(&e->json, "count", timing_count(timing));
	json_decimal(&e->json, "sum", timing_sum(timing), 9);
	json_decimal(&e->json, "p50", timing_quantile(timing, 0.5), 9);
	json_decimal(&e->json, "p99", timing_quantile(timing, 0.99), 9);
	json_end(&e->json);
}

void exposition_begin(struct exposition *e, enum exposition_format format, FILE *out)
{
	*e = (struct exposition){.out = out, .format = format, .json = JSON_TO(out)};
	if (format == EXPOSITION_JSON)
		json_list(&e->json, NULL);
}

void exposition_end(struct exposition *e)
{
	if (e->format == EXPOSITION_JSON)
		json_end(&e->json);
	else if (e->format == EXPOSITION_OPENMETRICS)
		fputs("# EOF\n", e->out);
}

void family_begin(struct exposition *e, const struct metric *metric)
{
	char name[64];

	e->metric = metric;
	snprintf(name, sizeof(name), "upperd_%s%s", metric->name, has_total(e) ? "_total" : "");
	switch (e->format) {
	case EXPOSITION_OPENMETRICS:
	case EXPOSITION_TEXT:
		text_begin(e);
		break;
	case EXPOSITION_PROTOBUF:
		proto_begin(e, name);
		break;
	case EXPOSITION_JSON:
		json_object(&e->json, NULL);
		json_string(&e->json, "name", name);
		json_string(&e->json, "type", type_names[metric->type]);
		json_string(&e->json, "unit", metric->unit[0] ? metric->unit : NULL);
		json_string(&e->json, "help", metric->help);
		json_list(&e->json, "samples");
		break;
	}
}

void family_end(struct exposition *e)
{
	if (e->format == EXPOSITION_PROTOBUF) {
		proto_end(e);
	} else if (e->format == EXPOSITION_JSON) {
		json_end(&e->json);
		json_end(&e->json);
	}
}

void sample(struct exposition *e, const char *const *labels, double value)
{
	const struct proto_sample proto = {e->metric, labels, value, NULL};
	char text[32];

	switch (e->format) {
	case EXPOSITION_OPENMETRICS:
	case EXPOSITION_TEXT:
		number_print(value, text);
		text_name(e, has_total(e) ? "_total" : "", labels, NULL);
		fprintf(e->out, "%s\n", text);
		break;
	case EXPOSITION_PROTOBUF:
		if (e->family_out)
			proto_message(e->family_out, 4, fill_metric, &proto);
		break;
	case EXPOSITION_JSON:
		json_sample_begin(e, labels);
		json_decimal(&e->json, "value", value, is_small_integer(value) ? 0 : 6);
		json_end(&e->json);
		break;
	}
}

void sample_timing(struct exposition *e, const char *const *labels, const struct timing *timing)
{
	const struct proto_sample proto = {e->metric, labels, 0, timing};

	switch (e->format) {
	case EXPOSITION_OPENMETRICS:
	case EXPOSITION_TEXT:
		text_timing(e, labels, timing);
		break;
	case EXPOSITION_PROTOBUF:
		if (e->family_out)
			proto_message(e->family_out, 4, fill_metric, &proto);
		break;
	case EXPOSITION_JSON:
		json_timing(e, labels, timing);
		break;
	}
}
