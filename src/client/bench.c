/* SPDX-License-Identifier: Apache-2.0 */
/* How much a server can do, and how long it takes over it: the load of load.c, watched. */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/forms.h"
#include "client/load.h"
#include "client/options.h"
#include "client/report.h"

#define USUAL_DURATION_MS 5000
#define STEP_MS           100 /* the longest sleep, so that the display and the end are in time */
#define BAR               50

struct bench {
	struct load load;
	uint64_t begun_us, us, shown_us;
	bool is_live;
};

static volatile sig_atomic_t is_interrupted;

static void interrupt(int signal)
{
	is_interrupted = 1;
}

static double quantile_ms(const struct load *load, double share)
{
	return (double)histogram_quantile(&load->times, share) / 1000;
}

static double per_second(const struct bench *bench)
{
	return bench->us ? (double)bench->load.right * 1e6 / (double)bench->us : 0;
}

static void show_live(struct bench *bench)
{
	const struct load *load = &bench->load;

	if (!bench->is_live || bench->us - bench->shown_us < 200000)
		return;
	bench->shown_us = bench->us;
	fprintf(stderr,
		"\r\033[K%5.1f s  %" PRIu64 " answers  %.0f/s  p50 %.3f ms  p99 %.3f ms  "
		"%" PRIu64 " wrong  %" PRIu64 " lost",
		(double)bench->us / 1e6, load->right, per_second(bench), quantile_ms(load, 0.5),
		quantile_ms(load, 0.99), load->wrong, load->lost);
}

/* One bar for each power of two that has any. */
static void print_bars(const struct histogram *times)
{
	uint64_t rows[64] = {0}, most = 1;

	for (size_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
		uint64_t top = histogram_cell_top(cell);
		unsigned row = top ? 63U - (unsigned)__builtin_clzll(top) : 0;

		rows[row] += times->cells[cell];
		most = rows[row] > most ? rows[row] : most;
	}
	for (size_t row = 0; row < 64; row++) {
		int length = (int)(rows[row] * BAR / most);

		if (rows[row])
			printf("  below %10.3f ms %10" PRIu64 " %.*s\n",
				(double)(UINT64_C(2) << row) / 1000, rows[row], length,
				"##################################################");
	}
}

static void print_plain(const struct bench *bench)
{
	const struct load *load = &bench->load;
	const struct histogram *times = &load->times;
	double seconds = (double)bench->us / 1e6;

	printf("%s: %" PRIu64
	       " right answers in %.3f s: %.0f a second, %.3f MB a second each way\n",
		load->server->name, load->right, seconds, per_second(bench),
		per_second(bench) * (double)load->size / 1e6);
	printf("%s%" PRIu64 " wrong, %" PRIu64 " lost%s\n",
		load->wrong || load->lost ? colour_bad(stdout) : colour_good(stdout), load->wrong,
		load->lost, colour_off(stdout));
	if (!times->n)
		return;
	printf("ms: min %.3f, avg %.3f, p50 %.3f, p90 %.3f, p99 %.3f, p99.9 %.3f, max %.3f\n",
		(double)times->min / 1000, histogram_mean(times) / 1000, quantile_ms(load, 0.5),
		quantile_ms(load, 0.9), quantile_ms(load, 0.99), quantile_ms(load, 0.999),
		(double)times->max / 1000);
	if (!load->server->options->quiet)
		print_bars(times);
}

static void print_json(const struct bench *bench)
{
	const struct load *load = &bench->load;
	const struct histogram *times = &load->times;

	printf("{\"server\": ");
	json_string(stdout, load->server->name, strlen(load->server->name));
	printf(", \"connections\": %zu, \"pipeline\": %zu, \"size\": %zu, \"seconds\": %.3f, ",
		load->n_lanes, load->depth, load->size, (double)bench->us / 1e6);
	printf("\"right\": %" PRIu64 ", \"wrong\": %" PRIu64 ", \"lost\": %" PRIu64
	       ", \"per_second\": %.1f, ",
		load->right, load->wrong, load->lost, per_second(bench));
	printf("\"ms\": {\"min\": %.3f, \"avg\": %.3f, \"p50\": %.3f, \"p90\": %.3f, "
	       "\"p99\": %.3f, \"p99.9\": %.3f, \"max\": %.3f}}\n",
		(double)times->min / 1000, histogram_mean(times) / 1000, quantile_ms(load, 0.5),
		quantile_ms(load, 0.9), quantile_ms(load, 0.99), quantile_ms(load, 0.999),
		(double)times->max / 1000);
}

static int watch(struct bench *bench, struct why *why)
{
	const struct options *options = bench->load.server->options;
	uint64_t duration_ms = options->duration_ms;
	int r;

	if (!duration_ms && !options->count)
		duration_ms = USUAL_DURATION_MS;
	bench->begun_us = clock_us();
	do {
		r = load_step(&bench->load, STEP_MS, why);
		if (r)
			break;
		bench->us = clock_us() - bench->begun_us;
		show_live(bench);
	} while (!is_interrupted && !load_is_over(&bench->load) &&
		(!duration_ms || bench->us < duration_ms * 1000));

	if (bench->shown_us)
		fputs("\r\033[K", stderr);
	return r;
}

static void bench_done(struct bench *bench)
{
	load_done(&bench->load);
}

static int bench_server(const struct server *server, struct why *why)
{
	__attribute__((cleanup(bench_done))) struct bench bench = {
		.is_live =
			isatty(STDERR_FILENO) && !server->options->quiet && !server->options->json,
	};
	int r;

	r = load_init(&bench.load, server, why);
	if (r)
		return r;
	r = watch(&bench, why);
	if (r)
		return r;

	if (server->options->json)
		print_json(&bench);
	else
		print_plain(&bench);
	return bench.load.wrong ? CLIENT_E_WRONG : bench.load.lost ? CLIENT_E_LOST : 0;
}

int bench_run(const struct options *options)
{
	/* The second Ctrl-C does not wait for connections. */
	struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
	struct server server;
	struct why why = {0};
	int r;

	sigaction(SIGINT, &action, NULL);
	r = server_find(options->url, options, &server, &why);
	if (!r)
		r = bench_server(&server, &why);
	return r && *why.text ? report_failure(options, server.name, r, &why) : r;
}
