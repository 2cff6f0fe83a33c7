/* SPDX-License-Identifier: Apache-2.0 */
/* A bisection whose steps are made side by side: each connection of a round pauses for another time, so
 * that a round of N takes as long as its longest pause, and leaves 1/N of the range.
 *
 * * A connection is alive when a question after the pause is answered. A NAT that has forgotten a flow
 * of plain datagrams does not show: the question begins a new one. With DTLS it does, since the session
 * is bound to the address. */

#include "client/path_idle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "client/options.h"

#define FLOWS     16
#define ANSWER_MS 2000 /* after the pause */

static const char question[] = "idle\n";

struct flow {
	struct round_of_flows *round;
	struct lane lane;
	struct timer timer;
	uint64_t pause_ms, began_ms, closed_ms; /* closed_ms 0: it was not */
	bool is_asked, is_over, is_alive;
};

struct round_of_flows {
	struct lanes *lanes;
	struct flow flows[FLOWS];
	size_t n, n_open;
	int outcome; /* of a connection that could not be made */
};

static void flow_end(struct flow *flow, bool is_alive)
{
	if (flow->is_over)
		return;
	flow->is_over = true;
	flow->is_alive = is_alive;
	loop_clear_timer(&flow->timer);
	if (--flow->round->n_open == 0)
		loop_stop(&flow->round->lanes->loop, 0);
}

static void flow_ask(struct flow *flow)
{
	if (lane_send(&flow->lane, question, sizeof(question) - 1) == 0)
		lane_flush(&flow->lane);
}

static void flow_on_open(struct lane *lane)
{
	flow_ask(container_of(lane, struct flow, lane));
}

static void flow_on_arrival(struct lane *lane, const struct arrival *arrival)
{
	struct flow *flow = container_of(lane, struct flow, lane);

	if (flow->is_asked) {
		flow_end(flow, true);
	} else if (!flow->began_ms) {
		flow->began_ms = clock_ms();
		loop_set_timer(&lane->lanes->loop, &flow->timer, flow->began_ms + flow->pause_ms);
	}
}

static void flow_on_end(struct lane *lane, int outcome, const struct why *why)
{
	struct flow *flow = container_of(lane, struct flow, lane);

	if (!flow->began_ms)
		flow->round->outcome = outcome;
	else if (!flow->is_asked)
		flow->closed_ms = clock_ms() - flow->began_ms;
	flow_end(flow, false);
}

static void flow_on_time(struct timer *timer, uint64_t now_ms)
{
	struct flow *flow = container_of(timer, struct flow, timer);

	if (flow->is_asked) {
		flow_end(flow, false);
		return;
	}
	flow->is_asked = true;
	loop_set_timer(&flow->lane.lanes->loop, timer, now_ms + ANSWER_MS);
	flow_ask(flow);
}

/* Pauses at equal steps above `low`, up to and with `high`. */
static int run_round(
	struct round_of_flows *round, struct server *server, uint64_t low, uint64_t high)
{
	static const struct lane_owner owner = {
		.on_open = flow_on_open, .on_arrival = flow_on_arrival, .on_end = flow_on_end};
	int r;

	round->n_open = FLOWS + 1;
	round->lanes->loop.stopped = false;
	for (size_t i = 0; i < FLOWS; i++) {
		struct flow *flow = &round->flows[i];

		*flow = (struct flow){
			.round = round, .pause_ms = low + (high - low) * (i + 1) / FLOWS};
		flow->timer.on_time = flow_on_time;
		lane_init(&flow->lane, round->lanes, &owner);
		loop_set_timer(&round->lanes->loop, &flow->timer,
			clock_ms() + server->options->timeout_ms);
		lane_open(&flow->lane, server);
	}
	r = --round->n_open ? loop_run(&round->lanes->loop) : 0;
	for (size_t i = 0; i < FLOWS; i++) {
		loop_clear_timer(&round->flows[i].timer);
		lane_done(&round->flows[i].lane);
	}
	return r ? r : round->outcome;
}

/* The first dead one bounds the range from above, the last alive one before it from below. */
static void narrow(struct idle *idle, const struct round_of_flows *round)
{
	for (size_t i = 0; i < FLOWS; i++) {
		const struct flow *flow = &round->flows[i];

		if (flow->is_alive) {
			idle->alive_ms = flow->pause_ms;
			continue;
		}
		idle->dead_ms = flow->pause_ms;
		if (flow->closed_ms) {
			idle->is_closed = true;
			idle->closed_ms = flow->closed_ms;
		}
		return;
	}
}

int idle_search(struct idle *idle, struct lanes *lanes, struct server *server, uint64_t most_ms,
	uint64_t exact_ms)
{
	struct round_of_flows *round = calloc(1, sizeof(*round));
	int r;

	if (!round)
		return -ENOMEM;
	round->lanes = lanes;
	do {
		r = run_round(
			round, server, idle->alive_ms, idle->dead_ms ? idle->dead_ms : most_ms);
		if (!r)
			narrow(idle, round);
	} while (!r && idle->dead_ms && !idle->is_closed &&
		idle->dead_ms - idle->alive_ms > exact_ms);
	free(round);
	return r;
}
