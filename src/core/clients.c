/* SPDX-License-Identifier: Apache-2.0 */

/* Two tables of fixed size, which workers share without a lock: open connections, and offences.
 *
 * A slot of the first is one word: 40 bits of the client's hash and a count of 24. So taking a slot over and
 * counting in it are one step, whatever other processes do, and a process that dies in between leaves
 * nothing half-done. A slot with a count of zero is free. A client has a few slots where it may be found
 * (CLIENTS_WAYS); when all of them are taken by others, its connection is admitted and not counted: the table
 * may err for a client, and never against one.
 *
 * The hash is keyed, so that no client can choose addresses that meet in one set. Counts of a worker that
 * has died are given back by the supervisor, from the list that each worker keeps of its own.
 *
 * Offences fade: see penalty_offences(). They may be lost when two processes count at the same moment, since an
 * attacker commits more of them. */

#include "core/clients.h"

#include <string.h>

#include "core/shared_tables.h"

#define COUNT_BITS 24
#define COUNT_MASK ((1ull << COUNT_BITS) - 1)

/* Another process that changes a slot all the time must not keep us here. */
#define TRIES 64

static uint64_t tag_of(uint64_t hash)
{
	return hash & ~COUNT_MASK;
}

static size_t first_slot(uint64_t hash)
{
	return hash % (CLIENTS_SLOTS / CLIENTS_WAYS) * CLIENTS_WAYS;
}

/* The slot of that client, or else a free one, or else CLIENTS_SLOTS. */
static size_t slot_for(const struct clients *clients, uint64_t hash)
{
	size_t first = first_slot(hash), free = CLIENTS_SLOTS;

	for (size_t i = first; i < first + CLIENTS_WAYS; i++) {
		uint64_t word = word_load_relaxed(&clients->open[i]);

		if ((word & COUNT_MASK) == 0)
			free = free == CLIENTS_SLOTS ? i : free;
		else if (tag_of(word) == tag_of(hash))
			return i;
	}
	return free;
}

/* One more in a slot of the client, or in a free one; false when it has changed meanwhile. */
static bool slot_add(_Atomic(uint64_t) *slot, uint64_t was, uint64_t hash)
{
	return atomic_compare_exchange_strong(slot, &was, tag_of(hash) | ((was & COUNT_MASK) + 1));
}

int clients_enter(struct clients *clients, const struct siphash_key *key,
	const uint8_t host[static 16], uint64_t limit, size_t *ret_slot)
{
	uint64_t hash = host_hash_client(key, host), was;
	size_t slot;

	for (int i = 0; i < TRIES; i++) {
		slot = slot_for(clients, hash);
		if (slot == CLIENTS_SLOTS)
			return CLIENTS_E_NO_SLOT;
		was = word_load_relaxed(&clients->open[slot]);
		if ((was & COUNT_MASK) != 0 && tag_of(was) != tag_of(hash))
			continue;
		if ((limit > 0 && (was & COUNT_MASK) >= limit) || (was & COUNT_MASK) == COUNT_MASK)
			return CLIENTS_E_FULL;
		if (!slot_add(&clients->open[slot], was, hash))
			continue;
		if ((was & COUNT_MASK) == 0)
			memcpy(clients->hosts[slot], host, 16);
		*ret_slot = slot;
		return 0;
	}
	return CLIENTS_E_NO_SLOT;
}

int clients_find(const struct clients *clients, const struct siphash_key *key,
	const uint8_t host[static 16], size_t *ret_slot)
{
	size_t slot = slot_for(clients, host_hash_client(key, host));

	if (slot == CLIENTS_SLOTS || clients_open(clients, slot) == 0)
		return CLIENTS_E_NO_SLOT;
	*ret_slot = slot;
	return 0;
}

void clients_leave(struct clients *clients, size_t slot, uint64_t n)
{
	uint64_t was = word_load_relaxed(&clients->open[slot]), is;

	do
		is = was - ((was & COUNT_MASK) < n ? was & COUNT_MASK : n);
	while (!atomic_compare_exchange_weak(&clients->open[slot], &was, is));
}

uint64_t clients_open(const struct clients *clients, size_t slot)
{
	return word_load_relaxed(&clients->open[slot]) & COUNT_MASK;
}

/* Offences. Two processes that count one at the same moment may count it once; a client that is worth a
 * penalty will be back. The hash of a client is never 0 here, which is an empty slot. */

static size_t first_penalty(uint64_t hash)
{
	return (hash >> 1) % (PENALTY_SLOTS / PENALTY_WAYS) * PENALTY_WAYS;
}

/* The last offence may have been counted by a process with a later clock reading: then it is ahead of our
 * now. */
uint64_t penalty_offences(const struct penalty *penalty, uint64_t now_ms)
{
	uint64_t last_ms = word_load_relaxed(&penalty->last_ms);
	uint64_t halves = now_ms > last_ms ? (now_ms - last_ms) / PENALTY_HALF_MS : 0;

	return halves < 64 ? word_load_relaxed(&penalty->offences) >> halves : 0;
}

/* The slot of that client, or the one that is closest to being forgotten. */
static struct penalty *penalty_slot_for(struct penalties *penalties, uint64_t hash, uint64_t now_ms)
{
	struct penalty *first = &penalties->slots[first_penalty(hash)], *least = first;

	for (struct penalty *slot = first; slot < first + PENALTY_WAYS; slot++) {
		if (word_load_relaxed(&slot->hash) == hash)
			return slot;
		if (penalty_offences(slot, now_ms) < penalty_offences(least, now_ms))
			least = slot;
	}
	return least;
}

static uint64_t penalty_ms(uint64_t offences)
{
	uint64_t seconds;

	if (offences <= PENALTY_FREE)
		return 0;
	if (offences - PENALTY_FREE > 10)
		return PENALTY_LONGEST_S * 1000ull;
	seconds = 1ull << (offences - PENALTY_FREE - 1);
	return 1000 * (seconds < PENALTY_LONGEST_S ? seconds : PENALTY_LONGEST_S);
}

uint64_t penalties_add(struct penalties *penalties, const struct siphash_key *key,
	const uint8_t host[static 16], uint64_t now_ms)
{
	uint64_t hash = host_hash_client(key, host) | 1, offences = 1;
	struct penalty *slot = penalty_slot_for(penalties, hash, now_ms);

	if (word_load_relaxed(&slot->hash) == hash)
		offences += penalty_offences(slot, now_ms);
	memcpy(slot->host, host, 16);
	word_store_relaxed(&slot->hash, hash);
	word_store_relaxed(&slot->last_ms, now_ms);
	word_store_relaxed(&slot->offences, offences);
	word_store_relaxed(&slot->until_ms, now_ms + penalty_ms(offences));
	return penalty_ms(offences);
}

bool penalties_has(const struct penalties *penalties, const struct siphash_key *key,
	const uint8_t host[static 16], uint64_t now_ms)
{
	uint64_t hash = host_hash_client(key, host) | 1;
	const struct penalty *first = &penalties->slots[first_penalty(hash)];

	for (const struct penalty *slot = first; slot < first + PENALTY_WAYS; slot++)
		if (word_load_relaxed(&slot->hash) == hash)
			return now_ms < word_load_relaxed(&slot->until_ms);
	return false;
}

size_t penalties_clear(struct penalties *penalties)
{
	size_t n = 0;

	for (size_t i = 0; i < PENALTY_SLOTS; i++) {
		struct penalty *slot = &penalties->slots[i];

		n += word_load_relaxed(&slot->hash) != 0;
		word_store_relaxed(&slot->hash, 0);
		word_store_relaxed(&slot->offences, 0);
		word_store_relaxed(&slot->until_ms, 0);
	}
	return n;
}
