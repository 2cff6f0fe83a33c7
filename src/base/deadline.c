/* SPDX-License-Identifier: Apache-2.0 */

/* Setting a deadline again only moves it to the end of the queue. The timer is not touched then: it
 * goes off at the old moment, finds the first one of then, and is set for that. */

#include "base/deadline.h"

static void deadlines_arm(struct deadlines *all)
{
	struct deadline *first;

	if (list_is_empty(&all->queue))
		return;
	first = container_of(all->queue.next, struct deadline, node);
	loop_set_timer(all->loop, &all->timer, first->at_ms);
}

static void deadlines_on_time(struct timer *timer, uint64_t now_ms)
{
	struct deadlines *all = container_of(timer, struct deadlines, timer);

	while (!list_is_empty(&all->queue)) {
		struct deadline *first = container_of(all->queue.next, struct deadline, node);

		if (first->at_ms > now_ms)
			break;
		deadline_clear(first);
		all->on_deadline(first);
	}
	deadlines_arm(all);
}

void deadlines_init(struct deadlines *all, struct loop *loop, uint64_t after_ms,
	void (*on_deadline)(struct deadline *deadline))
{
	*all = (struct deadlines){
		.loop = loop,
		.after_ms = after_ms,
		.on_deadline = on_deadline,
		.timer.on_time = deadlines_on_time,
	};
	list_init(&all->timer.node);
	list_init(&all->queue);
}

void deadlines_done(struct deadlines *all)
{
	loop_clear_timer(&all->timer);
}

void deadline_set_since(struct deadlines *all, struct deadline *deadline, uint64_t since_ms)
{
	bool was_idle = list_is_empty(&all->queue);
	struct list *next = &all->queue;

	deadline_clear(deadline);
	deadline->at_ms = since_ms + all->after_ms;
	while (next->prev != &all->queue &&
		container_of(next->prev, struct deadline, node)->at_ms > deadline->at_ms)
		next = next->prev;
	list_insert_before(next, &deadline->node);
	if (was_idle || deadline->at_ms < all->timer.at_ms)
		deadlines_arm(all);
}

void deadline_set(struct deadlines *all, struct deadline *deadline)
{
	deadline_set_since(all, deadline, all->loop->now_ms);
}

void deadline_clear(struct deadline *deadline)
{
	if (deadline->node.next)
		list_remove(&deadline->node);
}
