/* SPDX-License-Identifier: Apache-2.0 */
/* A result beside an earlier one, with the confidence that a difference is one. */

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "client/bench.h"
#include "client/options.h"
#include "client/report.h"

/* An earlier result, read from the JSON that bench_print_json() writes. */
struct earlier {
	struct histogram times;
	double mean, deviation; /* of the right answers in each second */
	size_t n;
};

static const char *after_key(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? at + strlen(key) : NULL;
}

/* The mean of a series, and the standard deviation. */
static void mean_and_deviation(
	const double *values, size_t n, double *ret_mean, double *ret_deviation)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++)
		sum += values[i];
	*ret_mean = n ? sum / (double)n : 0;
	for (size_t i = 0; i < n; i++)
		squares += (values[i] - *ret_mean) * (values[i] - *ret_mean);
	*ret_deviation = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
}

static void read_series(const char *text, struct earlier *earlier)
{
	double values[BENCH_SECONDS] = {0};
	const char *at = after_key(text, "\"right_in_each_second\":[");
	char *end = NULL;

	for (; at && earlier->n < BENCH_SECONDS; at = *end == ',' ? end + 1 : NULL) {
		double value = strtod(at, &end);

		if (end == at)
			break;
		values[earlier->n++] = value;
	}
	mean_and_deviation(values, earlier->n, &earlier->mean, &earlier->deviation);
}

static int read_earlier(const char *path, struct earlier *ret_earlier, struct why *why)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = calloc(1, 1 << 20);
	const char *at;
	char *end;

	if (!text)
		return -ENOMEM;
	if (!file || (fread(text, 1, (1 << 20) - 1, file) == 0 && ferror(file)))
		return why_set(why, CLIENT_E_LOCAL, "--compare %s: %s", path, strerror(errno));
	at = after_key(text, "\"histogram_us\":[");
	if (!at)
		return why_set(why, CLIENT_E_LOCAL,
			"--compare %s: this is no result of upper bench --json", path);
	while (*at == '[') {
		uint64_t top = strtoull(at + 1, &end, 10);
		uint64_t n = *end == ',' ? strtoull(end + 1, &end, 10) : 0;

		histogram_add_many(&ret_earlier->times, top, n);
		at = *end == ']' ? end + 1 + strspn(end + 1, ",") : "";
	}
	read_series(text, ret_earlier);
	return 0;
}

int bench_check_earlier(const char *path, struct why *why)
{
	_cleanup_free_ struct earlier *earlier = calloc(1, sizeof(*earlier));

	return earlier ? read_earlier(path, earlier, why) : -ENOMEM;
}

/* A difference in per cent, and the interval that has it with 95 % confidence. */
struct difference {
	double old, new, percent, low, high;
};

static double percent_of(double new, double old)
{
	return old > 0 ? 100 * (new / old - 1) : 0;
}

/* Student's t for 95 % on both sides; a few seconds say less than many. */
static double student(size_t degrees)
{
	static const double table[] = {
		INFINITY, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26};

	return degrees < sizeof(table) / sizeof(*table) ? table[degrees]
							: 1.96 + 2.5 / (double)degrees;
}

/* Means of independent seconds (Welch). */
static struct difference compare_rates(const struct bench *bench, const struct earlier *earlier)
{
	_cleanup_free_ double *values = calloc(bench->n_seconds + 1, sizeof(*values));
	double mean = 0, deviation = 0, error;
	size_t degrees = 1;
	struct difference difference = {.old = earlier->mean};

	for (size_t i = 0; values && i < bench->n_seconds; i++)
		values[i] = bench->seconds[i];
	if (values)
		mean_and_deviation(values, bench->n_seconds, &mean, &deviation);
	if (bench->n_seconds + earlier->n > 2)
		degrees = bench->n_seconds + earlier->n - 2;
	error = student(degrees) *
		sqrt(deviation * deviation / fmax((double)bench->n_seconds, 1) +
			earlier->deviation * earlier->deviation / fmax((double)earlier->n, 1));
	difference.new = mean;
	difference.percent = percent_of(mean, difference.old);
	difference.low = percent_of(mean - error, difference.old);
	difference.high = percent_of(mean + error, difference.old);
	return difference;
}

/* The rank of a quantile is known up to its binomial error; the values at these ranks bound it. */
static void bound_quantile(
	const struct histogram *times, double share, double *ret_low, double *ret_high)
{
	double error = 1.96 * sqrt(share * (1 - share) / fmax((double)times->n, 1));

	*ret_low = histogram_quantile_ms(times, fmax(share - error, 0));
	*ret_high = histogram_quantile_ms(times, fmin(share + error, 1));
}

static struct difference compare_quantiles(
	const struct histogram *old, const struct histogram *new, double share)
{
	double old_low, old_high, new_low, new_high;
	struct difference difference = {
		.old = histogram_quantile_ms(old, share), .new = histogram_quantile_ms(new, share)};

	bound_quantile(old, share, &old_low, &old_high);
	bound_quantile(new, share, &new_low, &new_high);
	difference.percent = percent_of(difference.new, difference.old);
	difference.low = percent_of(new_low, old_high);
	difference.high = percent_of(new_high, old_low);
	return difference;
}

static void print_difference(
	struct json *json, const char *name, const struct difference *difference)
{
	bool is_sure = difference->low > 0 || difference->high < 0;

	if (!json) {
		printf("  %-10s %12.3f -> %12.3f  %+7.2f %%, between %+.2f %% and %+.2f %%%s\n",
			name, difference->old, difference->new, difference->percent,
			difference->low, difference->high, is_sure ? "" : ": no sure difference");
		return;
	}
	json_object(json, name);
	json_decimal(json, "old", difference->old, 3);
	json_decimal(json, "new", difference->new, 3);
	json_decimal(json, "percent", difference->percent, 2);
	json_decimal(json, "low", difference->low, 2);
	json_decimal(json, "high", difference->high, 2);
	json_bool(json, "sure", is_sure);
	json_end(json);
}

/* `json` NULL: as text. */
int bench_compare(const struct bench *bench, struct json *json, struct why *why)
{
	static const struct {
		const char *name;
		double share;
	} shares[] = {{"p50_ms", 0.5}, {"p90_ms", 0.9}, {"p99_ms", 0.99}};
	_cleanup_free_ struct earlier *earlier = calloc(1, sizeof(*earlier));
	struct difference difference;
	int r;

	if (!earlier)
		return -ENOMEM;
	r = read_earlier(bench->options->compare, earlier, why);
	if (r)
		return r;
	difference = compare_rates(bench, earlier);
	if (json)
		json_object(json, "compare");
	else
		printf("compared with %s, with 95 %% confidence:\n", bench->options->compare);
	if (earlier->n > 1 && bench->n_seconds > 1)
		print_difference(json, "per_second", &difference);
	else if (!json)
		printf("  per_second: two whole seconds of each are needed\n");
	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
		difference = compare_quantiles(&earlier->times, &bench->times, shares[i].share);
		print_difference(json, shares[i].name, &difference);
	}
	if (json)
		json_end(json);
	return 0;
}
