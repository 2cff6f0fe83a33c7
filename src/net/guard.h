/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether a datagram is answered, asked when it has arrived and again when its answer is known; and whether
 * a connection is admitted. One guard serves all listeners of a process. */

#include "base/addr.h"
#include "base/log.h"
#include "core/counters.h"
#include "core/loopguard.h"

/* The limits of a client; the prefixes are its owner's. */
struct guard_limits {
	uint64_t datagrams, unchanged; /* a second */
	uint64_t per_client;           /* connections */
	const struct addr_prefix *exempt;
	size_t n_exempt;
	bool dry_run; /* only count */
};

struct guard {
	struct shared *shared;
	struct guard_limits limits;
	struct siphash_key key;
	struct own_ports ports; /* on which this daemon receives datagrams */
};

enum { GUARD_ANSWER = -1 }; /* instead of a reason not to */

void guard_init(struct guard *guard, struct shared *shared, const struct guard_limits *limits);

/* Whether the limits pass over this host. */

/* The ends of a datagram from `peer`; one whose destination is not known counts as sent to us. */
struct datagram_ends guard_ends(
	const struct addr *peer, const struct in6_addr *destination, bool broadcast);

/* The verdict that depends on the sender alone, and so is the same for all datagrams that arrive as one. */
struct guard_sender {
	struct datagram_ends ends;
	int reason; /* GUARD_ANSWER, or why nothing from there is answered: ports, pairs in a loop */
	bool exempt;
};

struct guard_sender guard_sender(
	const struct guard *guard, const struct datagram_ends *ends, uint64_t now_ms);

/* The limit that this sender has reached, if any: GUARD_ANSWER, or REASON_rate. */
int guard_count(const struct guard *guard, const struct guard_sender *sender, uint64_t now_ms);
/* A datagram whose answer is the same as itself. A sender that it finds in a loop is silenced for the
 * next one already. */
int guard_count_unchanged(const struct guard *guard, struct guard_sender *sender,
	const void *question, size_t len, uint64_t now_ms);

/* GUARD_ANSWER, or the reason not to; one that reason_is_limit() is for the caller to pass over when
 * limits only count. */
static inline int guard_judge(
	const struct guard *guard, const struct guard_sender *sender, size_t len, uint64_t now_ms)
{
	if (len == 0)
		return REASON_empty;
	if (sender->reason != GUARD_ANSWER || sender->exempt)
		return sender->reason;
	return guard_count(guard, sender, now_ms);
}

/* A listener's own limit, counted in the client table under a reserved key. A limit of 0 is none, and then
 * nothing is counted. */
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

/* GUARD_ANSWER, or the reason not to. A client that is let in must leave. A refusal that limits only count is
 * left in `ret_would`, which is else GUARD_ANSWER. */
int guard_enter(struct guard *guard, struct counters *counters, const struct addr *peer,
	uint64_t now_ms, int *ret_would);
/* The limit behind a refusal, and the prefix that it holds for; nothing where there is none. */
void guard_describe(const struct guard *guard, enum reason reason, const struct addr *peer,
	uint64_t now_ms, struct log_facts *facts);
/* It has ended. */
void guard_leave(struct guard *guard, struct counters *counters, const struct addr *peer);
/* Counts it against the client if the reason is an offence. */
void guard_judge_end(
	struct guard *guard, const struct addr *peer, enum reason reason, uint64_t now_ms);
