/* SPDX-License-Identifier: Apache-2.0 */

/* What the supervisor does once a second, whatever else happens: it looks whether all others still turn,
 * counts, and tells the service manager and whoever scrapes. */

#include "base/log.h"
#include "supervisor/manager.h"
#include "supervisor/supervisor.h"

#define TICK_MS 1000

void supervisor_publish(struct supervisor *s)
{
	_cleanup_moment_ struct moment moment = MOMENT_EMPTY;

	supervisor_observe(s, &moment);
	stats_publish(&s->stats, &moment);
}

static uint64_t supervisor_open(void *userdata)
{
	struct supervisor *s = userdata;
	uint64_t most = generation_connections(s->serving);
	uint64_t all = generation_open(s->serving, most);

	list_foreach (node, &s->draining)
		all += generation_open(generation_of_node(node), most);
	return all;
}

/* Whether every loop turns, of those who drain as well: who hangs would hold up what waits for them. */
static bool supervisor_check(struct supervisor *s)
{
	bool all = !s->serving || generation_check(s->serving);

	list_foreach (node, &s->draining)
		all = generation_check(generation_of_node(node)) && all;
	return all;
}

/* All were stopped together, or the machine slept; they may wake later than we do. */
static void supervisor_forgive(struct supervisor *s)
{
	if (s->serving)
		generation_forgive(s->serving);
	if (s->building)
		generation_forgive(s->building);
	list_foreach (node, &s->draining)
		generation_forgive(generation_of_node(node));
}

static void on_tick(struct timer *timer, uint64_t now_ms)
{
	struct supervisor *s = container_of(timer, struct supervisor, tick);
	_cleanup_moment_ struct moment moment = MOMENT_EMPTY;
	bool turning;

	if (loop_has_stood_still(timer, now_ms))
		supervisor_forgive(s);
	turning = supervisor_check(s);
	if (s->serving)
		shared_correct(s->shared, supervisor_open, s); /* or a second later */
	supervisor_observe(s, &moment);
	if (s->serving || s->stopping)
		stats_on_second(&s->stats, &moment);
	stats_publish(&s->stats, &moment);
	if (turning && manager_watchdog_ms() > 0)
		manager_feed_watchdog();
	manager_flush();
	if (tickets_rotate(&s->tickets, now_ms) < 0)
		log_event(EVENT_SYSTEM_REFUSED, ABOUT_NOTHING, "no new keys for tickets");
	log_flush(now_ms);
	loop_set_timer(&s->loop, timer, now_ms + TICK_MS);
}

void supervisor_tick(struct supervisor *s)
{
	s->tick.on_time = on_tick;
	loop_set_timer(&s->loop, &s->tick, s->loop.now_ms + TICK_MS);
}
