/* SPDX-License-Identifier: Apache-2.0 */

/* Runs as `user`, with nothing but its channel, the sockets that came over it, and its counters. It is
 * the one process that reads what the network sends.
 *
 * It is set up by its channel before it serves: the configuration, the sockets, then PREPARE, at which
 * it builds everything and gives up all that it will not need. The last of it is to say READY. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "conf/conf.h"
#include "conf/fault.h"
#include "role/channel.h"
#include "role/confine.h"
#include "role/engine.h"
#include "role/records.h"
#include "role/role.h"

#define HEARTBEAT_MS 500
#define LONGEST_FILE (64 << 20)

enum stage { STAGE_SETUP, STAGE_READY, STAGE_SERVING, STAGE_DRAINING };

struct worker {
	struct loop loop;
	struct conf *conf;
	struct counters *counters;
	struct shared *shared;
	uint64_t connections;
	struct engine engine;
	struct source channel;
	struct timer heartbeat, drained;
	struct task leave;
	enum stage stage;
};

static int worker_fail(int exit_code, const char *what, int error)
{
	struct msg_failed failed = {.exit_code = exit_code};

	snprintf(failed.text, sizeof(failed.text), "%s%s%s", what, error ? ": " : "",
		error ? strerror(error < 0 ? -error : error) : "");
	channel_send(CHANNEL_FD, MSG_FAILED, &failed, sizeof(failed), NULL, 0);
	return exit_code;
}

static int read_sealed(void *userdata, const char *path, char **ret_text, size_t *ret_len)
{
	return fd_read_all(*(int *)userdata, LONGEST_FILE, ret_text, ret_len);
}

static int worker_on_setup(struct worker *w, struct message *message)
{
	const struct msg_setup *setup = (const void *)message->data;
	struct conf_source source = {
		.file = "configuration",
		.read = read_sealed,
		.userdata = &message->fds[0],
	};
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;
	void *page;

	if (w->conf || conf_load(&source, &faults, &w->conf) != 0)
		return -EINVAL;
	page = mmap(NULL, counters_size(w->conf->n_listeners), PROT_READ | PROT_WRITE, MAP_SHARED,
		message->fds[1], 0);
	if (page == MAP_FAILED)
		return -errno;
	w->counters = page;
	page = mmap(
		NULL, sizeof(*w->shared), PROT_READ | PROT_WRITE, MAP_SHARED, message->fds[2], 0);
	if (page == MAP_FAILED)
		return -errno;
	w->shared = page;
	w->connections = setup->connections;
	w->counters->open = 0;
	w->engine.loop = &w->loop;
	w->engine.conf = w->conf;
	w->engine.counters = w->counters;
	records_to_channel(CHANNEL_FD, w->conf->log.level, &w->counters->records_lost);
	return 0;
}

static int worker_on_listener(struct worker *w, struct message *message)
{
	const struct msg_listener *listener = (const void *)message->data;

	if (!w->conf || listener->listener >= w->conf->n_listeners)
		return -EINVAL;
	return engine_take(&w->engine, listener->listener, &message->fds[0]);
}

/* Ends when nothing is open any more. */
static void worker_on_leave(struct task *task)
{
	struct worker *w = container_of(task, struct worker, leave);

	if (w->counters->open == 0)
		loop_stop(&w->loop, EX_OK);
}

static void worker_on_idle(struct acceptor *acceptor)
{
	struct worker *w = container_of(acceptor, struct worker, engine.acceptor);

	if (w->stage == STAGE_DRAINING)
		loop_defer(&w->loop, &w->leave);
}

static int worker_prepare(struct worker *w)
{
	char why[CONFINE_WHY];
	int r;

	if (!w->conf)
		return worker_fail(EX_SOFTWARE, "told to prepare without a configuration", 0);
	tzset();
	r = engine_build(&w->engine, w->shared, w->connections, worker_on_idle);
	if (r < 0)
		return worker_fail(EX_OSERR, "cannot make what serving needs", r);
	r = confine(role_word(ROLE_WORKER), w->conf, why);
	if (r != 0)
		return worker_fail(r, why, 0);
	w->stage = STAGE_READY;
	return channel_send(CHANNEL_FD, MSG_READY, NULL, 0, NULL, 0) == 0 ? 0 : EX_OSERR;
}

static int worker_serve(struct worker *w)
{
	int r;

	if (w->stage != STAGE_READY)
		return worker_fail(EX_SOFTWARE, "told to serve before it was ready", 0);
	w->stage = STAGE_SERVING;
	r = engine_serve(&w->engine);
	return r < 0 ? worker_fail(EX_OSERR, "cannot watch the sockets", r) : 0;
}

static void worker_on_drained(struct timer *timer, uint64_t now_ms)
{
	struct worker *w = container_of(timer, struct worker, drained);

	engine_cut(&w->engine);
	loop_defer(&w->loop, &w->leave);
}

/* Who was never told to serve has nothing to finish. */
static void worker_drain(struct worker *w, const struct msg_drain *drain)
{
	if (w->stage != STAGE_SERVING) {
		loop_stop(&w->loop, EX_OK);
		return;
	}
	w->stage = STAGE_DRAINING;
	engine_stop(&w->engine);
	channel_send(CHANNEL_FD, MSG_RELEASED, NULL, 0, NULL, 0);
	loop_set_timer(&w->loop, &w->drained, w->loop.now_ms + drain->within_ms);
	loop_defer(&w->loop, &w->leave);
}

/* Returns 0, or the exit code with which all is over. */
static int worker_on_message(struct worker *w, struct message *message)
{
	int r;

	switch (message->type) {
	case MSG_SETUP:
		r = worker_on_setup(w, message);
		return r < 0 ? worker_fail(EX_SOFTWARE, "cannot read its configuration", r) : 0;
	case MSG_LISTENER:
		r = worker_on_listener(w, message);
		return r < 0 ? worker_fail(EX_SOFTWARE, "cannot take a socket", r) : 0;
	case MSG_PREPARE:
		return worker_prepare(w);
	case MSG_SERVE:
		return worker_serve(w);
	case MSG_DRAIN:
		worker_drain(w, (const void *)message->data);
		return 0;
	case MSG_PROBE:
	case MSG_PROBED:
	case MSG_READY:
	case MSG_RELEASED:
	case MSG_FAILED:
	case MSG_RECORD:
	case N_MESSAGES:
		break;
	}
	return EX_SOFTWARE;
}

/* Without the supervisor there is nobody to serve for: whoever restarts it wants the sockets. */
static void worker_on_channel(struct source *source, uint32_t events)
{
	struct worker *w = container_of(source, struct worker, channel);
	struct message message;
	int r;

	while (!w->loop.stopped) {
		r = channel_receive(CHANNEL_FD, FROM_SUPERVISOR, &message, MSG_DONTWAIT);
		if (r == CHANNEL_E_WAIT)
			return;
		if (r != 0) {
			loop_stop(&w->loop, r == CHANNEL_E_CLOSED ? EX_OK : EX_SOFTWARE);
			return;
		}
		r = worker_on_message(w, &message);
		message_done(&message);
		if (r != 0)
			loop_stop(&w->loop, r);
	}
}

static void worker_on_heartbeat(struct timer *timer, uint64_t now_ms)
{
	struct worker *w = container_of(timer, struct worker, heartbeat);

	if (w->counters)
		w->counters->heartbeat++;
	log_flush(now_ms);
	loop_set_timer(&w->loop, timer, now_ms + HEARTBEAT_MS);
}

static void worker_done(struct worker *w)
{
	engine_done(&w->engine);
	conf_free(w->conf);
	loop_done(&w->loop);
}

int worker_main(void)
{
	struct worker w = {.loop = LOOP_INIT(w.loop), .engine = ENGINE_EMPTY};
	int r;

	w.channel.on_event = worker_on_channel;
	w.heartbeat.on_time = worker_on_heartbeat;
	w.drained.on_time = worker_on_drained;
	w.leave.run = worker_on_leave;

	r = loop_init(&w.loop);
	if (r >= 0)
		r = loop_watch(&w.loop, &w.channel, CHANNEL_FD, EPOLLIN);
	if (r >= 0) {
		loop_set_timer(&w.loop, &w.heartbeat, w.loop.now_ms + HEARTBEAT_MS);
		r = loop_run(&w.loop);
	}
	worker_done(&w);
	return r < 0 ? EX_OSERR : r;
}
