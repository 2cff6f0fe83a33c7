/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of tables that several processes share: words that are read and written whole, and keys
 * of hosts. Addresses are of IPv6, those of IPv4 as IPv4-mapped. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/siphash.h"

static inline uint64_t word_load_relaxed(const _Atomic(uint64_t) *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

static inline void word_store_relaxed(_Atomic(uint64_t) *at, uint64_t value)
{
	atomic_store_explicit(at, value, memory_order_relaxed);
}

static inline bool host_is_ipv4(const uint8_t host[static 16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return memcmp(host, mapped, sizeof(mapped)) == 0;
}

/* A client is a /32 of IPv4 or a /64 of IPv6. */
static inline uint64_t host_hash_client(
	const struct siphash_key *key, const uint8_t host[static 16])
{
	return siphash(key, host, host_is_ipv4(host) ? 16 : 8);
}
