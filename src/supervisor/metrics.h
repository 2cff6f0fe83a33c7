/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All that is counted, as OpenMetrics text: what upperctl prints and what the exporter serves. */

#include <stdint.h>
#include <stdio.h>

#include "process/role.h"
#include "supervisor/totals.h"

#define METRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* What the supervisor alone knows. */
struct figures {
	/* These last, also over an upgrade ... */
	int64_t started;     /* in seconds since 1970 */
	uint64_t generation; /* the how many-eth configuration serves */
	uint64_t reloads, failed_reloads;
	uint64_t replaced[N_ROLES]; /* children that died and were replaced */
	/* ... and these are as they are now. */
	uint64_t workers, draining; /* processes; and configurations */
	uint64_t open, most_open;   /* connections */
	int64_t expires; /* the first certificate, in seconds since 1970; 0: there is none */
};

void metrics_print(const struct figures *figures, const struct totals *totals, FILE *out);

/* As words for the supervisor after an upgrade, and back. */
void figures_hand_over(const struct figures *figures, struct handover *handover);
void figures_resume(struct figures *figures, char *line);
