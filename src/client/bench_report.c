/* SPDX-License-Identifier: Apache-2.0 */
/* The display while a load runs, and its result as text, JSON or CSV. */

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "client/bench.h"
#include "client/options.h"
#include "client/report.h"

#define REDRAW_US   200000
#define LINE_US     1000000
#define LEAST_WIDTH 40
#define MOST_WIDTH  120
#define USUAL_WIDTH 80
#define ROWS        64   /* of bars: one for each power of two */
#define BUSY        0.95 /* of a core; a client that uses more is the bottleneck */
#define LATE_US \
	2000 /* a question that leaves this late, with a connection free, is the client's fault */

static double bench_seconds(const struct bench *bench)
{
	uint64_t from_us = bench->warm_us ? bench->warm_us : bench->begun_us;
	uint64_t to_us = bench->is_ending || bench->done_us > from_us ? bench->done_us : clock_us();

	return to_us > from_us ? (double)(to_us - from_us) / 1e6 : 0;
}

static double per_second(const struct bench *bench)
{
	double seconds = bench_seconds(bench);

	return seconds > 0 ? (double)bench->tally.right / seconds : 0;
}

static uint64_t wrong_of(const struct tally *tally)
{
	return tally->corrupted + tally->unchanged + tally->unknown;
}

/* Of those that still have time nothing is known yet. */
static uint64_t lost_so_far(const struct bench *bench)
{
	return tally_lost(&bench->tally) - bench->n_waiting;
}

struct bars {
	uint64_t counts[ROWS], most;
	size_t first, last;
};

static struct bars rows_of(const struct histogram *times)
{
	struct bars rows = {.most = 1, .first = ROWS};

	for (size_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
		uint64_t top = histogram_cell_top(cell);
		size_t row = top ? 63U - (unsigned)__builtin_clzll(top) : 0;

		if (!times->cells[cell])
			continue;
		rows.counts[row] += times->cells[cell];
		rows.most = rows.counts[row] > rows.most ? rows.counts[row] : rows.most;
		rows.first = row < rows.first ? row : rows.first;
		rows.last = row;
	}
	return rows;
}

/* A bar has at least one mark when there is anything to show. */
static int bar_len(uint64_t n, uint64_t most, int room)
{
	int len = (int)((double)n * room / (double)most);

	return n && !len ? 1 : len;
}

static int width_of(int fd)
{
	struct winsize size;
	int width = USUAL_WIDTH;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col)
		width = size.ws_col;
	return width < LEAST_WIDTH ? LEAST_WIDTH : width > MOST_WIDTH ? MOST_WIDTH : width;
}

static void print_bar(FILE *to, int len)
{
	for (int i = 0; i < len; i++)
		fputc('#', to);
}

/* One row for each power of two, all of one width. */
static void print_bars(FILE *to, const struct histogram *times, int width, const char *line_end)
{
	struct bars rows = rows_of(times);

	for (size_t row = rows.first; row < ROWS && row <= rows.last; row++) {
		fprintf(to, "  below %9.3f ms %9" PRIu64 " ", (double)(UINT64_C(2) << row) / 1000,
			rows.counts[row]);
		print_bar(to, bar_len(rows.counts[row], rows.most, width - 32));
		fputs(line_end, to);
	}
}

static bool is_dumb(void)
{
	const char *term = getenv("TERM");

	return !term || !*term || strcmp(term, "dumb") == 0;
}

/* One line of the display, cut to the width of the screen. */
static void draw(struct bench *bench, int width, const char *text)
{
	fprintf(stderr, "%.*s\033[K\n", width - 1, text);
	bench->lines++;
}

void bench_clear(struct bench *bench)
{
	if (bench->lines)
		fprintf(stderr, "\033[%uA\r\033[J", bench->lines);
	bench->lines = 0;
	fflush(stderr);
}

static double progress_of(const struct bench *bench, uint64_t now_us)
{
	double by_count = bench->limit ? (double)bench->n_begun / (double)bench->limit : 0;
	double by_time = bench->end_us
		? (double)(now_us - bench->begun_us) / (double)(bench->end_us - bench->begun_us)
		: 0;
	double progress = by_count > by_time ? by_count : by_time;

	return progress < 1 ? progress : 1;
}

static void draw_all(struct bench *bench, uint64_t now_us)
{
	static const char full[] =
		"################################################################"
		"################################################################";
	const struct histogram *times = &bench->times;
	double seconds = (double)(now_us - bench->begun_us) / 1e6;
	int width = width_of(STDERR_FILENO), room = width - 16;
	int done = (int)(progress_of(bench, now_us) * room);
	struct bars rows = rows_of(times);
	char line[2 * MOST_WIDTH];

	/* A narrower screen may have broken the lines that are there. */
	if (bench->is_resized)
		fprintf(stderr, "\033[%uA\r\033[J", 3 * bench->lines);
	else if (bench->lines)
		fprintf(stderr, "\033[%uA\r", bench->lines);
	bench->is_resized = false;
	bench->lines = 0;
	snprintf(line, sizeof(line), "[%.*s%*s] %6.1f s", done, full, room - done, "", seconds);
	draw(bench, width, line);
	snprintf(line, sizeof(line),
		"%.0f/s, %" PRIu64 " right, %" PRIu64 " wrong, %" PRIu64 " lost, %" PRIu64 " late",
		per_second(bench), bench->tally.right, wrong_of(&bench->tally), lost_so_far(bench),
		bench->tally.late);
	draw(bench, width, line);
	snprintf(line, sizeof(line), "ms p50 %.3f p90 %.3f p99 %.3f max %.3f",
		histogram_quantile_ms(times, 0.5), histogram_quantile_ms(times, 0.9),
		histogram_quantile_ms(times, 0.99), (double)times->max / 1000);
	draw(bench, width, line);
	for (size_t row = rows.first; row < ROWS && row <= rows.last; row++) {
		snprintf(line, sizeof(line), "%9.3f %.*s", (double)(UINT64_C(2) << row) / 1000,
			bar_len(rows.counts[row], rows.most, width - 12), full);
		draw(bench, width, line);
	}
	fputs("\033[J", stderr);
	fflush(stderr);
}

void bench_show(struct bench *bench, uint64_t now_us)
{
	const struct options *options = bench->options;
	bool is_drawn = bench->is_live && !is_dumb();

	if (options->quiet || options->json || options->csv)
		return;
	if (now_us - bench->shown_us < (is_drawn ? REDRAW_US : LINE_US) && !bench->is_resized)
		return;
	if (bench->shown_us && is_drawn)
		draw_all(bench, now_us);
	else if (bench->shown_us)
		fprintf(stderr,
			"%5.1f s  %" PRIu64 " answers  %.0f/s  p50 %.3f ms  p99 %.3f ms  %" PRIu64
			" wrong  %" PRIu64 " lost\n",
			(double)(now_us - bench->begun_us) / 1e6, bench->tally.right,
			per_second(bench), histogram_quantile_ms(&bench->times, 0.5),
			histogram_quantile_ms(&bench->times, 0.99), wrong_of(&bench->tally),
			lost_so_far(bench));
	bench->shown_us = now_us;
}

void bench_print_csv_head(void)
{
	printf("seconds,sent,right,wrong,late,lost,right_per_second,p50_ms,p90_ms,p99_ms,max_ms\n");
}

void bench_print_csv(struct bench *bench, double seconds)
{
	const struct histogram *times = &bench->times;
	const struct tally *tally = &bench->tally;

	printf("%.3f,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
	       ",%.3f,%.3f,%.3f,%.3f\n",
		seconds, tally->sent, tally->right, wrong_of(tally), tally->late,
		lost_so_far(bench), tally->right - bench->shown_right,
		histogram_quantile_ms(times, 0.5), histogram_quantile_ms(times, 0.9),
		histogram_quantile_ms(times, 0.99), (double)times->max / 1000);
	fflush(stdout);
}

static double cpu_share(const struct bench *bench)
{
	double wall_us = (double)(bench->done_us - bench->start_us);

	return wall_us > 0 ? (double)bench->cpu_us / wall_us : 0;
}

static bool is_bottleneck(const struct bench *bench)
{
	return cpu_share(bench) > BUSY ||
		(bench->rate && bench->lag_us > LATE_US && cpu_share(bench) > 0.8);
}

static void print_client(const struct bench *bench)
{
	if (is_bottleneck(bench))
		printf("%sthe client was the bottleneck%s: it used %.0f%% of a core, and the "
		       "server may be "
		       "able to do more\n",
			colour_bad(stdout), colour_off(stdout), 100 * cpu_share(bench));
	else
		printf("client: %.0f%% of a core", 100 * cpu_share(bench));
	if (bench->rate)
		printf("%sat most %.3f ms behind its schedule", is_bottleneck(bench) ? "" : ", ",
			(double)bench->lag_us / 1000);
	if (bench->rate || !is_bottleneck(bench))
		putchar('\n');
}

static void print_costs(const struct bench *bench)
{
	double seconds = bench_seconds(bench), answers = (double)bench->tally.right;

	for (size_t i = 0; i < bench->costs.n; i++) {
		const struct cost *cost = &bench->costs.each[i];

		printf("process %d: %.0f%% of a core, %.3f us for each right answer\n",
			(int)cost->pid, seconds > 0 ? 100 * cost->seconds / seconds : 0,
			answers > 0 ? 1e6 * cost->seconds / answers : 0);
	}
}

static void print_costs_json(const struct bench *bench, struct json *json)
{
	if (!bench->costs.n)
		return;
	json_list(json, "processes");
	for (size_t i = 0; i < bench->costs.n; i++) {
		json_object(json, NULL);
		json_number(json, "pid", (uint64_t)bench->costs.each[i].pid);
		json_decimal(json, "cpu_seconds", bench->costs.each[i].seconds, 6);
		json_end(json);
	}
	json_end(json);
}

static void print_load(const struct bench *bench)
{
	const struct options *options = bench->options;

	if (bench->rate)
		printf("open load of %" PRIu64 " a second; ", bench->rate);
	else
		printf("closed load, %zu under way on each; ", bench->depth);
	if (options->reconnect)
		printf("%" PRIu64 " connections, one for each question, %zu at a time",
			bench->n_opened, bench->n_tracks);
	else
		printf("%zu connections", bench->n_tracks);
	if (bench->n_resumed)
		printf(", %" PRIu64 " with a resumed session", bench->n_resumed);
	if (bench->warm_questions)
		printf("; %" PRIu64 " questions of the warm-up left out", bench->warm_questions);
	putchar('\n');
	if (bench->has_session)
		printf("%s, %s, %s\n", bench->session.version, bench->session.cipher,
			*bench->session.group ? bench->session.group : "no group");
}

static void print_counts(const struct bench *bench)
{
	const struct tally *tally = &bench->tally;
	uint64_t lost = tally_lost(tally);

	printf("%s%" PRIu64 " wrong, %" PRIu64 " lost, %" PRIu64 " late%s",
		wrong_of(tally) || lost || tally->late ? colour_bad(stdout) : colour_good(stdout),
		wrong_of(tally), lost, tally->late, colour_off(stdout));
	if (tally->doubled)
		printf(", %" PRIu64 " doubled", tally->doubled);
	if (tally->reordered)
		printf(", %" PRIu64 " reordered", tally->reordered);
	if (bench->n_unsent)
		printf(", %" PRIu64 " due but never sent, for want of a free connection",
			bench->n_unsent);
	putchar('\n');
}

void bench_print_step(struct bench *bench, const struct step *step)
{
	if (bench->options->json)
		return;
	if (bench->lines)
		bench_clear(bench);
	if (bench->n_steps == 1)
		printf("%12s %12s %10s %10s %10s\n", "asked/s", "right/s", "p50 ms", "p99 ms",
			"lost");
	printf("%12" PRIu64 " %12.0f %10.3f %10.3f %10" PRIu64 "%s\n", step->rate, step->per_second,
		step->p50_ms, step->p99_ms, step->lost, step->is_held ? "" : "  too much");
	fflush(stdout);
}

static void print_ramp(const struct bench *bench, struct json *json)
{
	if (!json) {
		if (bench->held && !bench->missed)
			printf("%s: keeps up with %" PRIu64
			       " questions a second; no more was tried\n",
				bench->server.name, bench->held);
		else if (bench->held)
			printf("%s: keeps up with %" PRIu64
			       " questions a second, and not with %" PRIu64 "\n",
				bench->server.name, bench->held, bench->missed);
		else
			printf("%s: does not keep up with %" PRIu64 " questions a second\n",
				bench->server.name, bench->missed);
		print_client(bench);
		return;
	}
	json_object(json, NULL);
	json_string(json, "server", bench->server.name);
	json_number(json, "held", bench->held);
	json_number(json, "missed", bench->missed);
	json_list(json, "steps");
	for (size_t i = 0; i < bench->n_steps; i++) {
		const struct step *step = &bench->steps[i];

		json_object(json, NULL);
		json_number(json, "rate", step->rate);
		json_decimal(json, "per_second", step->per_second, 1);
		json_decimal(json, "p50_ms", step->p50_ms, 3);
		json_decimal(json, "p99_ms", step->p99_ms, 3);
		json_number(json, "lost", step->lost);
		json_bool(json, "held", step->is_held);
		json_end(json);
	}
	json_end(json);
	json_end(json);
}

static void bench_print_plain(const struct bench *bench)
{
	const struct histogram *times = &bench->times;

	printf("%s: %" PRIu64
	       " right answers in %.3f s: %.0f a second, %.3f MB a second each way\n",
		bench->server.name, bench->tally.right, bench_seconds(bench), per_second(bench),
		per_second(bench) * (double)bench->options->size / 1e6);
	print_counts(bench);
	print_load(bench);
	print_client(bench);
	print_costs(bench);
	if (!times->n)
		return;
	printf("ms%s: min %.3f, avg %.3f, p50 %.3f, p90 %.3f, p99 %.3f, p99.9 %.3f, max %.3f\n",
		bench->rate ? " since due" : "", (double)times->min / 1000,
		histogram_mean(times) / 1000, histogram_quantile_ms(times, 0.5),
		histogram_quantile_ms(times, 0.9), histogram_quantile_ms(times, 0.99),
		histogram_quantile_ms(times, 0.999), (double)times->max / 1000);
	if (!bench->options->quiet)
		print_bars(stdout, times, width_of(STDOUT_FILENO), "\n");
}

static void print_series(const struct bench *bench, struct json *json)
{
	json_list(json, "right_in_each_second");
	for (size_t i = 0; i < bench->n_seconds; i++)
		json_number(json, NULL, bench->seconds[i]);
	json_end(json);
	json_list(json, "histogram_us");
	for (size_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
		if (!bench->times.cells[cell])
			continue;
		json_list(json, NULL);
		json_number(json, NULL, histogram_cell_top(cell));
		json_number(json, NULL, bench->times.cells[cell]);
		json_end(json);
	}
	json_end(json);
}

static void print_counts_json(const struct bench *bench, struct json *json)
{
	const struct tally *tally = &bench->tally;

	json_number(json, "sent", tally->sent);
	json_number(json, "right", tally->right);
	json_number(json, "wrong", wrong_of(tally));
	json_number(json, "lost", tally_lost(tally));
	json_number(json, "late", tally->late);
	json_number(json, "doubled", tally->doubled);
	json_number(json, "reordered", tally->reordered);
	json_number(json, "unsent", bench->n_unsent);
	json_number(json, "warmup", bench->warm_questions);
	json_decimal(json, "per_second", per_second(bench), 1);
}

static void print_times_json(const struct histogram *times, struct json *json)
{
	json_object(json, "ms");
	json_decimal(json, "min", (double)times->min / 1000, 3);
	json_decimal(json, "avg", histogram_mean(times) / 1000, 3);
	json_decimal(json, "p50", histogram_quantile_ms(times, 0.5), 3);
	json_decimal(json, "p90", histogram_quantile_ms(times, 0.9), 3);
	json_decimal(json, "p99", histogram_quantile_ms(times, 0.99), 3);
	json_decimal(json, "p99.9", histogram_quantile_ms(times, 0.999), 3);
	json_decimal(json, "max", (double)times->max / 1000, 3);
	json_end(json);
}

static void bench_print_json(const struct bench *bench, struct json *json)
{
	json_object(json, NULL);
	json_string(json, "server", bench->server.name);
	json_string(json, "load", bench->rate ? "open" : "closed");
	json_number(json, "rate", bench->rate);
	json_number(json, "connections", bench->n_tracks);
	json_number(json, "pipeline", bench->depth);
	json_number(json, "size", bench->options->size);
	json_decimal(json, "seconds", bench_seconds(bench), 3);
	json_number(json, "opened", bench->n_opened);
	json_number(json, "resumed", bench->n_resumed);
	if (bench->has_session) {
		json_object(json, "tls");
		json_string(json, "version", bench->session.version);
		json_string(json, "cipher", bench->session.cipher);
		json_string(json, "group", bench->session.group);
		json_end(json);
	}
	print_counts_json(bench, json);
	print_times_json(&bench->times, json);
	json_object(json, "client");
	json_decimal(json, "cpu", cpu_share(bench), 3);
	json_decimal(json, "lag_ms", (double)bench->lag_us / 1000, 3);
	json_bool(json, "bottleneck", is_bottleneck(bench));
	json_end(json);
	print_costs_json(bench, json);
	print_series(bench, json);
}

int bench_print(struct bench *bench)
{
	const struct options *options = bench->options;
	struct json json = JSON_TO(stdout);
	int r = 0;

	if (options->ramp) {
		print_ramp(bench, options->json ? &json : NULL);
		return 0;
	}
	if (options->json)
		bench_print_json(bench, &json);
	else if (options->csv)
		bench_print_csv(bench, bench_seconds(bench));
	else
		bench_print_plain(bench);
	if (options->compare && !options->csv)
		r = bench_compare(bench, options->json ? &json : NULL, &bench->why);
	if (options->json)
		json_end(&json);
	return r ? report_failure(options, NULL, r, &bench->why) : 0;
}
