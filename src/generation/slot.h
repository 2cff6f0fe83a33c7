/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A generation from the inside, for the files that share it: generation.c is what becomes of all its
 * children together, slot.c how each is started, introduced and replaced. */

#include "generation/child.h"
#include "generation/generation.h"
#include "generation/plan.h"

/* A child, and what it takes to replace it. */
struct slot {
	struct child child;
	struct generation *generation;
	struct timer again;
	uint64_t backoff_ms;
	uint64_t told_ms;    /* when it was told to drain */
	uint64_t missing_ms; /* since when nothing serves in its place; 0: it serves itself */
	bool missed;         /* and the log says so */
	char why[160];       /* the last attempt to replace it failed */
};

struct generation {
	struct list node;
	struct generation_parts parts;
	struct plan plan;
	enum generation_state state;
	struct slot *slots; /* of workers */
	unsigned n;
	struct slot *keeper;   /* NULL: there are no private keys */
	struct slot *exporter; /* NULL: nobody scrapes */
	struct timer limit;    /* on coming up, and on draining */
	struct task report;
	struct task reap;
	bool released; /* and the owner knows */
	bool given_up; /* it has had all the time that there was */
	int exit_code;
	char why[512];
};

/* Those who face the network, by number: the workers, then the exporter if there is one, then NULL. */
static inline struct slot *generation_front(const struct generation *g, unsigned number)
{
	return number < g->n ? &g->slots[number] : number == g->n ? g->exporter : NULL;
}

/* generation.c */
extern const struct child_owner generation_slot_owner;
void generation_fail(struct generation *g, int exit_code, const char *why);

/* slot.c */
int slot_init(struct slot *slot, struct generation *g, enum role role, unsigned index);
void slot_done(struct slot *slot);
int slot_start(struct slot *slot);
/* The same, and fails the generation if it cannot. */
void slot_begin(struct slot *slot);
void slot_serve(struct slot *slot);
/* It is to finish, if it runs, and is not replaced. */
void slot_drain(struct slot *slot);
/* The keeper closes its channel to a worker that has ended. */
void keeper_send_gone(struct generation *g, unsigned worker);
/* Some time later, another takes the place of the one that died. */
void slot_replace(struct slot *slot);
/* It serves. */
void slot_is_back(struct slot *slot);
/* What it had open is closed. */
void slot_take_back(struct slot *slot);
/* Whether its loop turns, or it has not been missing for long. One whose loop does not, or that goes on taking
 * what is new although it was told to drain, is ended. */
bool slot_check(struct slot *slot);
/* Time passed in which none of us could do anything: its patience begins anew. */
void slot_forgive(struct slot *slot);
/* Whether it could not be replaced for so long that people should know. */
bool slot_is_missing(const struct slot *slot);
/* The keeper is ready: workers that serve get channels to it, and those still to come begin. */
void slot_introduce_all(struct slot *keeper);
