/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether memory is short for the service. Workers read it in the page that they share: they give idle buffers
 * back, and handshakes wait. */

#include "base/loop.h"
#include "core/counters.h"

struct memory_watch {
	struct loop *loop;
	struct shared *shared; /* is told until when memory counts as short */
	uint64_t *counted;     /* times that it became short */
	struct source pressure;
	struct timer look;
	int pressure_fd;
};

#define MEMORY_WATCH_EMPTY ((struct memory_watch){.pressure_fd = -1})

/* `loop`, `shared` and `counted` are set by the owner. */
void memory_watch_start(struct memory_watch *watch);
void memory_watch_done(struct memory_watch *watch);
