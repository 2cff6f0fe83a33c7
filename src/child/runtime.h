/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The part that all children share: each hears its supervisor, is set up by it, shows that its loop
 * turns, and says why it cannot go on. struct child is the other runtime. */

#include <stdint.h>

#include "base/loop.h"
#include "conf/conf.h"
#include "core/counters.h"
#include "process/channel.h"
#include "process/role.h"

struct runtime;

/* How a role handles a message, by type. */
struct runtime_handler {
	/* Returns 0; or the exit code with which all is over; or a negative errno. NULL: it is for another role. */
	int (*handle)(struct runtime *runtime, struct message *message);
	const char *failed; /* goes before the word of the system */
};

/* The table of each role, in its file. */
extern const struct runtime_handler worker_handlers[N_MESSAGES], keeper_handlers[N_MESSAGES],
	exporter_handlers[N_MESSAGES];

struct runtime {
	struct loop loop;
	struct conf *conf; /* from here on: NULL until SETUP */
	struct counters *counters;
	struct msg_setup setup;
	struct dialogue dialogue; /* its role, and how far it has come */
	struct source channel;
	struct timer heartbeat;
	const struct runtime_handler *handlers; /* N_MESSAGES of them */
	/* Twice a second; may be NULL. */
	void (*on_heartbeat)(struct runtime *runtime);
};

#define RUNTIME_INIT(name, table, a_role)                                   \
	{                                                                   \
		.loop = LOOP_INIT((name).loop), .handlers = (table),        \
		.dialogue = {FROM_SUPERVISOR, (a_role), CHILD_STARTING, 0}, \
	}

/* Hears the supervisor until all is over; returns the exit code. */
int runtime_run(struct runtime *runtime);
void runtime_done(struct runtime *runtime);

/* For LOG_LEVEL. */
int runtime_set_log_level(struct runtime *runtime, struct message *message);
/* For SETUP: the configuration and the counters. */
int runtime_setup(struct runtime *runtime, struct message *message);
/* The last of getting ready: enters the sandbox of the role, and says so. Returns 0 or an exit code. */
int runtime_ready(struct runtime *runtime);
/* The last of SERVE: says that it does. Returns 0 or an exit code. */
int runtime_serving(struct runtime *runtime);
/* Tells the supervisor what is wrong with a file; what is wrong with others can follow. */
void runtime_report_fault(const struct file_place *place, const char *why);
/* The same for a fault that does not keep it from serving. */
void runtime_report_warning(const struct file_place *place, const char *text);
/* Tells the supervisor why it cannot serve; returns `exit_code`. */
int runtime_fail(int exit_code, const char *what, int error);
