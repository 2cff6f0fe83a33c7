/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client/ticker.h"

#define SECOND_US 1000000

static void ticker_on_event(struct source *source, uint32_t events)
{
	struct ticker *ticker = container_of(source, struct ticker, source);
	uint64_t count;

	/* Nothing to read: it was set to another moment meanwhile. */
	if (read(ticker->fd, &count, sizeof(count)) == sizeof(count) || errno == EAGAIN)
		ticker->on_tick(ticker);
}

int ticker_init(struct ticker *ticker, struct loop *loop, void (*on_tick)(struct ticker *ticker))
{
	*ticker = (struct ticker){.on_tick = on_tick, .loop = loop};
	ticker->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (ticker->fd < 0)
		return -errno;
	prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
	ticker->source.on_event = ticker_on_event;
	return loop_watch(loop, &ticker->source, ticker->fd, EPOLLIN);
}

void ticker_done(struct ticker *ticker)
{
	close_fdp(&ticker->fd);
	ticker->fd = -1;
}

void ticker_set(struct ticker *ticker, uint64_t at_us)
{
	const struct itimerspec at = {
		.it_value = {(time_t)(at_us / SECOND_US), (long)(at_us % SECOND_US) * 1000},
	};

	timerfd_settime(ticker->fd, TFD_TIMER_ABSTIME, &at, NULL);
}
