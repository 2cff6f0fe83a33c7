/* SPDX-License-Identifier: Apache-2.0 */

/* A slot is one word: 40 bits that say whose it is, and 24 that count. So taking a slot over and counting
 * in it cannot get between each other, whatever other processes do; a slot at zero is anybody's. */

#include "core/clients.h"

#include <string.h>

#define COUNT_BITS 24
#define COUNT_MASK ((1ull << COUNT_BITS) - 1)

/* Another process that changes a slot all the time must not keep us here. */
#define TRIES 64

static uint64_t hash_client(const struct siphash_key *key, const uint8_t host[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	size_t len = memcmp(host, mapped, sizeof(mapped)) == 0 ? 16 : 8;

	return siphash(key, host, len);
}

static uint64_t tag_of(uint64_t hash)
{
	return hash & ~COUNT_MASK;
}

static uint64_t load(const _Atomic(uint64_t) *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
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
		uint64_t word = load(&clients->open[i]);

		if ((word & COUNT_MASK) == 0)
			free = free == CLIENTS_SLOTS ? i : free;
		else if (tag_of(word) == tag_of(hash))
			return i;
	}
	return free;
}

/* One more in a slot that is the client's, or nobody's; false when it has changed meanwhile. */
static bool slot_add(_Atomic(uint64_t) *slot, uint64_t was, uint64_t hash)
{
	return atomic_compare_exchange_strong(slot, &was, tag_of(hash) | ((was & COUNT_MASK) + 1));
}

int clients_enter(struct clients *clients, const struct siphash_key *key,
	const uint8_t host[static 16], uint64_t limit, size_t *ret_slot)
{
	uint64_t hash = hash_client(key, host), was;
	size_t slot;

	for (int i = 0; i < TRIES; i++) {
		slot = slot_for(clients, hash);
		if (slot == CLIENTS_SLOTS)
			return CLIENTS_E_NO_SLOT;
		was = load(&clients->open[slot]);
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
	size_t slot = slot_for(clients, hash_client(key, host));

	if (slot == CLIENTS_SLOTS || clients_open(clients, slot) == 0)
		return CLIENTS_E_NO_SLOT;
	*ret_slot = slot;
	return 0;
}

void clients_leave(struct clients *clients, size_t slot, uint64_t n)
{
	uint64_t was = load(&clients->open[slot]), is;

	do
		is = was - ((was & COUNT_MASK) < n ? was & COUNT_MASK : n);
	while (!atomic_compare_exchange_weak(&clients->open[slot], &was, is));
}

uint64_t clients_open(const struct clients *clients, size_t slot)
{
	return load(&clients->open[slot]) & COUNT_MASK;
}
