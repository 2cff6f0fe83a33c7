/* SPDX-License-Identifier: Apache-2.0 */

/* A table of words, shared by all workers without a lock. An entry is one word, so a reader sees all of it or
 * nothing, whatever other processes write.
 *
 * An entry has one of two meanings. It counts a run: identical unchanged datagrams of one pair of address and
 * port, one behind the other, with no gap over LOOPGUARD_GAP_MS. Or it silences a pair, until LOOPGUARD_SILENT_MS
 * after the run was full. Runs of different contents are counted apart, so that interleaved loops do not
 * reset each other.
 *
 * The table forgets rather than grows: a new entry takes the place that can best be spared, a dead one before
 * the oldest run, and a silenced pair last. A loop that is forgotten is found again after sixteen rounds. Silence
 * holds for loopback and for exempt clients too, since a loop is no client that could be trusted. */

#include "core/loopguard.h"

#include <string.h>

#include "core/shared_tables.h"

#define LOWEST_PORT 1024
#define SILENCE     0xff /* in place of a count */
#define TICK_MS     256
#define TICK_MASK   0xffffffu /* it wraps in seven weeks, and only differences count */
#define AHEAD_TICKS 64        /* longer than any loop stands still */

/* 32 bits of the hash, 8 of the count, 24 of the time. */
static uint64_t entry_make(uint64_t hash, unsigned run, uint64_t now_ms)
{
	return (hash >> 32) << 32 | (uint64_t)run << 24 | (now_ms / TICK_MS & TICK_MASK);
}

static bool entry_is_of(uint64_t entry, uint64_t hash)
{
	return entry >> 32 == hash >> 32;
}

static unsigned entry_run(uint64_t entry)
{
	return entry >> 24 & 0xff;
}

/* An entry of a process with a later clock reading is ahead of our now: its age is 0. */
static uint64_t entry_age_ms(uint64_t entry, uint64_t now_ms)
{
	uint64_t ticks = (now_ms / TICK_MS - entry) & TICK_MASK;

	return ticks > TICK_MASK - AHEAD_TICKS ? 0 : ticks * TICK_MS;
}

static bool entry_is_alive(uint64_t entry, uint64_t now_ms)
{
	uint64_t lasts_ms = entry_run(entry) == SILENCE ? LOOPGUARD_SILENT_MS : LOOPGUARD_GAP_MS;

	return entry_run(entry) > 0 && entry_age_ms(entry, now_ms) < lasts_ms;
}

static uint64_t hash_pair(const struct siphash_key *key, const struct datagram_ends *ends)
{
	uint8_t pair[18];

	memcpy(pair, ends->source, 16);
	memcpy(pair + 16, &ends->source_port, 2);
	return siphash(key, pair, sizeof(pair));
}

static uint64_t hash_content(
	const struct siphash_key *key, uint64_t pair, const void *data, size_t len)
{
	const struct siphash_key of_pair = {{key->half[0] ^ pair, key->half[1]}};

	return siphash(&of_pair, data, len);
}

static bool is_silenced(const struct loopguard *guard, const struct siphash_key *key,
	const struct datagram_ends *ends, uint64_t now_ms)
{
	uint64_t hash;

	if (now_ms >= atomic_load_explicit(&guard->silent_until_ms, memory_order_relaxed))
		return false;
	hash = hash_pair(key, ends);
	for (unsigned i = 0; i < LOOPGUARD_WAYS; i++) {
		uint64_t entry = atomic_load_explicit(
			&guard->entries[hash % LOOPGUARD_SETS][i], memory_order_relaxed);

		if (entry_is_of(entry, hash) && entry_run(entry) == SILENCE &&
			entry_is_alive(entry, now_ms))
			return true;
	}
	return false;
}

/* How little is lost when this entry gives way: a dead one before the oldest row, and that before the
 * oldest silence. */
static uint64_t entry_spare(uint64_t entry, uint64_t now_ms)
{
	uint64_t age = entry_age_ms(entry, now_ms);

	if (!entry_is_alive(entry, now_ms))
		return UINT64_MAX;
	return entry_run(entry) == SILENCE ? age : age + LOOPGUARD_SILENT_MS;
}

/* The entry with that hash, or the one that can best be spared for it. */
static _Atomic(uint64_t) *loopguard_find(struct loopguard *guard, uint64_t hash, uint64_t now_ms)
{
	_Atomic(uint64_t) *set = guard->entries[hash % LOOPGUARD_SETS], *best = &set[0];
	uint64_t most = 0;

	for (unsigned i = 0; i < LOOPGUARD_WAYS; i++) {
		uint64_t entry = atomic_load_explicit(&set[i], memory_order_relaxed), spare;

		if (entry_is_of(entry, hash))
			return &set[i];
		spare = entry_spare(entry, now_ms);
		if (spare > most) {
			most = spare;
			best = &set[i];
		}
	}
	return best;
}

static void silence(struct loopguard *guard, uint64_t pair, uint64_t now_ms)
{
	atomic_store_explicit(loopguard_find(guard, pair, now_ms),
		entry_make(pair, SILENCE, now_ms), memory_order_relaxed);
	atomic_store_explicit(
		&guard->silent_until_ms, now_ms + LOOPGUARD_SILENT_MS, memory_order_relaxed);
}

int loopguard_unchanged(struct loopguard *guard, const struct siphash_key *key,
	const struct datagram_ends *ends, const void *data, size_t len, uint64_t now_ms)
{
	uint64_t pair = hash_pair(key, ends), hash = hash_content(key, pair, data, len);
	_Atomic(uint64_t) *at = loopguard_find(guard, hash, now_ms);
	uint64_t entry = word_load_relaxed(at);
	unsigned run = 1;

	if (entry_is_of(entry, hash) && entry_is_alive(entry, now_ms))
		run = entry_run(entry) + 1;
	if (run < LOOPGUARD_RUN) {
		atomic_store_explicit(at, entry_make(hash, run, now_ms), memory_order_relaxed);
		return 0;
	}
	atomic_store_explicit(at, 0, memory_order_relaxed);
	silence(guard, pair, now_ms);
	return LOOPGUARD_E_LOOP;
}

void own_ports_add(struct own_ports *ports, uint16_t port)
{
	ports->bits[port / 8] |= (uint8_t)(1u << port % 8);
}

static bool own_ports_has(const struct own_ports *ports, uint16_t port)
{
	return ports->bits[port / 8] >> port % 8 & 1;
}

/* One host, as far as the address alone shows: not many (224/4, ff00::/8, 255.255.255.255 and what
 * else is no address of a host), and not the unspecified address (0/8, ::). */
static bool is_one_host(const uint8_t host[16])
{
	static const uint8_t none[16] = {0};

	if (host_is_ipv4(host))
		return host[12] > 0 && host[12] < 224;
	return host[0] != 0xff && memcmp(host, none, sizeof(none)) != 0;
}

int loopguard_ask(const struct loopguard *guard, const struct siphash_key *key,
	const struct own_ports *ports, const struct datagram_ends *ends, uint64_t now_ms)
{
	if (ends->source_port < LOWEST_PORT || own_ports_has(ports, ends->source_port))
		return LOOPGUARD_E_PORT;
	if (ends->broadcast || !is_one_host(ends->source) || !is_one_host(ends->destination))
		return LOOPGUARD_E_MULTICAST;
	return is_silenced(guard, key, ends, now_ms) ? LOOPGUARD_E_SILENCED : 0;
}
