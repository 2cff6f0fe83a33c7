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
 * Timers are few, since a queue of deadlines has one for thousands of connections (deadline.c), so a sorted
 * list does. Sources, timers and tasks are embedded in their owners, and the loop allocates nothing. */

#include "base/loop.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"

#define STOOD_STILL_MS 2000

int loop_init(struct loop *loop)
{
	int fd;

	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return -errno;

	*loop = LOOP_INIT(*loop);
	loop->epoll_fd = fd;
	loop->now_ms = clock_ms();
	return 0;
}

void loop_done(struct loop *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->epoll_fd = -1;
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

static int loop_patience(const struct loop *loop)
{
	const struct timer *first;

	if (!list_is_empty(&loop->tasks))
		return 0;
	if (list_is_empty(&loop->timers))
		return -1;

	first = container_of(loop->timers.next, struct timer, node);
	if (first->at_ms <= loop->now_ms)
		return 0;
	return first->at_ms - loop->now_ms > 60000 ? 60000 : (int)(first->at_ms - loop->now_ms);
}

static void loop_fire_timers(struct loop *loop)
{
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
