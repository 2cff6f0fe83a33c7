/* SPDX-License-Identifier: Apache-2.0 */

/* Runs as `user`, with nothing but its channel, the sockets that came over it, and its counters. It is
 * the one process that reads what the network sends.
 *
 * It is set up by its channel before it serves: the configuration, the sockets, then PREPARE, at which
 * it builds everything and gives up all that it will not need. The last of it is to say READY. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <time.h>

#include "base/log.h"
#include "conf/conf.h"
#include "role/channel.h"
#include "role/child_side.h"
#include "role/confine.h"
#include "role/engine.h"
#include "role/papers.h"
#include "role/role.h"

#define EXPIRY_TURNS 7200 /* once an hour */

enum stage { STAGE_SETUP, STAGE_READY, STAGE_SERVING, STAGE_DRAINING };

struct worker {
	struct child_side side;
	struct engine engine;
	struct papers papers;
	struct shared *shared;
	struct timer drained;
	struct task leave;
	enum stage stage;
	unsigned turns; /* of the heartbeat, until certificates are looked at again */
};

static int worker_on_setup(struct worker *w, struct message *message)
{
	int r;

	r = child_side_setup(&w->side, message);
	if (r < 0)
		return r;
	w->engine.loop = &w->side.loop;
	w->engine.conf = w->papers.conf = w->side.conf;
	w->engine.counters = w->side.counters;
	w->engine.papers = &w->papers;
	w->papers.is_strict = w->side.setup.is_strict;
	return 0;
}

static int worker_on_shared(struct worker *w, const struct message *message)
{
	void *page = mmap(
		NULL, sizeof(*w->shared), PROT_READ | PROT_WRITE, MAP_SHARED, message->fds[0], 0);

	if (page == MAP_FAILED)
		return -errno;
	w->shared = page;
	return 0;
}

static int worker_on_listener(struct worker *w, struct message *message)
{
	const struct msg_listener *listener = (const void *)message->data;

	if (!w->side.conf || listener->listener >= w->side.conf->n_listeners)
		return -EINVAL;
	return engine_take(&w->engine, listener->listener, &message->fds[0]);
}

static int worker_on_sibling(struct worker *w, struct message *message)
{
	const struct msg_sibling *sibling = (const void *)message->data;

	return w->stage == STAGE_SETUP ? -EINVAL
				       : engine_meet(&w->engine, sibling, &message->fds[0]);
}

/* Ends when nothing is open any more. */
static void worker_on_leave(struct task *task)
{
	struct worker *w = container_of(task, struct worker, leave);

	if (w->side.counters->open == 0)
		loop_stop(&w->side.loop, EX_OK);
}

static void worker_on_idle(struct acceptor *acceptor)
{
	struct worker *w = container_of(acceptor, struct worker, engine.acceptor);

	if (w->stage == STAGE_DRAINING)
		loop_defer(&w->side.loop, &w->leave);
}

/* One of them is enough to say it. */
static void worker_tell_expiry(struct worker *w)
{
	if (w->side.setup.index == 0)
		papers_tell_expiry(&w->papers, time(NULL));
}

static int worker_build(struct worker *w)
{
	char why[TLS_WHY];
	int r;

	r = papers_build(&w->papers, child_side_blame, why);
	if (r == TLS_E_REFUSED)
		return child_side_fail(EX_CONFIG, why, 0);
	if (r == 0)
		r = engine_build(&w->engine, w->shared, w->side.setup.connections, worker_on_idle);
	return r < 0 ? child_side_fail(EX_OSERR, "cannot make what serving needs", r) : 0;
}

static int worker_prepare(struct worker *w)
{
	char why[CONFINE_WHY];
	int r;

	if (!w->side.conf || !w->shared)
		return child_side_fail(EX_SOFTWARE, "told to prepare without a configuration", 0);
	tzset();
	r = worker_build(w);
	if (r != 0)
		return r;
	w->side.counters->expires = papers_expiry(&w->papers);
	r = confine(role_word(ROLE_WORKER), w->side.conf, why);
	if (r != 0)
		return child_side_fail(r, why, 0);
	w->stage = STAGE_READY;
	return channel_send(CHANNEL_FD, MSG_READY, NULL, 0, NULL, 0) == 0 ? 0 : EX_OSERR;
}

static int worker_serve(struct worker *w)
{
	int r;

	if (w->stage != STAGE_READY)
		return child_side_fail(EX_SOFTWARE, "told to serve before it was ready", 0);
	w->stage = STAGE_SERVING;
	worker_tell_expiry(w);
	r = engine_serve(&w->engine);
	return r < 0 ? child_side_fail(EX_OSERR, "cannot watch the sockets", r) : 0;
}

static void worker_on_drained(struct timer *timer, uint64_t now_ms)
{
	struct worker *w = container_of(timer, struct worker, drained);

	engine_cut(&w->engine);
	loop_defer(&w->side.loop, &w->leave);
}

/* Who was never told to serve has nothing to finish. */
static void worker_drain(struct worker *w, const struct msg_drain *drain)
{
	if (w->stage != STAGE_SERVING) {
		loop_stop(&w->side.loop, EX_OK);
		return;
	}
	w->stage = STAGE_DRAINING;
	engine_stop(&w->engine);
	channel_send(CHANNEL_FD, MSG_RELEASED, NULL, 0, NULL, 0);
	loop_set_timer(&w->side.loop, &w->drained, w->side.loop.now_ms + drain->within_ms);
	loop_defer(&w->side.loop, &w->leave);
}

/* What serving TLS needs. */
static int worker_on_paper(struct worker *w, struct message *message)
{
	if (!w->side.conf)
		return -EINVAL;
	switch ((int)message->type) {
	case MSG_FILE:
		return papers_take(&w->papers, (const void *)message->data, message->fds[0]);
	case MSG_TICKETS:
		return papers_take_tickets(&w->papers, message->fds[0]);
	default:
		return papers_take_keeper(&w->papers, &message->fds[0]);
	}
}

/* Returns 0, or the exit code with which all is over. */
static int worker_on_message(struct child_side *side, struct message *message)
{
	struct worker *w = container_of(side, struct worker, side);
	int r;

	switch (message->type) {
	case MSG_SETUP:
		r = worker_on_setup(w, message);
		return r < 0 ? child_side_fail(EX_SOFTWARE, "cannot read its configuration", r) : 0;
	case MSG_SHARED:
		r = worker_on_shared(w, message);
		return r < 0 ? child_side_fail(EX_OSERR, "cannot map what workers share", r) : 0;
	case MSG_LISTENER:
		r = worker_on_listener(w, message);
		return r < 0 ? child_side_fail(EX_SOFTWARE, "cannot take a socket", r) : 0;
	case MSG_FILE:
	case MSG_TICKETS:
	case MSG_KEEPER:
		r = worker_on_paper(w, message);
		return r < 0 ? child_side_fail(EX_SOFTWARE, "cannot take a file", r) : 0;
	case MSG_SIBLING:
		r = worker_on_sibling(w, message);
		return r < 0 ? child_side_fail(EX_SOFTWARE, "cannot take a sibling", r) : 0;
	case MSG_PREPARE:
		return worker_prepare(w);
	case MSG_SERVE:
		return worker_serve(w);
	case MSG_DRAIN:
		worker_drain(w, (const void *)message->data);
		return 0;
	case MSG_CLIENT:
	case MSG_METRICS:
	case MSG_PROBE:
	case MSG_PROBED:
	case MSG_READY:
	case MSG_RELEASED:
	case MSG_FAULT:
	case MSG_FAILED:
	case MSG_RECORD:
	case N_MESSAGES:
		break;
	}
	return EX_SOFTWARE;
}

static void worker_on_heartbeat(struct child_side *side)
{
	struct worker *w = container_of(side, struct worker, side);

	if (w->stage != STAGE_SERVING || ++w->turns < EXPIRY_TURNS)
		return;
	w->turns = 0;
	worker_tell_expiry(w);
}

int worker_main(void)
{
	struct worker w = {
		.side = CHILD_SIDE_INIT(w.side, worker_on_message),
		.engine = ENGINE_EMPTY,
		.papers = PAPERS_EMPTY,
	};
	int exit_code;

	w.side.on_heartbeat = worker_on_heartbeat;
	w.drained.on_time = worker_on_drained;
	w.leave.run = worker_on_leave;
	exit_code = child_side_run(&w.side);
	engine_done(&w.engine);
	papers_done(&w.papers);
	child_side_done(&w.side);
	return exit_code;
}
