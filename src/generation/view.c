/* SPDX-License-Identifier: Apache-2.0 */

/* A child as the statistics see it, which is a copy: they know no slot and no page, so that
 * nothing but this file has to know that a number in a page may be anything. */

#include "generation/view.h"

#include "generation/slot.h"

bool generation_view(const struct generation *g, unsigned place, struct child_view *ret_view)
{
	const unsigned behind = g->n + (g->exporter ? 1 : 0);
	const struct slot *slot = generation_front(g, place);
	const struct child *child;

	if (!slot && place == behind)
		slot = g->keeper;
	if (!slot)
		return false;
	child = &slot->child;
	*ret_view = (struct child_view){
		.role = child->role,
		.index = child->index,
		.is_up = child->state == CHILD_SERVING,
		.pid = child->state == CHILD_ENDED ? 0 : child->pid,
		.heartbeat_ms = child->loop->now_ms - child->heartbeat_ms,
	};
	if (child->state == CHILD_ENDED)
		return true;
	ret_view->uptime_ms = child->loop->now_ms - child->started_ms;
	ret_view->open = child->counters->open;
	ret_view->cpu_us = child->counters->cpu_us;
	ret_view->layers = child->counters->layers;
	return true;
}

const struct certificate_entry *generation_certificates(const struct generation *g, size_t *ret_n)
{
	const struct counters *counters = g->n > 0 ? g->slots[0].child.counters : NULL;
	uint32_t n = counters ? counters->n_certificates : 0;

	*ret_n = n < CERTIFICATES_SHOWN ? n : CERTIFICATES_SHOWN;
	return *ret_n > 0 ? counters->certificates : NULL;
}
