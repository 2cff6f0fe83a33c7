/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The children of the program before an upgrade. They serve until the first generation of this one does;
 * then they drain. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/loop.h"
#include "generation/sums.h"
#include "process/role.h"
#include "upgrade/counter_page.h"

struct remnants;

struct remnants_owner {
	/* Told to drain, none of them accepts anything more, or one has had enough time to say so. */
	void (*on_released)(struct remnants *remnants);
	/* The last of them has ended. */
	void (*on_gone)(struct remnants *remnants);
};

struct remnants {
	struct loop *loop;
	const struct remnants_owner *owner;
	struct list all;
	unsigned n;
	struct timer patience; /* with those that do not say that they are released */
	bool is_told;          /* to drain */
	bool is_released;
	struct task report;
	struct sums ended; /* counts of those that have ended */
};

void remnants_init(
	struct remnants *remnants, struct loop *loop, const struct remnants_owner *owner);
/* Ends those that are left, at once. */
void remnants_done(struct remnants *remnants);

/* The record of a child that one supervisor leaves to the next. */
struct remnant_facts {
	enum role role;
	unsigned index;
	pid_t pid;
	int channel_fd;
	bool is_draining;   /* it was told so before */
	uint64_t within_ms; /* how long it may still take to drain */
	uint64_t started_ms;
	const uint32_t *dtls; /* its listeners whose sessions end with the upgrade */
	size_t n_dtls;
	const struct counter_page *page; /* NULL: of a child of this program */
};

/* The rest of a line; `channel_fd` is the number that the descriptor will have. */
void remnant_describe(const struct remnant_facts *facts, FILE *out);
/* Takes over the child that such a line describes. -EINVAL: it makes no sense. */
int remnants_take(struct remnants *remnants, char *line);
/* The rest of a line about the counters of the one that was taken over last. Without them, its counts are lost. */
void remnants_take_page(struct remnants *remnants, char *line);
/* Calls for each that is left: for the next upgrade. */
void remnants_each(const struct remnants *remnants,
	void (*on_remnant)(void *userdata, const struct remnant_facts *facts), void *userdata);

/* Their sessions of datagrams end with a word to the client, and whatever else is open may finish. */
void remnants_drain(struct remnants *remnants);
/* How long that may take at most. */
uint64_t remnants_patience_ms(const struct remnants *remnants);
/* Adds the counts of those that have ended, or of all. */
void remnants_add_ended(const struct remnants *remnants, struct sums *sums);
void remnants_add_counters(const struct remnants *remnants, struct sums *sums);
/* The connections that they have open, `most` at most for each. */
uint64_t remnants_open(const struct remnants *remnants, uint64_t most);
/* They have not been told to drain. */
bool remnants_are_serving(const struct remnants *remnants);
