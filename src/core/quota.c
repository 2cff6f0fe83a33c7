/* SPDX-License-Identifier: Apache-2.0 */

/* An allowance is one moment: when all that was spent of it will have come back. Each that is taken
 * moves it on by one part of a second; it may be no more than the burst ahead of now. An entry in the
 * past is not needed any more, so time empties the table by itself.
 *
 * When a set is full, the entry with the least spent gives way: a flood of addresses that each come
 * once does not wash out the networks they come from. Two processes that replace the same entry at the
 * same moment may lose a count, and no more. */

#include "core/quota.h"

#include <stdbool.h>
#include <string.h>

#include "core/shared_tables.h"

#define NS_A_MS     1000000ull
#define NS_A_SECOND 1000000000ull

static const unsigned bits_of_ipv4[QUOTA_LEVELS] = {128, 120, 116};
static const unsigned bits_of_ipv6[QUOTA_LEVELS] = {64, 56, 48};
static const unsigned multiples[QUOTA_LEVELS] = {1, 4, 16};

/* All prefixes end at half a byte. */
static uint64_t hash_prefix(
	const struct siphash_key *key, const uint8_t host[16], unsigned level, enum quota_kind kind)
{
	unsigned bits = host_is_ipv4(host) ? bits_of_ipv4[level] : bits_of_ipv6[level];
	uint8_t text[18] = {0};

	memcpy(text, host, bits / 8);
	if (bits % 8 != 0)
		text[bits / 8] = host[bits / 8] & 0xf0;
	text[16] = (uint8_t)bits;
	text[17] = (uint8_t)kind;
	return siphash(key, text, sizeof(text));
}

/* The entry with that hash, made from the one that matters least if need be. */
static struct quota_entry *quota_find(struct quota *quota, uint64_t hash)
{
	struct quota_entry *set = quota->entries[hash % QUOTA_SETS], *least = set;

	for (unsigned i = 0; i < QUOTA_WAYS; i++) {
		if (word_load_relaxed(&set[i].hash) == hash)
			return &set[i];
		if (word_load_relaxed(&set[i].spent_ns) < word_load_relaxed(&least->spent_ns))
			least = &set[i];
	}
	word_store_relaxed(&least->spent_ns, 0);
	word_store_relaxed(&least->hash, hash);
	return least;
}

static bool has_room(const struct quota_entry *entry, uint64_t now_ns, uint64_t cost_ns)
{
	uint64_t spent_ns = word_load_relaxed(&entry->spent_ns);

	return spent_ns <= now_ns ||
		spent_ns - now_ns + cost_ns <= (uint64_t)QUOTA_BURST_MS * NS_A_MS;
}

static void spend(struct quota_entry *entry, uint64_t now_ns, uint64_t cost_ns)
{
	uint64_t was = word_load_relaxed(&entry->spent_ns), is;

	do
		is = (was > now_ns ? was : now_ns) + cost_ns;
	while (!atomic_compare_exchange_weak_explicit(
		&entry->spent_ns, &was, is, memory_order_relaxed, memory_order_relaxed));
}

static uint64_t cost_of(const struct quota_request *request, unsigned level)
{
	return NS_A_SECOND / (request->per_second * multiples[level]);
}

struct quota_spent quota_find_spent(struct quota *quota, const struct siphash_key *key,
	const uint8_t host[static 16], const struct quota_request *request)
{
	unsigned level = 0;

	while (level < request->levels && level < QUOTA_LEVELS &&
		has_room(quota_find(quota, hash_prefix(key, host, level, request->kind)),
			request->now_ms * NS_A_MS, cost_of(request, level)))
		level++;
	level = level < request->levels && level < QUOTA_LEVELS ? level : 0;
	return (struct quota_spent){
		.bits = host_is_ipv4(host) ? bits_of_ipv4[level] : bits_of_ipv6[level],
		.per_second = request->per_second * multiples[level],
	};
}

int quota_take(struct quota *quota, const struct siphash_key *key, const uint8_t host[static 16],
	const struct quota_request *request)
{
	uint64_t now_ns = request->now_ms * NS_A_MS, cost_ns[QUOTA_LEVELS];
	struct quota_entry *entries[QUOTA_LEVELS];
	unsigned n = request->levels < QUOTA_LEVELS ? request->levels : QUOTA_LEVELS;

	for (unsigned i = 0; i < n; i++) {
		cost_ns[i] = cost_of(request, i);
		entries[i] = quota_find(quota, hash_prefix(key, host, i, request->kind));
		if (!has_room(entries[i], now_ns, cost_ns[i]))
			return QUOTA_E_SPENT;
	}
	for (unsigned i = 0; i < n; i++)
		spend(entries[i], now_ns, cost_ns[i]);
	return 0;
}
