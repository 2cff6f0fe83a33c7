/* SPDX-License-Identifier: Apache-2.0 */

/* Runs as `user`, with nothing but its channel, the sockets that came over it, and its counters.
 * It is the one process that reads what the network sends, and so the one that is most likely to
 * be taken over.
 *
 * It is set up by its channel before it serves: the configuration, the sockets, files and the
 * way to the keeper, then PREPARE, at which it builds everything and gives up all that it will
 * not need. The last of it is to say READY. From then on it opens no file, and makes no socket
 * but those that accept() returns.
 *
 * Here are the steps of its life, one function for each message; serving itself is
 * child/listeners.c and net/. When it drains, it says RELEASED once it takes nothing new, and
 * ends when the last connection has closed, or when the time that the supervisor has set is up. */

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <time.h>

#include "base/log.h"
#include "base/why.h"
#include "child/listeners.h"
#include "child/roles.h"
#include "child/runtime.h"
#include "child/tls_files.h"
#include "conf/conf.h"
#include "process/channel.h"

#define EXPIRY_TURNS 7200 /* once an hour */
#define MOST_FILES   (1 << 20)
#define SPARE_FILES  1024 /* listeners, channels, and the like */

struct worker {
	struct runtime runtime;
	struct listeners listeners;
	struct tls_files tls_files;
	struct shared *shared;
	struct timer drained;
	struct task leave;
	unsigned turns; /* of the heartbeat, until certificates are looked at again */
};

static struct worker *worker_of(struct runtime *runtime)
{
	return container_of(runtime, struct worker, runtime);
}

static int worker_on_setup(struct runtime *runtime, struct message *message)
{
	struct worker *w = worker_of(runtime);
	int r;

	r = runtime_setup(runtime, message);
	if (r < 0)
		return r;
	w->listeners.loop = &w->runtime.loop;
	w->listeners.conf = w->tls_files.conf = w->runtime.conf;
	w->listeners.counters = w->runtime.counters;
	w->listeners.tls_files = &w->tls_files;
	w->tls_files.refuse_expired = w->runtime.setup.refuse_expired;
	return 0;
}

static int worker_on_shared(struct runtime *runtime, struct message *message)
{
	struct worker *w = worker_of(runtime);
	void *page = mmap(
		NULL, sizeof(*w->shared), PROT_READ | PROT_WRITE, MAP_SHARED, message->fds[0], 0);

	if (page == MAP_FAILED)
		return -errno;
	w->shared = page;
	return 0;
}

static int worker_on_listener(struct runtime *runtime, struct message *message)
{
	struct worker *w = worker_of(runtime);
	const struct msg_listener *listener = (const void *)message->data;

	if (!w->runtime.conf || listener->listener >= w->runtime.conf->n_listeners)
		return -EINVAL;
	return listeners_take(&w->listeners, listener->listener, &message->fds[0]);
}

static int worker_on_dtls_peer(struct runtime *runtime, struct message *message)
{
	struct worker *w = worker_of(runtime);
	const struct msg_dtls_peer *peer = (const void *)message->data;

	return listeners_meet(&w->listeners, peer, &message->fds[0]);
}

static int worker_on_end_sessions(struct runtime *runtime, struct message *message)
{
	struct worker *w = worker_of(runtime);
	const struct msg_listener *dtls = (const void *)message->data;

	listeners_end_sessions(&w->listeners, dtls->listener);
	return 0;
}

/* Ends when nothing is open any more. */
static void worker_on_leave(struct task *task)
{
	struct worker *w = container_of(task, struct worker, leave);

	if (w->runtime.counters->open == 0)
		loop_stop(&w->runtime.loop, EX_OK);
}

static void worker_on_idle(struct acceptor *acceptor)
{
	struct worker *w = container_of(acceptor, struct worker, listeners.acceptor);

	if (w->runtime.dialogue.state == CHILD_DRAINING)
		loop_defer(&w->runtime.loop, &w->leave);
}

/* One of them is enough to say it. */
static void worker_log_expiry(struct worker *w)
{
	if (w->runtime.setup.index == 0)
		tls_files_log_expiry(&w->tls_files, time(NULL));
}

/* The kernel keeps a table of as many descriptors as the highest number says: 8 MB for the most here. */
static uint64_t files_of(const struct worker *w)
{
	const uint64_t connections = w->runtime.setup.connections;

	return connections < MOST_FILES - SPARE_FILES ? connections + SPARE_FILES : MOST_FILES;
}

/* Descriptors are fixed before anything watches them, since they change their numbers. */
static int worker_build(struct worker *w)
{
	struct why why;
	int r;

	r = tls_files_build(&w->tls_files, runtime_report_fault, &why);
	if (r == TLS_E_REFUSED)
		return runtime_fail(EX_CONFIG, why.text, 0);
	if (r == 0)
		r = listeners_fix_sockets(&w->listeners, files_of(w));
	if (r == 0)
		r = listeners_build(
			&w->listeners, w->shared, w->runtime.setup.connections, worker_on_idle);
	return r < 0 ? runtime_fail(EX_OSERR, "cannot make what serving needs", r) : 0;
}

static int worker_on_prepare(struct runtime *runtime, struct message *message)
{
	struct worker *w = worker_of(runtime);
	int r;

	if (!w->runtime.conf || !w->shared)
		return runtime_fail(EX_SOFTWARE, "told to prepare without a configuration", 0);
	tzset();
	r = worker_build(w);
	if (r != 0)
		return r;
	w->runtime.counters->expires = tls_files_expiry(&w->tls_files);
	tls_files_set_timing(&w->tls_files, &w->runtime.counters->common.keeper);
	tls_files_list_certificates(&w->tls_files, w->runtime.counters);
	if (w->runtime.setup.index == 0) /* one of them is enough to say it */
		tls_files_warn(&w->tls_files, time(NULL), runtime_report_warning);
	return runtime_ready(runtime);
}

static int worker_on_serve(struct runtime *runtime, struct message *message)
{
	struct worker *w = worker_of(runtime);
	int r;

	r = tls_files_serve(&w->tls_files, &runtime->loop);
	if (r == 0)
		r = listeners_serve(&w->listeners);
	if (r < 0)
		return r;
	worker_log_expiry(w);
	return runtime_serving(runtime);
}

static void worker_on_drained(struct timer *timer, uint64_t now_ms)
{
	struct worker *w = container_of(timer, struct worker, drained);

	listeners_cut(&w->listeners);
	loop_defer(&w->runtime.loop, &w->leave);
}

/* A worker that was never told to serve has nothing to finish. */
static int worker_on_drain(struct runtime *runtime, struct message *message)
{
	const struct msg_drain *drain = (const void *)message->data;
	struct worker *w = worker_of(runtime);

	if (runtime->dialogue.state != CHILD_SERVING) {
		loop_stop(&w->runtime.loop, EX_OK);
		return 0;
	}
	runtime->dialogue.state = CHILD_DRAINING;
	listeners_stop(&w->listeners);
	channel_send(CHANNEL_FD, MSG_RELEASED, NULL, 0, NULL, 0);
	loop_set_timer(&w->runtime.loop, &w->drained, w->runtime.loop.now_ms + drain->within_ms);
	loop_defer(&w->runtime.loop, &w->leave);
	return 0;
}

/* The parts that TLS needs. */
static int worker_on_tls_file(struct runtime *runtime, struct message *message)
{
	struct worker *w = worker_of(runtime);

	if (!w->runtime.conf)
		return -EINVAL;
	switch ((int)message->type) {
	case MSG_FILE:
		return tls_files_read(&w->tls_files, (const void *)message->data, message->fds[0]);
	case MSG_TICKETS:
		return tls_files_set_tickets(&w->tls_files, message->fds[0]);
	default:
		return tls_files_set_keeper(&w->tls_files, &message->fds[0]);
	}
}

const struct runtime_handler worker_handlers[N_MESSAGES] = {
	[MSG_SETUP] = {worker_on_setup, "cannot read its configuration"},
	[MSG_LOG_LEVEL] = {runtime_set_log_level, "cannot set the level of its records"},
	[MSG_SHARED] = {worker_on_shared, "cannot map what workers share"},
	[MSG_LISTENER] = {worker_on_listener, "cannot take a socket"},
	[MSG_FILE] = {worker_on_tls_file, "cannot take a file"},
	[MSG_TICKETS] = {worker_on_tls_file, "cannot take the keys of tickets"},
	[MSG_KEEPER] = {worker_on_tls_file, "cannot take the way to the keeper"},
	[MSG_DTLS_PEER] = {worker_on_dtls_peer, "cannot take the way to another worker"},
	[MSG_END_SESSIONS] = {worker_on_end_sessions, "cannot end the sessions of a socket"},
	[MSG_PREPARE] = {worker_on_prepare},
	[MSG_SERVE] = {worker_on_serve, "cannot watch the sockets"},
	[MSG_DRAIN] = {worker_on_drain},
};

static void worker_on_heartbeat(struct runtime *runtime)
{
	struct worker *w = container_of(runtime, struct worker, runtime);

	if (w->listeners.acceptor.shared)
		acceptor_look(&w->listeners.acceptor);
	if (w->listeners.batch &&
		atomic_load(&w->shared->memory_short_until_ms) > runtime->loop.now_ms)
		listeners_give_back(&w->listeners);
	if (w->runtime.dialogue.state != CHILD_SERVING || ++w->turns < EXPIRY_TURNS)
		return;
	w->turns = 0;
	worker_log_expiry(w);
}

int worker_main(void)
{
	struct worker w = {
		.runtime = RUNTIME_INIT(w.runtime, worker_handlers, ROLE_WORKER),
		.listeners = LISTENERS_EMPTY,
		.tls_files = TLS_FILES_EMPTY,
	};
	int exit_code;

	w.runtime.on_heartbeat = worker_on_heartbeat;
	w.drained.on_time = worker_on_drained;
	w.leave.run = worker_on_leave;
	exit_code = runtime_run(&w.runtime);
	listeners_done(&w.listeners);
	tls_files_done(&w.tls_files);
	runtime_done(&w.runtime);
	return exit_code;
}
