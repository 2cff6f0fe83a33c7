/* SPDX-License-Identifier: Apache-2.0 */

/* A slot is a child and what it takes to replace it. The slot stays, with its number and its
 * page of counters, while one process after another runs in it.
 *
 * A child that dies is replaced at once if it lived for a while, and otherwise after a pause
 * that doubles: a worker that dies at its start, on every start, must not keep the machine busy.
 * A slot without a running child for long is *missing*: the log says so once, status says so
 * until it is filled, and for a worker or the keeper the watchdog of the service manager is not
 * fed meanwhile.
 *
 * A worker that needs the keeper begins when there is one, and each has a channel to it of its
 * own, made here: one end goes to the keeper and one to the worker, and the supervisor keeps
 * neither, so that it cannot ask for signatures.
 *
 * Two things end a child that does not cooperate: a heartbeat that stands still, and no word for
 * five seconds that it takes nothing new after it was told to drain. Time in which the whole
 * machine stood still does not count. */

#include "generation/slot.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/why.h"
#include "generation/supply.h"

#define KEEPER_SECONDS 1     /* for a signature */
#define PATIENCE_MS    10000 /* for a loop that does not turn */
#define RELEASE_MS     5000  /* to stop taking what is new */
#define STEADY_MS      10000 /* who lived longer is replaced at once */
#define BACKOFF_MS     100
#define BACKOFF_MAX    30000

/* A channel from a worker to the keeper; the worker's end is returned. */
static int slot_make_channel(struct slot *slot)
{
	const struct msg_client client = {.worker = slot->child.index};
	const struct timeval patience = {.tv_sec = KEEPER_SECONDS};
	int pair[2];

	if (!slot->keeper || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	/* A worker waits for a signature in the middle of a handshake; a keeper that hangs must not
 * hold it for longer. */
	setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	child_send(&slot->keeper->child, MSG_CLIENT, &client, sizeof(client), &pair[0]);
	close(pair[0]);
	return pair[1];
}

static void slot_end_channel(struct slot *slot)
{
	const struct msg_client client = {.worker = slot->child.index};

	if (slot->keeper && slot->keeper->child.state < CHILD_DRAINING)
		child_send(&slot->keeper->child, MSG_CLIENT_GONE, &client, sizeof(client), NULL);
}

/* A replacement gets the level that upperctl has set, too. */
static void slot_send_log_level(struct slot *slot)
{
	const struct msg_log_level level = {.level = (uint32_t)slot->log_level};

	if (slot->log_level >= 0)
		child_send(&slot->child, MSG_LOG_LEVEL, &level, sizeof(level), NULL);
}

void slot_set_log_level(struct slot *slot, enum log_level level)
{
	slot->log_level = (int)level;
	slot_send_log_level(slot);
}

int slot_start(struct slot *slot)
{
	struct child *child = &slot->child;
	_cleanup_close_ int keeper_fd = -1;
	char name[32];
	int r;

	r = child_start(child);
	if (r < 0)
		return r;
	keeper_fd = slot_make_channel(slot);
	supply(slot->plan, child, keeper_fd);
	slot_send_log_level(slot);
	log_each(EVENT_CHILD_STARTED, ABOUT(.role = child_name(child, name), .pid = child->pid),
		"started");
	return 0;
}

void slot_serve(struct slot *slot)
{
	child_send(&slot->child, MSG_SERVE, NULL, 0, NULL);
	slot->child.state = CHILD_OPENING;
}

void slot_drain(struct slot *slot)
{
	const struct msg_drain drain = {.within_ms = slot->plan->conf->drain_ms};

	loop_clear_timer(&slot->again);
	if (slot->child.state >= CHILD_DRAINING)
		return;
	slot->child.state = CHILD_DRAINING;
	slot->told_ms = slot->child.loop->now_ms;
	child_send(&slot->child, MSG_DRAIN, &drain, sizeof(drain), NULL);
}

static bool child_is_up(const struct child *child)
{
	return child->state >= CHILD_READY && child->state <= CHILD_SERVING;
}

void slot_meet_keeper(struct slot *slot)
{
	_cleanup_close_ int fd = -1;

	if (slot->child.state == CHILD_ENDED)
		return;
	fd = slot_make_channel(slot);
	if (fd >= 0)
		child_send(&slot->child, MSG_KEEPER, NULL, 0, &fd);
}

void slot_replace(struct slot *slot)
{
	uint64_t now_ms = slot->child.loop->now_ms;

	if (now_ms - slot->child.started_ms >= STEADY_MS)
		slot->backoff_ms = 0;
	loop_set_timer(slot->child.loop, &slot->again, now_ms + slot->backoff_ms);
	slot->backoff_ms = slot->backoff_ms == 0 ? BACKOFF_MS : 2 * slot->backoff_ms;
	if (slot->backoff_ms > BACKOFF_MAX)
		slot->backoff_ms = BACKOFF_MAX;
}

static void slot_on_again(struct timer *timer, uint64_t now_ms)
{
	struct slot *slot = container_of(timer, struct slot, again);
	int r;

	/* Without a keeper it would not come up. */
	if (slot->keeper && !child_is_up(&slot->keeper->child)) {
		loop_set_timer(slot->child.loop, &slot->again, now_ms + BACKOFF_MS);
		return;
	}
	sockets_reopen(&slot->plan->parts->resources->sockets);
	r = slot_start(slot);
	if (r >= 0)
		return;
	why_set(&slot->why, 0, "cannot start a %s: %s", role_word(slot->child.role), strerror(-r));
	log_event(EVENT_SYSTEM_REFUSED, ABOUT(.error = r), "cannot start a %s",
		role_word(slot->child.role));
	slot_replace(slot);
}

/* The counts of the dead worker for each client are taken from the shared table, or these
 * clients would stay at their limit for ever. */
static void slot_take_back_clients(struct slot *slot)
{
	struct clients *clients = &slot->plan->parts->resources->shared->clients;
	uint32_t *counted = slot->child.counters->clients;

	for (size_t i = 0; i < CLIENTS_SLOTS; i++) {
		if (counted[i] > 0)
			clients_leave(clients, i, counted[i]);
		counted[i] = 0;
	}
}

/* Its connections are closed. Its numbers are its own, and may be anything. */
void slot_take_back(struct slot *slot)
{
	struct shared *shared = slot->plan->parts->resources->shared;
	uint64_t open = slot->child.counters->open;

	if (slot->child.role != ROLE_WORKER)
		return;
	slot_end_channel(slot);
	slot_take_back_clients(slot);
	slot->child.counters->open = 0;
	for (size_t i = 0; i < slot->plan->conf->n_listeners; i++) {
		uint64_t *counted = slot->child.counters->listeners[i].counted;

		counted[COUNT_closed] = counted[COUNT_connections];
	}
	shared_lose(shared, open);
}

int slot_init(struct slot *slot, const struct slot_parts *parts, enum role role, unsigned index)
{
	int r;

	r = child_init(&slot->child, parts->loop, role, index, parts->plan->conf->n_listeners);
	if (r < 0)
		return r;
	slot->child.owner = parts->owner;
	slot->child.userdata = parts->userdata;
	slot->plan = parts->plan;
	slot->keeper = parts->keeper;
	slot->log_level = -1;
	slot->again.on_time = slot_on_again;
	return 0;
}

void slot_done(struct slot *slot)
{
	loop_clear_timer(&slot->again);
	child_bury(&slot->child);
	slot_take_back(slot);
	child_done(&slot->child);
}

bool slot_is_missing(const struct slot *slot)
{
	return slot->missing_ms > 0 && slot->child.loop->now_ms - slot->missing_ms >= PATIENCE_MS;
}

void slot_forgive(struct slot *slot)
{
	uint64_t now_ms = slot->child.loop->now_ms;

	slot->child.heartbeat_ms = slot->told_ms = now_ms;
	if (slot->missing_ms > 0)
		slot->missing_ms = now_ms;
}

/* A reload waits for all to be released, and none of them may hold it up. */
static bool slot_holds_on(const struct slot *slot)
{
	return slot->child.state == CHILD_DRAINING && slot->child.role != ROLE_KEEPER &&
		slot->child.loop->now_ms - slot->told_ms >= RELEASE_MS;
}

void slot_report_missing(struct slot *slot)
{
	char name[32];

	if (slot->missed || !slot_is_missing(slot))
		return;
	slot->missed = true;
	log_each(EVENT_CHILD_MISSING, ABOUT(.role = child_name(&slot->child, name)),
		"nothing has taken its place for %d s: %s", PATIENCE_MS / 1000, slot->why.text);
}

void slot_is_back(struct slot *slot)
{
	char name[32];

	if (slot->missed)
		log_each(EVENT_NOTICE, ABOUT(.role = child_name(&slot->child, name)),
			"it is there again, after %llu s",
			(unsigned long long)(slot->child.loop->now_ms - slot->missing_ms) / 1000);
	slot->missed = false;
	slot->missing_ms = 0;
}

bool slot_kill_if_stuck(struct slot *slot)
{
	struct child *child = &slot->child;
	char name[32];

	if (child->state == CHILD_ENDED)
		return false;
	if (!child_is_alive(child, PATIENCE_MS))
		log_event(EVENT_CHILD_STUCK,
			ABOUT(.role = child_name(child, name), .pid = child->pid),
			"its loop has not turned for %d s; killed", PATIENCE_MS / 1000);
	else if (slot_holds_on(slot))
		log_event(EVENT_CHILD_STUCK,
			ABOUT(.role = child_name(child, name), .pid = child->pid),
			"told to drain, it has not stopped listening within %d s; killed",
			RELEASE_MS / 1000);
	else
		return false;
	child_kill(child, SIGKILL);
	return true;
}
