/* SPDX-License-Identifier: Apache-2.0 */
/* How much a server can do, and how long it takes over it: the load of load.c, watched. */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <upper/upper.h>

#include "base/clock.h"
#include "base/json.h"
#include "client/histogram.h"
#include "client/link.h"
#include "client/options.h"
#include "client/question.h"
#include "client/report.h"

/* A link and what is under way on it. Question k of a lane is in slot k modulo the depth, and a
 * lane waits when that slot is taken. */
struct lane {
	struct link link;
	uint64_t *sent_us; /* when the question in each slot went out; 0: the slot is free */
	uint64_t next;     /* the question to send, or being sent */
	size_t n_busy;
	uint8_t *out, *in; /* one question and one answer; on a stream, parts of them */
	size_t out_at, in_at;
	uint64_t out_us;   /* when the first byte of the question being sent went out */
	bool has_answered; /* the link has brought an answer */
};

struct load {
	struct server *server;
	struct lane *lanes;
	struct pollfd *polls;
	size_t n_lanes, depth, size;
	uint8_t *expected;
	uint64_t limit, sent; /* limit 0: none */
	uint64_t right, wrong, lost;
	struct histogram times; /* of right answers, in microseconds */
};

/* Numbers of different lanes never meet. */
#define LANE_SHIFT 48

static void lane_done(struct lane *lane)
{
	link_close(&lane->link);
	free(lane->sent_us);
	free(lane->out);
	free(lane->in);
}

static void load_done(struct load *load)
{
	for (size_t i = 0; load->lanes && i < load->n_lanes; i++)
		lane_done(&load->lanes[i]);
	free(load->lanes);
	free(load->polls);
	free(load->expected);
}

static int lane_init(struct lane *lane, const struct load *load, struct why *why)
{
	lane->sent_us = calloc(load->depth, sizeof(*lane->sent_us));
	lane->out = malloc(load->size);
	lane->in = malloc(load->size + 1); /* a datagram that is too long shows as such */
	if (!lane->sent_us || !lane->out || !lane->in)
		return -ENOMEM;
	return link_open(&lane->link, load->server, why);
}

static int load_init(struct load *load, struct server *server, struct why *why)
{
	const struct options *options = server->options;
	int r = 0;

	*load = (struct load){
		.server = server,
		.n_lanes = (size_t)options->connections,
		.depth = (size_t)options->depth,
		.size = (size_t)options->size,
		.limit = options->count,
	};
	load->lanes = calloc(load->n_lanes, sizeof(*load->lanes));
	load->polls = calloc(load->n_lanes, sizeof(*load->polls));
	load->expected = malloc(load->size);
	if (!load->lanes || !load->polls || !load->expected)
		return -ENOMEM;
	for (size_t i = 0; !r && i < load->n_lanes; i++)
		r = lane_init(&load->lanes[i], load, why);
	return r;
}

static uint64_t number_of(const struct load *load, const struct lane *lane, uint64_t question)
{
	return (uint64_t)(lane - load->lanes) << LANE_SHIFT | question;
}

static bool is_right(const struct load *load, const uint8_t *question, const uint8_t *answer)
{
	static const struct upper_rule rule = {.charset = UPPER_UTF8, .invalid = UPPER_KEEP};
	struct upper_in in = {question, question + load->size};
	struct upper_out out = {load->expected, load->expected + load->size};

	upper_convert(&rule, true, &in, &out);
	return memcmp(load->expected, answer, load->size) == 0;
}

/* Counts one answer and frees its slot. */
static void take_answer(struct load *load, struct lane *lane)
{
	uint64_t number = question_number(lane->in, lane->in_at), now = clock_us();
	uint64_t question = number & ((UINT64_C(1) << LANE_SHIFT) - 1);
	uint64_t *sent_us = &lane->sent_us[question % load->depth];
	uint8_t *expected = load->expected;
	bool is_known = lane->in_at == load->size && number == number_of(load, lane, question) &&
		question < lane->next && question + load->depth >= lane->next && *sent_us;

	lane->in_at = 0;
	if (is_known)
		question_write(expected, load->size, number);
	if (!is_known || !is_right(load, expected, lane->in)) {
		load->wrong++;
		return;
	}
	lane->has_answered = true;
	load->right++;
	histogram_add(&load->times, now - *sent_us);
	*sent_us = 0;
	lane->n_busy--;
}

/* What was under way on a link that ended. A server that closes after each answer has done no
 * wrong: what it never saw is asked again. */
static void give_back(struct load *load, struct lane *lane)
{
	if (lane->has_answered)
		load->sent -= lane->n_busy;
	else
		load->lost += lane->n_busy;
	lane->has_answered = false;
	memset(lane->sent_us, 0, load->depth * sizeof(*lane->sent_us));
	lane->n_busy = 0;
	lane->out_at = lane->in_at = 0;
}

static void lose_late(struct load *load, struct lane *lane)
{
	uint64_t timeout_us = load->server->options->timeout_ms * 1000, now = clock_us();

	for (size_t i = 0; timeout_us && lane->n_busy && i < load->depth; i++) {
		if (!lane->sent_us[i] || now - lane->sent_us[i] < timeout_us)
			continue;
		lane->sent_us[i] = 0;
		lane->n_busy--;
		load->lost++;
	}
}

static bool wants_send(const struct load *load, const struct lane *lane)
{
	if (lane->out_at)
		return true;
	return !lane->sent_us[lane->next % load->depth] &&
		(!load->limit || load->sent < load->limit);
}

static int send_some(struct load *load, struct lane *lane)
{
	size_t n;
	int r;

	if (lane->out_at == 0) {
		question_write(lane->out, load->size, number_of(load, lane, lane->next));
		lane->out_us = clock_us();
	}
	r = link_write(&lane->link, lane->out + lane->out_at, load->size - lane->out_at, &n);
	if (r)
		return r;
	lane->out_at += n;
	if (lane->out_at < load->size)
		return 0;
	lane->out_at = 0;
	lane->sent_us[lane->next++ % load->depth] = lane->out_us;
	lane->n_busy++;
	load->sent++;
	return 0;
}

static int receive_some(struct load *load, struct lane *lane)
{
	bool is_datagram = load->server->url.transport->is_datagram;
	size_t room = is_datagram ? load->size + 1 : load->size - lane->in_at, n;
	int r;

	r = link_read(&lane->link, lane->in + lane->in_at, room, &n);
	if (r)
		return r;
	lane->in_at += n;
	if (is_datagram || lane->in_at == load->size)
		take_answer(load, lane);
	return 0;
}

/* All that goes without waiting; a server that closed its end is connected to again. */
static int lane_move(struct load *load, struct lane *lane, struct why *why)
{
	int r = 0;

	while (!r)
		r = receive_some(load, lane);
	while (r == LINK_E_AGAIN && wants_send(load, lane)) {
		r = send_some(load, lane);
		if (r == LINK_E_AGAIN)
			return 0;
		r = r ? r : LINK_E_AGAIN;
	}
	if (r == LINK_E_AGAIN || r < 0)
		return r < 0 ? r : 0;

	if (r == LINK_E_REFUSED)
		return link_explain(&lane->link, why);
	if (r == LINK_E_TOO_LONG)
		return why_set(why, CLIENT_E_USAGE,
			"--size is more than the %zu bytes that a datagram holds",
			load->server->url.transport->longest);
	give_back(load, lane);
	link_close(&lane->link);
	return link_open(&lane->link, load->server, why);
}

static bool load_is_over(const struct load *load)
{
	if (!load->limit || load->sent < load->limit)
		return false;
	for (size_t i = 0; i < load->n_lanes; i++)
		if (load->lanes[i].n_busy)
			return false;
	return true;
}

static int load_step(struct load *load, int timeout_ms, struct why *why)
{
	int r;

	for (size_t i = 0; i < load->n_lanes; i++) {
		struct lane *lane = &load->lanes[i];

		r = lane_move(load, lane, why);
		if (r)
			return r;
		lose_late(load, lane);
		load->polls[i].fd = lane->link.fd;
		load->polls[i].events = (short)(lane->link.read_wants |
			(wants_send(load, lane) ? lane->link.write_wants : 0));
	}
	if (load_is_over(load))
		return 0;
	if (poll(load->polls, load->n_lanes, timeout_ms) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

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
	struct json json = JSON_TO(stdout);

	json_object(&json, NULL);
	json_string(&json, "server", load->server->name);
	json_number(&json, "connections", load->n_lanes);
	json_number(&json, "pipeline", load->depth);
	json_number(&json, "size", load->size);
	json_decimal(&json, "seconds", (double)bench->us / 1e6, 3);
	json_number(&json, "right", load->right);
	json_number(&json, "wrong", load->wrong);
	json_number(&json, "lost", load->lost);
	json_decimal(&json, "per_second", per_second(bench), 1);
	json_object(&json, "ms");
	json_decimal(&json, "min", (double)times->min / 1000, 3);
	json_decimal(&json, "avg", histogram_mean(times) / 1000, 3);
	json_decimal(&json, "p50", quantile_ms(load, 0.5), 3);
	json_decimal(&json, "p90", quantile_ms(load, 0.9), 3);
	json_decimal(&json, "p99", quantile_ms(load, 0.99), 3);
	json_decimal(&json, "p99.9", quantile_ms(load, 0.999), 3);
	json_decimal(&json, "max", (double)times->max / 1000, 3);
	json_end(&json);
	json_end(&json);
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

static int bench_server(struct server *server, struct why *why)
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
	_cleanup_server_ struct server server = {0};
	struct why why = {0};
	int r;

	sigaction(SIGINT, &action, NULL);
	r = server_find(options->url, options, &server, &why);
	if (!r)
		r = bench_server(&server, &why);
	return r && *why.text ? report_failure(options, server.name, r, &why) : r;
}
