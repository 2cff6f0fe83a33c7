/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a listener refuses, for whatever reason: counted one by one, told once. The first of its kind is
 * a record, and so is the end of it, when none has come for a while; what is between is a number. */

#include "base/addr.h"
#include "base/loop.h"
#include "core/counters.h"

struct refusals {
	struct loop *loop;
	const char *listener;
	struct listener_counters *counters;
	bool dry_run; /* limits only count */
	struct timer timer;
	struct {
		uint64_t n; /* since it began; 0: it has not */
		uint64_t last_ms;
	} of[N_REASONS];
};

void refusals_done(struct refusals *refusals);
void refuse(struct refusals *refusals, enum reason reason, const struct addr *peer);
/* The same for what the system lost, which has no sender. */
void refuse_many(struct refusals *refusals, enum reason reason, uint64_t n);
