/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The supervisor's part in an upgrade: the program that is tried, and what the program before has left. */

#include <stdbool.h>
#include <stdint.h>

#include "sockets/inherit.h"
#include "upgrade/remnants.h"
#include "upgrade/upgrade.h"

struct supervisor;

struct takeover {
	struct upgrade upgrade;   /* to the next program */
	struct remnants remnants; /* children of the program before */
	char *handed;             /* what that one has left, as text; NULL: there was none */
	bool is_readable;         /* and it is written as this program reads it */
	bool is_trial;     /* nothing is served: a generation is to come up, and that is all */
	uint64_t again_ms; /* when the first build is tried again, if it failed */
};

/* The first build after an upgrade, which answers the client that asked for the upgrade. */
#define FIRST_BUILD 1

void takeover_init(struct supervisor *supervisor, const struct remnants_owner *owner);
/* Finds the program that an upgrade would try. */
int takeover_make(struct supervisor *supervisor);
void takeover_done(struct supervisor *supervisor);

/* Tries the program that is installed now, and becomes it; the outcome goes to the log, and to clients of the
 * control socket that wait for it. */
void supervisor_upgrade(struct supervisor *supervisor);

/* After an upgrade, in this order: what was handed over is found, then the sockets, then the rest. */
int takeover_find(struct supervisor *supervisor);
int takeover_name_sockets(const struct supervisor *supervisor, struct inheritance *inheritance);
int takeover_take(struct supervisor *supervisor);
/* The children of the program before drain, once a generation of this one serves. */
void takeover_on_served(struct supervisor *supervisor);
/* Once a second: a first build that failed is tried again after a while, since only those children serve. */
void takeover_on_second(struct supervisor *supervisor);
