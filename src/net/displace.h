/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When limits.connections are open, the connection that has been idle longest gives way to a new one,
 * in whichever worker it is. */

#include "base/deadline.h"
#include "base/loop.h"
#include "core/counters.h"

#define DISPLACE_IDLE_MS 10000 /* a connection is left alone for so long */

/* The idle connections of one listener; embedded in it. */
struct idle_queue {
	struct list node;
	const struct deadlines *idle;
	void (*displace)(struct deadline *deadline);
};

/* The displacements of a process. */
struct displacer {
	struct loop *loop;
	struct shared *shared;
	struct list queues;
	struct timer look; /* while there is no room: at what other workers ask for */
	uint64_t published_ms, asked_for_ms, asked_ms;
};

/* Where the connection is that has been idle longest. */
enum displace_where {
	DISPLACE_NOWHERE, /* none has been idle for long enough */
	DISPLACE_HERE,
	DISPLACE_ELSEWHERE, /* in another worker */
};

void displacer_init(struct displacer *displacer, struct loop *loop);
void displacer_done(struct displacer *displacer);
void displacer_add(struct displacer *displacer, struct idle_queue *queue);
enum displace_where displacer_where(const struct displacer *displacer);
/* Asks that other worker to make room, which it does in a moment. False: it does not answer, and is not
 * waited for any longer. */
bool displacer_ask(struct displacer *displacer);
/* Ends the connection of this process that has been idle longest. */
void displacer_displace(struct displacer *displacer);
/* To be called twice a second, and at once when there is no room any more. */
void displacer_look(struct displacer *displacer, uint64_t limit);
