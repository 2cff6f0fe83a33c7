/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The first process: its parts, each of which is written by the file of its name, and what moves it. */

#include "base/loop.h"
#include "generation/resources.h"
#include "process/options.h"
#include "supervisor/control.h"
#include "supervisor/generations.h"
#include "supervisor/memory.h"
#include "supervisor/selftest.h"
#include "supervisor/stats.h"
#include "supervisor/takeover.h"
#include "supervisor/watch.h"

struct supervisor {
	const struct options *options;
	struct loop loop;
	struct source signals; /* owns its descriptor */
	struct timer clock;    /* once a second */
	struct resources resources;
	struct generations generations;
	struct stats stats;
	struct control control;
	struct watch watch; /* the files of the generation that serves */
	struct selftests selftests;
	struct memory_watch memory;
	struct takeover takeover;
	uint64_t build_began_ms; /* the last one */
	char *changes;           /* of the configuration, by it; NULL: none that is known */
};

/* start.c: starts, serves until told to stop, and returns the exit code. */
int supervisor_main(const struct options *options);

/* One that has nothing yet, fit for supervisor_done(). */
void supervisor_init(struct supervisor *supervisor, const struct options *options);
/* Makes all that a build needs. Without `conf` there will be no control socket. */
int supervisor_make(
	struct supervisor *supervisor, const struct conf *conf, const struct control_verb *verbs);
void supervisor_done(struct supervisor *supervisor);
/* Enters its part of the sandbox, unless it is there. Returns an exit code. */
int supervisor_enter_sandbox(struct supervisor *supervisor, const struct conf *conf);
/* The service manager shows why there is no start. */
void supervisor_report_no_start(const struct supervisor *supervisor, const char *why);
/* The control socket where `conf` wants it, unless it is there. */
void supervisor_open_control(struct supervisor *supervisor, const struct conf *conf);

/* Its clock and its signals begin to move it. */
void supervisor_start(struct supervisor *supervisor);
/* Begins to; the outcome goes to the log, to the service manager, and to clients of the control socket that
 * wait for the build of the number that is returned. 0: it is stopping. */
uint64_t supervisor_reload(struct supervisor *supervisor);
void supervisor_stop(struct supervisor *supervisor);
/* Watches the files of what serves. */
void supervisor_watch(struct supervisor *supervisor);
/* observe.c: how things are now, for the statistics; to be let go with moment_done(). */
void supervisor_observe(const struct supervisor *supervisor, struct moment *ret_moment);

/* verbs.c, verb_clients.c: what upperctl can ask. */
extern const struct control_verb supervisor_verbs[];
int verb_clients(void *userdata, const struct control_question *question);
