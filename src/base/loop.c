/* SPDX-License-Identifier: Apache-2.0 */

/* The event loop of a process: one epoll descriptor, timers, and tasks. A process has one, and everything it
 * does is called from here.
 *
 * A round: wait for events, call each source that has one, fire the timers that are due, run the tasks. The
 * clock is read once a round, after the wait; all code of the round takes the time from `now_ms`.
 *
 * The invariant: the events of a round were fetched together, so an object that is freed by one callback may
 * still be named by an event behind it. Therefore no callback frees an object that has a source. It marks the
 * source dead (loop_unwatch() or loop_forget()), which skips the events that are left, and defers a task that
 * frees the object at the end of the round. A task that defers itself again waits for the next round, so that
 * one object cannot keep the loop for itself.
 *
 * A wait has no time-out of its own: the kernel would set up a timer for each wait, and take it down again. One
 * timer is a descriptor in the same set, and is set only when a moment comes that is earlier than the one it
 * is set for. It may go off early, when its timer has been cleared or moved; that costs a round.
 *
 * Some timers are patience with another process. When this one was stopped, or the machine slept, they are moved
 * on before any timer fires, since the other process had no time either.
 *
 * Timers are few, since a queue of deadlines has one for thousands of connections (deadline.c), so a sorted
 * list does. Sources, timers and tasks are embedded in their owners, and the loop allocates nothing. */

#include "base/loop.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"

#define STOOD_STILL_MS 2000

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

void loop_set_timer(struct loop *loop, struct timer *timer, uint64_t at_ms)
{
	struct list *at = &loop->timers;

	loop_clear_timer(timer);
	timer->at_ms = at_ms;
	while (at->prev != &loop->timers &&
		container_of(at->prev, struct timer, node)->at_ms > at_ms)
		at = at->prev;
	list_insert_before(at, &timer->node);
}

void loop_clear_timer(struct timer *timer)
{
	if (timer->node.next)
		list_remove(&timer->node);
}

static void pause_on_time(struct timer *timer, uint64_t now_ms)
{
	struct pause *pause = container_of(timer, struct pause, timer);

	if (loop_watch(pause->loop, pause->source, pause->source->fd, pause->events) < 0)
		loop_set_timer(pause->loop, timer, now_ms + LOOP_PAUSE_MS);
}

void pause_clear(struct pause *pause)
{
	loop_clear_timer(&pause->timer);
}

void loop_pause(struct loop *loop, struct pause *pause, struct source *source, uint32_t events)
{
	pause_clear(pause);
	*pause = (struct pause){loop, source, events, {.on_time = pause_on_time}};
	loop_unwatch(loop, source);
	loop_set_timer(loop, &pause->timer, loop->now_ms + LOOP_PAUSE_MS);
}

bool loop_has_stood_still(const struct timer *timer, uint64_t now_ms)
{
	return now_ms - timer->at_ms >= STOOD_STILL_MS;
}

void loop_defer(struct loop *loop, struct task *task)
{
	if (task->node.next && !list_is_empty(&task->node))
		return;
	list_append(&loop->tasks, &task->node);
}

void loop_cancel(struct task *task)
{
	if (task->node.next)
		list_remove(&task->node);
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

static int loop_patience(struct loop *loop)
{
	const struct timer *first;

	if (!list_is_empty(&loop->tasks))
		return 0;
	if (list_is_empty(&loop->timers))
		return -1;

	first = container_of(loop->timers.next, struct timer, node);
	if (first->at_ms <= loop->now_ms)
		return 0;
	return loop_arm(loop, first->at_ms);
}

/* After a stop of this process, or a sleep of the machine. Other processes stood still as well: they get the
 * time that was lost, and some to take up what they did. Backwards, so that none is met again where it is put. */
static void loop_forgive(struct loop *loop)
{
	const struct timer *first = container_of(loop->timers.next, struct timer, node);
	struct list *node = loop->timers.prev, *before;
	uint64_t lost_ms;

	if (list_is_empty(&loop->timers) || first->at_ms > loop->now_ms ||
		!loop_has_stood_still(first, loop->now_ms))
		return;
	lost_ms = loop->now_ms - first->at_ms;
	for (; node != &loop->timers; node = before) {
		struct timer *timer = container_of(node, struct timer, node);

		before = node->prev;
		if (timer->is_patience)
			loop_set_timer(loop, timer, timer->at_ms + lost_ms + STOOD_STILL_MS);
	}
}

static void loop_fire_timers(struct loop *loop)
{
	loop_forgive(loop);
	while (!list_is_empty(&loop->timers)) {
		struct timer *first = container_of(loop->timers.next, struct timer, node);

		if (first->at_ms > loop->now_ms)
			return;
		loop_clear_timer(first);
		first->on_time(first, loop->now_ms);
	}
}

/* Only what was put off before now: a task that puts itself off again waits for the next round. */
void loop_run_tasks(struct loop *loop)
{
	struct list now = LIST_INIT(now);

	list_splice(&now, &loop->tasks);
	while (!list_is_empty(&now)) {
		struct task *task = container_of(now.next, struct task, node);

		list_remove(&task->node);
		task->run(task);
	}
}

static int loop_round(struct loop *loop)
{
	int n;

	n = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS, loop_patience(loop));
	if (n < 0 && errno != EINTR)
		return -errno;

	loop->now_ms = clock_ms();
	for (int i = 0; i < n; i++) {
		struct source *source = loop->events[i].data.ptr;

		if (!source->dead)
			source->on_event(source, loop->events[i].events);
	}
	loop_fire_timers(loop);
	loop_run_tasks(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	int r;

	while (!loop->stopped) {
		r = loop_round(loop);
		if (r < 0)
			return r;
	}
	loop_run_tasks(loop); /* what is dead is still to be reaped */
	return loop->verdict;
}

void loop_stop(struct loop *loop, int verdict)
{
	loop->stopped = true;
	loop->verdict = verdict;
}
