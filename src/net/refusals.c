/* SPDX-License-Identifier: Apache-2.0 */

/* A reason is active from the first refusal until QUIET_MS without one. One timer looks after all. */

#include "net/refusals.h"

#include "base/log.h"
#include "base/probe.h"

#define QUIET_MS 10000
#define LOOK_MS  1000

static void refusals_on_time(struct timer *timer, uint64_t now_ms)
{
	struct refusals *all = container_of(timer, struct refusals, timer);
	bool active = false;

	for (int reason = 0; reason < N_REASONS; reason++) {
		if (all->of[reason].n == 0)
			continue;
		if (now_ms - all->of[reason].last_ms < QUIET_MS) {
			active = true;
			continue;
		}
		log_event(EVENT_PEERS_SERVED,
			ABOUT(.listener = all->listener, .reason = reason_name(reason)),
			"%llu refused, and none for a while: %s",
			(unsigned long long)all->of[reason].n, reason_sentence(reason));
		all->of[reason].n = 0;
	}
	if (active)
		loop_set_timer(all->loop, timer, now_ms + LOOK_MS);
}

static void refusals_begin(struct refusals *all, enum reason reason, const struct addr *peer)
{
	struct log_facts facts = {0};

	if (peer)
		guard_describe(all->guard, reason, peer, all->loop->now_ms, &facts);
	log_event(EVENT_PEER_REFUSED,
		ABOUT(.listener = all->listener, .peer = peer, .reason = reason_name(reason),
			.facts = &facts),
		"%s: %s; further ones are only counted",
		all->guard->limits.dry_run && reason_is_limit(reason) ? "would be refused"
								      : "refused",
		reason_sentence(reason));
	all->timer.on_time = refusals_on_time;
	if (!all->timer.node.next || list_is_empty(&all->timer.node))
		loop_set_timer(all->loop, &all->timer, all->loop->now_ms + LOOK_MS);
}

static void refusals_add(
	struct refusals *all, enum reason reason, const struct addr *peer, uint64_t n)
{
	all->counters->reasons[reason] += n;
	if (all->of[reason].n == 0)
		refusals_begin(all, reason, peer);
	all->of[reason].n += n;
	all->of[reason].last_ms = all->loop->now_ms;
}

void refuse(struct refusals *refusals, enum reason reason, const struct addr *peer)
{
	PROBE2(refusal, refusals->listener, reason_name(reason));
	refusals_add(refusals, reason, peer, 1);
}

void refuse_many(struct refusals *refusals, enum reason reason, uint64_t n)
{
	refusals_add(refusals, reason, NULL, n);
}

void refusals_done(struct refusals *refusals)
{
	loop_clear_timer(&refusals->timer);
}

static void connection_access_record(struct connection_end *e, const struct log_about *about)
{
	log_fact_set(&e->facts, bytes_in, e->bytes_in);
	log_fact_set(&e->facts, bytes_out, e->bytes_out);
	log_fact_set(&e->facts, messages, e->messages);
	log_fact_set(&e->facts, duration_ms, e->took_ms);
	if (e->access > 1)
		log_fact_set(&e->facts, one_of, e->access);
	log_each(EVENT_ACCESS, about, "connection ended: %s%s%s", reason_sentence(e->reason),
		e->detail ? ": " : "", e->detail ? e->detail : "");
}

/* One of a hundred is the first, the hundred and first and so on, at each listener of each worker. */
void connection_end_record(struct connection_end *e)
{
	const struct log_about about = {
		.listener = e->listener,
		.peer = e->peer,
		.reason = reason_name(e->reason),
		.facts = &e->facts,
	};
	uint64_t number = e->counters->counted[COUNT_closed]++;

	PROBE2(close, e->listener, about.reason);
	e->counters->reasons[e->reason]++;
	if (e->access > 0 && number % e->access == 0)
		connection_access_record(e, &about);
	else if (e->reason != REASON_done && e->reason != REASON_reset)
		log_event(EVENT_PEER_ENDED, &about, "connection ended: %s%s%s",
			reason_sentence(e->reason), e->detail ? ": " : "",
			e->detail ? e->detail : "");
}
