/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How often a client is answered: it, and the networks around it, each have an allowance that fills up
 * again with time. One that forges its address reaches no more than the allowance of its network. */

#include <stdatomic.h>
#include <stdint.h>

#include "core/siphash.h"

/* A client is a /32 of IPv4 or a /64 of IPv6. Around it are a /24 and a /20, a /56 and a /48, with
 * 4 and 16 times the allowance for 256 and thousands of clients. */
#define QUOTA_LEVELS 3

/* An unused allowance adds up, to this long at the full rate. */
#define QUOTA_BURST_MS 2000

#define QUOTA_WAYS 4
#define QUOTA_SETS 4096

/* Separate allowances. */
enum quota_kind { QUOTA_DATAGRAMS, QUOTA_UNCHANGED };

struct quota_entry {
	_Atomic(uint64_t) hash;     /* of kind and prefix */
	_Atomic(uint64_t) spent_ns; /* when all that was spent will have come back */
};

/* Filled with zeros it is empty. Several processes may use one at the same time. */
struct quota {
	struct quota_entry entries[QUOTA_SETS][QUOTA_WAYS];
};

enum { QUOTA_E_SPENT = 1 };

struct quota_request {
	enum quota_kind kind;
	uint64_t per_second; /* of one client */
	unsigned levels;     /* 1: the client alone; up to QUOTA_LEVELS */
	uint64_t now_ms;
};

/* Which network around a client is short, and what it may have. */
struct quota_spent {
	unsigned bits;       /* of its prefix, in the IPv6 form */
	uint64_t per_second; /* of it */
};

/* The network that has no room for another now; the client itself where all have. */
struct quota_spent quota_find_spent(struct quota *quota, const struct siphash_key *key,
	const uint8_t host[static 16], const struct quota_request *request);
/* Takes one from every allowance that `host` (IPv4 as IPv4-mapped) draws on; or, when one of them is
 * spent, from none. */
int quota_take(struct quota *quota, const struct siphash_key *key, const uint8_t host[static 16],
	const struct quota_request *request);
