/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The doors of a process: its listening stream sockets, and how many may come in through them. */

#include "base/loop.h"
#include "core/counters.h"
#include "net/admit.h"
#include "net/displace.h"
#include "net/guard.h"
#include "net/lobby.h"
#include "net/refusals.h"
#include "net/stream.h"
#include "net/transport.h"

/* What all doors of a process have in common. */
struct acceptor {
	struct loop *loop;
	struct counters *counters;
	struct shared *shared;
	struct guard *guard;
	uint64_t limit; /* connections open in all processes together */
	int reserve_fd; /* given up for a moment when there is no other left */
	struct list doors;
	struct timer retry;
	bool paused, probing;
	struct displacer displacer;
	void (*on_idle)(struct acceptor *acceptor); /* the last connection has ended */
};

/* One listening socket. */
struct door {
	struct source source;
	struct stream_class class;
	struct lobby lobby; /* its rule is filled in, and it is initialised */
	struct refusals refusals;
	struct idle_queue idle;
	struct acceptor *acceptor;
	struct list node;
	int fd; /* owned */
	unsigned backlog;
	struct allotment allotment;
	bool full; /* and somebody has been told */
	/* Makes the transport of an accepted socket, and owns the descriptor also when it fails. */
	int (*transport_open)(void *userdata, int fd, struct transport *ret_transport);
	void *userdata;
};

int acceptor_init(struct acceptor *acceptor, struct loop *loop);
void acceptor_done(struct acceptor *acceptor);

/* The door is filled in and its class is initialised; it stays where it is from now on. */
int acceptor_add(struct acceptor *acceptor, struct door *door);
/* To be called twice a second. */
void acceptor_look(struct acceptor *acceptor);
/* Takes in what already waits at the doors, and closes them. */
void acceptor_stop(struct acceptor *acceptor);

/* One more is open, or one fewer; for those who come in by no door. */
void acceptor_gained(struct acceptor *acceptor, const struct allotment *allotment);
void acceptor_lost(struct acceptor *acceptor, const struct allotment *allotment);

void door_done(struct door *door);
/* Ends all connections that came in by it. */
void door_cut(struct door *door, enum reason reason);
