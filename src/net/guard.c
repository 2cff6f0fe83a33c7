/* SPDX-License-Identifier: Apache-2.0 */

/* The guard joins the limits of core (loopguard, quota, clients, penalties) to the network: it turns
 * addresses into keys, passes over exempt prefixes, and gives each refusal its reason.
 *
 * * A datagram is judged in the order of cost. A datagram that is never answered comes first and needs
 * no memory: an empty one, ports below 1024 and our own, multicast and broadcast. Then pairs that were
 * found in a loop; then the quotas of its client and of the networks around it. When its answer is
 * known and equals the request, it is judged once more, as one side of a possible loop. The first two
 * verdicts depend on the sender alone, so guard_sender() is called once for all datagrams that arrive
 * together.
 *
 * * A connection is admitted by guard_enter(), which counts it, and must leave by guard_leave(). How it
 * ended may be an offence: guard_judge_end().
 *
 * * All tables are in the page that all workers share, so that limits hold for all of them together.
 * With limits.dry_run the verdicts are counted and logged, and the caller passes over them; what ends a
 * loop holds all the same. */

#include "net/guard.h"

#include <string.h>

void guard_init(struct guard *guard, struct shared *shared, const struct guard_limits *limits)
{
	*guard = (struct guard){.shared = shared, .key = shared->key, .limits = *limits};
}

static bool guard_is_exempt(const struct guard *guard, const uint8_t host[static 16])
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

static struct quota_request request_of(
	const struct guard *guard, enum quota_kind kind, uint64_t now_ms)
{
	bool is_unchanged = kind == QUOTA_UNCHANGED;

	return (struct quota_request){
		.kind = kind,
		.per_second = is_unchanged ? guard->limits.unchanged : guard->limits.datagrams,
		.levels = is_unchanged ? 1 : QUOTA_LEVELS,
		.now_ms = now_ms,
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
	const struct quota_request request = request_of(guard, QUOTA_DATAGRAMS, now_ms);

	return guard_take(guard, sender, &request, REASON_rate);
}

int guard_count_unchanged(const struct guard *guard, struct guard_sender *sender,
	const void *question, size_t len, uint64_t now_ms)
{
	const struct quota_request request = request_of(guard, QUOTA_UNCHANGED, now_ms);

	if (loopguard_unchanged(&guard->shared->loopguard, &guard->key, &sender->ends, question,
		    len, now_ms) != 0) {
		sender->reason = REASON_silenced;
		return REASON_loop;
	}
	return sender->exempt ? GUARD_ANSWER
			      : guard_take(guard, sender, &request, REASON_unchanged);
}

/* Connections. All workers count in one table, and each keeps in its own counters how many of every slot
 * are its, so that they can be taken back if it dies. A connection that found no slot is not counted. */

static bool is_client(const struct addr *peer)
{
	return peer->sa.sa_family == AF_INET || peer->sa.sa_family == AF_INET6;
}

static int guard_count_in(
	struct guard *guard, struct counters *counters, const uint8_t host[16], uint64_t limit)
{
	size_t slot;

	switch (clients_enter(&guard->shared->clients, &guard->key, host, limit, &slot)) {
	case 0:
		counters->clients[slot]++;
		return GUARD_ANSWER;
	case CLIENTS_E_FULL:
		return REASON_per_client;
	default:
		return GUARD_ANSWER;
	}
}

int guard_enter(struct guard *guard, struct counters *counters, const struct addr *peer,
	uint64_t now_ms, int *ret_would)
{
	struct in6_addr address = addr_host6(peer);
	const uint8_t *host = address.s6_addr;
	int reason = GUARD_ANSWER;

	*ret_would = GUARD_ANSWER;
	if (!is_client(peer))
		return GUARD_ANSWER;
	if (guard_is_exempt(guard, host))
		return guard_count_in(guard, counters, host, 0);

	if (penalties_has(&guard->shared->penalties, &guard->key, host, now_ms))
		reason = REASON_penalty;
	else
		reason = guard_count_in(guard, counters, host, guard->limits.per_client);
	if (reason == GUARD_ANSWER || !guard->limits.dry_run)
		return reason;
	*ret_would = reason;
	return guard_count_in(guard, counters, host, 0);
}

static void guard_count_out(struct guard *guard, struct counters *counters, const uint8_t host[16])
{
	struct clients *clients = &guard->shared->clients;
	size_t slot;

	if (clients_find(clients, &guard->key, host, &slot) != 0 || counters->clients[slot] == 0)
		return;
	counters->clients[slot]--;
	clients_leave(clients, slot, 1);
}

void guard_leave(struct guard *guard, struct counters *counters, const struct addr *peer)
{
	struct in6_addr address = addr_host6(peer);

	if (is_client(peer))
		guard_count_out(guard, counters, address.s6_addr);
}

/* A multicast address: it cannot connect. The first half of it is what the table looks at. */
struct allotment allotment_of(const struct guard *guard, const char *listener, uint64_t limit)
{
	uint64_t hash = siphash(&guard->key, listener, strlen(listener));
	struct allotment allotment = {limit, {.s6_addr = {CLIENTS_NO_CLIENT}}};

	memcpy(&allotment.name.s6_addr[1], &hash, 7);
	return allotment;
}

uint64_t allotment_taken(const struct guard *guard, const struct allotment *allotment)
{
	const struct clients *clients = &guard->shared->clients;
	size_t slot;

	if (clients_find(clients, &guard->key, allotment->name.s6_addr, &slot) != 0)
		return 0;
	return clients_open(clients, slot);
}

void allotment_take(
	struct guard *guard, struct counters *counters, const struct allotment *allotment)
{
	if (allotment->limit > 0)
		guard_count_in(guard, counters, allotment->name.s6_addr, 0);
}

void allotment_return(
	struct guard *guard, struct counters *counters, const struct allotment *allotment)
{
	if (allotment->limit > 0)
		guard_count_out(guard, counters, allotment->name.s6_addr);
}

/* A client is a /32, or a /64. */
static unsigned client_bits(const struct in6_addr *host)
{
	return IN6_IS_ADDR_V4MAPPED(host) ? 128 : 64;
}

void guard_describe(const struct guard *guard, enum reason reason, const struct addr *peer,
	uint64_t now_ms, struct log_facts *facts)
{
	struct addr_prefix prefix = {.base = addr_host6(peer)};
	const uint8_t *host = prefix.base.s6_addr;
	struct quota_spent spent = {client_bits(&prefix.base), guard->limits.per_client};
	struct quota_request request = request_of(
		guard, reason == REASON_rate ? QUOTA_DATAGRAMS : QUOTA_UNCHANGED, now_ms);
	char text[ADDR_TEXT];

	if (!is_client(peer))
		return;
	if (reason == REASON_rate || reason == REASON_unchanged)
		spent = quota_find_spent(&guard->shared->quota, &guard->key, host, &request);
	else if (reason == REASON_penalty)
		spent.per_second = PENALTY_FREE;
	else if (reason != REASON_per_client)
		return;
	prefix.bits = spent.bits;
	addr_prefix_cut(&prefix);
	log_fact_set(facts, limit, spent.per_second);
	log_fact_text(facts, prefix, addr_format_prefix(&prefix, text));
}

void guard_judge_end(
	struct guard *guard, const struct addr *peer, enum reason reason, uint64_t now_ms)
{
	struct in6_addr address = addr_host6(peer);

	if (!reason_is_offence(reason) || !is_client(peer) ||
		guard_is_exempt(guard, address.s6_addr))
		return;
	penalties_add(&guard->shared->penalties, &guard->key, address.s6_addr, now_ms);
}
