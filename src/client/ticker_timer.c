/* SPDX-License-Identifier: Apache-2.0 */

#include "client/ticker.h"

static void ticker_on_time(struct timer *timer, uint64_t now_ms)
{
	struct ticker *ticker = container_of(timer, struct ticker, timer);

	ticker->on_tick(ticker);
}

int ticker_init(struct ticker *ticker, struct loop *loop, void (*on_tick)(struct ticker *ticker))
{
	*ticker = (struct ticker){.on_tick = on_tick, .loop = loop, .fd = -1};
	ticker->timer.on_time = ticker_on_time;
	return 0;
}

void ticker_done(struct ticker *ticker)
{
	loop_clear_timer(&ticker->timer);
}

void ticker_set(struct ticker *ticker, uint64_t at_us)
{
	loop_set_timer(ticker->loop, &ticker->timer, (at_us + 999) / 1000);
}
