/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Connections whose PROXY header is still to come. They are peeked at, so that the first byte behind the
 * header is the first that the transport reads, TLS or not. The client that the header names is the peer. */

#include "base/addr.h"
#include "base/deadline.h"
#include "base/loop.h"
#include "core/counters.h"

enum proxy_mode { PROXY_OFF, PROXY_OPTIONAL, PROXY_REQUIRED };

/* The proxies that are believed; the prefixes are the owner's. */
struct proxy_rule {
	enum proxy_mode mode;
	const struct addr_prefix *from;
	size_t n_from;
};

bool proxy_rule_trusts(const struct proxy_rule *rule, const struct addr *peer);
/* The address that a header gives, as a socket address. */
struct addr proxy_peer(const uint8_t host[static 16], uint16_t port);

struct proxy_wait {
	struct loop *loop;
	struct proxy_rule rule;
	struct deadlines deadlines;
	struct list pending;
	size_t n_pending; /* those of proxies */
	/* Takes the descriptor over. `trusted`: it came from a proxy, so the peer was not known before.
	 * `since_ms`: it has been here since then. */
	void (*on_ready)(struct proxy_wait *wait, int fd, const struct addr *peer, bool trusted,
		uint64_t since_ms);
	/* It has been closed. */
	void (*on_refused)(
		struct proxy_wait *wait, const struct addr *peer, bool trusted, enum reason reason);
};

void proxy_wait_init(struct proxy_wait *wait, struct loop *loop, uint64_t within_ms);
void proxy_wait_done(struct proxy_wait *wait);

/* Takes the descriptor over, also when it fails, and calls back later. When too many wait for a header of
 * a proxy, the one that has waited longest is refused. */
int proxy_wait_enter(struct proxy_wait *wait, int fd, const struct addr *peer, bool trusted);
void proxy_wait_close_all(struct proxy_wait *wait, enum reason reason);
