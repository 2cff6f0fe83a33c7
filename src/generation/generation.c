/* SPDX-License-Identifier: Apache-2.0 */

/* A generation is all the children that were made from one configuration: its workers, a keeper if there are
 * private keys, an exporter if there are metrics. It comes up whole or not at all.
 *
 *      BUILDING   the keeper starts first, since workers need it; all get ready. One failure fails all.
 *      OPENING    told to serve by generation_serve(); still, one failure fails all.
 *      SERVING    all have said that they serve. A child that dies is replaced from here on.
 *      DRAINING   told to drain. Nothing is replaced but a keeper that a worker still needs.
 *
 * It is made from the plan, which never changes: a worker has one configuration in its life, and a
 * replacement gets what the first one got. The exception is the refusal of expired certificates, which is
 * meant for the moment of taking them up and ends with it.
 *
 * The owner is told of each step in a task of its own, since what it does then is to free the generation, and
 * a callback of a child must not. The memory of a freed generation stays until the end of the round.
 *
 * To read: generation_new(), the callbacks generation_on_child_*, then generation_on_report(). */

#include "generation/generation.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "base/why.h"
#include "generation/slot.h"
#include "process/files.h"

#define BUILD_MS 20000 /* to come up, also on a machine that is busy */
#define GRACE_MS 1000  /* beyond `drain`, to hang up and go */

static bool generation_is_coming(const struct generation *g)
{
	return g->state == GENERATION_BUILDING || g->state == GENERATION_OPENING;
}

/* The first reason counts: a worker that fails after the keeper did mostly fails for want of
 * it. */
static void generation_fail(struct generation *g, int exit_code, const char *why)
{
	if (!generation_is_coming(g) || g->exit_code != 0)
		return;
	g->exit_code = exit_code;
	why_set(&g->why, 0, "%s", why);
	loop_defer(g->parts.loop, &g->report);
}

struct slot *generation_front(const struct generation *g, unsigned number)
{
	return number < g->n ? &g->slots[number] : number == g->n ? g->exporter : NULL;
}

static bool generation_all(const struct generation *g, enum child_state state)
{
	const struct slot *slot;

	for (unsigned i = 0; (slot = generation_front(g, i)); i++)
		if (slot->child.state != state)
			return false;
	return true;
}

/* Also true of children that have ended: they accept nothing either. */
static bool generation_is_released(const struct generation *g)
{
	const struct slot *slot;

	for (unsigned i = 0; (slot = generation_front(g, i)); i++)
		if (slot->child.state < CHILD_RELEASED)
			return false;
	return true;
}

/* It goes last, since a worker may have handshakes to finish. */
static void generation_dismiss_keeper(struct generation *g)
{
	const struct msg_drain drain = {0};
	struct child *keeper = &g->keeper->child;

	if (keeper->state == CHILD_DRAINING)
		return;
	keeper->state = CHILD_DRAINING;
	child_send(keeper, MSG_DRAIN, &drain, sizeof(drain), NULL);
}

static bool generation_workers_ended(const struct generation *g)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->slots[i].child.state != CHILD_ENDED)
			return false;
	return true;
}

static void generation_on_drained(struct generation *g)
{
	if (!g->released && generation_is_released(g)) {
		g->released = true;
		g->parts.owner->on_released(g);
	}
	if (g->exporter_stays && generation_workers_ended(g)) {
		g->exporter_stays = false;
		slot_drain(g->exporter);
	}
	if (!generation_all(g, CHILD_ENDED))
		return;
	if (g->keeper && g->keeper->child.state != CHILD_ENDED)
		generation_dismiss_keeper(g);
	else
		g->parts.owner->on_gone(g);
}

static void generation_on_served(struct generation *g)
{
	loop_clear_timer(&g->limit);
	g->state = GENERATION_SERVING;
	/* It was checked once. A certificate that expires from now on is no reason to leave a worker dead. */
	g->parts.plan.refuse_expired = false;
	g->parts.owner->on_served(g);
}

static void generation_on_report(struct task *task)
{
	struct generation *g = container_of(task, struct generation, report);

	if (g->state == GENERATION_DRAINING)
		generation_on_drained(g);
	else if (g->exit_code != 0)
		g->parts.owner->on_failed(g, g->exit_code, g->why.text);
	else if (g->state == GENERATION_BUILDING)
		g->parts.owner->on_ready(g);
	else if (g->state == GENERATION_OPENING)
		generation_on_served(g);
}

/* A replacement serves at once; what the owner has to send it comes before. */
static void generation_take_in(struct generation *g, struct slot *slot)
{
	if (slot->child.role == ROLE_WORKER)
		g->parts.owner->on_replaced(g, slot->child.index);
	slot_serve(slot);
}

static void generation_start_worker(struct generation *g, struct slot *slot)
{
	struct why why;
	int r;

	r = slot_start(slot);
	if (r >= 0)
		return;
	why_set(&why, 0, "cannot start a worker: %s", strerror(-r));
	generation_fail(g, EX_OSERR, why.text);
}

/* Workers ask the keeper while they get ready; those that serve, or drain, have lost the one before. */
static void generation_on_keeper_ready(struct generation *g)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->state == GENERATION_BUILDING)
			generation_start_worker(g, &g->slots[i]);
		else
			slot_meet_keeper(&g->slots[i]);
	/* A replacement; the first one is told with the others. */
	if (g->state == GENERATION_SERVING)
		slot_serve(g->keeper);
}

static void generation_on_child_ready(struct child *child)
{
	struct slot *slot = container_of(child, struct slot, child);
	struct generation *g = child->userdata;

	if (slot == g->keeper)
		generation_on_keeper_ready(g);
	else if (g->state == GENERATION_SERVING)
		generation_take_in(g, slot);
	else if (g->state == GENERATION_BUILDING && generation_all(g, CHILD_READY))
		loop_defer(g->parts.loop, &g->report);
}

static void generation_on_child_serving(struct child *child)
{
	struct slot *slot = container_of(child, struct slot, child);
	struct generation *g = child->userdata;

	slot_is_back(slot);
	if (g->state == GENERATION_OPENING && slot != g->keeper && generation_all(g, CHILD_SERVING))
		loop_defer(g->parts.loop, &g->report);
}

static void generation_on_child_released(struct child *child)
{
	struct generation *g = child->userdata;

	if (g->state == GENERATION_DRAINING)
		loop_defer(child->loop, &g->report);
}

/* As --check would say it. */
static void generation_on_child_fault(struct child *child, const struct file_place *place,
	enum fault_level level, const char *what)
{
	const struct generation *g = child->userdata;

	if (g->state == GENERATION_BUILDING && file_place_exists(g->plan.conf, place))
		fault_at_file(g->plan.conf, place, level, what, g->parts.plan.faults);
}

static void generation_on_child_failed(struct child *child, int exit_code, const char *why)
{
	const struct generation *g = child->userdata;
	struct slot *slot = container_of(child, struct slot, child);
	char name[32];

	struct log_record record = {
		.event = EVENT_CHILD_FAILED,
		/* The verdict of a build says why. */
		.level = g->state == GENERATION_BUILDING ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR,
		.about = {.role = child_name(child, name), .pid = child->pid},
		.text = why,
	};

	log_pass(&record);
	text_escape(why, strlen(why), slot->why.text,
		sizeof(slot->why.text)); /* it may be of a worker that was taken over */
	generation_fail(child->userdata, exit_code > 0 ? exit_code : EX_SOFTWARE, why);
}

/* A draining generation still needs a keeper: a handshake may be open. */
static bool generation_needs(const struct generation *g, const struct slot *slot)
{
	return slot == g->keeper && !g->given_up && plan_has_keys(&g->plan) &&
		!generation_all(g, CHILD_ENDED);
}

/* The time counts from the first death: a child that dies at each start is missing all the
 * while. */
static void generation_replace(struct generation *g, struct slot *slot)
{
	if (slot->missing_ms == 0)
		slot->missing_ms = g->parts.loop->now_ms;
	slot_replace(slot);
}

/* Only its last words may tell, of one that could not even be executed. */
static void slot_explain_end(const struct child *child, struct why *why)
{
	const char *role = role_word(child->role);

	if (child->refused)
		why_set(why, 0, "cannot speak to a %s: %s", role, strerror(-child->refused));
	else
		why_set(why, 0, "a %s died before it was ready%s%s", role,
			child->last_words[0] ? ": " : "", child->last_words);
}

static void generation_on_child_ended(struct child *child, const struct child_end *end)
{
	struct slot *slot = container_of(child, struct slot, child);
	struct generation *g = child->userdata;
	struct why why;

	slot_take_back(slot);
	if (!end->as_told && !generation_is_coming(g))
		g->parts.owner->on_died(g, child, end);
	if (!child->failed)
		slot_explain_end(child, &slot->why);
	switch (g->state) {
	case GENERATION_BUILDING:
	case GENERATION_OPENING:
		slot_explain_end(child, &why);
		generation_fail(g, end->exit_code, why.text);
		break;
	case GENERATION_SERVING:
		generation_replace(g, slot);
		break;
	case GENERATION_DRAINING:
		if (generation_needs(g, slot))
			generation_replace(g, slot);
		else
			loop_defer(g->parts.loop, &g->report);
		break;
	}
}

static const struct child_owner slot_owner = {
	.on_ready = generation_on_child_ready,
	.on_serving = generation_on_child_serving,
	.on_released = generation_on_child_released,
	.on_fault = generation_on_child_fault,
	.on_failed = generation_on_child_failed,
	.on_ended = generation_on_child_ended,
};

static void generation_on_limit(struct timer *timer, uint64_t now_ms)
{
	struct generation *g = container_of(timer, struct generation, limit);

	if (generation_is_coming(g))
		generation_fail(g, EX_TEMPFAIL, "its processes did not come up in time");
	else if (g->state == GENERATION_DRAINING)
		generation_kill(g);
	if (g->state == GENERATION_DRAINING && generation_all(g, CHILD_ENDED))
		loop_defer(g->parts.loop, &g->report); /* there was no child left to kill */
}

/* The keeper first; when it is ready, so are its keys, and the workers begin. */
static int generation_start(struct generation *g)
{
	int r = g->exporter ? slot_start(g->exporter) : 0;

	if (r >= 0 && g->keeper)
		return slot_start(g->keeper);
	for (unsigned i = 0; i < g->n && r >= 0; i++)
		r = slot_start(&g->slots[i]);
	return r;
}

static int generation_make_slot(struct generation *g, enum role role, struct slot **ret_slot)
{
	const struct slot_parts parts = {g->parts.loop, &g->plan, NULL, &slot_owner, g};

	*ret_slot = calloc(1, sizeof(**ret_slot));
	return *ret_slot ? slot_init(*ret_slot, &parts, role, 0) : -ENOMEM;
}

/* One by one, so that generation_free() finds only those that were made. */
static int generation_make_workers(struct generation *g)
{
	const struct slot_parts parts = {g->parts.loop, &g->plan, g->keeper, &slot_owner, g};
	int r;

	assert(g->plan.workers > 0);
	g->slots = calloc(g->plan.workers, sizeof(*g->slots));
	if (!g->slots)
		return -ENOMEM;
	for (unsigned i = 0; i < g->plan.workers; i++) {
		r = slot_init(&g->slots[i], &parts, ROLE_WORKER, i);
		if (r < 0)
			return r;
		g->n++;
	}
	return 0;
}

static int generation_make_slots(struct generation *g)
{
	int r = plan_has_keys(&g->plan) ? generation_make_slot(g, ROLE_KEEPER, &g->keeper) : 0;

	if (r >= 0)
		r = generation_make_workers(g);
	if (r >= 0 && g->plan.metrics)
		r = generation_make_slot(g, ROLE_EXPORTER, &g->exporter);
	return r < 0 ? r : generation_start(g);
}

static void generation_on_reap(struct task *task)
{
	struct generation *g = container_of(task, struct generation, reap);

	free(g->keeper);
	free(g->exporter);
	free(g->slots);
	free(g);
}

static struct generation *generation_alloc(const struct generation_parts *parts)
{
	struct generation *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->parts = *parts;
	g->plan = PLAN_EMPTY;
	g->limit.on_time = generation_on_limit;
	g->report.run = generation_on_report;
	g->reap.run = generation_on_reap;
	list_init(&g->node);
	return g;
}

static void generation_freep(struct generation **generation)
{
	generation_free(*generation);
}

int generation_new(const struct generation_parts *parts, struct conf *conf,
	struct generation **ret_generation, struct why *why)
{
	__attribute__((cleanup(generation_freep))) struct generation *g = NULL;
	int r;

	g = generation_alloc(parts);
	if (!g) {
		conf_free(conf);
		return why_set(why, EX_OSERR, "no memory");
	}

	r = plan_make(&g->plan, conf, &g->parts.plan, why);
	if (r != 0)
		return r;
	r = generation_make_slots(g);
	if (r < 0)
		return why_set(why, EX_OSERR, "cannot start a child: %s", strerror(-r));
	g->limit.is_patience = true;
	loop_set_timer(parts->loop, &g->limit, parts->loop->now_ms + BUILD_MS);

	*ret_generation = take_ptr(&g);
	return 0;
}

/* It may be half-made. */
static void generation_empty_slot(struct slot *slot)
{
	if (slot && slot->plan)
		slot_done(slot);
}

void generation_free(struct generation *g)
{
	if (!g)
		return;
	for (unsigned i = 0; i < g->n; i++)
		slot_done(&g->slots[i]);
	generation_empty_slot(g->exporter);
	generation_empty_slot(g->keeper);
	loop_clear_timer(&g->limit);
	loop_cancel(&g->report);
	list_remove(&g->node);
	plan_done(&g->plan);
	/* Events of this round may be those of its children. */
	loop_defer(g->parts.loop, &g->reap);
}

int generation_bind(const struct generation *g, struct why *why)
{
	return plan_bind(&g->plan, why);
}

void generation_commit(struct generation *g)
{
	plan_commit(&g->plan);
}

void generation_serve(struct generation *g)
{
	struct slot *slot;

	g->state = GENERATION_OPENING;
	for (unsigned i = 0; (slot = generation_front(g, i)); i++)
		slot_serve(slot);
	if (g->keeper && g->keeper->child.state == CHILD_READY)
		slot_serve(g->keeper);
}

static void generation_limit_drain(struct generation *g)
{
	g->limit.is_patience = false; /* clients are promised an end in time */
	loop_set_timer(g->parts.loop, &g->limit,
		g->parts.loop->now_ms + g->plan.conf->drain_ms + GRACE_MS);
}

void generation_drain_last(struct generation *g)
{
	g->exporter_stays = g->exporter && g->exporter->child.state == CHILD_SERVING;
	generation_drain(g);
}

void generation_drain(struct generation *g)
{
	struct slot *slot;

	g->state = GENERATION_DRAINING;
	for (unsigned i = 0; (slot = generation_front(g, i)); i++)
		if (slot != g->exporter || !g->exporter_stays)
			slot_drain(slot);
	loop_defer(g->parts.loop, &g->report);
	generation_limit_drain(g);
}

/* Their ends are reported like any other, and the generation is gone when the last has been
 * reaped. */
void generation_kill(struct generation *g)
{
	struct slot *slot;

	g->given_up = true;
	for (unsigned i = 0; (slot = generation_front(g, i)); i++)
		child_kill(&slot->child, SIGKILL);
	if (g->keeper)
		child_kill(&g->keeper->child, SIGKILL);
}

const struct conf *generation_conf(const struct generation *g)
{
	return g->plan.conf;
}

int generation_conf_again(const struct generation *g, struct conf **ret_conf)
{
	return plan_conf_again(&g->plan, ret_conf);
}

const struct files *generation_files(const struct generation *g)
{
	return &g->plan.files;
}

void *generation_userdata(const struct generation *g)
{
	return g->parts.userdata;
}

uint64_t generation_connections(const struct generation *g)
{
	return g->plan.connections;
}

int64_t generation_expires(const struct generation *g)
{
	return g->n > 0 ? g->slots[0].child.counters->expires : 0;
}

/* A worker writes this number itself, and may have been taken over. */
uint64_t generation_open(const struct generation *g, uint64_t most)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < g->n; i++) {
		uint64_t open = g->slots[i].child.counters->open;

		all += open < most ? open : most;
	}
	return all;
}

unsigned generation_workers(const struct generation *g)
{
	return g->n;
}

uint64_t generation_left_ms(const struct generation *g)
{
	uint64_t now_ms = g->parts.loop->now_ms;

	if (g->state != GENERATION_DRAINING)
		return g->plan.conf->drain_ms;
	return g->limit.at_ms > now_ms + GRACE_MS ? g->limit.at_ms - now_ms - GRACE_MS : 0;
}

void generation_each_child(const struct generation *g,
	void (*on_child)(void *userdata, const struct child *child), void *userdata)
{
	const struct slot *slot;

	for (unsigned i = 0; (slot = generation_front(g, i)); i++)
		on_child(userdata, &slot->child);
	if (g->keeper)
		on_child(userdata, &g->keeper->child);
}

void generation_add_child(const struct generation *g, const struct child *child, struct sums *sums)
{
	const struct conf *conf = g->plan.conf;

	sums_add_common(sums, &child->counters->common);
	for (size_t i = 0; i < conf->n_listeners; i++) {
		sums_add(sums, conf->listeners[i].name, &child->counters->listeners[i]);
		sums_set_transport(sums, conf->listeners[i].name, conf->listeners[i].transport);
	}
}

void generation_add_counters(const struct generation *g, struct sums *sums)
{
	const struct slot *slot;

	for (unsigned i = 0; (slot = generation_front(g, i)); i++)
		generation_add_child(g, &slot->child, sums);
	if (g->keeper)
		generation_add_child(g, &g->keeper->child, sums);
}

unsigned generation_workers_up(const struct generation *g)
{
	unsigned up = 0;

	for (unsigned i = 0; i < g->n; i++)
		up += g->slots[i].child.state == CHILD_SERVING;
	return up;
}

const char *generation_trouble(const struct generation *g, char text[static 256])
{
	const struct slot *worst = NULL, *slot;
	unsigned missing = 0;

	for (unsigned i = 0; (slot = generation_front(g, i)); i++) {
		if (!slot_is_missing(slot))
			continue;
		missing += slot->child.role == ROLE_WORKER;
		worst = slot;
	}
	text[0] = '\0';
	if (g->keeper && slot_is_missing(g->keeper))
		snprintf(text, 256, "the keeper of the keys is missing: %.160s",
			g->keeper->why.text);
	else if (missing > 0)
		snprintf(text, 256, "%u of %u workers are missing: %.160s", missing, g->n,
			worst->why.text);
	else if (worst)
		snprintf(text, 256, "the exporter is missing: %.160s", worst->why.text);
	return text;
}

/* False when it is stuck, or missing and needed. */
static bool generation_look_after(struct slot *slot)
{
	bool stuck = slot_kill_if_stuck(slot);

	slot_report_missing(slot);
	return !stuck && (slot->child.role == ROLE_EXPORTER || !slot_is_missing(slot));
}

bool generation_end_stuck(struct generation *g)
{
	bool well = !g->keeper || generation_look_after(g->keeper);
	struct slot *slot;

	for (unsigned i = 0; (slot = generation_front(g, i)); i++)
		well = generation_look_after(slot) && well;
	return well;
}

void generation_forgive(struct generation *g)
{
	struct slot *slot;

	for (unsigned i = 0; (slot = generation_front(g, i)); i++)
		slot_forgive(slot);
	if (g->keeper)
		slot_forgive(g->keeper);
}

void generation_set_log_level(struct generation *g, enum log_level level)
{
	struct slot *slot;

	for (unsigned i = 0; (slot = generation_front(g, i)); i++)
		slot_set_log_level(slot, level);
	if (g->keeper)
		slot_set_log_level(g->keeper, level);
}

struct list *generation_node(struct generation *g)
{
	return &g->node;
}

struct generation *generation_of_node(struct list *node)
{
	return container_of(node, struct generation, node);
}
