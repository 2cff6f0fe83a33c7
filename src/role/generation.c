/* SPDX-License-Identifier: Apache-2.0 */

/* A seat is a child and what it takes to replace it. While the generation is built, one that fails
 * fails all; while it serves, one that dies is replaced; while it drains, one that ends is missed by
 * nobody. The owner is told in a task of its own, since what it does then is to free the generation. */

#include "role/generation.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "role/plan.h"
#include "role/seat.h"

#define BUILD_MS    20000 /* to come up, also on a machine that is busy */
#define PATIENCE_MS 10000 /* for a loop that does not turn */
#define GRACE_MS    1000  /* beyond `drain`, to hang up and go */
#define STEADY_MS   10000 /* who lived longer is replaced at once */
#define BACKOFF_MS  100
#define BACKOFF_MAX 30000

static void generation_fail(struct generation *g, int exit_code, const char *why)
{
	if (g->state != GENERATION_BUILDING || g->exit_code != 0)
		return;
	g->exit_code = exit_code;
	snprintf(g->why, sizeof(g->why), "%s", why);
	loop_defer(g->parts.loop, &g->report);
}

static bool generation_all(const struct generation *g, enum child_state state)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->seats[i].child.state != state)
			return false;
	return true;
}

static bool generation_is_released(const struct generation *g)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->seats[i].child.state < CHILD_RELEASED)
			return false;
	return true;
}

static void generation_on_drained(struct generation *g)
{
	if (!g->released && generation_is_released(g)) {
		g->released = true;
		g->parts.owner->on_released(g);
	}
	if (generation_all(g, CHILD_ENDED))
		g->parts.owner->on_gone(g);
}

static void generation_on_report(struct task *task)
{
	struct generation *g = container_of(task, struct generation, report);

	if (g->state == GENERATION_DRAINING)
		generation_on_drained(g);
	else if (g->exit_code != 0)
		g->parts.owner->on_failed(g, g->exit_code, g->why);
	else
		g->parts.owner->on_ready(g);
}

static int seat_start(struct seat *seat)
{
	struct child *child = &seat->child;
	char name[32];
	int r;

	r = child_start(child);
	if (r < 0)
		return r;
	plan_supply(&seat->generation->plan, child);
	log_each(EVENT_CHILD_STARTED, ABOUT(.role = child_name(child, name), .pid = child->pid),
		"started");
	return 0;
}

static void seat_serve(struct seat *seat)
{
	child_tell(&seat->child, MSG_SERVE, NULL, 0, NULL);
	seat->child.state = CHILD_SERVING;
}

static void seat_on_ready(struct child *child)
{
	struct seat *seat = container_of(child, struct seat, child);
	struct generation *g = seat->generation;

	if (g->state == GENERATION_SERVING)
		seat_serve(seat);
	else if (g->state == GENERATION_BUILDING && generation_all(g, CHILD_READY))
		loop_defer(g->parts.loop, &g->report);
}

static void seat_on_released(struct child *child)
{
	struct seat *seat = container_of(child, struct seat, child);

	loop_defer(child->loop, &seat->generation->report);
}

static void seat_on_failed(struct child *child, int exit_code, const char *why)
{
	struct seat *seat = container_of(child, struct seat, child);
	char name[32];

	log_each(EVENT_START_FAILED, ABOUT(.role = child_name(child, name), .pid = child->pid),
		"%s", why);
	generation_fail(seat->generation, exit_code > 0 ? exit_code : EX_SOFTWARE, why);
}

/* Who dies again and again is replaced more and more slowly. */
void seat_replace(struct seat *seat)
{
	uint64_t now_ms = seat->child.loop->now_ms;

	if (now_ms - seat->child.started_ms >= STEADY_MS)
		seat->backoff_ms = 0;
	loop_set_timer(seat->child.loop, &seat->again, now_ms + seat->backoff_ms);
	seat->backoff_ms = seat->backoff_ms == 0 ? BACKOFF_MS : 2 * seat->backoff_ms;
	if (seat->backoff_ms > BACKOFF_MAX)
		seat->backoff_ms = BACKOFF_MAX;
}

static void seat_on_again(struct timer *timer, uint64_t now_ms)
{
	struct seat *seat = container_of(timer, struct seat, again);
	int r;

	r = seat_start(seat);
	if (r >= 0)
		return;
	log_event(EVENT_SYSTEM_REFUSED, ABOUT(.error = r), "cannot start a %s",
		role_word(seat->child.role));
	seat_replace(seat);
}

static void seat_take_back_clients(struct seat *seat)
{
	struct clients *clients = &seat->generation->parts.shared->clients;
	uint32_t *counted = seat->child.counters->clients;

	for (size_t slot = 0; slot < CLIENTS_SLOTS; slot++) {
		if (counted[slot] > 0)
			clients_leave(clients, slot, counted[slot]);
		counted[slot] = 0;
	}
}

/* What it had open is closed. Its numbers are its own, and may be anything. */
static void seat_take_back(struct seat *seat)
{
	struct shared *shared = seat->generation->parts.shared;
	uint64_t open = seat->child.counters->open, all = atomic_load(&shared->open);

	seat_take_back_clients(seat);
	seat->child.counters->open = 0;
	atomic_fetch_sub(&shared->open, open < all ? open : all);
}

static void seat_on_ended(struct child *child, bool as_told)
{
	struct seat *seat = container_of(child, struct seat, child);
	struct generation *g = seat->generation;

	seat_take_back(seat);
	switch (g->state) {
	case GENERATION_BUILDING:
		generation_fail(g, EX_SOFTWARE, "a worker died before it was ready");
		break;
	case GENERATION_SERVING:
		seat_replace(seat);
		break;
	case GENERATION_DRAINING:
		loop_defer(g->parts.loop, &g->report);
		break;
	}
}

static const struct child_owner seat_owner = {
	.on_ready = seat_on_ready,
	.on_released = seat_on_released,
	.on_failed = seat_on_failed,
	.on_ended = seat_on_ended,
};

static void generation_on_limit(struct timer *timer, uint64_t now_ms)
{
	struct generation *g = container_of(timer, struct generation, limit);

	if (g->state == GENERATION_BUILDING)
		generation_fail(g, EX_TEMPFAIL, "the workers did not come up in time");
	else if (g->state == GENERATION_DRAINING)
		generation_kill(g);
	if (g->state == GENERATION_DRAINING && generation_all(g, CHILD_ENDED))
		loop_defer(g->parts.loop, &g->report); /* there was nobody left to kill */
}

int generation_add_seat(struct generation *g, enum role role, unsigned index)
{
	struct seat *seat = &g->seats[g->n];
	int r;

	r = child_init(&seat->child, g->parts.loop, role, index, g->plan.conf->n_listeners);
	if (r < 0)
		return r;
	g->n++;
	seat->generation = g;
	seat->again.on_time = seat_on_again;
	seat->child.owner = &seat_owner;
	return 0;
}

static int generation_seat(struct generation *g)
{
	int r;

	g->seats = calloc(g->plan.workers, sizeof(*g->seats));
	if (!g->seats)
		return -ENOMEM;
	for (unsigned i = 0; i < g->plan.workers; i++) {
		r = generation_add_seat(g, ROLE_WORKER, i);
		if (r >= 0)
			r = seat_start(&g->seats[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

struct generation *generation_alloc(const struct generation_parts *parts)
{
	struct generation *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->parts = *parts;
	g->plan = PLAN_EMPTY;
	g->plan.shared = parts->shared;
	g->plan.shared_fd = parts->shared_fd;
	g->limit.on_time = generation_on_limit;
	g->report.run = generation_on_report;
	list_init(&g->node);
	return g;
}

void generation_freep(struct generation **generation)
{
	generation_free(*generation);
}

int generation_new(const struct generation_parts *parts, struct conf *conf,
	struct generation **ret_generation, char why[static 512])
{
	__attribute__((cleanup(generation_freep))) struct generation *g = NULL;
	int r;

	g = generation_alloc(parts);
	if (!g) {
		conf_free(conf);
		snprintf(why, 512, "no memory");
		return EX_OSERR;
	}

	r = plan_make(&g->plan, conf, parts->sockets, why);
	if (r != 0)
		return r;
	r = generation_seat(g);
	if (r < 0) {
		snprintf(why, 512, "cannot start a worker: %s", strerror(-r));
		return EX_OSERR;
	}
	loop_set_timer(parts->loop, &g->limit, parts->loop->now_ms + BUILD_MS);

	*ret_generation = take_ptr(&g);
	return 0;
}

void generation_free(struct generation *g)
{
	if (!g)
		return;
	for (unsigned i = 0; i < g->n; i++) {
		struct child *child = &g->seats[i].child;

		loop_clear_timer(&g->seats[i].again);
		child_bury(child);
		seat_take_back(&g->seats[i]);
		child_done(child);
	}
	loop_clear_timer(&g->limit);
	loop_cancel(&g->report);
	list_remove(&g->node);
	free(g->seats);
	plan_done(&g->plan);
	free(g);
}

void generation_serve(struct generation *g)
{
	loop_clear_timer(&g->limit);
	g->state = GENERATION_SERVING;
	for (unsigned i = 0; i < g->n; i++)
		seat_serve(&g->seats[i]);
}

void generation_limit_drain(struct generation *g)
{
	loop_set_timer(g->parts.loop, &g->limit,
		g->parts.loop->now_ms + g->plan.conf->drain_ms + GRACE_MS);
}

void generation_drain(struct generation *g)
{
	struct msg_drain drain = {.within_ms = g->plan.conf->drain_ms};

	g->state = GENERATION_DRAINING;
	for (unsigned i = 0; i < g->n; i++) {
		struct child *child = &g->seats[i].child;

		loop_clear_timer(&g->seats[i].again);
		if (child->state == CHILD_ENDED)
			continue;
		child->state = CHILD_DRAINING;
		child_tell(child, MSG_DRAIN, &drain, sizeof(drain), NULL);
	}
	loop_defer(g->parts.loop, &g->report);
	generation_limit_drain(g);
}

void generation_kill(struct generation *g)
{
	for (unsigned i = 0; i < g->n; i++)
		child_kill(&g->seats[i].child, SIGKILL);
}

const struct conf *generation_conf(const struct generation *g)
{
	return g->plan.conf;
}

void *generation_userdata(const struct generation *g)
{
	return g->parts.userdata;
}

enum generation_state generation_state(const struct generation *g)
{
	return g->state;
}

uint64_t generation_connections(const struct generation *g)
{
	return g->plan.connections;
}

unsigned generation_workers(const struct generation *g)
{
	return g->n;
}

void generation_totals(const struct generation *g, struct totals *totals)
{
	for (unsigned i = 0; i < g->n; i++) {
		const struct counters *counters = g->seats[i].child.counters;

		totals->open += counters->open;
		totals->records_lost += counters->records_lost;
		for (size_t l = 0; l < g->plan.conf->n_listeners; l++)
			totals_add(
				totals, g->plan.conf->listeners[l].name, &counters->listeners[l]);
	}
}

bool generation_check(struct generation *g)
{
	bool all = true;

	for (unsigned i = 0; i < g->n; i++) {
		struct child *child = &g->seats[i].child;
		char name[32];

		if (child->state == CHILD_ENDED || child_is_alive(child, PATIENCE_MS))
			continue;
		all = false;
		log_event(EVENT_CHILD_STUCK,
			ABOUT(.role = child_name(child, name), .pid = child->pid),
			"its loop has not turned for %d s, and it is ended", PATIENCE_MS / 1000);
		child_kill(child, SIGKILL);
	}
	return all;
}

struct list *generation_node(struct generation *g)
{
	return &g->node;
}

struct generation *generation_of_node(struct list *node)
{
	return container_of(node, struct generation, node);
}
