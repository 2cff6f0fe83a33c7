/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A lane: a link in the event loop, with callbacks. Ping, bench, check, probe and path are owners of lanes,
 * and have no other way to wait.
 *
 * A callback may close its lane or open it again, but not free it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "client/link.h"

/* One loop for all lanes, and room to receive into. */
struct lanes {
	struct loop loop;
	struct batch *batch;
	int signal_fd; /* has a byte for each signal */
	struct source signals;
	void (*on_signal)(struct lanes *lanes, int signal);
};

#define LANES_INIT                                   \
	{                                            \
		.loop = {LOOP_NONE}, .signal_fd = -1 \
	}

/* A datagram; or on a stream, some bytes. Good until the callback returns. */
struct arrival {
	const uint8_t *data;
	size_t len;
	const struct addr *from; /* when the server has any peer; else NULL */
	int ttl, tos;            /* as received; -1: not known */
	int fragment;            /* bytes of the largest fragment; 0: it came whole, or not known */
	uint64_t at_us;
};

struct lane;

struct lane_owner {
	void (*on_open)(struct lane *lane);
	void (*on_arrival)(struct lane *lane, const struct arrival *arrival);
	/* All that had come by now has arrived, or there is room to send again. NULL: not wanted. */
	void (*on_turn)(struct lane *lane);
	/* The link could not be opened, or has ended; it is closed. `outcome` is CLIENT_E_*, or a negative
	 * errno. CLIENT_E_LOST on an open link: the server ended it. */
	void (*on_end)(struct lane *lane, int outcome, const struct why *why);
	bool wants_hops; /* TTL and TOS of what arrives, which cost a little of each batch */
};

struct lane {
	struct link link;
	struct lanes *lanes;
	const struct lane_owner *owner;
	struct source source;
	struct timer timer; /* of the opening */
	uint32_t watched;   /* the events that the loop watches; 0: no descriptor yet */
	unsigned epoch;     /* counts openings, so that a callback is seen to have made another */
	bool is_segmented;  /* datagrams of one length leave and arrive as one run (GSO, GRO) */
	bool peeks; /* with a session: the size of fragments is looked at, at the cost of a system call */
	uint8_t *out;
	size_t out_at, out_end;
	size_t piece;     /* the length of each datagram in `out` */
	unsigned n_batch; /* datagrams, or runs of them, that the last batch had */
};

/* The bytes that wait in a lane at most: a run of datagrams, or part of a stream. */
#define LANE_OUT 65536

int lanes_init(struct lanes *lanes);
void lanes_done(struct lanes *lanes);

/* SIGINT, SIGQUIT and SIGWINCH become calls, in the loop, of `on_signal`. */
int lanes_catch_signals(struct lanes *lanes, void (*on_signal)(struct lanes *lanes, int signal));

void lane_init(struct lane *lane, struct lanes *lanes, const struct lane_owner *owner);
void lane_done(struct lane *lane);

/* Begins to open; on_open or on_end follows, perhaps at once. */
void lane_open(struct lane *lane, struct server *server);
/* For datagrams: the same with the next address of the server. False when there is none. */
bool lane_advance(struct lane *lane);
void lane_close(struct lane *lane);
bool lane_is_open(const struct lane *lane);

/* Takes a message whole: 0; or LINK_E_AGAIN when there is no room, and on_turn follows. It leaves at the
 * next lane_flush(), or when more have come together. */
int lane_send(struct lane *lane, const void *data, size_t len);
/* The same for a message that is written in place: room for its `len` bytes, or NULL. */
uint8_t *lane_reserve(struct lane *lane, size_t len);
void lane_flush(struct lane *lane);
/* Whether all that was sent has left. */
bool lane_is_idle(const struct lane *lane);
