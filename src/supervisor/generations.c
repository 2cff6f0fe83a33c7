/* SPDX-License-Identifier: Apache-2.0 */

/* Start, reload, renewal and upgrade are one thing: a generation is built and takes over when all of it
 * serves. Until then the one before goes on as if nothing had been asked, and a failure leaves it so.
 *
 *                  request                                      all children are ready
 *      IDLE ───────────────────▶ PREPARING ──────────────────────────────────────────▶ OPENING
 *       ▲ ▲                          │                                                    │
 *       │ └───────── on_failed ──────┴──────────────────── on_failed ◀────────────────────┤
 *       │                                                                                 │ all serve:
 *       └───────── on_done ──────── RELEASING ◀───────────────────────────────────────────┘ on_served
 *              the one before accepts nothing more
 *
 * There is one build at a time. A build that is asked for while another is under way becomes `next`, and
 * begins when that one has ended, so that it reads what was written before it was asked for. Builds are
 * numbered, and a request returns the number of the build that answers it: an outcome belongs to a number,
 * and a client that waits for it hears of no other.
 *
 * A build begins in a task, never inside of the call that asked for it: the caller knows the number before
 * there can be an outcome. A generation that served drains after it was replaced, and is freed when the last
 * of its children has ended. */

#include "supervisor/generations.h"

#include <string.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/why.h"
#include "generation/dtls_peers.h"

#define DRAINING_MAX 64
#define STOP_MS      5000 /* beyond `drain`, for us */

const char *build_cause_name(enum build_cause cause)
{
	static const char *const names[N_BUILD_CAUSES] = {
		[BUILD_NONE] = "none",
		[BUILD_RENEWAL] = "renewal",
		[BUILD_RELOAD] = "reload",
		[BUILD_UPGRADE] = "upgrade",
		[BUILD_START] = "start",
	};

	return names[cause];
}

static void prune_sockets(struct generations *all)
{
	if (all->serving)
		dtls_peers_prune_sockets(&all->parts.plan.resources->sockets, &all->draining,
			generation_conf(all->serving));
}

static void build_end(struct generations *all)
{
	all->build.state = BUILD_IDLE;
	if (all->next != BUILD_NONE && !all->is_stopping)
		loop_defer(all->parts.loop, &all->begin);
}

/* Sockets that were made for it alone go with it. */
static void build_fail(struct generations *all, int exit_code, const char *why)
{
	sockets_rollback(&all->parts.plan.resources->sockets);
	prune_sockets(all);
	build_end(all);
	all->owner->on_failed(all, exit_code, why);
}

/* Keys that only the serving generation uses stay until this one serves. */
static int claim_tickets(struct generations *all, const struct conf *conf, struct why *why)
{
	const struct conf *serving = all->serving ? generation_conf(all->serving) : NULL;
	int r;

	r = tickets_claim(
		&all->parts.plan.resources->tickets, conf, serving, all->parts.loop->now_ms);
	if (r == TICKETS_E_FULL)
		why_set(why, 0, "more than %d different values of ticket_lifetime", TICKET_RINGS);
	else if (r < 0)
		why_set(why, 0, "cannot make keys of tickets: %s", strerror(-r));
	return r == TICKETS_E_FULL ? EX_CONFIG : r < 0 ? EX_OSERR : 0;
}

/* Takes `conf`. */
static void build_prepare(struct generations *all, struct conf *conf)
{
	struct generation_parts parts = all->parts;
	struct why why;
	int exit_code;

	parts.plan.faults = &all->build.faults;
	/* An operator who asks for it is warned of what has expired; here, no one is looking. */
	parts.plan.refuse_expired = all->build.cause == BUILD_RENEWAL;
	sockets_reopen(&all->parts.plan.resources->sockets);
	exit_code = claim_tickets(all, conf, &why);
	if (exit_code == 0)
		exit_code = generation_new(&parts, take_ptr(&conf), &all->build.generation, &why);
	conf_free(conf);
	if (exit_code != 0)
		build_fail(all, exit_code, why.text);
}

static void build_new(struct generations *all, enum build_cause cause)
{
	faults_done(&all->build.faults);
	all->build.state = BUILD_PREPARING;
	all->build.cause = cause;
	all->build.number++;
}

/* A renewal is built from the configuration that serves, not from the file, which an operator may be
 * editing. */
static int build_load(struct generations *all, struct conf **ret_conf)
{
	int r;

	if (all->build.cause != BUILD_RENEWAL)
		return all->owner->on_load(all, ret_conf);
	r = generation_conf_again(all->serving, ret_conf);
	if (r < 0)
		faults_add(&all->build.faults, &(struct fault_place){.level = FAULT_ERROR},
			"cannot read the configuration that serves again: %s", strerror(-r));
	return r < 0 ? EX_OSERR : 0;
}

static void on_begin_task(struct task *task)
{
	struct generations *all = container_of(task, struct generations, begin);
	struct conf *conf;
	int exit_code;

	if (all->build.state != BUILD_IDLE || all->next == BUILD_NONE)
		return;
	build_new(all, all->next);
	all->next = BUILD_NONE;
	all->owner->on_begin(all);
	exit_code = build_load(all, &conf);
	if (exit_code == 0)
		build_prepare(all, conf);
	else
		build_fail(all, exit_code, NULL);
}

uint64_t generations_request(struct generations *all, enum build_cause cause)
{
	if (all->is_stopping)
		return 0;
	if (cause == BUILD_RENEWAL && !all->serving)
		return 0;
	if (cause > all->next)
		all->next = cause;
	if (all->build.state == BUILD_IDLE)
		loop_defer(all->parts.loop, &all->begin);
	return all->build.number + 1;
}

void generations_start(struct generations *all, struct conf *conf)
{
	build_new(all, BUILD_START);
	all->owner->on_begin(all);
	build_prepare(all, conf);
}

bool generations_is_building(const struct generations *all)
{
	return all->build.state != BUILD_IDLE || all->next != BUILD_NONE;
}

static void on_failed(struct generation *g, int exit_code, const char *why)
{
	struct generations *all = generation_userdata(g);

	/* First, since its workers have the sockets that were made for it. */
	generation_free(take_ptr(&all->build.generation));
	build_fail(all, exit_code, why);
}

/* Workers of other generations that may have sessions on its sockets. */
static void introduce(struct generations *all, struct generation *young)
{
	if (all->serving)
		dtls_peers_introduce(young, all->serving);
	list_foreach (node, &all->draining)
		dtls_peers_introduce(young, generation_of_node(node));
}

/* Until the last child serves, everything can still stay as it was. */
static void on_ready(struct generation *g)
{
	struct generations *all = generation_userdata(g);
	struct why why;
	int exit_code;

	if (all->is_trial) {
		all->owner->on_done(all);
		return;
	}
	exit_code = generation_bind(g, &why);
	if (exit_code != 0) {
		on_failed(g, exit_code, why.text);
		return;
	}
	introduce(all, g);
	all->build.state = BUILD_OPENING;
	generation_serve(g);
}

/* It is counted among those that drain from here on. */
static void set_aside(struct generations *all, struct generation *g)
{
	if (all->n_draining >= DRAINING_MAX) {
		log_each(EVENT_DRAIN_CUT, ABOUT_NOTHING,
			"%u configurations are still draining; the oldest is killed",
			all->n_draining);
		generation_kill(generation_of_node(all->draining.next));
	}
	list_append(&all->draining, generation_node(g));
	all->n_draining++;
}

static void build_done(struct generations *all)
{
	build_end(all);
	all->owner->on_done(all);
}

static void on_served(struct generation *g)
{
	struct generations *all = generation_userdata(g);
	struct build *build = &all->build;

	build->replaced = all->serving;
	all->serving = take_ptr(&build->generation);
	build->state = BUILD_RELEASING;
	generation_commit(g);
	if (all->next == BUILD_RENEWAL)
		all->next = BUILD_NONE; /* its files are compared with those that are there now */
	if (build->replaced)
		set_aside(all, build->replaced);
	/* Then its workers are the last to have the sockets that are given up, and empty them before they close. */
	prune_sockets(all);
	if (build->replaced)
		generation_drain(build->replaced);
	/* Also those that drained before this build: their sessions may be on a socket that this one
 * reads now. */
	list_foreach (node, &all->draining)
		dtls_peers_take_over(g, generation_of_node(node));
	all->owner->on_served(all);
	if (!build->replaced && !build->is_held)
		build_done(all);
}

static void on_released(struct generation *g)
{
	struct generations *all = generation_userdata(g);

	if (g != all->build.replaced)
		return;
	all->build.replaced = NULL;
	build_done(all);
}

static void on_replaced(struct generation *g, unsigned worker)
{
	struct generations *all = generation_userdata(g);

	list_foreach (node, &all->draining)
		dtls_peers_introduce_one(g, worker, generation_of_node(node));
}

static void on_gone(struct generation *g)
{
	struct generations *all = generation_userdata(g);

	all->n_draining--;
	all->owner->on_drained(all, g);
	generation_free(g);
	if (!all->build.generation)
		prune_sockets(all);
	if (all->is_stopping && all->n_draining == 0)
		all->owner->on_stopped(all);
}

static void on_died(struct generation *g, const struct child *child, const struct child_end *end)
{
	struct generations *all = generation_userdata(g);

	all->owner->on_died(all, child, end);
}

static const struct generation_owner generation_owner = {
	.on_died = on_died,
	.on_ready = on_ready,
	.on_served = on_served,
	.on_failed = on_failed,
	.on_replaced = on_replaced,
	.on_released = on_released,
	.on_gone = on_gone,
};

void generations_hold(struct generations *all)
{
	all->build.is_held = true;
}

void generations_release(struct generations *all)
{
	if (!all->build.is_held)
		return;
	all->build.is_held = false;
	build_done(all);
}

void generations_stop(struct generations *all)
{
	all->is_stopping = true;
	all->next = BUILD_NONE;
	loop_cancel(&all->begin);
	/* A build that is under way ends unheard: clients that wait for it are told that all stops. */
	generation_free(take_ptr(&all->build.generation));
	all->build.replaced = NULL;
	all->build.is_held = false;
	all->build.state = BUILD_IDLE;
	if (all->serving) {
		set_aside(all, all->serving);
		generation_drain_last(take_ptr(&all->serving));
	}
	sockets_prune(&all->parts.plan.resources->sockets, NULL);
	if (all->n_draining == 0)
		all->owner->on_stopped(all);
}

uint64_t generations_patience_ms(const struct generations *all)
{
	uint64_t longest = all->serving ? generation_conf(all->serving)->drain_ms : 0;

	for (struct list *node = all->draining.next; node != &all->draining; node = node->next) {
		uint64_t drain = generation_conf(generation_of_node(node))->drain_ms;

		longest = drain > longest ? drain : longest;
	}
	return longest + STOP_MS;
}

bool generations_end_stuck(struct generations *all)
{
	bool well = !all->serving || generation_end_stuck(all->serving);

	/* A draining child that hangs would hold up clients that wait for the end of it. */
	list_foreach (node, &all->draining)
		well = generation_end_stuck(generation_of_node(node)) && well;
	return well;
}

void generations_forgive(struct generations *all)
{
	if (all->serving)
		generation_forgive(all->serving);
	if (all->build.generation)
		generation_forgive(all->build.generation);
	list_foreach (node, &all->draining)
		generation_forgive(generation_of_node(node));
}

uint64_t generations_count_open(void *generations)
{
	struct generations *all = generations;
	uint64_t most = all->serving ? generation_connections(all->serving) : UINT64_MAX;
	uint64_t open = all->serving ? generation_open(all->serving, most) : 0;

	list_foreach (node, &all->draining)
		open += generation_open(generation_of_node(node), most);
	return open;
}

/* Of a generation that is being built there is nothing to add: it has met no client. */
void generations_add_counters(const struct generations *all, struct sums *sums)
{
	if (all->serving)
		generation_add_counters(all->serving, sums);
	for (struct list *node = all->draining.next; node != &all->draining; node = node->next)
		generation_add_counters(generation_of_node(node), sums);
}

void generations_init(struct generations *all, const struct generations_owner *owner,
	struct loop *loop, struct resources *resources)
{
	*all = (struct generations){
		.owner = owner,
		.parts = {.loop = loop, .plan.resources = resources},
		.begin.run = on_begin_task,
	};
	all->parts.owner = &generation_owner;
	all->parts.userdata = all;
	list_init(&all->draining);
}

void generations_done(struct generations *all)
{
	generation_free(all->build.generation);
	generation_free(all->serving);
	list_foreach (node, &all->draining)
		generation_free(generation_of_node(node));
	faults_done(&all->build.faults);
}
