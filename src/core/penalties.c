/* SPDX-License-Identifier: Apache-2.0 */

/* Offences of clients. Two processes that count one at the same moment may count it once; a client that
 * is worth a penalty will be back. */

#include <string.h>

#include "core/clients.h"

static uint64_t load(const _Atomic(uint64_t) *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

static void store(_Atomic(uint64_t) *at, uint64_t value)
{
	atomic_store_explicit(at, value, memory_order_relaxed);
}

/* Never 0, which is an empty slot. */
static uint64_t hash_client(const struct siphash_key *key, const uint8_t host[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	size_t len = memcmp(host, mapped, sizeof(mapped)) == 0 ? 16 : 8;

	return siphash(key, host, len) | 1;
}

static size_t first_slot(uint64_t hash)
{
	return (hash >> 1) % (PENALTY_SLOTS / PENALTY_WAYS) * PENALTY_WAYS;
}

uint64_t penalty_offences(const struct penalty *penalty, uint64_t now_ms)
{
	uint64_t last_ms = load(&penalty->last_ms), halves = 0;

	/* Each process has read its clock at a moment of its own, and may be a little behind. */
	if (now_ms > last_ms)
		halves = (now_ms - last_ms) / PENALTY_HALF_MS;
	return halves < 64 ? load(&penalty->offences) >> halves : 0;
}

/* The slot of that client, or the one that is closest to being forgotten. */
static struct penalty *find(struct penalties *penalties, uint64_t hash, uint64_t now_ms)
{
	struct penalty *first = &penalties->slots[first_slot(hash)], *least = first;

	for (struct penalty *slot = first; slot < first + PENALTY_WAYS; slot++) {
		if (load(&slot->hash) == hash)
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
	uint64_t hash = hash_client(key, host), offences = 1;
	struct penalty *slot = find(penalties, hash, now_ms);

	if (load(&slot->hash) == hash)
		offences += penalty_offences(slot, now_ms);
	memcpy(slot->host, host, 16);
	store(&slot->hash, hash);
	store(&slot->last_ms, now_ms);
	store(&slot->offences, offences);
	store(&slot->until_ms, now_ms + penalty_ms(offences));
	return penalty_ms(offences);
}

bool penalties_has(const struct penalties *penalties, const struct siphash_key *key,
	const uint8_t host[static 16], uint64_t now_ms)
{
	uint64_t hash = hash_client(key, host);
	const struct penalty *first = &penalties->slots[first_slot(hash)];

	for (const struct penalty *slot = first; slot < first + PENALTY_WAYS; slot++)
		if (load(&slot->hash) == hash)
			return now_ms < load(&slot->until_ms);
	return false;
}

size_t penalties_clear(struct penalties *penalties)
{
	size_t n = 0;

	for (size_t i = 0; i < PENALTY_SLOTS; i++) {
		struct penalty *slot = &penalties->slots[i];

		n += load(&slot->hash) != 0;
		store(&slot->hash, 0);
		store(&slot->offences, 0);
		store(&slot->until_ms, 0);
	}
	return n;
}
