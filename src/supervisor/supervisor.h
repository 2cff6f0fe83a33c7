/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The first process: its parts, each of which is written by the file of its name, and what moves it. */

#include "base/loop.h"
#include "generation/resources.h"
#include "process/options.h"
#include "supervisor/control.h"
#include "supervisor/generations.h"
#include "supervisor/selftest.h"
#include "supervisor/stats.h"
#include "supervisor/watch.h"
#include "upgrade/remnants.h"
#include "upgrade/upgrade.h"

struct supervisor {
	const struct options *options;
	struct loop loop;
	int signal_fd;
	struct source signals;
	struct timer clock; /* once a second */
	struct resources resources;
	struct generations generations;
	struct stats stats;
	struct control control;
	struct watch watch; /* the files of the generation that serves */
	struct selftests selftests;
	uint64_t started_ms;

	struct upgrade upgrade;
	struct remnants remnants;  /* children of the program before an upgrade */
	char *handed;              /* what that one has left, as text; NULL: there was none */
	uint64_t upgrade_again_ms; /* when its first build is tried again, if it failed */
	bool can_take_over;        /* and it is written as this one reads it */
	bool trial;    /* nothing is served: a generation is to come up, and that is all */
	bool confined; /* in its sandbox, which lasts until the process ends */
};

/* The first build after an upgrade, which answers who asked for it. */
#define FIRST_BUILD 1

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
void supervisor_tell_manager(const struct supervisor *supervisor, const char *why);
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

/* takeover.c: tries the program that is installed now, and becomes it; the outcome goes to the log, and to clients
 * of the control socket that wait for it. */
void supervisor_upgrade(struct supervisor *supervisor);
extern const struct upgrade_owner supervisor_upgrade_owner;
/* After an upgrade, in this order: what was handed over is found, then the sockets, then the rest. */
int supervisor_find_handover(struct supervisor *supervisor);
int supervisor_name_sockets(const struct supervisor *supervisor, struct inheritance *inheritance);
int supervisor_take_over(struct supervisor *supervisor);

/* verbs.c, verb_clients.c: what upperctl can ask. */
extern const struct control_verb supervisor_verbs[];
int verb_clients(void *userdata, const struct control_question *question);
