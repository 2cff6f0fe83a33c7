/* SPDX-License-Identifier: Apache-2.0 */

/* What is refused for what it is comes first, and needs no memory; then what is refused for how often
 * it comes. */

#include "net/guard.h"

#include <string.h>

void guard_init(struct guard *guard, struct shared *shared, const struct guard_limits *limits)
{
	*guard = (struct guard){.shared = shared, .key = shared->key, .limits = *limits};
}

bool guard_is_exempt(const struct guard *guard, const uint8_t host[static 16])
{
	struct in6_addr address;

	memcpy(&address, host, sizeof(address));
	for (size_t i = 0; i < guard->limits.n_exempt; i++)
		if (addr_prefix_has(&guard->limits.exempt[i], &address))
			return true;
	return false;
}

struct datagram_ends guard_ends(
	const struct addr *peer, const struct in6_addr *destination, bool broadcast)
{
	struct in6_addr source = addr_host6(peer);
	struct datagram_ends ends = {.source_port = addr_port(peer), .broadcast = broadcast};

	memcpy(ends.source, &source, sizeof(ends.source));
	memcpy(ends.destination, destination ? destination : &source, sizeof(ends.destination));
	return ends;
}

static int judge_ends(const struct guard *guard, const struct datagram_ends *ends, uint64_t now_ms)
{
	switch (loopguard_ask(
		&guard->shared->loopguard, &guard->key, &guard->ports, ends, now_ms)) {
	case LOOPGUARD_E_PORT:
		return REASON_port;
	case LOOPGUARD_E_MULTICAST:
		return REASON_multicast;
	case LOOPGUARD_E_SILENCED:
		return REASON_silenced;
	default:
		return GUARD_ANSWER;
	}
}

struct guard_sender guard_sender(
	const struct guard *guard, const struct datagram_ends *ends, uint64_t now_ms)
{
	return (struct guard_sender){
		.ends = *ends,
		.reason = judge_ends(guard, ends, now_ms),
		.exempt = guard_is_exempt(guard, ends->source),
	};
}

static int guard_take(const struct guard *guard, const struct guard_sender *sender,
	const struct quota_request *request, enum reason spent)
{
	return quota_take(&guard->shared->quota, &guard->key, sender->ends.source, request) == 0
		? GUARD_ANSWER
		: (int)spent;
}

int guard_count(const struct guard *guard, const struct guard_sender *sender, uint64_t now_ms)
{
	const struct quota_request request = {
		.kind = QUOTA_DATAGRAMS,
		.per_second = guard->limits.datagrams,
		.levels = QUOTA_LEVELS,
		.now_ms = now_ms,
	};

	return guard_take(guard, sender, &request, REASON_rate);
}

int guard_count_unchanged(const struct guard *guard, struct guard_sender *sender,
	const void *question, size_t len, uint64_t now_ms)
{
	const struct quota_request request = {
		.kind = QUOTA_UNCHANGED,
		.per_second = guard->limits.unchanged,
		.levels = 1,
		.now_ms = now_ms,
	};

	if (loopguard_unchanged(&guard->shared->loopguard, &guard->key, &sender->ends, question,
		    len, now_ms) != 0) {
		sender->reason = REASON_silenced;
		return REASON_loop;
	}
	return sender->exempt ? GUARD_ANSWER
			      : guard_take(guard, sender, &request, REASON_unchanged);
}
