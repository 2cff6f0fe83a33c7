/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of a generation, for the two files that are it: generation.c, and adopt.c, which takes one
 * over from the supervisor before an upgrade. */

#include "role/child.h"
#include "role/generation.h"
#include "role/plan.h"

#define SEATS_MAX 512

/* A child, and what it takes to replace it. */
struct seat {
	struct child child;
	struct generation *generation;
	struct timer again;
	uint64_t backoff_ms;
};

struct generation {
	struct list node;
	struct generation_parts parts;
	struct plan plan;
	enum generation_state state;
	struct seat *seats;
	unsigned n;
	struct timer limit; /* on coming up, and on draining */
	struct task report;
	bool released; /* and the owner knows */
	int exit_code;
	char why[512];
};

struct generation *generation_alloc(const struct generation_parts *parts);
void generation_freep(struct generation **generation);
/* There must be room for it in `seats`; its child has not been started. */
int generation_add_seat(struct generation *g, enum role role, unsigned index);
/* The longest that what is draining may take, from now on. */
void generation_limit_drain(struct generation *g);
/* Starts another child in the place of one that has ended, now or a little later. */
void seat_replace(struct seat *seat);
