/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A load, between bench.c, which makes it, and bench_report.c, which shows it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/bench_cost.h"
#include "client/histogram.h"
#include "client/lane.h"
#include "client/ticker.h"
#include "client/window.h"

#define BENCH_SECONDS 3600 /* of which the answers are counted one by one, for confidence */

struct track;

/* A part of a ramp: a rate, and what came of it. */
struct step {
	uint64_t rate, lost;
	double per_second, p50_ms, p99_ms;
	bool is_held; /* the server kept up */
};

#define BENCH_STEPS 48

struct bench {
	const struct options *options;
	struct server server;
	struct lanes lanes;
	struct texts texts;
	struct track *tracks;
	size_t n_tracks, depth;
	size_t n_dialled; /* tracks that have begun to open, before the start */
	bool is_dialling; /* a socket of datagrams is open at once, and its callback is here already */

	/* The schedule. */
	uint64_t rate; /* questions a second; 0: each answer asks the next question (closed) */
	uint64_t begun_us, end_us; /* end_us 0: no limit */
	uint64_t start_us; /* of the whole; a ramp begins its schedule again for each step */
	uint64_t n_begun;  /* questions that were sent, or whose connection is being opened */
	size_t turn;       /* the track to try first */
	struct ticker ticker;
	uint64_t next_second_us, next_expiry_us;
	size_t n_waiting; /* questions under way, as last counted */
	bool is_ending;   /* nothing is sent any more; answers may still come */

	/* Of a ramp, the steps so far, and the highest rate that was held and the lowest that was not. */
	struct step steps[BENCH_STEPS];
	size_t n_steps;
	uint64_t step_end_us, held, missed;

	/* The result. */
	struct tally tally;
	struct histogram times;
	uint64_t same_us,
		n_same; /* answers that are not in `times` yet: how long they took, and how many */
	uint64_t limit; /* of questions; 0: none */
	uint64_t
		n_unsent; /* questions of the schedule that found no free connection until the end */
	uint64_t warm_us, warm_questions,
		done_us;              /* when the warm-up was over, and the last answer came */
	uint64_t n_opened, n_resumed; /* connections */
	bool has_session;             /* over TLS: the first one */
	struct session_facts session;
	uint64_t
		lag_us; /* the longest that a question was late although a connection was free for it */
	uint64_t cpu_us; /* that this program has used */
	struct costs costs;
	uint64_t shown_right, shown_us;
	uint32_t *seconds; /* right answers in each second */
	size_t n_seconds;
	int outcome;
	struct why why;

	/* The display. */
	bool is_live, is_resized;
	unsigned lines; /* that it has on the screen */
};

/* The display: redrawn, or one plain line a second. */
void bench_show(struct bench *bench, uint64_t now_us);
void bench_clear(struct bench *bench);
/* A row of --csv for the second that is over; and the names of its columns. */
void bench_print_csv_head(void);
void bench_print_csv(struct bench *bench, double seconds);
void bench_print_step(struct bench *bench, const struct step *step);
/* Whether --compare can be done: better known before a long run than behind it. */
int bench_check_earlier(const char *path, struct why *why);
struct json;
/* As text when `json` is NULL. 0, or CLIENT_E_* and why. */
int bench_compare(const struct bench *bench, struct json *json, struct why *why);
/* The result, as the options ask. 0, or CLIENT_E_* of --compare. */
int bench_print(struct bench *bench);
