/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* DTLS sessions over a reload: workers of several generations that have the same socket must know each other. See
 * net/dtls_peers.h for their side. */

#include "generation/generation.h"

/* Workers of `young` that read datagrams of sessions get a way to those of `old` that may have them, and
 * the other way round. */
void dtls_peers_introduce(struct generation *young, struct generation *old);
/* `young` serves: where what comes to the socket is no session's any more, those of `old` end. */
void dtls_peers_take_over(const struct generation *young, struct generation *old);
/* The same for one worker of `young` alone, which is new. */
void dtls_peers_introduce_one(struct generation *young, unsigned worker, struct generation *old);
/* sockets_prune(), but those of sessions which drain stay, so that a listener can come back to them. */
void dtls_peers_prune_sockets(
	struct sockets *sockets, const struct list *draining, const struct conf *conf);
