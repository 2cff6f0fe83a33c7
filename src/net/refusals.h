/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The refusals of a listener and the ends of its connections: counted, and told in the log. Refusals
 * are counted one by one and logged once: the first of a reason is a record, and so is the end, when
 * none has come for a while; between the two there are only numbers. */

#include "base/addr.h"
#include "base/log.h"
#include "base/loop.h"
#include "core/counters.h"
#include "net/guard.h"

struct refusals {
	struct loop *loop;
	const char *listener;
	struct listener_counters *counters;
	const struct guard *guard; /* with its limits, which may only count */
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

/* The end of a connection, over whatever transport. */
struct connection_end {
	const char *listener;
	const struct addr *peer;
	struct listener_counters *counters;
	unsigned access; /* a record of one in so many; 0: of none */
	enum reason reason;
	const char *detail; /* more about the reason; NULL: nothing */
	uint64_t bytes_in, bytes_out, messages, took_ms;
	struct log_facts facts; /* of its transport; the numbers above are added */
};

void connection_end_record(struct connection_end *end);
