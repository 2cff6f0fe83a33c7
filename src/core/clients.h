/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How many connections each client has open, and how often it has broken the rules. A client is a /32 of IPv4
 * or a /64 of IPv6. Tables of fixed size, filled with zeros when empty; several processes may use one at
 * the same time. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/siphash.h"

/* Keys that begin with this byte (multicast, never a peer) hold the limits of listeners. */
#define CLIENTS_NO_CLIENT 0xff

#define CLIENTS_WAYS  8
#define CLIENTS_SLOTS (2048 * CLIENTS_WAYS)

struct clients {
	_Atomic(uint64_t) open[CLIENTS_SLOTS]; /* hash and count */
	uint8_t hosts[CLIENTS_SLOTS][16];      /* for people to read */
};

enum { CLIENTS_E_FULL = 1, CLIENTS_E_NO_SLOT /* the table is full of others: not counted */ };

/* One more connection of `host`: 0 and its slot, of which the caller keeps a count of its own; or an
 * outcome. A `limit` of 0 is none. */
int clients_enter(struct clients *clients, const struct siphash_key *key,
	const uint8_t host[static 16], uint64_t limit, size_t *ret_slot);
/* The slot of a client that has connections open, or CLIENTS_E_NO_SLOT. */
int clients_find(const struct clients *clients, const struct siphash_key *key,
	const uint8_t host[static 16], size_t *ret_slot);
/* `n` fewer in a slot. */
void clients_leave(struct clients *clients, size_t slot, uint64_t n);
uint64_t clients_open(const struct clients *clients, size_t slot);

/* The first few offences cost nothing; then each doubles the time for which a client is turned away,
 * from a second to ten minutes. After ten minutes without one, half of them are forgotten. */
#define PENALTY_FREE      3
#define PENALTY_LONGEST_S 600
#define PENALTY_HALF_MS   600000

#define PENALTY_WAYS  4
#define PENALTY_SLOTS (1024 * PENALTY_WAYS)

struct penalty {
	_Atomic(uint64_t) hash;
	_Atomic(uint64_t) last_ms, until_ms;
	_Atomic(uint64_t) offences;
	uint8_t host[16];
};

struct penalties {
	struct penalty slots[PENALTY_SLOTS];
};

/* Returns for how long the client is turned away now, in milliseconds. */
uint64_t penalties_add(struct penalties *penalties, const struct siphash_key *key,
	const uint8_t host[static 16], uint64_t now_ms);
bool penalties_has(const struct penalties *penalties, const struct siphash_key *key,
	const uint8_t host[static 16], uint64_t now_ms);
/* The state of a slot as of now. */
uint64_t penalty_offences(const struct penalty *penalty, uint64_t now_ms);
/* Forgives all; returns how many. */
size_t penalties_clear(struct penalties *penalties);
