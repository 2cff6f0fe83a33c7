/* SPDX-License-Identifier: Apache-2.0 */

/* Deadlines of the same length end in the order in which they were set, so the first of each queue is the
 * connection that has been idle longest at that listener, and a look at the first of each finds it.
 *
 * Workers tell each other by two numbers that they share. `idle_since_ms` is since when the connection
 * has been idle that has been so longest in any of them; each worker lowers it to its own, and takes back
 * what it wrote when that connection is gone. A worker that has no room and a connection that is younger
 * writes that number to `displace_ms`; the worker that has that connection finds it there at its next look.
 * While there is room, no worker looks. A worker that has died or been taken over may leave a number behind:
 * after PATIENCE_MS it is cleared, and the worker that asked goes by its own connections. */

#include "net/displace.h"

#include "core/shared_tables.h"

#define LOOK_MS     20
#define PATIENCE_MS 200

struct candidate {
	const struct idle_queue *queue;
	struct deadline *deadline;
	uint64_t since_ms; /* 0: there is none */
};

/* Whether it still was `was`. */
static bool replace(_Atomic(uint64_t) *at, uint64_t was, uint64_t is)
{
	return atomic_compare_exchange_strong(at, &was, is);
}

static struct candidate candidate_of(const struct displacer *displacer)
{
	uint64_t now_ms = displacer->loop->now_ms;
	struct candidate best = {0};

	list_foreach (node, &displacer->queues) {
		const struct idle_queue *queue = container_of(node, struct idle_queue, node);
		struct list *first = queue->idle->queue.next;
		struct deadline *deadline = container_of(first, struct deadline, node);
		uint64_t since_ms;

		if (first == &queue->idle->queue)
			continue;
		since_ms = deadline->at_ms - queue->idle->after_ms;
		if (now_ms - since_ms >= DISPLACE_IDLE_MS &&
			(best.since_ms == 0 || since_ms < best.since_ms))
			best = (struct candidate){queue, deadline, since_ms};
	}
	return best;
}

/* Tells the others since when ours has been idle, if that is longest. */
static void displacer_publish(struct displacer *displacer, uint64_t since_ms)
{
	_Atomic(uint64_t) *idle_since_ms = &displacer->shared->idle_since_ms;
	uint64_t longest = word_load_relaxed(idle_since_ms);
	bool was_ours = longest != 0 && longest == displacer->published_ms;

	if (longest == since_ms || (since_ms == 0 && !was_ours))
		return;
	if ((was_ours || longest == 0 || since_ms < longest) &&
		replace(idle_since_ms, longest, since_ms))
		displacer->published_ms = since_ms;
}

void displacer_displace(struct displacer *displacer)
{
	struct candidate candidate = candidate_of(displacer);

	if (!candidate.deadline)
		return;
	replace(&displacer->shared->displace_ms, candidate.since_ms, 0);
	candidate.queue->displace(candidate.deadline);
	displacer_publish(displacer, candidate_of(displacer).since_ms);
}

enum displace_where displacer_where(const struct displacer *displacer)
{
	uint64_t ours = candidate_of(displacer).since_ms;
	uint64_t longest = word_load_relaxed(&displacer->shared->idle_since_ms);

	if (longest != 0 && (ours == 0 || longest < ours))
		return DISPLACE_ELSEWHERE;
	return ours != 0 ? DISPLACE_HERE : DISPLACE_NOWHERE;
}

bool displacer_ask(struct displacer *displacer)
{
	struct shared *shared = displacer->shared;
	uint64_t now_ms = displacer->loop->now_ms,
		 longest = word_load_relaxed(&shared->idle_since_ms);
	uint64_t asked_for;

	replace(&shared->displace_ms, 0, longest);
	asked_for = word_load_relaxed(&shared->displace_ms);
	if (asked_for != displacer->asked_for_ms) {
		displacer->asked_for_ms = asked_for;
		displacer->asked_ms = now_ms;
	}
	if (now_ms - displacer->asked_ms < PATIENCE_MS)
		return true;
	replace(&shared->idle_since_ms, longest, 0);
	replace(&shared->displace_ms, asked_for, 0);
	displacer->asked_for_ms = 0;
	return false;
}

static void displacer_on_look(struct timer *timer, uint64_t now_ms)
{
	struct displacer *displacer = container_of(timer, struct displacer, look);
	uint64_t since_ms = candidate_of(displacer).since_ms;

	loop_set_timer(displacer->loop, timer, now_ms + LOOK_MS);
	displacer_publish(displacer, since_ms);
	if (since_ms != 0 && word_load_relaxed(&displacer->shared->displace_ms) == since_ms)
		displacer_displace(displacer);
}

void displacer_look(struct displacer *displacer, uint64_t limit)
{
	bool has_room = atomic_load(&displacer->shared->open) + 1 < limit;

	if (has_room) {
		displacer_publish(displacer, 0);
		loop_clear_timer(&displacer->look);
	} else if (list_is_empty(&displacer->look.node)) {
		displacer_on_look(&displacer->look, displacer->loop->now_ms);
	}
}

void displacer_add(struct displacer *displacer, struct idle_queue *queue)
{
	list_append(&displacer->queues, &queue->node);
}

void displacer_init(struct displacer *displacer, struct loop *loop)
{
	*displacer = (struct displacer){.loop = loop, .look.on_time = displacer_on_look};
	list_init(&displacer->look.node);
	list_init(&displacer->queues);
}

void displacer_done(struct displacer *displacer)
{
	loop_clear_timer(&displacer->look);
}
