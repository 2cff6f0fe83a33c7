/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The listening stream sockets of a process, and how many connections they may accept. */

#include "base/loop.h"
#include "core/counters.h"
#include "net/displace.h"
#include "net/guard.h"
#include "net/proxy_wait.h"
#include "net/refusals.h"
#include "net/stream.h"
#include "net/transport.h"

/* Shared by all listeners of a process. */
struct acceptor {
	struct loop *loop;
	struct counters *counters;
	struct shared *shared;
	struct guard *guard;
	uint64_t limit;         /* connections open in all processes together */
	bool limit_is_of_files; /* the limit on open files, and no key, has set it */
	int reserve_fd;         /* given up for a moment when there is no other left */
	struct list listeners;
	struct timer retry;
	bool paused, probing;
	struct displacer displacer;
	void (*on_idle)(struct acceptor *acceptor); /* the last connection has ended */
};

/* One listening socket. */
struct listener {
	struct source source;
	struct stream_class class;
	struct proxy_wait wait; /* its rule is filled in, and it is initialised */
	struct refusals refusals;
	struct idle_queue idle;
	struct acceptor *acceptor;
	struct list node;
	int fd; /* owned */
	unsigned backlog;
	struct allotment allotment;
	bool full;      /* and the log says so */
	uint64_t round; /* of the loop, with the last event */
	/* Makes the transport of an accepted socket, and owns the descriptor also when it fails. */
	int (*transport_open)(void *userdata, int fd, struct transport *ret_transport);
	void *userdata;
};

int acceptor_init(struct acceptor *acceptor, struct loop *loop);
void acceptor_done(struct acceptor *acceptor);

/* The listener is filled in and its class is initialised; it stays where it is from now on. */
int acceptor_add(struct acceptor *acceptor, struct listener *listener);
/* To be called twice a second. */
void acceptor_look(struct acceptor *acceptor);
/* Accepts the connections that already wait, and closes the listening sockets. */
void acceptor_stop(struct acceptor *acceptor);

/* One connection more is open, or one fewer; for those that are not accepted here. */
void acceptor_gained(struct acceptor *acceptor, const struct allotment *allotment);
void acceptor_lost(struct acceptor *acceptor, const struct allotment *allotment);

/* Whether the client may have one more connection; if not, the reason is counted. */
bool acceptor_admits(struct acceptor *acceptor, struct refusals *refusals, const struct addr *peer);

void listener_done(struct listener *listener);
/* Ends all connections that came in by it. */
void listener_cut(struct listener *listener, enum reason reason);
