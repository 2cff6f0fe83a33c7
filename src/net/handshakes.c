/* SPDX-License-Identifier: Apache-2.0 */

/* Nearly all begin in the order in which they were accepted, so the queue is sorted from its end. */

#include "net/handshakes.h"

void handshakes_init(struct handshakes *all, uint64_t limit, const _Atomic(uint64_t) *wait_until_ms)
{
	*all = (struct handshakes){.limit = limit, .wait_until_ms = wait_until_ms};
	list_init(&all->queue);
}

void handshakes_add(struct handshakes *all, struct handshake *handshake)
{
	struct list *next = &all->queue;

	while (next->prev != &all->queue &&
		container_of(next->prev, struct handshake, node)->since_ms > handshake->since_ms)
		next = next->prev;
	list_insert_before(next, &handshake->node);
	all->n++;
}

void handshakes_remove(struct handshakes *all, struct handshake *handshake)
{
	list_remove(&handshake->node);
	all->n--;
}

bool handshakes_make_room(struct handshakes *all, uint64_t now_ms)
{
	if (atomic_load(all->wait_until_ms) > now_ms)
		return false;
	if (all->n < all->limit)
		return true;
	list_foreach (node, &all->queue) {
		struct handshake *handshake = container_of(node, struct handshake, node);

		if (now_ms - handshake->since_ms < handshake->grace_ms)
			continue;
		handshake->evict(handshake);
		return true;
	}
	return false;
}
