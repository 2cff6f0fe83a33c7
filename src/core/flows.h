/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The sessions on one socket, in a table by both ends; and what becomes of a datagram, given its first bytes
 * and the session of its ends. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/siphash.h"

/* IPv4 as IPv4-mapped. Has no padding: it is hashed, and bound by cookies, as it lies there. */
struct flow_key {
	uint8_t peer[16], local[16];
	uint32_t scope; /* of a link-local peer */
	uint16_t port;  /* the peer's */
	uint16_t zero;
};

_Static_assert(sizeof(struct flow_key) == 40, "no padding");

/* Embedded in the object that it leads to. */
struct flow {
	struct flow_key key;
	struct flow *next;
};

#define FLOWS_BUCKETS 8192

/* Fit for use when filled with zeros and given a key. */
struct flows {
	struct siphash_key key;
	struct flow *buckets[FLOWS_BUCKETS];
};

struct flow *flows_find(const struct flows *flows, const struct flow_key *key);
/* There must be none with its key. */
void flows_add(struct flows *flows, struct flow *flow);
void flows_remove(struct flows *flows, struct flow *flow);

enum flow_state { FLOW_NONE, FLOW_SHAKING, FLOW_TALKING };

enum flow_verdict {
	FLOW_FEED,         /* it is for the session */
	FLOW_CHECK_COOKIE, /* a ClientHello: with a good cookie it starts, or restarts, a session */
	FLOW_REPLAYED,     /* a ClientHello that has been answered for good */
	FLOW_STRAY,        /* a record of a session that is not here */
	FLOW_PIECE,        /* a ClientHello in pieces, of which nothing can be said yet */
	FLOW_GARBAGE,      /* no record of DTLS */
};

/* `parsed` is what hello_parse() says; `same`: the session began with a ClientHello of that random. */
enum flow_verdict flow_judge(int parsed, enum flow_state state, bool same);
