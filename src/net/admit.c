/* SPDX-License-Identifier: Apache-2.0 */

/* All workers count in one table, and each keeps in its own counters how many of every slot are its, so
 * that they can be taken back if it dies. A connection that found no slot is not counted at all. */

#include "net/admit.h"

#include <string.h>

static bool is_client(const struct addr *peer)
{
	return peer->sa.sa_family == AF_INET || peer->sa.sa_family == AF_INET6;
}

static int admit_count(
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

int admit_enter(struct guard *guard, struct counters *counters, const struct addr *peer,
	uint64_t now_ms, int *ret_would)
{
	struct in6_addr address = addr_host6(peer);
	const uint8_t *host = address.s6_addr;
	int reason = GUARD_ANSWER;

	*ret_would = GUARD_ANSWER;
	if (!is_client(peer))
		return GUARD_ANSWER;
	if (guard_is_exempt(guard, host))
		return admit_count(guard, counters, host, 0);

	if (penalties_has(&guard->shared->penalties, &guard->key, host, now_ms))
		reason = REASON_penalty;
	else
		reason = admit_count(guard, counters, host, guard->limits.per_client);
	if (reason == GUARD_ANSWER || !guard->limits.dry_run)
		return reason;
	*ret_would = reason;
	return admit_count(guard, counters, host, 0);
}

static void admit_uncount(struct guard *guard, struct counters *counters, const uint8_t host[16])
{
	struct clients *clients = &guard->shared->clients;
	size_t slot;

	if (clients_find(clients, &guard->key, host, &slot) != 0 || counters->clients[slot] == 0)
		return;
	counters->clients[slot]--;
	clients_leave(clients, slot, 1);
}

void admit_leave(struct guard *guard, struct counters *counters, const struct addr *peer)
{
	struct in6_addr address = addr_host6(peer);

	if (is_client(peer))
		admit_uncount(guard, counters, address.s6_addr);
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
		admit_count(guard, counters, allotment->name.s6_addr, 0);
}

void allotment_return(
	struct guard *guard, struct counters *counters, const struct allotment *allotment)
{
	if (allotment->limit > 0)
		admit_uncount(guard, counters, allotment->name.s6_addr);
}

void admit_judge_end(
	struct guard *guard, const struct addr *peer, enum reason reason, uint64_t now_ms)
{
	struct in6_addr address = addr_host6(peer);

	if (!reason_is_offence(reason) || !is_client(peer) ||
		guard_is_exempt(guard, address.s6_addr))
		return;
	penalties_add(&guard->shared->penalties, &guard->key, address.s6_addr, now_ms);
}
