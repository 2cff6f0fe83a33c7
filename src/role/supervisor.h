/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The first process: it holds the configuration, the sockets, the log and the children. Its state, for
 * the files that share it: setup.c makes it, supervisor.c and renew.c move it on, verbs.c shows it. */

#include "base/list.h"
#include "net/counters.h"
#include "net/loop.h"
#include "role/control.h"
#include "role/generation.h"
#include "role/inspection.h"
#include "role/options.h"
#include "role/sockets.h"
#include "role/tickets.h"
#include "role/totals.h"
#include "role/watch.h"

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
	struct inspection inspection;
	struct generation *serving, *building;
	struct generation *replaced; /* draining, and not yet known to take nothing new */
	struct list draining;        /* generations, the oldest first */
	unsigned n_draining;
	bool reload_again, stopping;
	struct totals history; /* of generations that are gone */
	uint64_t started_ms;
	uint64_t messages, rate; /* as of the last tick, and since the one before */
	char status[256];
};

/* Starts, serves until told to stop, and returns the exit code. */
int supervisor_main(const struct options *options);

/* Begins to; the outcome goes to the log, to the service manager, and to whoever waits at the control
 * socket for "reload" or "drain". */
void supervisor_reload(struct supervisor *supervisor);
void supervisor_stop(struct supervisor *supervisor);

/* Starts what is to take over from what serves; takes `conf` over. */
void supervisor_build(struct supervisor *supervisor, struct conf *conf);

/* renew.c: files that are replaced. */
void supervisor_watch(struct supervisor *supervisor);
void supervisor_renew(struct supervisor *supervisor);

/* setup.c: everything around the state machine. */
int supervisor_init(struct supervisor *supervisor, const struct options *options,
	const struct conf *conf, const struct control_verb *verbs);
void supervisor_done(struct supervisor *supervisor);

/* verbs.c: what upperctl can ask. */
extern const struct control_verb supervisor_verbs[];
/* verb_clients.c */
int verb_clients(void *userdata, const struct control_question *question);
/* All counters as they are now, those of the past included. */
void supervisor_totals(const struct supervisor *supervisor, struct totals *totals);
