/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The first process: it holds the configuration, the sockets, the log and the children. Its state, for
 * the files that share it: setup.c makes it, supervisor.c and renew.c move it on, verbs.c and stats.c show it. */

#include "base/list.h"
#include "base/loop.h"
#include "conf/fault.h"
#include "core/counters.h"
#include "generation/generation.h"
#include "generation/tickets.h"
#include "process/options.h"
#include "sockets/sockets.h"
#include "supervisor/control.h"
#include "supervisor/selftest.h"
#include "supervisor/stats.h"
#include "supervisor/watch.h"
#include "upgrade/upgrade.h"

struct supervisor {
	const struct options *options;
	struct loop loop;
	struct sockets sockets;
	struct tickets tickets;
	struct shared *shared;
	int shared_fd;
	int signal_fd;
	struct source signals;
	struct timer tick;
	struct control control;
	struct watch watch; /* the files of what serves */
	bool renewing;      /* what is being built is for the sake of a new file */
	bool renew_again;   /* and there is a newer one */
	struct selftests selftests;
	struct generation *serving, *building;
	struct generation *replaced; /* draining, and not yet known to take nothing new */
	struct list draining;        /* generations, the oldest first */
	unsigned n_draining;
	bool reload_again, stopping;
	struct stats stats;   /* written by stats.c alone */
	struct faults faults; /* of what is being built */
	uint64_t started_ms;

	char *self;   /* the path of this program, for an upgrade */
	char *handed; /* what the supervisor before an upgrade has left; NULL: there was none */
	struct upgrade upgrade;
	bool trial;     /* nothing is served: a generation is to come up, and that is all */
	bool confined;  /* in its sandbox, which lasts until the process ends */
	bool upgrading; /* until the first generation of the new program serves */
	bool foreign;   /* what was handed over comes from a build that counts other things */
};

/* start.c: starts, serves until told to stop, and returns the exit code. */
int supervisor_main(const struct options *options);

/* Begins to; the outcome goes to the log, to the service manager, and to whoever waits at the control
 * socket for "reload" or "drain". */
void supervisor_reload(struct supervisor *supervisor);
void supervisor_stop(struct supervisor *supervisor);

/* Its clock and its signals begin to move it. */
void supervisor_begin(struct supervisor *supervisor);
/* Makes a generation that will take over; takes `conf`. */
void supervisor_build(struct supervisor *supervisor, struct conf *conf);
/* How generations are made here. */
struct generation_parts supervisor_parts(struct supervisor *supervisor);
/* Takes over one that drains already. */
void supervisor_keep_draining(struct supervisor *supervisor, struct generation *generation);

/* resume.c: after an upgrade. What was handed over is found first, then the sockets, then the rest. */
int supervisor_find_handover(struct supervisor *supervisor);
int resume_sockets(const struct supervisor *supervisor, struct inheritance *inheritance);
int supervisor_take_over(struct supervisor *supervisor);
/* In a trial: whether that could be done. */
int supervisor_could_take_over(const struct supervisor *supervisor);
const char *supervisor_layout(void);

/* renew.c: files that are replaced. */
void supervisor_watch(struct supervisor *supervisor);
void supervisor_renew(struct supervisor *supervisor);

/* setup.c: everything around the state machine. An empty one can be let go. Without `conf` there will be
 * no control socket. */
void supervisor_empty(struct supervisor *supervisor, const struct options *options);
int supervisor_init(
	struct supervisor *supervisor, const struct conf *conf, const struct control_verb *verbs);
void supervisor_done(struct supervisor *supervisor);
/* Where `conf` wants it, unless it is there. */
void supervisor_open_control(struct supervisor *supervisor, const struct conf *conf);

/* tick.c: from now on, it does once a second what has to be done again and again. */
void supervisor_tick(struct supervisor *supervisor);
/* Renders the page of the exporter anew. */
void supervisor_publish(struct supervisor *supervisor);

/* verbs.c: what upperctl can ask. */
extern const struct control_verb supervisor_verbs[];
/* verb_clients.c */
int verb_clients(void *userdata, const struct control_question *question);
/* observe.c: how things are now, for the statistics; to be let go with moment_done(). */
void supervisor_observe(const struct supervisor *supervisor, struct moment *ret_moment);
