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
};

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
	void (*on_begin)(struct generations *generations);
	/* The configuration for it, unless it is a renewal: returns 0, or an exit code with the reasons among
	 * the faults of the build. */
	int (*on_load)(struct generations *generations, struct conf **ret_conf);
	/* It serves, and the one before was told to drain. generations_hold() may be called. */
	void (*on_served)(struct generations *generations);
	/* No client meets the generation before any more. In a trial: it is ready, and that was all. */
	void (*on_done)(struct generations *generations);
	/* It does not come to serve; all is as it was. `why` may be NULL when there are faults. */
	void (*on_failed)(struct generations *generations, int exit_code, const char *why);
	/* A child ended that was not told to. */
	void (*on_died)(struct generations *generations, const struct child *child,
		const struct child_end *end);
	/* A generation has drained, and is freed after this. */
	void (*on_drained)(struct generations *generations, const struct generation *gone);
	/* After generations_stop(): the last of them. */
	void (*on_stopped)(struct generations *generations);
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

void generations_init(struct generations *generations, const struct generations_owner *owner,
	struct loop *loop, struct resources *resources);
void generations_done(struct generations *generations);

/* Builds the first; takes `conf`. */
void generations_start(struct generations *generations, struct conf *conf);
/* Asks for a build that begins after now. Returns its number; 0 when there will be none, since all stop. */
uint64_t generations_request(struct generations *generations, enum build_cause cause);
/* Whether a build is under way or asked for. */
bool generations_is_building(const struct generations *generations);
/* All drain; no build will follow. */
void generations_stop(struct generations *generations);
/* How long that may take at most. */
uint64_t generations_patience_ms(const struct generations *generations);

/* While the build of an upgrade is told to serve: children of the program before may still accept
 * connections, so that the build is not done before generations_release(). */
void generations_hold(struct generations *generations);
void generations_release(struct generations *generations);

/* Once a second: ends children that are stuck. False when a worker or the keeper is stuck or missing. */
bool generations_end_stuck(struct generations *generations);
/* The whole machine stood still: nothing that children did not do meanwhile counts against them. */
void generations_forgive(struct generations *generations);
/* The open connections of all, as their workers count them; for shared_correct(). */
uint64_t generations_count_open(void *generations);
/* Adds what all have counted that are not gone. */
void generations_add_counters(const struct generations *generations, struct sums *sums);
