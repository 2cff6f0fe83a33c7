/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether a connection is let in: what its client has open already, and how it has behaved. */

#include "net/guard.h"

/* What a listener with a limit of its own may have open; it is counted among the clients, as one that no
 * client can be. A limit of 0 is none, and then nothing is counted. */
struct allotment {
	uint64_t limit;
	struct in6_addr name;
};

struct allotment allotment_of(const struct guard *guard, const char *listener, uint64_t limit);
/* How much of it is taken, in all processes. */
uint64_t allotment_taken(const struct guard *guard, const struct allotment *allotment);
void allotment_take(
	struct guard *guard, struct counters *counters, const struct allotment *allotment);
void allotment_return(
	struct guard *guard, struct counters *counters, const struct allotment *allotment);

/* GUARD_ANSWER, or the reason not to. What is let in must leave. A refusal that limits only count is
 * left in `ret_would`, which is else GUARD_ANSWER. */
int admit_enter(struct guard *guard, struct counters *counters, const struct addr *peer,
	uint64_t now_ms, int *ret_would);
/* It has ended. */
void admit_leave(struct guard *guard, struct counters *counters, const struct addr *peer);
/* Counts it against the client if the reason is an offence. */
void admit_judge_end(
	struct guard *guard, const struct addr *peer, enum reason reason, uint64_t now_ms);
