/* SPDX-License-Identifier: Apache-2.0 */

/* A seat is a child and what it takes to replace it. A worker that needs the keeper begins when there
 * is one, and each has a channel to it that nobody else has. */

#include "generation/slot.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

#define KEEPER_SECONDS 1     /* for a signature */
#define PATIENCE_MS    10000 /* for a loop that does not turn */
#define RELEASE_MS     5000  /* to stop taking what is new */
#define STEADY_MS      10000 /* who lived longer is replaced at once */
#define BACKOFF_MS     100
#define BACKOFF_MAX    30000

/* A channel from a worker to the keeper; the worker's end is returned. */
static int keeper_introduce(struct generation *g, unsigned worker)
{
	const struct msg_client client = {.worker = worker};
	const struct timeval patience = {.tv_sec = KEEPER_SECONDS};
	int pair[2];

	if (!g->keeper || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	child_tell(&g->keeper->child, MSG_CLIENT, &client, sizeof(client), &pair[0]);
	close(pair[0]);
	return pair[1];
}

int seat_start(struct seat *seat)
{
	struct child *child = &seat->child;
	struct generation *g = seat->generation;
	_cleanup_close_ int keeper_fd = -1;
	char name[32];
	int r;

	r = child_start(child);
	if (r < 0)
		return r;
	if (child->role == ROLE_WORKER)
		keeper_fd = keeper_introduce(g, child->index);
	plan_supply(&g->plan, child, keeper_fd);
	log_each(EVENT_CHILD_STARTED, ABOUT(.role = child_name(child, name), .pid = child->pid),
		"started");
	return 0;
}

void seat_begin(struct seat *seat)
{
	char why[128];
	int r;

	r = seat_start(seat);
	if (r >= 0)
		return;
	snprintf(why, sizeof(why), "cannot start a %s: %s", role_word(seat->child.role),
		strerror(-r));
	generation_fail(seat->generation, EX_OSERR, why);
}

void seat_serve(struct seat *seat)
{
	child_tell(&seat->child, MSG_SERVE, NULL, 0, NULL);
	seat->child.state = CHILD_OPENING;
}

void seat_drain(struct seat *seat)
{
	const struct msg_drain drain = {.within_ms = seat->generation->plan.conf->drain_ms};

	loop_clear_timer(&seat->again);
	if (seat->child.state >= CHILD_DRAINING)
		return;
	seat->child.state = CHILD_DRAINING;
	seat->told_ms = seat->child.loop->now_ms;
	child_tell(&seat->child, MSG_DRAIN, &drain, sizeof(drain), NULL);
}

static bool child_is_up(const struct child *child)
{
	return child->state >= CHILD_READY && child->state <= CHILD_SERVING;
}

/* Workers ask it while they get ready, and those that serve, or finish, have lost the one before. */
void seat_introduce_all(struct seat *keeper)
{
	struct generation *g = keeper->generation;

	for (unsigned i = 0; i < g->n; i++) {
		struct seat *seat = &g->seats[i];
		_cleanup_close_ int fd = -1;

		if (g->state == GENERATION_BUILDING) {
			seat_begin(seat);
			continue;
		}
		if (seat->child.state == CHILD_ENDED || seat->child.foreign)
			continue;
		fd = keeper_introduce(g, i);
		if (fd >= 0)
			child_tell(&seat->child, MSG_KEEPER, NULL, 0, &fd);
	}
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
	const struct seat *keeper = seat->generation->keeper;
	int r;

	/* Without a keeper it would not come up. */
	if (keeper && seat->child.role == ROLE_WORKER && !child_is_up(&keeper->child)) {
		loop_set_timer(seat->child.loop, &seat->again, now_ms + BACKOFF_MS);
		return;
	}
	sockets_mend(seat->generation->parts.sockets);
	r = seat_start(seat);
	if (r >= 0)
		return;
	snprintf(seat->why, sizeof(seat->why), "cannot start a %s: %s", role_word(seat->child.role),
		strerror(-r));
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
void seat_take_back(struct seat *seat)
{
	struct shared *shared = seat->generation->parts.shared;
	uint64_t open = seat->child.counters->open;

	if (seat->child.role != ROLE_WORKER)
		return;
	seat_take_back_clients(seat);
	seat->child.counters->open = 0;
	shared_lose(shared, open);
}

int seat_init(struct seat *seat, struct generation *g, enum role role, unsigned index)
{
	int r;

	r = child_init(&seat->child, g->parts.loop, role, index, g->plan.conf->n_listeners);
	if (r < 0)
		return r;
	seat->generation = g;
	seat->again.on_time = seat_on_again;
	seat->child.owner = &generation_seat_owner;
	return 0;
}

void seat_done(struct seat *seat)
{
	loop_clear_timer(&seat->again);
	child_bury(&seat->child);
	seat_take_back(seat);
	child_done(&seat->child);
}

bool seat_is_missing(const struct seat *seat)
{
	return seat->missing_ms > 0 && seat->child.loop->now_ms - seat->missing_ms >= PATIENCE_MS;
}

void seat_forgive(struct seat *seat)
{
	uint64_t now_ms = seat->child.loop->now_ms;

	seat->child.heartbeat_ms = seat->told_ms = now_ms;
	if (seat->missing_ms > 0)
		seat->missing_ms = now_ms;
}

/* A reload waits for all to be released, and none of them may hold it up. */
static bool seat_holds_on(const struct seat *seat)
{
	return seat->child.state == CHILD_DRAINING && seat->child.role != ROLE_KEEPER &&
		seat->child.loop->now_ms - seat->told_ms >= RELEASE_MS;
}

static void seat_report_missing(struct seat *seat)
{
	char name[32];

	seat->missed = true;
	log_each(EVENT_CHILD_MISSING, ABOUT(.role = child_name(&seat->child, name)),
		"nothing has taken its place for %d s: %s", PATIENCE_MS / 1000, seat->why);
}

void seat_is_back(struct seat *seat)
{
	char name[32];

	if (seat->missed)
		log_each(EVENT_NOTICE, ABOUT(.role = child_name(&seat->child, name)),
			"it is there again, after %llu s",
			(unsigned long long)(seat->child.loop->now_ms - seat->missing_ms) / 1000);
	seat->missed = false;
	seat->missing_ms = 0;
}

/* True when it had to be. */
static bool seat_kill_if_stuck(struct seat *seat)
{
	struct child *child = &seat->child;
	char name[32];

	if (child->state == CHILD_ENDED)
		return false;
	if (!child_is_alive(child, PATIENCE_MS))
		log_event(EVENT_CHILD_STUCK,
			ABOUT(.role = child_name(child, name), .pid = child->pid),
			"its loop has not turned for %d s, and it is ended", PATIENCE_MS / 1000);
	else if (seat_holds_on(seat))
		log_event(EVENT_CHILD_STUCK,
			ABOUT(.role = child_name(child, name), .pid = child->pid),
			"told to drain, it has not stopped listening within %d s, and is ended",
			RELEASE_MS / 1000);
	else
		return false;
	child_kill(child, SIGKILL);
	return true;
}

bool seat_check(struct seat *seat)
{
	if (seat_is_missing(seat) && !seat->missed)
		seat_report_missing(seat);
	return !seat_kill_if_stuck(seat) &&
		(seat->child.role == ROLE_EXPORTER || !seat_is_missing(seat));
}
