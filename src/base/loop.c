/* SPDX-License-Identifier: Apache-2.0 */

/* The event loop of a process: descriptors, timers, and tasks. A process has one, and everything it
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
 * Some timers are patience with another process. When this one was stopped, or the machine slept, they are moved
 * on before any timer fires, since the other process had no time either.
 *
 * Timers are few, since a queue of deadlines has one for thousands of connections (deadline.c), so a sorted
 * list does. Sources, timers and tasks are embedded in their owners. The waiting itself is in loop_epoll.c, or
 * where there is no epoll, in loop_poll.c. */

#include "base/loop.h"

#define STOOD_STILL_MS 2000

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

/* Until when to wait; 0: not at all; UINT64_MAX: for ever. */
static uint64_t loop_until(const struct loop *loop)
{
	if (!list_is_empty(&loop->tasks))
		return 0;
	if (list_is_empty(&loop->timers))
		return UINT64_MAX;
	return container_of(loop->timers.next, const struct timer, node)->at_ms;
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
	int r;

	loop->rounds++;
	r = loop_wait(loop, loop_until(loop));
	if (r < 0)
		return r;
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
