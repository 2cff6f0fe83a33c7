/* SPDX-License-Identifier: Apache-2.0 */

/* Puts together what is so at a moment, for the statistics. All that a moment says of children
 * is copied: their pages change while they are read, and certificates in particular are text
 * that a worker writes, so that a copy is taken and looked at, never the page. */

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generation/view.h"
#include "supervisor/supervisor.h"

static void observe_children(const struct generation *g, struct moment *m)
{
	struct child_view view;
	struct child_view *list;

	while (generation_view(g, (unsigned)m->n_children, &view)) {
		list = reallocarray(m->children, m->n_children + 1, sizeof(*list));
		if (!list)
			return;
		m->children = list;
		list[m->n_children++] = view;
	}
}

static void observe_generation(const struct generation *g, struct moment *m)
{
	const struct certificate_entry *certificates;

	m->conf = generation_conf(g);
	m->workers = generation_workers(g);
	m->workers_up = generation_workers_up(g);
	m->open_limit = generation_connections(g);
	m->expires = generation_expires(g);
	generation_trouble(g, m->trouble);
	observe_children(g, m);
	certificates = generation_certificates(g, &m->n_certificates);
	if (certificates)
		memcpy(m->certificates, certificates, m->n_certificates * sizeof(*certificates));
}

static uint64_t count_turned_away(const struct penalties *penalties, uint64_t now_ms)
{
	uint64_t n = 0;

	for (size_t i = 0; i < PENALTY_SLOTS; i++)
		n += atomic_load(&penalties->slots[i].until_ms) > now_ms;
	return n;
}

void supervisor_observe(const struct supervisor *s, struct moment *ret_moment)
{
	struct moment *m = ret_moment;

	*m = (struct moment){
		.is_serving = s->generations.serving,
		.uptime = (s->loop.now_ms - s->stats.started_ms) / 1000,
		.draining = s->generations.n_draining + (s->takeover.remnants.n > 0),
		.open = atomic_load(&s->resources.shared->open),
		.turned_away = count_turned_away(&s->resources.shared->penalties, s->loop.now_ms),
		.memory_is_short =
			atomic_load(&s->resources.shared->memory_short_until_ms) > s->loop.now_ms,
	};
	records_recall(&m->log);
	sums_add_all(&m->sums, &s->stats.history);
	generations_add_counters(&s->generations, &m->sums);
	remnants_add_counters(&s->takeover.remnants, &m->sums);
	if (s->generations.serving)
		observe_generation(s->generations.serving, m);
	else if (remnants_are_serving(&s->takeover.remnants))
		snprintf(m->trouble, sizeof(m->trouble),
			"the workers from before the upgrade serve, since those of this program do "
			"not "
			"come up");
	m->open_before = remnants_open(
		&s->takeover.remnants, m->open_limit > 0 ? m->open_limit : UINT32_MAX);
	m->open += m->open_before;
}
