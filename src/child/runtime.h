/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every child does alike: it hears its supervisor, is set up by it, shows that its loop turns, and
 * says why it cannot go on. struct child is the other side. */

#include <stdint.h>

#include "base/loop.h"
#include "conf/conf.h"
#include "core/counters.h"
#include "process/channel.h"
#include "process/role.h"

struct child_side;

/* What a role does with a message, by type. */
struct child_hears {
	/* Returns 0; or the exit code with which all is over; or a negative errno. NULL: it is for another role. */
	int (*hear)(struct child_side *side, struct message *message);
	const char *failed; /* goes before the word of the system */
};

struct child_side {
	struct loop loop;
	struct conf *conf; /* from here on: NULL until SETUP */
	struct counters *counters;
	struct msg_setup setup;
	struct source channel;
	struct timer heartbeat;
	const struct child_hears *hears; /* N_MESSAGES of them */
	/* Twice a second; may be NULL. */
	void (*on_heartbeat)(struct child_side *side);
};

#define CHILD_SIDE_INIT(name, table)                             \
	{                                                        \
		.loop = LOOP_INIT((name).loop), .hears = (table) \
	}

/* Hears the supervisor until all is over; returns the exit code. */
int child_side_run(struct child_side *side);
void child_side_done(struct child_side *side);

/* For SETUP: the configuration and the counters. */
int child_side_setup(struct child_side *side, struct message *message);
/* The last of getting ready: enters the sandbox of the role, and says so. Returns 0 or an exit code. */
int child_side_ready(const struct child_side *side, enum role role);
/* The last of SERVE: says that it does. Returns 0 or an exit code. */
int child_side_serving(void);
/* Tells the supervisor what is wrong with a file; what is wrong with others can follow. */
void child_side_blame(const struct file_place *place, const char *why);
/* Tells the supervisor why it cannot serve; returns `exit_code`. */
int child_side_fail(int exit_code, const char *what, int error);
