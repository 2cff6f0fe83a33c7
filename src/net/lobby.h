/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Connections whose PROXY header is still to come. They are peeked at, so that the first byte behind the
 * header is the first that the transport reads, TLS or not; and whom the header names is the peer. */

#include "base/addr.h"
#include "base/deadline.h"
#include "base/loop.h"
#include "core/counters.h"

enum proxy_mode { PROXY_OFF, PROXY_OPTIONAL, PROXY_REQUIRED };

/* Who may speak for whom; the prefixes are the owner's. */
struct proxy_rule {
	enum proxy_mode mode;
	const struct addr_prefix *from;
	size_t n_from;
};

bool proxy_rule_trusts(const struct proxy_rule *rule, const struct addr *peer);
/* The address that a header gives, as a socket address. */
struct addr proxy_peer(const uint8_t host[static 16], uint16_t port);

struct lobby {
	struct loop *loop;
	struct proxy_rule rule;
	struct deadlines deadlines;
	struct list guests;
	size_t n_guests; /* who may send a header */
	/* Takes the descriptor over. `trusted`: it came from a proxy, and who the peer is was not known.
	 * `since_ms`: it has been here since then. */
	void (*on_ready)(struct lobby *lobby, int fd, const struct addr *peer, bool trusted,
		uint64_t since_ms);
	/* It has been closed. */
	void (*on_refused)(
		struct lobby *lobby, const struct addr *peer, bool trusted, enum reason reason);
};

void lobby_init(struct lobby *lobby, struct loop *loop, uint64_t within_ms);
void lobby_done(struct lobby *lobby);

/* Takes the descriptor over, also when it fails, and calls back later. When too many wait for a header of
 * a proxy, the one that has waited longest is refused. */
int lobby_enter(struct lobby *lobby, int fd, const struct addr *peer, bool trusted);
void lobby_close_all(struct lobby *lobby, enum reason reason);
