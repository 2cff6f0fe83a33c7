/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether a connection is let in: what its client has open already, and how it has behaved. */

#include "net/guard.h"

/* A listener with a limit of its own is counted among the clients, as one that no client can be. */
struct in6_addr admit_listener(const struct guard *guard, const char *name);
uint64_t admit_listener_open(const struct guard *guard, const struct in6_addr *listener);
void admit_listener_enter(
	struct guard *guard, struct counters *counters, const struct in6_addr *listener);
void admit_listener_leave(
	struct guard *guard, struct counters *counters, const struct in6_addr *listener);

/* GUARD_ANSWER, or the reason not to. What is let in must leave. A refusal that limits only count is
 * left in `ret_would`, which is else GUARD_ANSWER. */
int admit_enter(struct guard *guard, struct counters *counters, const struct addr *peer,
	uint64_t now_ms, int *ret_would);
/* It has ended. */
void admit_leave(struct guard *guard, struct counters *counters, const struct addr *peer);
/* Counts it against the client if the reason is an offence. */
void admit_judge_end(
	struct guard *guard, const struct addr *peer, enum reason reason, uint64_t now_ms);
