/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A place in a generation: a child, and what it takes to replace it. It knows the plan and the keeper, and
 * nothing of the generation, which is the owner of its child. */

#include "base/why.h"
#include "generation/child.h"
#include "generation/plan.h"

struct slot {
	struct child child;
	const struct plan *plan;
	struct slot *keeper; /* of a worker: the one that signs for it; NULL: none does */
	struct timer again;
	uint64_t backoff_ms;
	uint64_t told_ms;    /* when it was told to drain */
	uint64_t missing_ms; /* since when nothing serves in its place; 0: it serves itself */
	bool missed;         /* and the log says so */
	struct why why;      /* the last attempt to replace it failed */
	int log_level;       /* instead of the configured one; -1: none */
};

/* The parts that a slot is made with; `userdata` becomes that of the child. */
struct slot_parts {
	struct loop *loop;
	const struct plan *plan;
	struct slot *keeper;
	const struct child_owner *owner;
	void *userdata;
};

int slot_init(struct slot *slot, const struct slot_parts *parts, enum role role, unsigned index);
/* Ends the child at once. */
void slot_done(struct slot *slot);
int slot_start(struct slot *slot);
/* Which records it sends, and another in its place. */
void slot_set_log_level(struct slot *slot, enum log_level level);
void slot_serve(struct slot *slot);
/* It is to finish, if it runs, and is not replaced. */
void slot_drain(struct slot *slot);
/* Some time later, another takes the place of the one that died; the longer, the more often it dies. */
void slot_replace(struct slot *slot);
/* It serves. */
void slot_is_back(struct slot *slot);
/* The child has ended: what it had open is closed, and the keeper closes its channel to it. */
void slot_take_back(struct slot *slot);
/* The keeper is new: a worker that runs gets a channel to it. */
void slot_meet_keeper(struct slot *slot);
/* Kills a child whose loop does not turn, or that accepts connections although it was told to drain; true
 * when it did. */
bool slot_kill_if_stuck(struct slot *slot);
/* The log is told once when nothing has taken its place for long. */
void slot_report_missing(struct slot *slot);
/* Whether nothing has taken its place for so long that people should know. */
bool slot_is_missing(const struct slot *slot);
/* Time passed in which no process could do anything: its patience begins anew. */
void slot_forgive(struct slot *slot);
