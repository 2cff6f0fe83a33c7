/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One connection, over whatever transport: bytes in, answers out, deadlines on every wait. */

#include <stdbool.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/deadline.h"
#include "base/loop.h"
#include "core/answerer.h"
#include "core/counters.h"
#include "net/handshakes.h"
#include "net/scratch.h"
#include "net/transport.h"

/* The common part of all connections of a listener. */
struct stream_class {
	struct loop *loop;
	struct scratch *scratch;
	const char *name;
	struct answerer answerer;
	unsigned access; /* a record of one connection in so many; 0: of none */
	struct listener_counters *counters;
	uint64_t trickle_ms;    /* a message may take so long, whatever its rate */
	uint64_t write_ms;      /* `write` is a part of it, and looks at what the peer has taken */
	struct deadlines quiet; /* of a oneshot that has been answered */
	struct deadlines idle, write, handshake, linger;
	struct list streams;
	struct handshakes *handshakes; /* NULL: the transport has none */
	void (*on_closed)(struct stream_class *class, const struct addr *peer, enum reason reason);
};

struct stream_timeouts {
	uint64_t idle_ms, write_ms, handshake_ms;
};

void stream_class_init(struct stream_class *class, const struct stream_timeouts *timeouts);
void stream_class_done(struct stream_class *class);

/* Takes the transport over and begins; on failure it is closed. The time to shake hands runs since the
 * peer was accepted. */
int stream_begin(struct stream_class *class, struct transport *transport, const struct addr *peer,
	uint64_t since_ms);
/* Ends the one with that deadline, which is of the queue of idle ones, for a new connection. */
void stream_displace(struct deadline *deadline);
/* Ends all of them now, for `reason`. */
void stream_close_all(struct stream_class *class, enum reason reason);
