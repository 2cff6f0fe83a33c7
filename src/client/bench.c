/* SPDX-License-Identifier: Apache-2.0 */
/* A load, in one thread and one loop. Each track is a connection with its questions under way.
 *
 * An open load has a schedule: question number i is due at begin + i / rate, whatever the server does, and
 * goes out on the next track that is free. Its time counts from when it was due. So a server that stalls
 * for a second is seen by all questions that were due in that second, and not by the few that were under
 * way (coordinated omission).
 *
 * A closed load has no schedule: each answer is followed by the next question, which finds the highest rate
 * of a server; its times say little about a stall. */

#include "client/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/options.h"
#include "client/report.h"

#define USUAL_DURATION_MS 5000
#define EXPIRY_US         20000 /* between two looks for overdue questions */
#define SECOND_US         1000000
#define IDLE_TICK_US      10000 /* the longest sleep */
#define LEAST_TICK_US     40 /* a shorter one costs more than it helps: questions leave together */
#define RAMP_FIRST        1000 /* questions a second */
#define RAMP_STEP_US      1000000
#define RAMP_SHARE        0.97 /* of the questions of a step have to be answered */
#define RAMP_LOSS         0.01
#define RAMP_SLOWER       10   /* times the p99 of the first step is a queue that grows */
#define RAMP_LEAST_MS     20   /* and less than this is none */
#define RAMP_EXACT        1.06 /* the knee is found within this factor */
#define RING_MOST         65536
#define DIALLING_MOST     128 /* connections that are opened at a time, before the start */
#define NUMBER_SHIFT      48  /* the numbers of different tracks never meet */

struct track {
	struct bench *bench;
	struct lane lane;
	struct window window;
	struct part part;
	bool has_answered;    /* on this connection */
	uint64_t answered_us; /* when the answers of this turn came; 0: none did */
	uint64_t due_us;      /* of the question that a new connection is opened for */
};

static void track_fill(struct track *track, uint64_t now_us);
static void bench_start(struct bench *bench);

static void bench_done(struct bench *bench)
{
	for (size_t i = 0; bench->tracks && i < bench->n_tracks; i++) {
		lane_done(&bench->tracks[i].lane);
		window_done(&bench->tracks[i].window);
		free(bench->tracks[i].part.room);
	}
	free(bench->tracks);
	free(bench->seconds);
	ticker_done(&bench->ticker);
	texts_done(&bench->texts);
	lanes_done(&bench->lanes);
	server_done(&bench->server);
}

static bool bench_is_datagram(const struct bench *bench)
{
	return bench->server.url.transport->is_datagram;
}

static bool is_complete(const struct bench *bench)
{
	return bench->limit && bench->n_begun >= bench->limit;
}

/* The questions of the schedule that are due by now. */
static uint64_t due_by(const struct bench *bench, uint64_t now_us)
{
	if (bench->end_us && now_us >= bench->end_us)
		now_us = bench->end_us - 1;
	return (uint64_t)((double)(now_us - bench->begun_us) * (double)bench->rate / 1e6) + 1;
}

static uint64_t due_at(const struct bench *bench, uint64_t i)
{
	return bench->begun_us + (uint64_t)((double)i * 1e6 / (double)bench->rate);
}

static bool may_send(const struct bench *bench, uint64_t now_us)
{
	if (bench->is_ending || is_complete(bench))
		return false;
	return !bench->rate || bench->n_begun < due_by(bench, now_us);
}

/* An open load does not wait for lost datagrams. */
static bool track_has_room(const struct track *track)
{
	const struct bench *bench = track->bench;

	if (window_is_full(&track->window))
		return false;
	return (bench->rate && bench_is_datagram(bench)) || track->window.n_waiting < bench->depth;
}

static void fail(struct bench *bench, int outcome, const struct why *why)
{
	bench->outcome = outcome;
	if (why)
		bench->why = *why;
	loop_stop(&bench->lanes.loop, outcome);
}

/* Puts the next question under way. False when it does not fit now. */
static bool track_ask(struct track *track, uint64_t due_us, uint64_t now_us)
{
	const struct texts *texts = &track->bench->texts;
	uint64_t number = window_number(&track->window);
	uint8_t *room = lane_reserve(&track->lane, texts_question_len(texts, number));

	if (!room)
		return false;
	texts_write(texts, number, room);
	window_ask(&track->window, due_us, now_us);
	return true;
}

static void take_from_schedule(struct bench *bench, uint64_t *ret_due_us, uint64_t now_us)
{
	*ret_due_us = bench->rate ? due_at(bench, bench->n_begun) : now_us;
	bench->n_begun++;
}

/* With a connection for each question, opening it is a part of the question's time. */
static void track_reopen(struct track *track, uint64_t now_us)
{
	take_from_schedule(track->bench, &track->due_us, now_us);
	lane_open(&track->lane, &track->bench->server);
}

static void track_fill(struct track *track, uint64_t now_us)
{
	struct bench *bench = track->bench;
	uint64_t due_us;

	if (bench->options->reconnect) {
		if (track->lane.link.stage == LINK_CLOSED && may_send(bench, now_us))
			track_reopen(track, now_us);
		return;
	}
	while (lane_is_open(&track->lane) && track_has_room(track) && may_send(bench, now_us)) {
		due_us = bench->rate ? due_at(bench, bench->n_begun) : now_us;
		if (!track_ask(track, due_us, now_us))
			return;
		bench->n_begun++;
	}
}

/* The lag of the client itself: a question is overdue although a track is free for it. */
static void note_lag(struct bench *bench, uint64_t now_us)
{
	uint64_t due_us = bench->rate ? due_at(bench, bench->n_begun) : now_us;

	if (!may_send(bench, now_us) || now_us <= due_us || now_us - due_us <= bench->lag_us)
		return;
	for (size_t i = 0; i < bench->n_tracks; i++) {
		if (lane_is_open(&bench->tracks[i].lane) && track_has_room(&bench->tracks[i]) &&
			lane_is_idle(&bench->tracks[i].lane)) {
			bench->lag_us = now_us - due_us;
			return;
		}
	}
}

/* Deals out the questions that are due, in turn, so that each track has its share. */
static void deal_out(struct bench *bench, uint64_t now_us)
{
	size_t n_without = 0;

	while (may_send(bench, now_us) && n_without < bench->n_tracks) {
		struct track *track = &bench->tracks[bench->turn++ % bench->n_tracks];
		uint64_t before = bench->n_begun;

		if (bench->options->reconnect)
			track_fill(track, now_us);
		else if (lane_is_open(&track->lane) && track_has_room(track) &&
			track_ask(track, due_at(bench, bench->n_begun), now_us))
			bench->n_begun++;
		n_without = before == bench->n_begun ? n_without + 1 : 0;
	}
	for (size_t i = 0; i < bench->n_tracks; i++)
		if (!lane_is_idle(&bench->tracks[i].lane))
			lane_flush(&bench->tracks[i].lane);
}

static size_t count_waiting(struct bench *bench)
{
	size_t n = 0;

	for (size_t i = 0; i < bench->n_tracks; i++)
		n += bench->tracks[i].window.n_waiting;
	bench->n_waiting = n;
	return n;
}

static bool is_opening(const struct bench *bench)
{
	for (size_t i = 0; i < bench->n_tracks; i++)
		if (bench->tracks[i].lane.link.stage == LINK_CONNECTING ||
			bench->tracks[i].lane.link.stage == LINK_SHAKING)
			return true;
	return false;
}

static void bench_look_for_end(struct bench *bench)
{
	if (!bench->is_ending && !is_complete(bench))
		return;
	if (count_waiting(bench) == 0 && !(bench->options->reconnect && is_opening(bench)))
		loop_stop(&bench->lanes.loop, 0);
}

static void bench_expire(struct bench *bench, uint64_t now_us)
{
	for (size_t i = 0; i < bench->n_tracks; i++) {
		struct track *track = &bench->tracks[i];
		uint64_t timeout_us = bench->options->timeout_ms * 1000;
		bool is_expired = false;

		while (window_expire(&track->window, now_us, timeout_us) != UINT64_MAX)
			is_expired = true;
		if (!is_expired)
			continue;
		/* On a stream that has stalled for that long at the end, the rest is not waited for. */
		if ((bench->is_ending || is_complete(bench)) && track->window.is_ordered)
			window_abandon(&track->window);
		if (bench->options->reconnect) {
			lane_close(&track->lane);
			window_abandon(&track->window);
		}
		track_fill(track, now_us);
		lane_flush(&track->lane);
	}
}

/* A question under way when the warm-up ends belongs to what is measured. */
static void end_warmup(struct bench *bench, uint64_t now_us)
{
	struct tally none = {.sent = count_waiting(bench)};

	bench->warm_us = now_us;
	bench->warm_questions = bench->tally.sent - none.sent;
	bench->tally = none;
	bench->times = (struct histogram){0};
	bench->shown_right = 0;
	if (bench->limit)
		bench->limit += bench->warm_questions;
	bench->n_seconds = 0;
	bench->next_second_us = now_us + SECOND_US;
	costs_mark(&bench->costs);
}

static void each_second(struct bench *bench, uint64_t now_us)
{
	double seconds =
		(double)(now_us - (bench->warm_us ? bench->warm_us : bench->begun_us)) / 1e6;

	bench->next_second_us += SECOND_US;
	if (bench->n_seconds < BENCH_SECONDS)
		bench->seconds[bench->n_seconds++] =
			(uint32_t)(bench->tally.right - bench->shown_right);
	count_waiting(bench);
	if (bench->options->csv)
		bench_print_csv(bench, seconds);
	bench->shown_right = bench->tally.right;
}

/* Sleeps until the next question is due, or something else is to be done. */
static void set_tick(struct bench *bench, uint64_t now_us)
{
	uint64_t at_us = now_us + IDLE_TICK_US;

	if (bench->rate && !bench->is_ending && !is_complete(bench)) {
		uint64_t due_us = due_at(bench, bench->n_begun);

		due_us = due_us > now_us + LEAST_TICK_US ? due_us : now_us + LEAST_TICK_US;
		at_us = due_us < at_us ? due_us : at_us;
	}
	if (bench->end_us > now_us && bench->end_us < at_us)
		at_us = bench->end_us;
	ticker_set(&bench->ticker, at_us);
}

static void stop_sending(struct bench *bench)
{
	bench->is_ending = true;
	if (bench->rate && !is_complete(bench) && due_by(bench, bench->end_us) > bench->n_begun)
		bench->n_unsent = due_by(bench, bench->end_us) - bench->n_begun;
}

/* The server has held a rate when it answered nearly all of the questions, and the times are not those of
 * a growing queue. */
static struct step judge_step(const struct bench *bench)
{
	double seconds = RAMP_STEP_US / 1e6;
	struct step step = {
		.rate = bench->rate,
		.lost = bench->tally.overdue,
		.per_second = (double)bench->tally.right / seconds,
		.p50_ms = (double)histogram_quantile(&bench->times, 0.5) / 1000,
		.p99_ms = (double)histogram_quantile(&bench->times, 0.99) / 1000,
	};
	double usual = bench->n_steps ? bench->steps[0].p99_ms : step.p99_ms;
	double limit = RAMP_SLOWER * usual > RAMP_LEAST_MS ? RAMP_SLOWER * usual : RAMP_LEAST_MS;

	step.is_held = step.per_second >= RAMP_SHARE * (double)step.rate && step.p99_ms <= limit &&
		(double)step.lost <= RAMP_LOSS * (double)step.rate;
	return step;
}

/* Half as much again while the server keeps up; then halfway between what it held and what it did not. */
static uint64_t next_rate(const struct bench *bench)
{
	if (!bench->missed)
		return bench->rate + bench->rate / 2;
	if (!bench->held)
		return bench->rate / 2;
	if ((double)bench->missed <= RAMP_EXACT * (double)bench->held)
		return 0;
	return (bench->held + bench->missed) / 2;
}

/* The schedule of the last step is dropped with whatever of it was not sent. */
static void ramp_on(struct bench *bench, uint64_t now_us)
{
	struct step step = judge_step(bench);

	if (step.is_held)
		bench->held = step.rate;
	else
		bench->missed = step.rate;
	bench->steps[bench->n_steps++] = step;
	bench_print_step(bench, &step);
	bench->rate = next_rate(bench);
	if (!bench->rate || bench->n_steps == BENCH_STEPS) {
		bench->rate = step.rate;
		bench->is_ending = true;
		return;
	}
	bench->tally = (struct tally){.sent = count_waiting(bench)};
	bench->times = (struct histogram){0};
	bench->shown_right = 0;
	bench->begun_us = now_us;
	bench->n_begun = 0;
	bench->step_end_us = now_us + RAMP_STEP_US;
}

static void bench_on_tick(struct ticker *ticker)
{
	struct bench *bench = container_of(ticker, struct bench, ticker);
	uint64_t now_us = clock_us();

	if (!bench->warm_us && bench->options->warmup_ms &&
		now_us >= bench->begun_us + bench->options->warmup_ms * 1000)
		end_warmup(bench, now_us);
	if (bench->options->ramp && now_us >= bench->step_end_us && !bench->is_ending)
		ramp_on(bench, now_us);
	if (bench->rate) {
		note_lag(bench, now_us);
		deal_out(bench, now_us);
	}
	if (bench->end_us && now_us >= bench->end_us && !bench->is_ending)
		stop_sending(bench);
	if (now_us >= bench->next_expiry_us) {
		bench->next_expiry_us = now_us + EXPIRY_US;
		bench_expire(bench, now_us);
		count_waiting(bench);
		bench_show(bench, now_us);
	}
	if (now_us >= bench->next_second_us &&
		(!bench->is_ending || bench->next_second_us <= bench->end_us))
		each_second(bench, now_us);
	bench_look_for_end(bench);
	set_tick(bench, now_us);
}

/* The questions of a closed load leave together and are answered together, so most have the same time, and are
 * counted in one go: at the latest when an event of a lane is over. */
static void settle_times(struct bench *bench)
{
	histogram_add_many(&bench->times, bench->same_us, bench->n_same);
	bench->n_same = 0;
}

static void track_take(struct track *track, const uint8_t *answer, size_t len, uint64_t now_us)
{
	struct bench *bench = track->bench;
	struct sorted sorted = window_take(&track->window, answer, len, now_us);

	track->has_answered = true;
	bench->done_us = now_us;
	if (sorted.fate != FATE_RIGHT && sorted.fate != FATE_LATE)
		return;
	if (sorted.us != bench->same_us)
		settle_times(bench);
	bench->same_us = sorted.us;
	bench->n_same++;
}

static void track_on_arrival(struct lane *lane, const struct arrival *arrival)
{
	struct track *track = container_of(lane, struct track, lane);
	struct bench *bench = track->bench;
	const uint8_t *at = arrival->data, *end = at + arrival->len;
	struct expect answer;

	if (bench_is_datagram(bench))
		track_take(track, at, arrival->len, arrival->at_us);
	else
		while (at < end && window_cut(&track->window, &track->part, &at, end, &answer))
			track_take(track, answer.text, answer.len, arrival->at_us);
	track->answered_us = arrival->at_us;
	if (!bench->options->reconnect || track->window.n_waiting)
		return;
	settle_times(bench);
	lane_close(lane);
	track_fill(track, arrival->at_us);
	if (bench->is_ending || is_complete(bench))
		bench_look_for_end(bench);
}

/* The questions that follow a batch of answers leave together. */
static void track_on_turn(struct lane *lane)
{
	struct track *track = container_of(lane, struct track, lane);
	struct bench *bench = track->bench;

	settle_times(bench);
	track_fill(track, track->answered_us ? track->answered_us : clock_us());
	track->answered_us = 0;
	if (bench->is_ending || is_complete(bench))
		bench_look_for_end(bench);
}

/* The questions that the last connection left unanswered are asked again. */
static void ask_again(struct track *track)
{
	struct bench *bench = track->bench;
	uint64_t index = 0;

	for (; (index = window_waiting(&track->window, index)) != UINT64_MAX; index++) {
		uint64_t number = track->window.base | index;
		uint8_t *room =
			lane_reserve(&track->lane, texts_question_len(&bench->texts, number));

		if (!room)
			return;
		texts_write(&bench->texts, number, room);
	}
}

/* A few at a time: a server has a queue for those who come, and each has its time-out. */
static void dial(struct bench *bench)
{
	if (bench->is_dialling)
		return;
	bench->is_dialling = true;
	while (!bench->outcome && bench->n_dialled < bench->n_tracks &&
		bench->n_dialled < bench->n_opened + DIALLING_MOST)
		lane_open(&bench->tracks[bench->n_dialled++].lane, &bench->server);
	bench->is_dialling = false;
}

static void track_on_open(struct lane *lane)
{
	struct track *track = container_of(lane, struct track, lane);
	struct bench *bench = track->bench;

	bench->n_opened++;
	bench->n_resumed += lane->link.is_resumed;
	if (bench->n_opened == 1)
		bench->has_session = link_describe(&lane->link, &bench->session);
	if (!bench->begun_us) {
		dial(bench);
		if (bench->n_opened == bench->n_tracks)
			bench_start(bench);
		return;
	}
	track->has_answered = false;
	track->part.len = 0;
	ask_again(track);
	if (bench->options->reconnect && track->window.n_waiting == 0 && track->due_us) {
		track_ask(track, track->due_us, clock_us());
		track->due_us = 0;
	} else {
		track_fill(track, clock_us());
	}
	lane_flush(lane);
}

/* A server that closes after an answer has lost no question that it never saw. */
static void track_on_end(struct lane *lane, int outcome, const struct why *why)
{
	struct track *track = container_of(lane, struct track, lane);
	struct bench *bench = track->bench;

	settle_times(bench);
	if (outcome != CLIENT_E_LOST || lane->link.times.open_us == 0) {
		fail(bench, outcome, why);
		return;
	}
	if (!bench->begun_us) {
		struct why early = {0};

		why_set(&early, CLIENT_E_LOST,
			"the server closed a connection when %" PRIu64
			" of %zu were open; does it allow so many?",
			bench->n_opened, bench->n_tracks);
		fail(bench, CLIENT_E_LOST, &early);
		return;
	}
	if (!track->has_answered)
		window_abandon(&track->window);
	if (bench->options->reconnect && track->window.n_waiting == 0)
		track_fill(track, clock_us());
	else if (track->window.n_waiting || !bench->is_ending)
		lane_open(lane, &bench->server);
}

static void bench_on_signal(struct lanes *lanes, int signal)
{
	struct bench *bench = container_of(lanes, struct bench, lanes);

	if (signal == SIGINT)
		bench->is_ending = true;
	else
		bench->is_resized = true;
}

static size_t ring_size(const struct bench *bench)
{
	uint64_t in_flight = 4 * bench->depth;

	if (bench->options->ramp)
		return RING_MOST / bench->n_tracks + bench->depth;
	if (bench->rate)
		in_flight += 2 * bench->rate * (bench->options->timeout_ms + 1000) / 1000 /
			bench->n_tracks;
	return in_flight < RING_MOST ? (size_t)in_flight : RING_MOST;
}

static int track_init(struct track *track, struct bench *bench)
{
	static const struct lane_owner owner = {.on_open = track_on_open,
		.on_arrival = track_on_arrival,
		.on_turn = track_on_turn,
		.on_end = track_on_end};
	uint64_t base = (uint64_t)(track - bench->tracks) << NUMBER_SHIFT;
	int r;

	track->bench = bench;
	lane_init(&track->lane, &bench->lanes, &owner);
	track->lane.is_segmented = !bench->options->no_segments;
	track->part.room = malloc(bench->texts.longest);
	r = track->part.room ? window_init(&track->window, ring_size(bench), base) : -ENOMEM;
	track->window.texts = &bench->texts;
	track->window.tally = &bench->tally;
	track->window.is_ordered = !bench_is_datagram(bench);
	return r;
}

static int bench_init(struct bench *bench, const struct options *options)
{
	int r;

	bench->options = options;
	bench->n_tracks = (size_t)options->connections;
	bench->depth = options->reconnect ? 1 : (size_t)options->depth;
	bench->rate = options->ramp && !options->rate ? RAMP_FIRST : options->rate;
	bench->limit = options->count;
	bench->server.resumes = options->resume;
	bench->is_live = isatty(STDERR_FILENO);
	r = texts_init(&bench->texts, options->text, options->size, &bench->why);
	if (!r)
		r = lanes_init(&bench->lanes);
	if (!r)
		r = lanes_catch_signals(&bench->lanes, bench_on_signal);
	if (r)
		return r;
	r = ticker_init(&bench->ticker, &bench->lanes.loop, bench_on_tick);
	bench->tracks = calloc(bench->n_tracks, sizeof(*bench->tracks));
	bench->seconds = calloc(BENCH_SECONDS, sizeof(*bench->seconds));
	if (!r && (!bench->tracks || !bench->seconds))
		r = -ENOMEM;
	for (size_t i = 0; !r && i < bench->n_tracks; i++)
		r = track_init(&bench->tracks[i], bench);
	return r;
}

static uint64_t cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * SECOND_US +
		(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void bench_start(struct bench *bench)
{
	const struct options *options = bench->options;
	uint64_t duration_ms = options->duration_ms, now_us = clock_us();

	if (!duration_ms && !options->count && !options->ramp)
		duration_ms = USUAL_DURATION_MS;
	bench->cpu_us = cpu_us();
	costs_mark(&bench->costs);
	bench->begun_us = bench->done_us = bench->start_us = now_us;
	bench->end_us = duration_ms ? now_us + (options->warmup_ms + duration_ms) * 1000 : 0;
	bench->next_second_us = now_us + SECOND_US;
	bench->step_end_us = now_us + RAMP_STEP_US;
	if (options->csv)
		bench_print_csv_head();
	for (size_t i = 0; !bench->rate && i < bench->n_tracks; i++) {
		track_fill(&bench->tracks[i], now_us);
		lane_flush(&bench->tracks[i].lane);
	}
	set_tick(bench, now_us);
}

/* The clock starts when all connections are open. */
static int bench_load(struct bench *bench)
{
	int r;

	if (bench->options->reconnect)
		bench_start(bench);
	else
		dial(bench);
	r = loop_run(&bench->lanes.loop);
	count_waiting(bench);
	bench_clear(bench);
	bench->cpu_us = cpu_us() - bench->cpu_us;
	costs_read(&bench->costs);
	return r;
}

static int bench_verdict(const struct tally *tally)
{
	if (tally->corrupted || tally->unchanged || tally->unknown)
		return CLIENT_E_WRONG;
	return tally_lost(tally) || tally->late ? CLIENT_E_LOST : 0;
}

int bench_run(const struct options *options)
{
	__attribute__((cleanup(bench_done))) struct bench bench = {
		.lanes = LANES_INIT, .ticker = {.fd = -1}};
	int r;

	if (options->rate && options->is_closed)
		r = why_set(&bench.why, CLIENT_E_USAGE,
			"--rate is for an open load, and --closed makes a closed one");
	else
		r = costs_init(&bench.costs, options->pids, &bench.why);
	if (!r && options->compare)
		r = bench_check_earlier(options->compare, &bench.why);
	if (!r)
		r = server_find(options->url, options, &bench.server, &bench.why);
	if (!r)
		r = bench_init(&bench, options);
	if (!r)
		r = bench_load(&bench);
	if (r)
		return *bench.why.text ? report_failure(options, bench.server.name, r, &bench.why)
				       : r;
	r = bench_print(&bench);
	return r || options->ramp ? r : bench_verdict(&bench.tally);
}
