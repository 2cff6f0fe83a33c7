/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Statistics of the daemon: what it has counted, since the start and over reloads and upgrades, and how
 * it is shown. The supervisor hands in what is so at a moment; nothing here looks for itself. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "conf/conf.h"
#include "generation/sums.h"
#include "generation/view.h"
#include "process/metrics_page.h"
#include "process/role.h"
#include "supervisor/generations.h"
#include "supervisor/records.h"

/* How a child died: by one of these signals, by another, or by an exit that it was not told to make. */
// clang-format off
#define DEATHS(DEATH)        \
	DEATH(EXIT, 0)       \
	DEATH(KILL, SIGKILL) \
	DEATH(SEGV, SIGSEGV) \
	DEATH(ABRT, SIGABRT) \
	DEATH(BUS, SIGBUS)   \
	DEATH(FPE, SIGFPE)   \
	DEATH(ILL, SIGILL)   \
	DEATH(SYS, SIGSYS)
// clang-format on

enum death {
#define DEATH(name, signal) DEATH_##name,
	DEATHS(DEATH)
#undef DEATH
		DEATH_OTHER,
	N_DEATHS
};

struct crash {
	int64_t at; /* in seconds since 1970; 0: there was none */
	enum role role;
	unsigned index;
	int signal; /* 0: it exited, with the code */
	int exit_code;
};

/* These last, also over an upgrade. */
struct lasting {
	int64_t started;        /* in seconds since 1970 */
	uint64_t generation;    /* the number of the configuration that serves */
	int64_t generation_at;  /* since when, in seconds since 1970 */
	enum build_cause cause; /* of that configuration */
	uint64_t reloads, failed_reloads;
	uint64_t memory_short;      /* times that it became short */
	uint64_t replaced[N_ROLES]; /* children that died and were replaced */
	uint64_t deaths[N_ROLES][N_DEATHS];
	struct crash crash; /* the last one */
};

/* The configuration or its files as they are now do not serve. A file that is mended is taken up by itself, and
 * clears only the latter. */
enum reload_trouble { RELOAD_WELL, RELOAD_FILE_REFUSED, RELOAD_FAILED };

/* The end of a build that is not the first. */
struct reload_end {
	enum build_cause cause;
	bool worked;
	bool is_about_files; /* if not: the configuration itself is as it was, or holds */
	const char *why;
};

/* The last minutes, second by second, for plots. */
#define PLOT_SECONDS 120

struct stats {
	uint64_t
		started_ms; /* of this program, or the first of those that took over from each other */
	struct lasting lasting;
	struct sums history; /* of generations that are gone */
	struct metrics_page page;
	enum reload_trouble reload_trouble; /* as the last one left it */
	char refused[300];                  /* the trouble as a sentence */
	bool is_counting;                   /* there are counts of a second ago */
	struct sums before;                 /* as of a second ago ... */
	struct sums now;                    /* ... and as of now */
	uint64_t rate;                      /* messages in the last second */
	uint32_t rates[PLOT_SECONDS];
	uint32_t latencies[PLOT_SECONDS]; /* of 99 % of the answers of that second, in us */
	unsigned n_seconds; /* since the start; the newest is at (n_seconds - 1) % PLOT_SECONDS */
	char status[512];   /* as the service manager was told */
};

/* How things are. */
struct moment {
	struct sums sums; /* of all generations, those of the past included */
	bool is_serving;
	uint64_t uptime;                        /* in seconds, of this program */
	uint64_t workers, workers_up, draining; /* processes; and configurations */
	uint64_t open, open_limit;              /* connections */
	uint64_t
		open_before; /* those of them in workers of before an upgrade, which count for no limit */
	uint64_t turned_away; /* clients */
	bool memory_is_short;
	int64_t expires;   /* the first certificate, in seconds since 1970; 0: there is none */
	char trouble[256]; /* of the children; empty when there is none */
	const struct conf *conf;     /* that serves; NULL: none does */
	struct child_view *children; /* owned */
	size_t n_children;
	struct certificate_entry
		certificates[CERTIFICATES_SHOWN]; /* copies: workers write the originals */
	size_t n_certificates;
	struct log_memory log;
};

#define MOMENT_EMPTY ((struct moment){0})
void moment_done(struct moment *moment);
#define _cleanup_moment_ __attribute__((cleanup(moment_done)))

int stats_init(struct stats *stats, uint64_t now_ms);
void stats_done(struct stats *stats);

/* Once a second: rates, and the line of the service manager when it has changed. */
void stats_on_second(struct stats *stats, const struct moment *moment);
/* Another configuration serves. */
void stats_count_generation(struct stats *stats, enum build_cause cause);
void stats_count_reload(struct stats *stats, const struct reload_end *end);
/* A child died. */
void stats_count_death(struct stats *stats, const struct child *child, const struct child_end *end);
/* Attempts to connect that the system dropped. */
void stats_count_drops(struct stats *stats, const char *listener, uint32_t n);
const char *death_name(enum death death);
/* All that is wrong now, as a sentence; empty when all is well. */
void stats_judge(const struct stats *stats, const struct moment *moment, char text[static 512]);
/* The 99 % quantile of the answers of the last second, in us; with NULL, of all listeners. */
uint32_t stats_latency(const struct stats *stats, const char *name);
/* The counters of that listener a second ago; NULL when there are none. */
const struct listener_counters *stats_before(const struct stats *stats, const char *name);

/* As lines for the supervisor after an upgrade, with the sums of all processes that have ended, and back. Another
 * build may count other things: what both know is kept. */
void stats_describe(const struct stats *stats, const struct sums *sums, FILE *out);
void stats_take_started(struct stats *stats, char *line);
void stats_take_lasting(struct stats *stats, char *line);
void stats_take_listener(struct stats *stats, char *line);
void stats_take_common(struct stats *stats, char *line);
