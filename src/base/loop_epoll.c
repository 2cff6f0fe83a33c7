/* SPDX-License-Identifier: Apache-2.0 */

/* A wait has no time-out of its own: the kernel would set up a timer for each wait, and take it down again. One
 * timer is a descriptor in the same set, and is set only when a moment comes that is earlier than the one it
 * is set for. It may go off early, when its timer has been cleared or moved; that costs a round. */

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"

static void loop_on_timer(struct source *source, uint32_t events)
{
	container_of(source, struct loop, timer_source)->armed_ms = 0;
}

/* The descriptor is never read: each time it goes off is an edge. */
static int loop_init_clock(struct loop *loop)
{
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->timer_fd < 0)
		return -errno;
	loop->timer_source.on_event = loop_on_timer;
	return loop_watch(loop, &loop->timer_source, loop->timer_fd, EPOLLIN | EPOLLET);
}

int loop_init(struct loop *loop)
{
	int fd, r;

	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return -errno;

	*loop = LOOP_INIT(*loop);
	loop->epoll_fd = fd;
	loop->now_ms = clock_ms();
	r = loop_init_clock(loop);
	if (r < 0)
		loop_done(loop);
	return r;
}

void loop_done(struct loop *loop)
{
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->epoll_fd = loop->timer_fd = -1;
}

int loop_watch(struct loop *loop, struct source *source, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	source->fd = fd;
	source->dead = false;
	return 0;
}

int loop_change(struct loop *loop, struct source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0)
		return -errno;
	return 0;
}

void loop_unwatch(struct loop *loop, struct source *source)
{
	if (source->dead || source->fd < 0)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	source->dead = true;
}

void loop_forget(struct source *source)
{
	source->dead = true;
}

/* How long to wait when the next timer is due at `at_ms`: for ever, since the descriptor of the timer then goes
 * off. If it cannot be set, the wait itself has an end. */
static int loop_arm(struct loop *loop, uint64_t at_ms)
{
	const struct itimerspec at = {
		.it_value = {(time_t)(at_ms / 1000), (long)(at_ms % 1000) * 1000000},
	};

	if (loop->armed_ms != 0 && loop->armed_ms <= at_ms)
		return -1;
	if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) < 0)
		return at_ms - loop->now_ms > 60000 ? 60000 : (int)(at_ms - loop->now_ms);
	loop->armed_ms = at_ms;
	return -1;
}

static int loop_patience(struct loop *loop, uint64_t until_ms)
{
	if (until_ms == UINT64_MAX)
		return -1;
	return until_ms <= loop->now_ms ? 0 : loop_arm(loop, until_ms);
}

int loop_wait(struct loop *loop, uint64_t until_ms)
{
	int n;

	n = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS, loop_patience(loop, until_ms));
	if (n < 0 && errno != EINTR)
		return -errno;

	loop->now_ms = clock_ms();
	for (int i = 0; i < n; i++) {
		struct source *source = loop->events[i].data.ptr;

		if (!source->dead)
			source->on_event(source, loop->events[i].events);
	}
	return 0;
}
