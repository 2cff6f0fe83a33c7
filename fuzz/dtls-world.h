/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The demultiplexer of DTLS as it serves, with clients and secrets that are none: datagrams come from
 * memory, and what would be encrypted is not. */

#include "core/hello.h"
#include "net/dtls.h"

struct world {
	struct loop loop;
	struct counters *counters;
	struct shared *shared;
	struct guard guard;
	struct acceptor acceptor;
	struct handshakes handshakes;
	struct scratch scratch;
	struct dtls dtls;
	bool may_open;   /* the datagram that is being taken is a hello with a good cookie */
	unsigned opened; /* sessions that have not been closed */
};

void world_init(struct world *world);
void world_done(struct world *world);

/* The cookie that this client would have to show for this hello. */
void world_cookie(struct world *world, uint8_t client, const struct hello *hello,
	uint8_t cookie[static HELLO_COOKIE]);
/* A datagram of one of 256 clients. */
void world_take(struct world *world, uint8_t client, const uint8_t *data, size_t len);
