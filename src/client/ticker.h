/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A moment in microseconds at which a load goes on, in the event loop; ticker_timerfd.c, or with the milliseconds
 * of the loop's timers, ticker_timer.c. */

#include "base/loop.h"

struct ticker {
	void (*on_tick)(struct ticker *ticker);
	struct loop *loop;
	int fd; /* -1: it has none */
	struct source source;
	struct timer timer;
};

/* `ticker->fd` is -1 before, so that ticker_done() may be called for one that never began. */
int ticker_init(struct ticker *ticker, struct loop *loop, void (*on_tick)(struct ticker *ticker));
void ticker_done(struct ticker *ticker);
/* Instead of the moment that was set before. */
void ticker_set(struct ticker *ticker, uint64_t at_us);
