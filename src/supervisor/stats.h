/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Statistics of the daemon: what it has counted, since the start and over reloads and upgrades, and how
 * it is shown. The supervisor hands in what is so at a moment; nothing here looks for itself. */

#include <stdbool.h>
#include <stdint.h>

#include "generation/sums.h"
#include "process/metrics_page.h"
#include "process/role.h"
#include "upgrade/handover.h"

/* These last, also over an upgrade. */
struct lasting {
	int64_t started;     /* in seconds since 1970 */
	uint64_t generation; /* the number of the configuration that serves */
	uint64_t reloads, failed_reloads;
	uint64_t replaced[N_ROLES]; /* children that died and were replaced */
};

struct stats {
	struct lasting lasting;
	struct sums history; /* of generations that are gone */
	struct metrics_page page;
	bool reload_failed;      /* the last one */
	bool is_counting;        /* messages were counted a second ago */
	uint64_t messages, rate; /* as of the last second, and in it */
	char status[512];        /* as the service manager was told */
};

/* How things are. */
struct moment {
	struct sums sums; /* of all generations, those of the past included */
	bool is_serving;
	char trouble[256];                      /* empty when all is well */
	uint64_t uptime;                        /* in seconds, of this program */
	uint64_t workers, workers_up, draining; /* processes; and configurations */
	uint64_t open, open_limit;              /* connections */
	int64_t expires; /* the first certificate, in seconds since 1970; 0: there is none */
};

#define MOMENT_EMPTY ((struct moment){0})
void moment_done(struct moment *moment);
#define _cleanup_moment_ __attribute__((cleanup(moment_done)))

int stats_init(struct stats *stats);
void stats_done(struct stats *stats);

/* Once a second: rates, and the line of the service manager when it has changed. */
void stats_on_second(struct stats *stats, const struct moment *moment);
/* Renders the page of the exporters. */
void stats_publish(struct stats *stats, const struct moment *moment);
/* Another configuration serves. */
void stats_count_generation(struct stats *stats);
void stats_count_reload(struct stats *stats, bool worked);
/* A child died that will be replaced. */
void stats_count_death(struct stats *stats, enum role role);

/* As lines for the supervisor after an upgrade, and back. Another build may count other things: what both
 * know is kept. */
void stats_hand_over(const struct stats *stats, struct handover *handover);
void stats_resume_lasting(struct stats *stats, char *line);
void stats_resume_listener(struct stats *stats, char *line);
