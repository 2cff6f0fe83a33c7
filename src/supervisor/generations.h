/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All generations of a daemon: the one that serves, those that drain, and the build that is to take over. */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/loop.h"
#include "conf/fault.h"
#include "generation/generation.h"
#include "generation/resources.h"

/* Why a generation is built. Of several that wait, the one with the greatest number covers the others. */
enum build_cause {
	BUILD_NONE,
	BUILD_RENEWAL, /* a file was replaced: the same configuration, opened again */
	BUILD_RELOAD,  /* the configuration is read again */
	BUILD_UPGRADE, /* the first of a program that took over from another */
	BUILD_START,
	N_BUILD_CAUSES
};

const char *build_cause_name(enum build_cause cause);

enum build_state {
	BUILD_IDLE,      /* there is none; the rest describes the last */
	BUILD_PREPARING, /* its children get ready */
	BUILD_OPENING,   /* they are told to serve */
	BUILD_RELEASING, /* it serves; the generation before may still accept connections */
};

struct build {
	enum build_state state;
	enum build_cause cause;
	uint64_t number;               /* grows by one with each build */
	struct generation *generation; /* owned until it serves */
	struct generation *replaced;   /* drains, and has not been released */
	bool is_held; /* so do the children of another program: see generations_hold() */
	struct faults faults;
};

struct generations;

/* The owner's callbacks. A build has one on_begin, and then either on_failed; or on_served, and on_done. */
struct generations_owner {
	/* A build begins. */
	void (*on_begin)(struct generations *all);
	/* The configuration for it, unless it is a renewal: returns 0, or an exit code with the reasons among
	 * the faults of the build. */
	int (*on_load)(struct generations *all, struct conf **ret_conf);
	/* It serves, and the one before was told to drain. generations_hold() may be called. */
	void (*on_served)(struct generations *all);
	/* No client meets the generation before any more. In a trial: it is ready, and that was all. */
	void (*on_done)(struct generations *all);
	/* It does not come to serve; all is as it was. `why` may be NULL when there are faults. */
	void (*on_failed)(struct generations *all, int exit_code, const char *why);
	/* A child ended without being told to. */
	void (*on_died)(
		struct generations *all, const struct child *child, const struct child_end *end);
	/* A generation has drained, and is freed after this. */
	void (*on_drained)(struct generations *all, const struct generation *gone);
	/* After generations_stop(): the last of them. */
	void (*on_stopped)(struct generations *all);
};

struct generations {
	const struct generations_owner *owner;
	struct generation_parts parts; /* what each is made with */
	bool is_trial;                 /* nothing is to serve */
	bool is_stopping;
	struct build build;
	enum build_cause next; /* the build after this one */
	struct task begin;
	struct generation *serving;
	struct list draining; /* the oldest first */
	unsigned n_draining;
};

void generations_init(struct generations *all, const struct generations_owner *owner,
	struct loop *loop, struct resources *resources);
void generations_done(struct generations *all);

/* Builds the first; takes `conf`. */
void generations_start(struct generations *all, struct conf *conf);
/* Asks for a build that begins after now. Returns its number; 0 when there will be none, since all stop. */
uint64_t generations_request(struct generations *all, enum build_cause cause);
/* Whether a build is under way or asked for. */
bool generations_is_building(const struct generations *all);
/* All drain; no build will follow. */
void generations_stop(struct generations *all);
/* How long that may take at most. */
uint64_t generations_patience_ms(const struct generations *all);

/* While the build of an upgrade is told to serve: children of the program before may still accept
 * connections, so that the build is not done before generations_release(). */
void generations_hold(struct generations *all);
void generations_release(struct generations *all);

/* Once a second: ends children that are stuck. False when a worker or the keeper is stuck or missing. */
bool generations_end_stuck(struct generations *all);
/* The whole machine stood still: nothing that children did not do meanwhile counts against them. */
void generations_forgive(struct generations *all);
/* The open connections of all, as their workers count them; for shared_correct(). */
uint64_t generations_count_open(void *generations);
/* Adds what all have counted that are not gone. */
void generations_add_counters(const struct generations *all, struct sums *sums);
